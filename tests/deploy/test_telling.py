"""`pilewatch notify test` and `pilewatch explain`: what a person at the terminal reads."""

import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

from pilewatch.store.pool import Db
from tests.alerts.outside import http_receiver, mail_server
from tests.api.test_explain import hot
from tests.workflow.conftest import Community


def _run(*arguments: str, **settings: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "deploy.command", *arguments],
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_test_message_reaches_every_receiver_or_says_why_not(tmp_path: Path) -> None:
    file = tmp_path / "notify.toml"
    file.write_text(
        "[channels.mail]\nurl_env = 'MAIL'\n"
        "[channels.hook]\nkind = 'webhook'\nurl_env = 'HOOK'\n"
        "[[receivers]]\nname = 'li'\nchannel = 'mail'\n"
        "[[receivers]]\nname = 'system'\nchannel = 'hook'\n"
    )
    with mail_server() as mails, http_receiver() as hook:
        hook.answers = [(500, {})]
        settings = {
            "PILEWATCH_ALERTS__NOTIFY_FILE": str(file),
            "MAIL": f"mailto://127.0.0.1:{mails.port}?from=p@x.example&to=li@x.example",
            "HOOK": f"{hook.url}/s3cret",
        }
        ended = _run("notify", "test", **settings)
        assert ended.returncode == 1
        assert "li                   sent" in ended.stdout
        assert "system               not sent: answered 500" in ended.stdout
        assert mails.mails[0]["Subject"] == "Pilewatch 测试消息"
        assert "s3cret" not in ended.stdout + ended.stderr
        assert _run("notify", "test", "--receiver", "system", **settings).returncode == 0
    settings.pop("HOOK")
    wrong = _run("notify", "test", **settings)
    assert (wrong.returncode, "no HOOK" in wrong.stderr) == (2, True)


def test_an_incident_is_explained_at_the_terminal(plain_db: Db, plain_database_url: str) -> None:
    id = hot(plain_db, Community(plain_db), datetime.now(UTC))
    ended = _run("explain", str(id), PILEWATCH_DATABASE__URL=plain_database_url)
    assert ended.returncode == 0, ended.stderr
    said = ended.stdout
    assert f"incident {id}: over-temperature (severity 1) at S C0 port 1" in said
    assert "82 against the limit 80.0" in said and "97 against the limit 80.0" in said
    assert "temperature_c of port 1 in °C, limit 80" in said and "-- began" in said
    assert "|" in said.splitlines()[-1] and "97" in said.splitlines()[-1]
    unknown = _run("explain", "999", PILEWATCH_DATABASE__URL=plain_database_url)
    assert (unknown.returncode, unknown.stderr) == (1, "there is no incident 999\n")
