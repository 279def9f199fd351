"""The story of a bench meeting as one test, and where it goes wrong: what everybody sees, always.

Company c runs the site, power and wuye are the supplier and the property management; g is the grid
of the story and far another one. All of it runs on one clock, which the story moves on.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from alerts.engine import Engine
from pilewatch.policy import Policy
from pilewatch.store.pool import Db
from pilewatch.workflow.patrols import sweep_patrols
from tests.api.conftest import World

MONDAY = datetime(2026, 5, 11, 1, tzinfo=UTC)  # 09:00 in Shanghai
READERS = {"grid_worker", "repairer", "operator", "admin", "auditor"}
CAST = READERS | {"device", "power", "wuye", "far"}
OF_C = READERS
"""Who sees what company c answers for in grid g: device, the others' people and far do not."""
NOT_COMPANIES = {"grid_worker", "operator", "admin", "auditor"}
CLAIM = {"cause": "contact worn", "remedy": "socket replaced", "cause_code": "worn"}


class Story(World):
    """A world whose clock stands until the story moves it on."""

    def __init__(self, db: Db, url: str):
        self.now = MONDAY
        super().__init__(db, url, clock=lambda: self.now)
        self.engine = Engine(db, Policy())
        area = db.execute("SELECT id FROM area").fetchone()
        assert area is not None
        db.execute("INSERT INTO grid (area_id, code, name) VALUES (%s, 'far', 'F')", (area["id"],))
        for code, name in (("power", "供电所"), ("wuye", "物业")):
            db.execute("INSERT INTO company (code, name) VALUES (%s, %s)", (code, name))
            self.join(code, "repairer", company=code)
        self.join("far", "grid_worker", grids=["far"])
        self.receipt = ""

    def later(self, **passed: float) -> None:
        """Time passes; the piles stay in touch, and the engine looks."""
        self.now += timedelta(**passed)
        self.community.heard(self.now)
        assert not self.engine.turn(self.now)
        sweep_patrols(self.db, self.engine.policy, self.now)

    def does(self, who: str | None, path: str, status: int = 200, /, **said: Any) -> dict[str, Any]:
        """An order by this one, and its answer."""
        answer = self.ask(who, "POST", path, json=said)
        assert answer.status_code == status, answer.text
        return dict(answer.json())

    def shown(self, who: str | None, path: str) -> Any:
        """What this one reads there."""
        answer = self.ask(who, "GET", path)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def seen_by(self, path: str, whom: set[str]) -> None:
        """Exactly these see it: the others are told that it is not there, or not theirs."""
        got = {who: self.ask(who, "GET", path).status_code for who in CAST}
        assert {who for who, status in got.items() if status == 200} == whom, (path, got)
        assert {got[who] for who in CAST - whom} <= {403, 404}
        assert self.ask(None, "GET", path).status_code == 401

    def listed_for(self, path: str, id: Any, key: str = "id") -> set[str]:
        """Those in whose list it is."""
        answers = {who: self.ask(who, "GET", path) for who in CAST}
        return {
            who
            for who, answer in answers.items()
            if answer.status_code == 200 and any(i[key] == id for i in answer.json()["items"])
        }

    def bench(self) -> str:
        """A meeting that begins now."""
        id = str(uuid4())
        self.does("grid_worker", "/meetings", 201, id=id, grid="g", place="3 号楼前",
                  starts_at=self.now.isoformat(), agenda=["充电"])  # fmt: skip
        return id

    def raised(self, meeting: str, **said: Any) -> dict[str, Any]:
        """A matter of it."""
        return self.does(
            "grid_worker", f"/meetings/{meeting}/matters", 201, id=str(uuid4()), **said
        )

    def complaint(self) -> int:
        """A resident says on the bench that port 1 of C0 does not charge; gives the ticket."""
        matter = self.raised(self.bench(), kind="charging", text="充不进电", charger="C0",
                             connector=1, code="no-output")  # fmt: skip
        self.receipt = matter["receipt"].replace(" ", "")
        return int(matter["ticket_id"])

    def timeline(self, ticket: int, who: str = "operator") -> list[dict[str, Any]]:
        """The ticket's lines as this one sees them."""
        return list(self.shown(who, f"/tickets/{ticket}")["timeline"])

    def told(self) -> dict[str, Any]:
        """What the receipt tells the resident."""
        return dict(self.shown(None, f"/receipts/{self.receipt}"))

    def charges(self, port: int, wh: float = 800) -> None:
        """A session of half an hour ends now."""
        at = self.community.connectors[port]
        self.community.session(at, self.now - timedelta(minutes=30), self.now, wh)

    def inspects(self, charger: str, **other: Any) -> dict[str, Any]:
        """The grid worker's phone hands in a sound inspection, done a minute ago."""
        [checklist] = self.shown("grid_worker", "/worker/tasks")["checklists"]
        wrong = other.pop("wrong", {})
        answers = [{"item": i["code"], "ok": True} for i in checklist["items"] if "unit" not in i]
        answers = [{**a, **wrong.get(a["item"], {})} for a in answers]
        visit = {"id": str(uuid4()), "charger": charger, "checklist": checklist["id"],
                 "inspected_at": (self.now - timedelta(minutes=1)).isoformat(),
                 "answers": answers, **other}  # fmt: skip
        [result] = self.does("grid_worker", "/worker/sync", inspections=[visit])["results"]
        assert result["outcome"] == "accepted", result
        return dict(result)

    def figures(self, who: str = "operator") -> dict[str, Any]:
        """The month's figures of this one's lines."""
        return dict(self.shown(who, "/ledger/figures/2026-05"))


