"""`pilewatch person` and `pilewatch audit`."""

import io
from collections.abc import Callable

import pytest

from deploy.command import main
from pilewatch.store.pool import Db
from tests.workflow.conftest import Community

Run = Callable[..., tuple[int, str]]


@pytest.fixture
def run(
    plain_db: Db,
    plain_database_url: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Run:
    """Runs one command against a small community; its exit code and what it says."""
    Community(plain_db)
    monkeypatch.setenv("PILEWATCH_DATABASE__URL", plain_database_url)

    def command(*words: str, stdin: str = "") -> tuple[int, str]:
        monkeypatch.setattr("sys.stdin", io.StringIO(stdin))
        code = main(list(words))
        told = capsys.readouterr()
        return code, told.out + told.err

    return command


def test_people_are_added_changed_listed_and_shut_out(run: Run) -> None:
    code, key = run("person", "add", "li", "--role", "operator", "--company", "c")
    assert (code, key.startswith("pw_")) == (0, True)
    assert run("person", "add", "li", "--role", "admin") == (
        1,
        "this login is somebody's already\n",
    )
    assert run("person", "change", "li", "--role", "grid_worker", "--grid", "g") == (0, "done\n")
    assert "company: only for" in run("person", "change", "li", "--company", "c")[1]
    assert run("person", "password", "li", stdin="battery staple\n")[0] == 0
    assert run("person", "disable", "li")[0] == 0
    listed = run("person", "list")[1].splitlines()
    assert listed[-1].split() == ["li", "grid_worker", "g", "password", "disabled"]
    assert run("person", "enable", "li")[0] == 0
    assert run("person", "reset-totp", "li")[0] == 0
    link = ("person", "link", "li", "--issuer", "https://i.example.org/", "--subject", "u-1")
    assert run(*link) == (0, "done\n")
    assert run(*link) == (1, "this identity is somebody's already\n")
    assert "no person with the login 'nobody'" in run("person", "disable", "nobody")[1]
    assert run("person", "change", "li")[0] == 1


def test_tokens_are_made_listed_and_revoked(run: Run) -> None:
    run("person", "add", "li", "--role", "operator")
    made = ("person", "token", "add", "li", "--label", "board", "--scope", "read", "--days", "30")
    assert run(*made)[1].startswith("pw_")
    assert "right would be one of read" in run("person", "token", "add", "li", "--scope", "x")[1]
    lines = run("person", "token", "list", "li")[1].splitlines()
    assert [line.split()[1:2] + line.split()[3:] for line in lines] == [
        ["valid", "read", "board"],
        ["valid", "everything", "first", "key"],
    ]
    number = lines[0].split()[0]
    assert run("person", "token", "revoke", "li", number) == (0, "done\n")
    assert run("person", "token", "revoke", "li", number)[0] == 1
    assert run("person", "token", "list", "li")[1].split()[1] == "over"


def test_verify_prints_the_head_and_misses_what_was_cut_off(run: Run, plain_db: Db) -> None:
    assert run("audit", "verify") == (0, f"0 rows, head {'0' * 64}\n")
    run("person", "add", "li", "--role", "operator")
    run("person", "disable", "li")
    code, told = run("audit", "verify")
    head = told.split()[-1]
    assert (code, told.startswith("3 rows, head ")) == (0, True)
    assert run("audit", "verify", "--head", head)[0] == 0
    with plain_db.transaction():
        plain_db.execute("ALTER TABLE audit DISABLE TRIGGER USER")
        plain_db.execute("DELETE FROM audit WHERE seq = 3")
    code, told = run("audit", "verify", "--head", head)
    assert (code, "the kept head is not in the chain" in told) == (1, True)
    assert run("audit", "verify")[0] == 0
    with pytest.raises(SystemExit):
        run("audit", "verify", "--head", "beef")
