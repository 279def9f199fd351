"""Kinds of problems are documented, and each answer has one of them."""

import ast
from pathlib import Path

from api.problem_kinds import BY_WORD, KINDS, page
from tests.api.conftest import World

ROOT = Path(__file__).parents[2]


def test_the_page_of_problems_is_made_from_the_table() -> None:
    assert (ROOT / "docs/problems.md").read_text() == page()
    assert len(BY_WORD) == len(KINDS)
    usual = [kind.status for kind in KINDS if kind.usual]
    assert len(usual) == len(set(usual))


def test_every_status_and_word_that_the_program_tells_has_its_kind() -> None:
    told: set[int] = set()
    words: set[str] = set()
    for file in (ROOT / "api").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if not isinstance(node, ast.Call):
                continue
            name = getattr(node.func, "id", getattr(node.func, "attr", ""))
            if name in ("Problem", "HTTPException") and isinstance(node.args[0], ast.Constant):
                told.add(node.args[0].value)  # type: ignore[arg-type]
            for keyword in node.keywords:
                if keyword.arg == "word" and name == "answer":
                    words.add(keyword.value.value)  # type: ignore[attr-defined]
    assert len(told) > 5 and told <= {kind.status for kind in KINDS}
    assert len(words) > 2 and words <= set(BY_WORD)


def test_answers_carry_their_kind(world: World) -> None:
    asked = {
        "not-found": ("GET", "/sites/nowhere", None),
        "invalid": ("GET", "/sites?limit=0", None),
        "unauthorized": ("GET", "/tickets", None),
        "method-not-allowed": ("PUT", "/sites", None),
        "unprocessable-entity": ("POST", "/reports", {"code": "no-output"}),
    }
    for word, (method, path, body) in asked.items():
        answer = world.ask(None, method, path, json=body)
        assert answer.json()["type"] == BY_WORD[word].type, word
        assert answer.json()["title"] == BY_WORD[word].title