@pytest.fixture
def story(plain_db: Db, plain_database_url: str) -> Iterator[Story]:
    """On Monday morning, nothing has happened yet."""
    made = Story(plain_db, plain_database_url)
    with made.client:
        yield made


def test_from_the_bench_over_survey_ledger_split_repair_test_and_patrol_to_the_feedback_sheet(
    story: Story,
) -> None:
    # Meeting: three matters, one of them not about charging.
    bench = story.bench()
    dead = story.raised(bench, kind="charging", text="充不进电", charger="C0", connector=1,
                        code="no-output")  # fmt: skip
    dark = story.raised(bench, kind="charging", text="屏幕不亮", charger="C1",
                        code="display-failure")  # fmt: skip
    lamp = story.raised(bench, kind="facilities", text="路灯不亮", company="wuye")
    closed = story.does("grid_worker", f"/meetings/{bench}/close", attendees=23, minutes="三件事。")
    assert (closed["matters"], closed["unsettled"]) == (3, 3)
    story.seen_by(f"/meetings/{bench}", NOT_COMPANIES)
    story.seen_by(f"/matters/{lamp['id']}", NOT_COMPANIES | {"wuye"})
    story.seen_by(f"/matters/{dead['id']}", OF_C)
    story.seen_by(f"/tickets/{dead['ticket_id']}", OF_C)
    story.receipt = dead["receipt"].replace(" ", "")
    assert story.told()["state"] == "open"

    # Survey: a round over the grid at once; it finds what nobody had said.
    story.later(hours=1)
    plan = story.does("operator", "/patrol-plans", 201, name="全面排查", kind="survey",
                      scope="grid", code="g", worker="grid_worker",
                      first_due_at=(story.now + timedelta(days=3)).isoformat())  # fmt: skip
    story.later(hours=1)
    [round] = story.shown("grid_worker", "/rounds")["items"]
    assert (round["plan"], round["stops"], round["state"]) == (plan["id"], 3, "open")
    story.seen_by(f"/rounds/{round['id']}", OF_C)
    assert story.shown("far", "/worker/tasks")["rounds"] == []
    same = story.inspects("C0", wrong={"socket": {"ok": False, "ports": [1]}})
    assert (same["passed"], same["tickets"]) == (False, [dead["ticket_id"]]), "one matter"
    assert story.inspects("C1")["tickets"] == []
    [earth] = story.inspects("C2", wrong={"earth": {"ok": False}})["tickets"]
    assert story.shown("auditor", f"/rounds/{round['id']}")["state"] == "done"
    assert story.shown("repairer", f"/tickets/{earth}")["code"] == "no-earth"
    others = (dark["ticket_id"], earth)
    for other in others:
        story.does("repairer", f"/tickets/{other}/accept")

    # Ledger: all that was raised and found, in one list, each within one's own.
    lines = story.shown("admin", "/ledger")["items"]
    assert {(line["source"], line["kind"]) for line in lines} == {
        ("meeting", "no-output"), ("meeting", "display-failure"), ("meeting", "facilities"),
        ("inspection", "no-earth"),
    }  # fmt: skip
    assert story.listed_for("/ledger", dead["ticket_id"], "ticket") == OF_C
    assert story.listed_for("/ledger", lamp["id"], "matter") == {*NOT_COMPANIES, "wuye"}
    sheet = story.ask("admin", "GET", "/ledger/export.csv").content.decode("utf-8-sig")
    assert sheet.count("\n") == 5 and "路灯不亮" in sheet
    assert story.ask("device", "GET", "/ledger/export.csv").status_code == 403

    # Responsibility: who does what until when; each side sees its own part only.
    ticket = dead["ticket_id"]
    parts = [
        {"duty": duty, "task": task, **whose,
         "deadline_at": (story.now + timedelta(hours=hours)).isoformat()}
        for duty, task, hours, whose in (
            ("power", "恢复供电", 12, {"company": "power"}),
            ("property", "打开配电间", 4, {"company": "wuye"}),
            ("operator", "换插座", 30, {"company": "c"}),
        )
    ]  # fmt: skip
    orders = story.does("operator", f"/tickets/{ticket}/split", 201, orders=parts)["items"]
    mine = {order["duty"]: order["id"] for order in orders}
    story.seen_by(f"/work-orders/{mine['power']}", OF_C | {"power"})
    story.seen_by(f"/work-orders/{mine['property']}", OF_C | {"wuye"})
    story.seen_by(f"/tickets/{ticket}", OF_C)
    assert story.shown("power", "/work-orders")["items"][0]["deadline_at"]
    story.does("power", f"/work-orders/{mine['property']}/accept", 404)
    story.does("repairer", f"/work-orders/{mine['power']}/finish", 403)

    # Repair: it cannot be claimed before all have done their part.
    story.does("repairer", f"/tickets/{ticket}/accept")
    story.does("wuye", f"/work-orders/{mine['property']}/finish", note="门开着")
    story.later(hours=1)
    story.does("power", f"/work-orders/{mine['power']}/accept")
    story.does("repairer", f"/tickets/{ticket}/start")
    waits = story.does("repairer", f"/tickets/{ticket}/claim", 409, **CLAIM)
    assert "waits for 2 work orders" in waits["detail"]
    story.does("power", f"/work-orders/{mine['power']}/finish", note="已送电")
    story.does("repairer", f"/work-orders/{mine['operator']}/finish")
    story.does("auditor", f"/tickets/{ticket}/claim", 403, **CLAIM)
    claimed = story.does("repairer", f"/tickets/{ticket}/claim", **CLAIM)
    assert (claimed["state"], claimed["open_orders"]) == ("repaired", 0)
    assert story.told()["state"] == "repaired"

    # Test: what counts is what the pile delivers, after the claim.
    story.later(hours=1)
    assert story.shown("operator", f"/tickets/{ticket}")["state"] == "repaired"
    story.charges(0)
    story.later(minutes=1)
    tested = story.shown("auditor", f"/tickets/{ticket}")
    assert (tested["state"], tested["evidence"]["kind"]) == ("closed", "session")
    assert story.told()["asking"]["kind"] == "now"
    story.does(None, f"/receipts/{story.receipt}/answer", charges_now=True)

    # Patrol: the worker sees what waits to be confirmed, and confirms it on the spot.
    for other in others:
        story.does("repairer", f"/tickets/{other}/start")
        story.does("repairer", f"/tickets/{other}/claim", **CLAIM)
    story.later(days=1)
    story.does("operator", "/patrol-plans", 201, name="巡查", scope="grid", code="g",
               interval_days=1, first_due_at=story.now.isoformat())  # fmt: skip
    story.later(minutes=5)
    tasks = story.shown("grid_worker", "/worker/tasks")
    assert {t["id"] for t in tasks["tickets"]} == set(others)
    assert story.shown("far", "/worker/tasks")["tickets"] == []
    proved = [
        ticket
        for charger, ports in (("C0", []), ("C1", [1]), ("C2", []))
        for ticket in story.inspects(charger, test_charges=ports)["verified_tickets"]
    ]
    assert set(proved) == set(others)
    story.later(minutes=1)
    for done in proved:
        assert story.shown("repairer", f"/tickets/{done}")["state"] == "closed"

    # Feedback: the lamp's answer too; the sheet is for those who sat on the bench.
    story.does("wuye", f"/matters/{lamp['id']}/answer", text="已换新灯")
    story.later(days=13)
    following = story.bench()
    story.seen_by(f"/meetings/{following}/feedback.pdf?language=en", NOT_COMPANIES)
    paper = story.ask("grid_worker", "GET", f"/meetings/{following}/feedback.pdf")
    assert paper.headers["content-type"] == "application/pdf" and paper.content[:5] == b"%PDF-"
    matters = story.shown("grid_worker", f"/matters?meeting={bench}")["items"]
    assert {m["text"]: (m["state"], m["answer"]) for m in matters} == {
        "充不进电": ("done", None), "屏幕不亮": ("done", None),
        "路灯不亮": ("answered", "已换新灯"),
    }  # fmt: skip
    story.does("grid_worker", f"/matters/{lamp['id']}/settle")
    assert story.shown("admin", f"/meetings/{bench}")["unsettled"] == 0
    found = story.figures("auditor")
    assert (found["raised"], found["settled"], found["after"]) == (4, 4, 0)
    assert (found["satisfied"], found["inside_grid"], found["late"]) == (1, 4, 0)


