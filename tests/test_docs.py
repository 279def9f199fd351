"""The docs: every link leads somewhere, every command that they show exists."""

import re
import shlex
from pathlib import Path

import pytest

from deploy.command import _parser
from pilewatch.faultcodes import FAULTS
from pilewatch.settings import Settings

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
_FENCE = re.compile(r"^```[a-z]*\n(.*?)^```", re.MULTILINE | re.DOTALL)


def _anchors(page: Path) -> set[str]:
    heads = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


def _shown_commands() -> list[tuple[str, str]]:
    found = []
    for page in PAGES:
        for block in _FENCE.findall(page.read_text()):
            for line in block.splitlines():
                command = line.split("#")[0].strip()
                if command.startswith(("make ", "pilewatch ")):
                    found.append((page.name, command))
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in _LINK.findall(page.read_text()):
        if re.match(r"[a-z]+:", target):
            continue  # what lies outside is not ours to keep
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        assert there.exists(), f"{page.name}: {target}"
        assert not anchor or anchor in _anchors(there), f"{page.name}: {target}"


@pytest.mark.parametrize(("page", "command"), _shown_commands())
def test_every_shown_command_exists(page: str, command: str) -> None:
    words = shlex.split(command)
    if words[0] == "make":
        targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        assert set(words[1:]) <= set(targets), f"{page}: {command}"
    else:
        # Raises SystemExit for a word or an option that the command does not know.
        _parser().parse_args(words[1:])


def test_every_setting_that_the_docs_name_exists() -> None:
    for page in PAGES:
        for name in re.findall(r"PILEWATCH_([A-Z]+)__([A-Z_]+)", page.read_text()):
            section, key = (word.lower() for word in name)
            fields = type(getattr(Settings(), section)).model_fields
            assert key.removesuffix("_file") in fields or key in fields, f"{page.name}: {name}"


def test_every_row_of_the_taxonomy_is_in_the_program() -> None:
    """The taxonomy's page and the program's table name the same codes."""
    page = ROOT / "docs" / "faults.md"
    named = set(re.findall(r"^\| `([a-z-]+)` \|", page.read_text(), re.MULTILINE))
    assert named == set(FAULTS)
