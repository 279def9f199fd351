"""TLS, passwords and the ACL of docs/operations.md, on a real mosquitto."""

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from pilewatch.store.pool import Db, connect
from tests.ingest.conftest import publisher, running, settings_for, wait_until
from tests.ingest.processes import IngesterProcess
from tests.ingest.test_commands import reset, state
from tests.parts import Mosquitto

OPERATIONS = Path(__file__).parents[2] / "docs" / "operations.md"
MakeBroker = Callable[..., Mosquitto]


def _beat() -> str:
    return json.dumps({"at": datetime.now(UTC).isoformat()})


def _count(db: Db) -> int:
    row = db.execute("SELECT count(*) AS n FROM observation").fetchone()
    assert row is not None
    return int(row["n"])


@pytest.fixture
def make_broker(parts_folder: Path, mosquitto: Mosquitto, tmp_path: Path) -> Iterator[MakeBroker]:
    """Starts a mosquitto of the test's own with more lines of configuration."""
    made: list[Mosquitto] = []

    def make(extra: str, *, anonymous: bool = False) -> Mosquitto:
        folder = parts_folder / f"access-{tmp_path.name}-{len(made)}"
        made.append(Mosquitto(folder, extra=extra, anonymous=anonymous).start())
        return made[-1]

    yield make
    for broker in made:
        broker.stop()


def _openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)


def _authority(folder: Path) -> Path:
    """An authority of our own, and a server certificate for loopback that it signed."""
    folder.mkdir()
    new = ("req", "-nodes", "-newkey", "rsa:2048")
    _openssl(folder, *new, "-x509", "-days", "2", "-subj", "/CN=authority",
             "-keyout", "ca.key", "-out", "ca.pem")  # fmt: skip
    _openssl(folder, *new, "-subj", "/CN=broker", "-keyout", "key.pem", "-out", "request.pem")
    (folder / "names").write_text("subjectAltName=IP:127.0.0.1")
    _openssl(folder, "x509", "-req", "-days", "2", "-in", "request.pem", "-CA", "ca.pem",
             "-CAkey", "ca.key", "-CAcreateserial", "-extfile", "names",
             "-out", "cert.pem")  # fmt: skip
    return folder


def _tls(folder: Path) -> str:
    files = (("cafile", "ca.pem"), ("certfile", "cert.pem"), ("keyfile", "key.pem"))
    return "\n".join(f"{key} {folder / name}" for key, name in files)


@pytest.mark.parametrize("version", ["5", "3.1.1"])
def test_messages_come_over_tls_with_an_authority_of_our_own(
    registered_plain: str, make_broker: MakeBroker, tmp_path: Path, version: str
) -> None:
    ours = _authority(tmp_path / "ours")
    broker = make_broker(_tls(ours), anonymous=True)
    ca_file = ours / "ca.pem"
    settings = settings_for(registered_plain, broker.port, version, ca_file=ca_file)
    with (
        connect(registered_plain, application="t") as db,
        running(settings),
        publisher(broker.port, ca_file=ca_file) as pile,
    ):
        for _ in range(300):
            pile.send("pilewatch/v1/C1/up/heartbeat", _beat())
        wait_until(lambda: _count(db) == 300)


def test_a_broker_of_another_authority_is_refused_with_the_reason(
    registered_plain: str, make_broker: MakeBroker, tmp_path: Path
) -> None:
    ours, theirs = _authority(tmp_path / "ours"), _authority(tmp_path / "theirs")
    broker = make_broker(_tls(theirs), anonymous=True)
    ingester = IngesterProcess(
        registered_plain,
        broker.port,
        tmp_path / "refusing.log",
        PILEWATCH_MQTT__CA_FILE=str(ours / "ca.pem"),
    )
    try:
        wait_until(lambda: len(ingester.said("broker is away")) >= 2)
        problems = {line["problem"] for line in ingester.said("broker is away")}
        assert all("certificate verify failed" in problem for problem in problems)
        assert ingester.connections() == 0
        assert ingester.stop() == 0
    finally:
        ingester.kill()