def test_where_nobody_accepts_the_grid_worker_and_then_the_community_hear_of_it(
    story: Story,
) -> None:
    ticket = story.complaint()
    heard: list[tuple[str, int]] = []
    for hours in (1.5, 0.5, 1, 1):  # accept within two hours
        story.later(hours=hours)
        told = [e["data"] for e in story.timeline(ticket) if e["action"] == "escalated"]
        heard = [(t["to"], t["level"]) for t in told if t["promise"] == "accept"]
        assert len(heard) == story.shown("auditor", f"/tickets/{ticket}")["escalation_level"]
    assert heard == [("repairer", 1), ("operator", 2), ("grid_worker", 3), ("community", 4)]
    assert {e["action"] for e in story.told()["steps"]} == {"opened"}, "residents see no ladder"
    assert story.shown("grid_worker", f"/tickets/{ticket}")["state"] == "open"
    story.seen_by(f"/tickets/{ticket}", OF_C)
    story.does("grid_worker", f"/tickets/{ticket}/accept", 403)
    # The community shares it out instead; whoever has the order may do it.
    part = {"duty": "community", "owner": "grid_worker", "task": "找运营商",
            "deadline_at": (story.now + timedelta(hours=4)).isoformat()}  # fmt: skip
    [order] = story.does("admin", f"/tickets/{ticket}/split", 201, orders=[part])["items"]
    story.does("grid_worker", f"/work-orders/{order['id']}/finish", note="电话通知了")
    story.does("operator", f"/tickets/{ticket}/accept")
    story.does("operator", f"/tickets/{ticket}/claim", **CLAIM)
    story.charges(0)
    story.now += timedelta(minutes=40)
    story.charges(0)
    story.later(minutes=1)
    found = story.figures("admin")
    assert (found["settled"], found["escalated"], found["inside_grid"]) == (1, 1, 0)


