"""The `pilewatch` command: works on a fresh database, and tells problems in a sentence."""

import os
import subprocess
import sys
from pathlib import Path

from deploy.embedded import EmbeddedPostgres, free_port
from pilewatch.store.pool import connect
from tests.ingest.conftest import REGISTRY
from tests.parts import database_on


def _run(*arguments: str, stdin: str = "", **settings: str) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, **{f"PILEWATCH_{k}": v for k, v in settings.items()}}
    return subprocess.run(
        [sys.executable, "-m", "deploy.command", *arguments],
        env=environment,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_new_database_step_by_step(postgres: EmbeddedPostgres, tmp_path: Path) -> None:
    with connect(postgres.url, application="t") as db:
        db.execute("DROP DATABASE IF EXISTS command")
        db.execute("CREATE DATABASE command")
    url = database_on(postgres.url, "command")
    early = _run("status", DATABASE__URL=url)
    assert (early.returncode, "run `pilewatch migrate`" in early.stderr) == (1, True)
    assert "migrations ran" in _run("migrate", DATABASE__URL=url).stdout
    assert _run("migrate", DATABASE__URL=url).stdout == "up to date\n"
    file = tmp_path / "r.yaml"
    file.write_text(REGISTRY)
    loaded = _run("registry", "load", str(file), DATABASE__URL=url)
    assert "charger: 2 added, 0 changed" in loaded.stdout
    key = _run("person", "add", "wang", "--role", "operator", DATABASE__URL=url)
    assert key.stdout.startswith("pw_")
    for login, word, said in (
        ("wang", "short", "at least 8 characters"),
        ("nobody", "long enough", "no person with the login 'nobody'"),
        ("wang", "long enough", "done"),
    ):
        told = _run("person", "password", login, stdin=f"{word}\n", DATABASE__URL=url)
        assert said in told.stdout + told.stderr
    status = _run("status", DATABASE__URL=url)
    assert status.returncode == 1
    assert "! no ingester listens to the broker" in status.stdout


def test_problems_are_sentences(tmp_path: Path) -> None:
    wrong = _run("migrate", DATABASE__POOL_SIZE="many")
    assert (wrong.returncode, "database.pool_size" in wrong.stderr) == (2, True)
    away = _run("migrate", DATABASE__URL=f"postgresql://x@127.0.0.1:{free_port()}/x")
    assert (away.returncode, "cannot be reached" in away.stderr) == (1, True)
    assert "Traceback" not in wrong.stderr + away.stderr
