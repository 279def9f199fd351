"""Named SQL: `sql/NAME.sql` holds queries headed `-- name: WORD`, read once at import."""

import re
from importlib.resources import files
from typing import LiteralString, cast

_HEAD = re.compile(r"^-- name: ([a-z0-9_]+)\s*$", re.MULTILINE)


def load(file: str) -> dict[str, LiteralString]:
    """The queries of `pilewatch/store/sql/FILE.sql` by name. Raises `ValueError` on a double."""
    text = (files("pilewatch.store") / "sql" / f"{file}.sql").read_text(encoding="utf-8")
    parts = _HEAD.split(text)
    found: dict[str, LiteralString] = {}
    for name, body in zip(parts[1::2], parts[2::2], strict=True):
        if name in found:
            raise ValueError(f"{file}.sql names the query {name!r} twice")
        # The text is the program's own, as a literal is.
        found[name] = cast(LiteralString, body.strip().rstrip(";"))
    return found
