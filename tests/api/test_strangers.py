"""What we publish, read by programs that are not ours: their own models and clients."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.api.conftest import World, opens
from tests.api.test_ocpi import Party, party  # noqa: F401 - a fixture

_HERE = Path(__file__).parent / "strangers"
pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def strangers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what their lock file names; they want older libraries than ours."""
    there = tmp_path_factory.mktemp("strangers")
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
         "--no-deps", "--require-hashes", "--only-binary", ":all:", "--target", str(there),
         "-r", str(_HERE / "requirements.lock")],
        check=True, capture_output=True, timeout=150,
    )  # fmt: skip
    return there


def tells(strangers: Path, program: str, *words: str, said: Any = None) -> str:
    """Run one of them; gives its words."""
    done = subprocess.run(
        [sys.executable, str(_HERE / program), *words],
        env={**os.environ, "PYTHONPATH": str(strangers)},
        input=json.dumps(said), text=True, capture_output=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_models_of_ocpi_that_are_not_ours_read_every_object(
    party: Party,  # noqa: F811
    strangers: Path,
) -> None:
    world, ports = party.world, party.world.community.connectors
    opens(world, "Mo-Fr 08:00-20:00; Sa 10:00-24:00")
    for port, word in zip(ports, ("available", "charging", "reserved", "faulted"), strict=False):
        world.db.execute(
            "UPDATE connector_state SET status = %s WHERE connector_id = %s", (word, port)
        )
    world.db.execute("UPDATE connector SET active = false WHERE id = %s", (ports[5],))
    [location] = party.get("/2.2.1/locations").json()["data"]
    assert len({evse["status"] for evse in location["evses"]}) >= 4
    said = {
        "Version": party.get("/versions").json()["data"],
        "VersionDetail": [party.get("/2.2.1").json()["data"]],
        "Credentials": [party.get("/2.2.1/credentials").json()["data"]],
        "Location": [location],
        "EVSE": location["evses"],
        "Connector": [c for evse in location["evses"] for c in evse["connectors"]],
    }
    assert tells(strangers, "ocpi_reads.py", said=said) == ""
    wrong = {"EVSE": [location["evses"][0] | {"status": "BROKEN"}]}
    assert "status" in tells(strangers, "ocpi_reads.py", said=wrong), "it would tell"


def test_a_client_of_open311_that_is_not_ours_reads_json_and_xml(
    world: World, strangers: Path
) -> None:
    said = {"charger": "C0", "connector": 1, "code": "no-output", "note": "插上没反应 <b>&"}
    assert world.ask(None, "POST", "/reports", json=said).status_code == 201
    with world.served():
        root = f"{world.base}/open311/v2"
        told = json.loads(tells(strangers, "georeport_reads.py", root, "pilewatch"))
    assert told["json"] == told["xml"]
    assert told["json"]["status"] == "open"
    assert told["json"]["definition"] in told["json"]["services"]
    assert told["json"]["request"] == told["json"]["again"]
