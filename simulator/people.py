"""Plays the people through the public HTTP API: operator, repairer, grid worker, residents.

What to do next is decided by pure functions; `People` asks the API and waits.
"""

import heapq
import random
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import httpx
import structlog
from msgspec import Struct

from pilewatch.faultcodes import FAULTS
from simulator.habits import Habits
from simulator.truth import Encounter

_LOG = structlog.get_logger()
_DONE = {"verified", "closed"}
_STORIES = {
    "thermal": ("插座触点氧化，接触电阻过大", "更换插座并紧固端子", "16A插座"),
    "relay": ("继电器触点粘连或烧蚀", "更换继电器", "继电器30A"),
    "contact": ("插头簧片磨损松动", "更换插座", "16A插座"),
    "leakage": ("线路绝缘老化漏电", "更换电缆并复测漏电保护", "电缆3×6"),
    "silence": ("通信模块掉线", "重启并更换通信模块", "4G模块"),
    "load": ("支路过载，空气开关损坏", "更换空气开关", "空开C20"),
    "supply": ("进线电压异常", "联系供电所处理", None),
    "meter": ("计量芯片故障", "更换计量模块", "计量模块"),
    "fire": ("柜内积尘过热，烟感动作", "清灰并更换烟感", "烟感"),
    "water": ("密封条老化进水", "烘干并更换密封条", "密封条"),
}
_OTHER = ("设备部件损坏", "更换损坏部件并复位", None)


class Keys(Struct, frozen=True, forbid_unknown_fields=True):
    """API keys of the three people who work."""

    operator: str
    repairer: str
    grid_worker: str


class Scene(Protocol):
    """What people can do to the world."""

    def repair(
        self,
        charger: str | None = None,
        connector: int | None = None,
        code: str | None = None,
        *,
        site: str | None = None,
        gateway: str | None = None,
    ) -> None: ...

    def works(self, charger: str, connector: int | None = None) -> bool: ...

    def test_charge(self, charger: str, connector: int) -> bool: ...


@dataclass(frozen=True)
class Step:
    """The next thing that somebody does with a ticket."""

    who: str
    what: str


def next_step(ticket: dict[str, Any]) -> Step | None:
    """What comes next for a ticket as the API shows it; None where it only waits."""
    state = ticket["state"]
    if state in ("open", "reopened"):
        return Step("operator", "assign")
    if state == "assigned":
        return Step("repairer", "accept")
    if state == "accepted":
        return Step("repairer", "start")
    if state == "repairing":
        return Step("repairer", "claim")
    if state == "repaired":
        return Step("grid_worker", "inspect")
    return None


def wait_before(step: Step, habits: Habits, rng: random.Random) -> float:
    """How long that takes, in seconds at speed 1."""
    if step.what == "inspect":
        return rng.uniform(*habits.inspector_s)
    return rng.uniform(*(habits.operator_s if step.who == "operator" else habits.repairer_s))


def is_false(ticket: dict[str, Any], habits: Habits, rng: random.Random) -> bool:
    """Whether this claim is made without a repair; nobody lies twice about the same ticket."""
    before = [line for line in ticket.get("timeline") or () if line["action"] == "claimed"]
    return not before and rng.random() < habits.false_claims


def story(code: str) -> dict[str, Any]:
    """Cause, remedy and part, as a repairer writes them."""
    family = FAULTS[code].family if code in FAULTS else ""
    cause, remedy, part = _STORIES.get(family, _OTHER)
    return {"cause": cause, "remedy": remedy, "part": part}


def place(ticket: dict[str, Any]) -> str:
    """The ticket's subject in short."""
    subject = ticket["subject"]
    where = subject["charger"] or subject["gateway"] or subject["site"]
    return f"{where} port {subject['connector']}" if subject["connector"] else str(where)