def test_a_repair_that_was_claimed_and_is_none_goes_back_with_the_reason(story: Story) -> None:
    ticket = story.complaint()
    story.does("repairer", f"/tickets/{ticket}/accept")
    story.does("repairer", f"/tickets/{ticket}/claim", **CLAIM)
    story.later(hours=1)
    story.charges(0, wh=3)  # plugged in, and nothing flowed
    story.charges(1)  # the neighbour port proves nothing
    story.later(hours=70)
    assert story.shown("operator", f"/tickets/{ticket}")["state"] == "repaired"
    story.later(hours=2)
    back = story.shown("repairer", f"/tickets/{ticket}")
    assert (back["state"], back["evidence"], back["claimed_at"]) == ("repairing", None, None)
    last = [e for e in back["timeline"] if e["action"] == "claim-returned"][-1]
    assert "has shown the repair in time" in last["note"] and last["actor"] == "engine"
    assert story.told()["state"] == "repairing"
    assert story.shown("admin", "/ledger?overdue=true")["items"][0]["ticket"] == ticket
    # Once more, and this time somebody looks before the time is over.
    story.does("repairer", f"/tickets/{ticket}/claim", **CLAIM)
    found = story.does("grid_worker", "/inspections", 201, id=str(uuid4()), charger="C0",
                       connector=1, passed=False, note="还是没电")  # fmt: skip
    assert found["verified_tickets"] == []
    assert story.shown("repairer", f"/tickets/{ticket}")["state"] == "repairing"
    assert story.figures()["settled"] == 0