def _passwords(file: Path, **users: str) -> Path:
    file.touch(mode=0o600)
    for name, password in users.items():
        subprocess.run(
            ["mosquitto_passwd", "-b", str(file), name, password], check=True, capture_output=True
        )
    return file


@pytest.mark.parametrize("version", ["5", "3.1.1"])
def test_a_wrong_password_is_told_and_retried_until_it_is_right(
    registered_plain: str, make_broker: MakeBroker, tmp_path: Path, version: str
) -> None:
    file = _passwords(tmp_path / "passwords", ingest="another")
    broker = make_broker(f"password_file {file}")
    ingester = IngesterProcess(
        registered_plain,
        broker.port,
        tmp_path / "knocking.log",
        PILEWATCH_MQTT__USERNAME="ingest",
        PILEWATCH_MQTT__PASSWORD="s3cret-word",
        PILEWATCH_MQTT__VERSION=version,
    )
    try:
        wait_until(lambda: len(ingester.said("broker is away")) >= 4)
        lines = ingester.said("broker is away")
        assert all("the broker refused us: Not authorized" in line["problem"] for line in lines)
        times = [datetime.fromisoformat(line["timestamp"]) for line in lines[:4]]
        pauses = [(b - a).total_seconds() for a, b in pairwise(times)]
        assert pauses[0] < 1 and pauses[2] > 0.4, "each pause is about twice the last"
        _passwords(file, ingest="s3cret-word")
        broker.reload()
        wait_until(lambda: ingester.connections() == 1, 40)
        assert "s3cret-word" not in ingester.log.read_text()
        assert ingester.stop() == 0
    finally:
        ingester.kill()


def _answer_to_a_liar(port: int) -> str:
    """What the broker says to C1 who speaks as C2. (With MQTT 3.1.1 it can only hang up.)"""
    answers: list[str] = []
    liar = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
    liar.username_pw_set("C1", "c")
    liar.on_publish = lambda _client, _data, _mid, reason, _properties: answers.append(str(reason))
    liar.connect("127.0.0.1", port)
    liar.loop_start()
    liar.publish("pilewatch/v1/C2/up/heartbeat", _beat(), qos=1)
    wait_until(lambda: answers)
    liar.disconnect()
    liar.loop_stop()
    return answers[0]


def test_the_documented_acl_lets_a_charger_speak_and_hear_only_as_itself(
    registered_plain: str, make_broker: MakeBroker, tmp_path: Path
) -> None:
    found = re.search(r"this is `acl_file`:\n\n```\n(.*?)```", OPERATIONS.read_text(), re.DOTALL)
    assert found is not None
    rules = tmp_path / "acl"
    rules.write_text(found[1])
    rules.chmod(0o600)
    file = _passwords(tmp_path / "passwords", ingest="i", C1="c", C2="d")
    broker = make_broker(f"password_file {file}\nacl_file {rules}")
    settings = settings_for(
        registered_plain, broker.port, username="ingest", password="i", share_group="g"
    )
    heard: list[str] = []
    with (
        connect(registered_plain, application="t") as db,
        running(settings),
        publisher(broker.port, user=("C1", "c")) as pile,
    ):
        pile.client.on_message = lambda _client, _data, message: heard.append(message.topic)
        pile.client.subscribe("pilewatch/v1/+/down/#", 1)
        assert _answer_to_a_liar(broker.port) == "Not authorized"
        pile.send("pilewatch/v1/C1/up/heartbeat", _beat())
        sent = [reset(db, code) for code in ("C2", "C1")]
        wait_until(lambda: _count(db) > 0 and heard)
        row = db.execute(
            "SELECT array_agg(c.code) AS codes FROM observation o "
            "JOIN charger c ON c.id = o.charger_id"
        ).fetchone()
        assert row == {"codes": ["C1"]}
        assert heard == ["pilewatch/v1/C1/down/command"]
        wait_until(lambda: [state(db, id) for id in sent] == ["sent", "sent"])