class People:
    """Everybody, in one thread. `tell` gets one line for each interesting thing."""

    def __init__(
        self,
        http: httpx.Client,
        keys: Keys,
        scene: Scene,
        *,
        seed: int = 1,
        speed: float = 1.0,
        habits: Habits | None = None,
        company: str | None = None,
        tell: Callable[[str], None] = print,
    ):
        self._http = http
        self._keys = keys
        self._scene = scene
        self._speed = speed
        self._habits = habits or Habits()
        self._company = company
        self._tell = tell
        self._rng = random.Random(f"{seed}/people")
        self._stop = threading.Event()
        self._planned: dict[int, int] = {}
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0
        self._repairer: str | None = None
        self._met: deque[Encounter] = deque(maxlen=200)
        self._told_fault: set[str] = set()
        self._receipts: dict[str, Encounter] = {}

    def met(self, encounter: Encounter) -> None:
        """A resident could not charge; may be called from any thread."""
        self._met.append(encounter)

    def stop(self) -> None:
        """End `run` soon."""
        self._stop.set()

    def run(self) -> None:
        """Until `stop`; outlives the API's absence."""
        away = False
        while not self._stop.is_set():
            try:
                self.turn()
                away = False
            except (httpx.HTTPError, ValueError, KeyError) as error:
                if not away:
                    _LOG.warning("API is away", problem=str(error)[:200])
                away = True
            self._stop.wait(self._habits.poll_s / min(self._speed, 10))

    def turn(self) -> None:
        """Look once at everything, and do what is due. Raises `httpx.HTTPError`."""
        for ticket in self._waiting_tickets():
            step = next_step(ticket)
            if step is not None and self._planned.get(ticket["id"]) != ticket["version"]:
                self._planned[ticket["id"]] = ticket["version"]
                self._later(
                    wait_before(step, self._habits, self._rng),
                    lambda t=ticket, s=step: self._do(t, s),  # type: ignore[misc]
                )
        while self._met:
            encounter = self._met.popleft()
            if encounter.fault not in self._told_fault:
                self._told_fault.add(encounter.fault)
                self._later(
                    self._rng.uniform(*self._habits.resident_s),
                    lambda e=encounter: self._report(e),  # type: ignore[misc]
                )
        self._look_at_receipts()
        now = time.monotonic()
        while self._due and self._due[0][0] <= now:
            heapq.heappop(self._due)[2]()

    def _waiting_tickets(self) -> Iterator[dict[str, Any]]:
        """Those with which somebody has to do something next."""
        for state in ("open", "reopened", "assigned", "accepted", "repairing", "repaired"):
            yield from self._ask("operator", "GET", f"/tickets?state={state}&limit=200")["items"]

    def _later(self, seconds: float, act: Callable[[], None]) -> None:
        self._count += 1
        heapq.heappush(self._due, (time.monotonic() + seconds / self._speed, self._count, act))

    def _ask(self, who: str | None, method: str, path: str, body: Any = None) -> Any:
        headers = {} if who is None else {"Authorization": f"Bearer {getattr(self._keys, who)}"}
        answer = self._http.request(method, f"/api/v1{path}", json=body, headers=headers)
        answer.raise_for_status()
        return answer.json()

    def _told(self, ticket: dict[str, Any], what: str) -> None:
        self._tell(f"people #{ticket['id']:<7} {place(ticket):<24} {what}")

    # --- staff

    def _do(self, planned: dict[str, Any], step: Step) -> None:
        """Do the step, if the ticket still stands as it was; where that fails, plan anew."""
        id = planned["id"]
        try:
            ticket = self._ask("operator", "GET", f"/tickets/{id}")
            if next_step(ticket) == step:
                getattr(self, f"_{step.what}")(ticket)
        except httpx.HTTPStatusError as error:
            _LOG.info("refused", ticket=id, step=step.what, answer=error.response.text[:200])
            self._later(5.0, lambda: self._forget_plan(id))
        except httpx.HTTPError:
            self._forget_plan(id)
            raise

    def _forget_plan(self, id: int) -> None:
        self._planned.pop(id, None)

    def _assign(self, ticket: dict[str, Any]) -> None:
        """To the repairer by name: one crew works here for every company."""
        company = self._company or ticket["company"] or self._company_of(ticket)
        if self._repairer is None:
            self._repairer = self._ask("repairer", "GET", "/me")["login"]
        body = {"company": company, "assignee": self._repairer}
        self._post(ticket, "operator", "assign", body)
        self._told(ticket, f"operator gives it to {company or self._repairer}")

    def _company_of(self, ticket: dict[str, Any]) -> str | None:
        site = self._ask(None, "GET", f"/sites/{ticket['subject']['site']}")
        found: str | None = site["company"]
        return found

    def _accept(self, ticket: dict[str, Any]) -> None:
        self._post(ticket, "repairer", "accept", None)

    def _start(self, ticket: dict[str, Any]) -> None:
        self._post(ticket, "repairer", "start", None)
        self._told(ticket, "repairer is on the spot")

    def _claim(self, ticket: dict[str, Any]) -> None:
        false = is_false(ticket, self._habits, self._rng)
        if not false:
            self._mend(ticket["subject"])
        self._post(ticket, "repairer", "claim", story(ticket["code"]))
        said = "repairer claims, but has mended nothing" if false else "repairer has mended it"
        self._told(ticket, said)

    def _mend(self, subject: dict[str, Any]) -> None:
        if subject["charger"] is None:
            self._scene.repair(
                site=subject["site"] if subject["gateway"] is None else None,
                gateway=subject["gateway"],
            )
            return
        self._scene.repair(subject["charger"], subject["connector"])
        # The cause may lie at the gateway or in the mains: the crew follows the cable.
        self._scene.repair(subject["charger"], subject["connector"], "offline-charger")

    def _inspect(self, ticket: dict[str, Any]) -> None:
        """A check with a test charge; a gateway or site has no plug to check."""
        subject = ticket["subject"]
        charger, connector = subject["charger"], subject["connector"]
        if charger is None:
            return
        good = self._scene.works(charger, connector)
        if connector is not None and good:
            self._scene.test_charge(charger, connector)
        body = {
            "id": str(uuid.uuid4()),
            "charger": charger,
            "connector": connector,
            "passed": good,
            "test_charge": good,
            "note": "试充正常" if good else "仍不能充电",
        }
        done = self._ask("grid_worker", "POST", "/inspections", body)
        if ticket["id"] in done["verified_tickets"]:
            self._told(ticket, "grid worker's test charge passed")
        elif not good:
            self._told(ticket, "grid worker finds it still broken")

    def _post(self, ticket: dict[str, Any], who: str, word: str, body: Any) -> None:
        self._ask(who, "POST", f"/tickets/{ticket['id']}/{word}", body)

    # --- residents

    def _report(self, encounter: Encounter) -> None:
        body = {
            "charger": encounter.charger,
            "connector": encounter.connector,
            "code": encounter.code,
            "note": "插上没反应，充不进电",
        }
        try:
            filed = self._ask(None, "POST", "/reports", body)
        except httpx.HTTPStatusError as error:
            _LOG.info("report refused", answer=error.response.text[:200])
            return
        except httpx.HTTPError:
            self._told_fault.discard(encounter.fault)
            self._met.append(encounter)
            raise
        self._receipts[filed["receipt"]] = encounter
        where = f"{encounter.charger} port {encounter.connector}"
        self._tell(f"resident       {where:<24} reports {encounter.code}: #{filed['ticket_id']}")

    def _look_at_receipts(self) -> None:
        """Each reporter is asked at the end whether it charges now, and says what is true."""
        for receipt, encounter in list(self._receipts.items()):
            told = self._ask(None, "GET", f"/receipts/{receipt}")
            if told["state"] in _DONE:
                charges = self._scene.works(encounter.charger, encounter.connector)
                self._ask(None, "POST", f"/receipts/{receipt}/answer", {"charges_now": charges})
                del self._receipts[receipt]
                word = "yes" if charges else "no"
                where = f"{encounter.charger} port {encounter.connector}"
                self._tell(f"resident       {where:<24} does it charge now? {word}")
            elif told["state"] in ("rejected", "merged"):
                del self._receipts[receipt]