def test_the_residents_no_opens_it_again_with_new_promises(story: Story) -> None:
    ticket = story.complaint()
    story.does("repairer", f"/tickets/{ticket}/accept")
    story.does("repairer", f"/tickets/{ticket}/claim", **CLAIM)
    story.now += timedelta(hours=1)
    story.charges(0)
    story.later(minutes=1)
    assert story.told()["state"] == "closed"
    first = story.shown("auditor", f"/tickets/{ticket}")["deadline_at"]
    story.later(days=1)
    story.does(None, f"/receipts/{story.receipt}/answer", charges_now=False)
    again = story.shown("operator", f"/tickets/{ticket}")
    assert (again["state"], again["reopened"], again["evidence"]) == ("reopened", 1, None)
    assert again["deadline_at"] > first and again["accepted_at"] is None
    assert again["timeline"][-1]["actor"] == "resident"
    assert story.listed_for("/tickets?state=reopened", ticket) == OF_C
    story.later(hours=2)
    told = [e["data"] for e in story.timeline(ticket) if e["action"] == "escalated"]
    assert [(t["to"], t["round"]) for t in told] == [("repairer", 1), ("operator", 1)]
    # What was proved before proves nothing now.
    story.does("repairer", f"/tickets/{ticket}/accept")
    story.does("repairer", f"/tickets/{ticket}/claim", **CLAIM)
    story.later(minutes=5)
    assert story.told()["state"] == "repaired"
    story.now += timedelta(hours=1)
    story.charges(0)
    story.later(minutes=1)
    story.does(None, f"/receipts/{story.receipt}/answer", charges_now=True)
    found = story.figures()
    assert (found["settled"], found["reopened"], found["satisfied"]) == (1, 1, 1)


def test_a_part_that_is_missing_stops_the_clock_and_the_figures_say_how_long(story: Story) -> None:
    ticket = story.complaint()
    before = story.does("repairer", f"/tickets/{ticket}/accept")["deadline_at"]
    story.later(hours=2)
    story.does("grid_worker", f"/tickets/{ticket}/pause", 403, reason="part")
    paused = story.does("repairer", f"/tickets/{ticket}/pause", reason="part", note="插座缺货")
    assert paused["paused_at"] is not None and paused["pause_reason"] == "part"
    story.later(days=5)
    assert [e["action"] for e in story.timeline(ticket)].count("escalated") == 0
    assert story.shown("admin", "/ledger?overdue=true")["items"] == []
    resumed = story.does("repairer", f"/tickets/{ticket}/resume")
    moved = datetime.fromisoformat(resumed["deadline_at"]) - datetime.fromisoformat(before)
    assert (moved, resumed["paused_s"]) == (timedelta(days=5), 5 * 86400)
    assert "repair" in resumed["timeline"][-1]["data"]["moved"]
    story.does("repairer", f"/tickets/{ticket}/claim", **CLAIM, part="socket 16 A")
    story.now += timedelta(hours=1)
    story.charges(0)
    story.later(minutes=1)
    for who in ("operator", "repairer", "grid_worker", "admin", "auditor"):
        found = story.figures(who)
        assert (found["settled"], found["late"], found["paused_s"]) == (1, 0, 5 * 86400), who
    assert story.figures("far")["settled"] == 0
    assert {e["action"] for e in story.told()["steps"]} >= {"paused", "resumed", "closed"}
    words = "".join(str(e["text"]) for e in story.told()["steps"])
    assert "插座缺货" not in words, "notes are for the inside"
