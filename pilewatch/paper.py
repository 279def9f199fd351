"""Documents to print: a Typst template and its data become a PDF with Chinese type."""

import json
from collections.abc import Mapping
from functools import lru_cache
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any, Literal

import cvttf_NotoSansCJK_Bold
import cvttf_NotoSansCJK_Regular
import typst

Pictures = Mapping[str, bytes]
NONE: Pictures = {}
FONT = "Noto Sans CJK TC"
"""The family that templates name; with `lang: "zh", region: "CN"` it draws mainland forms."""


def pdf(
    package: str,
    template: str,
    data: Mapping[str, Any],
    pictures: Pictures = NONE,
) -> bytes:
    """PACKAGE/TEMPLATE set with `data`, which it reads by `json(bytes(sys.inputs.data))`.

    `pictures` are files by name (`qr.svg`, `photo-1.png`) that it reads by `image("qr.svg")`.
    The template's text is code, the data never is. Raises `typst.TypstError`.
    """
    return _typeset(package, template, data, pictures, "pdf")[0]


def pages(
    package: str,
    template: str,
    data: Mapping[str, Any],
    pictures: Pictures = NONE,
) -> list[bytes]:
    """The same document as one PNG for each page, to be looked at."""
    return _typeset(package, template, data, pictures, "png")


def _typeset(
    package: str,
    template: str,
    data: Mapping[str, Any],
    pictures: Pictures,
    kind: Literal["pdf", "png"],
) -> list[bytes]:
    # The stubs know only one file; the library takes several by name.
    sources: Any = {"main.typ": (files(package) / template).read_bytes(), **pictures}
    made = typst.compile(
        sources,
        font_paths=_font_folders(),
        ignore_system_fonts=True,
        format=kind,
        sys_inputs={"data": json.dumps(data, ensure_ascii=False)},
    )
    return made if isinstance(made, list) else [made]


@lru_cache(maxsize=1)
def _font_folders() -> list[str]:
    folders = []
    for package in (cvttf_NotoSansCJK_Regular, cvttf_NotoSansCJK_Bold):
        with as_file(files(package)) as folder:
            folders.append(str(Path(folder)))
    return folders
