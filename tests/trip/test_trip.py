"""The whole trip as separate processes: a pile fails, a ticket opens, someone sees it, it is
repaired, evidence closes it. On the parts of production and on the embedded ones."""

import json
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from playwright.sync_api import Browser, Page

from deploy.demo import POLICY, Where, cast, programs, wait_for_pages
from deploy.embedded import EmbeddedBroker, EmbeddedPostgres, free_port
from deploy.pictures import sign_in
from deploy.supervisor import Program, Supervisor
from pilewatch.faultcodes import FAULTS
from pilewatch.store.pool import connect
from pilewatch.store.registry import load_registry
from tests.conftest import make_database
from tests.ingest.conftest import wait_until
from tests.parts import Mosquitto, TimescaleServer

HERE = Path(__file__).parent
SCENARIO = HERE / "scenario.yaml"
PLANNED = {
    ("T-C1", 1, "ground-fault"),
    ("T-C3", None, "offline-charger"),
    ("T-E5", 3, "plug-broken"),
    (None, None, "offline-gateway"),
}
"""What the scenario breaks: charger, connector, code."""


@dataclass
class Installation:
    """Everything running, and how to look at it."""

    where: Where
    supervisor: Supervisor
    keys: dict[str, str]
    passwords: dict[str, str]
    simulate: Program
    truth: Path

    def get(self, path: str) -> Any:
        """As the operator sees it."""
        headers = {"Authorization": f"Bearer {self.keys['operator']}"}
        answer = httpx.get(f"{self.where.page}/api/v1{path}", headers=headers, timeout=10)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def tickets(self) -> list[dict[str, Any]]:
        """All of them, oldest first."""
        try:
            return sorted(self.get("/tickets")["items"], key=lambda t: t["id"])
        except httpx.TransportError:
            return []  # the API is being started again

    def of_the_plan(self) -> dict[str, list[dict[str, Any]]]:
        """The tickets of each planned fault, by its code."""
        found: dict[str, list[dict[str, Any]]] = {code: [] for _, _, code in PLANNED}
        for ticket in self.tickets():
            subject = ticket["subject"]
            for charger, connector, code in PLANNED:
                same_place = (subject["charger"], subject["connector"]) == (charger, connector)
                if same_place and ticket["family"] == FAULTS[code].family:
                    found[code].append(ticket)
        return found

    def keep_looking(self, true: Callable[[], object], seconds: float) -> None:
        """Wait for something while what dies is started again, as the demo does."""

        def looked() -> object:
            self.supervisor.look()
            return true()

        wait_until(looked, seconds)


@pytest.fixture(
    params=[
        "embedded",
        pytest.param("production", marks=[pytest.mark.mosquitto, pytest.mark.timescale]),
    ]
)
def servers(request: pytest.FixtureRequest) -> tuple[str, int]:
    """URL of a server, port of a broker: the demo's kind, and production's kind."""
    if request.param == "embedded":
        postgres: EmbeddedPostgres = request.getfixturevalue("postgres")
        rumqttd: EmbeddedBroker = request.getfixturevalue("embedded_broker")
        return postgres.url, rumqttd.port_v5
    timescale: TimescaleServer = request.getfixturevalue("timescale")
    mosquitto: Mosquitto = request.getfixturevalue("mosquitto")
    return timescale.url, mosquitto.port


@contextmanager
def installed(
    servers: tuple[str, int], folder: Path, scenario: Path, policy: Path = POLICY
) -> Iterator[Installation]:
    """All processes but the simulator, which each test starts when it is ready to look."""
    server, mqtt_port = servers
    url = make_database(server)
    with connect(url, application="test") as db:
        load_registry(db, HERE / "registry.yaml")
        keys, passwords = cast(db, folder)
    where = Where(url, mqtt_port, "127.0.0.1", free_port(), policy)
    supervisor = Supervisor(folder / "logs", lambda _: None)
    truth = folder / "truth.jsonl"
    made = programs(where, scenario, keys, "--seed", "7", "--speed", "4", "--truth", str(truth))
    for name in ("ingest", "alerts", "api"):
        supervisor.run(made[name])
    wait_for_pages(where, supervisor, threading.Event())
    running = Installation(
        where, supervisor, json.loads(keys.read_text()), passwords, made["simulate"], truth
    )
    pids: list[int] = []
    try:
        yield running
    finally:
        pids = [supervisor.pid(name) for name in supervisor.names()]
        supervisor.stop()
    assert not any(psutil.pid_exists(pid) for pid in pids), "no process is left"


@pytest.fixture
def installation(servers: tuple[str, int], tmp_path: Path) -> Iterator[Installation]:
    """The installation of this page's scenario."""
    with installed(servers, tmp_path, SCENARIO) as running:
        yield running


def _watch(page: Page, running: Installation) -> None:
    sign_in(page, running.where.page, "operator", running.passwords["operator"])
    page.wait_for_selector("[data-live]")


@pytest.mark.browser
def test_each_fault_is_one_ticket_seen_and_closed_by_evidence(
    installation: Installation, browser: Browser
) -> None:
    running = installation
    board = browser.new_page(locale="en")
    _watch(board, running)
    phone = browser.new_page(locale="zh-CN", viewport={"width": 390, "height": 844})
    running.supervisor.run(running.simulate)

    # The operator sees it appear, without touching anything.
    board.wait_for_selector("text=Earth fault", timeout=60_000)
    phone.goto(f"{running.where.page}/p/T-C1")
    assert phone.get_by_text("故障").or_(phone.get_by_text("报修")).first.is_visible()

    def all_closed() -> bool:
        plan = running.of_the_plan()
        return all(any(t["state"] == "closed" for t in plan[code]) for code in plan)

    running.keep_looking(all_closed, 150)
    for code, found in running.of_the_plan().items():
        assert len(found) == 1, f"{code}: exactly one ticket"
        assert found[0]["evidence"]["kind"] in ("session", "idle", "online", "inspection")
        story = running.get(f"/tickets/{found[0]['id']}")["timeline"]
        words = [line["action"] for line in story]
        assert words[0] == "opened" and words[-1] in ("closed", "incident-cleared",
                                                      "resident-confirmed"), words  # fmt: skip
    # And it leaves the board by itself.
    board.wait_for_selector("text=Earth fault", state="detached", timeout=20_000)
    closed = running.of_the_plan()["ground-fault"][0]["id"]
    board.goto(f"{running.where.page}/console/tickets/{closed}")
    assert board.get_by_text("Proof of repair").is_visible()
    truth = {}
    for line in running.truth.read_text().splitlines():
        fault = json.loads(line)
        truth[fault["fault"]] = fault
    assert {f["code"] for f in truth.values()} == {code for _, _, code in PLANNED}
    board.close()
    phone.close()


def test_every_process_killed_once_loses_and_doubles_nothing(installation: Installation) -> None:
    running = installation
    running.supervisor.run(running.simulate)
    for number, name in enumerate(("ingest", "alerts", "api"), 1):
        running.keep_looking(lambda n=number: len(running.tickets()) >= n, 60)
        os.kill(running.supervisor.pid(name), signal.SIGKILL)

    def all_closed() -> bool:
        plan = running.of_the_plan()
        return all(any(t["state"] == "closed" for t in plan[code]) for code in plan)

    running.keep_looking(all_closed, 150)
    assert {code: len(found) for code, found in running.of_the_plan().items()} == {
        code: 1 for _, _, code in PLANNED
    }
