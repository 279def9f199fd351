"""Bench meetings: the way of a matter from the bench to the feedback sheet, and its sad paths."""

import threading
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest
from httpx import Response
from hypothesis import given
from hypothesis import strategies as st

from api.pages.words import Speech
from api.papers import meeting as papers
from pilewatch import paper
from pilewatch.store import queries
from pilewatch.workflow.matters import (
    Answer,
    HandOn,
    Matter,
    Owner,
    Refused,
    Settle,
    step,
)
from tests.api.conftest import World

SQL = queries.load("meetings")
WEEKS = timedelta(weeks=2)


def _now() -> datetime:
    return datetime.now(UTC)


def _meeting(world: World, *, ago: timedelta = WEEKS, **more: Any) -> str:
    id = str(uuid4())
    said = {"id": id, "grid": "g", "place": "3 号楼前", "starts_at": (_now() - ago).isoformat()}
    made = world.ask("grid_worker", "POST", "/meetings", json={**said, **more})
    assert made.status_code == 201, made.text
    return id


def _raise(world: World, meeting: str, **said: Any) -> dict[str, Any]:
    body = {"id": str(uuid4()), "kind": "charging", "text": "充不进电", **said}
    made = world.ask("grid_worker", "POST", f"/meetings/{meeting}/matters", json=body)
    assert made.status_code == 201, made.text
    return dict(made.json())


def _charging(world: World, meeting: str, charger: str = "C0", port: int = 1) -> dict[str, Any]:
    return _raise(world, meeting, charger=charger, connector=port, code="no-output")


def _feedback(world: World, meeting: str, language: str = "en") -> dict[str, Any]:
    """What the feedback sheet of this meeting says; its PDF is made, too."""
    made = world.ask("grid_worker", "GET", f"/meetings/{meeting}/feedback.pdf")
    assert made.headers["content-type"] == "application/pdf"
    assert made.content.startswith(b"%PDF-")
    narrowed = dict.fromkeys(("company_id", "person_id", "grids"))
    names = ("id", "meeting", "grid", "state", "kind", "overdue", "met_before", "at", "at_id")
    nothing = {**dict.fromkeys(names), **narrowed, "now": _now(), "limit": 100}
    found = world.db.execute(SQL["meetings"], {**nothing, "id": meeting}).fetchone()
    assert found is not None
    earlier = {**nothing, "grid": "g", "met_before": found["starts_at"]}
    rows = world.db.execute(SQL["matters"], earlier).fetchall()
    last = world.db.execute(SQL["meeting_before"], found).fetchone()
    assert last is not None
    t = Speech(language, ZoneInfo("Asia/Shanghai"), _now())
    return papers.feedback_data(t, found, rows, last["starts_at"], _now())


def _repair(world: World, ticket: int, charger: str = "C0", port: int = 1) -> None:
    """Taken on, repaired, and proved by a grid worker's test charge."""
    path = f"/tickets/{ticket}"
    for word in ("accept", "start"):
        assert world.ask("operator", "POST", f"{path}/{word}").status_code == 200
    said = {"cause": "worn", "remedy": "replaced"}
    assert world.ask("operator", "POST", f"{path}/claim", json=said).status_code == 200
    check = {"id": str(uuid4()), "charger": charger, "connector": port, "passed": True}
    proved = world.ask("grid_worker", "POST", "/inspections", json={**check, "test_charge": True})
    assert proved.json()["verified_tickets"] == [ticket]


def test_three_matters_go_from_the_bench_to_the_feedback_sheet(world: World) -> None:
    bench = _meeting(world, agenda=["充电"])
    first = _charging(world, bench)
    second = _raise(world, bench, charger="C1", code="display-failure", text="屏幕不亮")
    lamp = _raise(world, bench, kind="facilities", text="路灯不亮", company="c")
    assert (first["state"], first["ticket_state"], first["company"]) == ("handed-on", "open", "c")
    assert (lamp["state"], lamp["actions"]) == ("raised", ["hand-on", "answer"])
    closed = world.ask("grid_worker", "POST", f"/meetings/{bench}/close", json={"attendees": 23})
    assert closed.json()["closed_at"] is not None
    assert (closed.json()["matters"], closed.json()["unsettled"]) == (3, 3)

    # The receipt that was read out on the bench tells the story to whoever raised it.
    token = first["receipt"].replace(" ", "")
    assert world.ask(None, "GET", f"/receipts/{token}").json()["state"] == "open"
    _repair(world, first["ticket_id"])
    story = world.ask(None, "GET", f"/receipts/{token}").json()
    assert (story["state"], story["asking"]["kind"]) == ("closed", "now")
    said = {"charges_now": True}
    assert world.ask(None, "POST", f"/receipts/{token}/answer", json=said).status_code == 200
    answered = world.ask("repairer", "POST", f"/matters/{lamp['id']}/answer",
                         json={"text": "已换新灯"})  # fmt: skip
    assert (answered.json()["state"], answered.json()["answer"]) == ("answered", "已换新灯")

    following = _meeting(world, ago=timedelta())
    sheet = _feedback(world, following)
    assert [(m["mark"], m["text"]) for m in sheet["matters"]] == [
        ("done", "充不进电"), ("open", "屏幕不亮"), ("answered", "路灯不亮"),
    ]  # fmt: skip
    assert sheet["matters"][0]["became"][1] == "A test charge on the spot succeeded"
    assert "saying that it charges: 1" in sheet["matters"][0]["became"][-1]
    assert "已换新灯" in sheet["matters"][2]["became"]
    settled = world.ask("grid_worker", "POST", f"/matters/{lamp['id']}/settle")
    assert (settled.json()["state"], settled.json()["actions"]) == ("done", ["hand-on"])
    assert world.ask("operator", "GET", f"/meetings/{bench}").json()["unsettled"] == 1
    assert second["ticket_id"] != first["ticket_id"]


def test_what_was_done_before_the_last_meeting_is_counted_only(world: World) -> None:
    oldest = _meeting(world, ago=3 * WEEKS)
    lamp = _raise(world, oldest, kind="facilities", text="路灯")
    world.ask("grid_worker", "POST", f"/matters/{lamp['id']}/answer", json={"text": "好了"})
    world.ask("grid_worker", "POST", f"/matters/{lamp['id']}/settle")
    _raise(world, oldest, kind="parking", text="占车位")
    later = _meeting(world, ago=timedelta(days=1))
    assert [m["text"] for m in _feedback(world, later)["matters"]] == ["路灯", "占车位"]
    world.db.execute(
        "UPDATE matter SET done_at = done_at - interval '30 days' WHERE state = 'done'"
    )
    last = _meeting(world, ago=timedelta())
    sheet = _feedback(world, last)
    assert [m["text"] for m in sheet["matters"]] == ["占车位"]
    assert "1 settled before" in sheet["earlier"]


def test_the_resident_who_disputes_opens_the_matter_again(world: World) -> None:
    bench = _meeting(world)
    matter = _charging(world, bench)
    _repair(world, matter["ticket_id"])
    path = f"/matters/{matter['id']}"
    assert world.ask("grid_worker", "GET", path).json()["state"] == "done"
    token = matter["receipt"].replace(" ", "")
    world.ask(None, "POST", f"/receipts/{token}/answer", json={"charges_now": False})
    again = world.ask("grid_worker", "GET", path).json()
    assert (again["state"], again["ticket_state"]) == ("handed-on", "reopened")
    sheet = _feedback(world, _meeting(world, ago=timedelta()))
    assert sheet["matters"][0]["mark"] == "open"
    assert "saying that it does not: 1" in " ".join(sheet["matters"][0]["became"])


def test_a_matter_follows_its_report_when_tickets_are_merged(world: World) -> None:
    matter = _charging(world, _meeting(world))
    other = world.ticket("plug-broken", 4)
    merged = world.ask("operator", "POST", f"/tickets/{matter['ticket_id']}/merge",
                       json={"into": other})  # fmt: skip
    assert merged.status_code == 200
    assert world.ask("admin", "GET", f"/matters/{matter['id']}").json()["ticket_id"] == other


def test_a_phone_that_sends_everything_again_changes_nothing(world: World) -> None:
    id, key = str(uuid4()), str(uuid4())
    said = {"id": id, "grid": "g", "place": "树下", "starts_at": _now().isoformat()}
    matter = {"id": key, "kind": "charging", "text": "坏了", "charger": "C0", "code": "no-output"}
    first = world.ask("grid_worker", "POST", "/meetings", json=said)
    receipt = world.ask("grid_worker", "POST", f"/meetings/{id}/matters", json=matter)
    changed = world.ask("grid_worker", "PATCH", f"/meetings/{id}", json={"attendees": 9})
    assert (first.status_code, changed.json()["version"]) == (201, 2)
    again = world.ask("grid_worker", "POST", "/meetings", json=said)
    assert (again.status_code, again.json()["attendees"]) == (201, 9)
    same = world.ask("grid_worker", "POST", f"/meetings/{id}/matters", json=matter)
    assert same.json() == receipt.json()
    other = world.ask("grid_worker", "POST", "/meetings", json={**said, "place": "车棚"})
    assert (other.status_code, "which stays" in other.json()["detail"]) == (409, True)
    other = world.ask("grid_worker", "POST", f"/meetings/{id}/matters",
                      json={**matter, "text": "好了"})  # fmt: skip
    assert other.status_code == 409
    counts = world.db.execute(
        "SELECT (SELECT count(*) FROM meeting) AS meetings, (SELECT count(*) FROM matter) AS "
        "matters, (SELECT count(*) FROM report) AS reports, (SELECT count(*) FROM ticket) AS "
        "tickets, (SELECT count(*) FROM audit) AS audited"
    ).fetchone()
    assert counts == {"meetings": 1, "matters": 1, "reports": 1, "tickets": 1, "audited": 3}


def test_twins_that_arrive_together_make_one_matter(world: World) -> None:
    bench = _meeting(world)
    body = {"id": str(uuid4()), "kind": "charging", "text": "坏了", "charger": "C0",
            "connector": 1, "code": "no-output"}  # fmt: skip
    phone = {"id": str(uuid4()), "charger": "C1", "code": "display-failure"}
    answers: list[Response] = []
    start = threading.Barrier(8)

    def send(path: str, said: dict[str, Any]) -> None:
        start.wait()
        answers.append(world.ask("grid_worker", "POST", path, json=said))

    orders = [(f"/meetings/{bench}/matters", body), ("/reports/phone", phone)] * 4
    threads = [threading.Thread(target=send, args=order) for order in orders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [answer.status_code for answer in answers] == [201] * 8
    assert len({answer.json()["receipt"] for answer in answers}) == 2
    rows = world.db.execute("SELECT source FROM report ORDER BY source").fetchall()
    assert [row["source"] for row in rows] == ["meeting", "phone"]


def test_a_change_needs_the_version_that_was_seen(world: World) -> None:
    bench = _meeting(world)
    seen = world.ask("grid_worker", "GET", f"/meetings/{bench}").headers["etag"]
    fresh = world.ask("grid_worker", "PATCH", f"/meetings/{bench}", json={"minutes": "a"},
                      headers={"If-Match": seen})  # fmt: skip
    assert (fresh.status_code, fresh.headers["etag"]) == (200, '"2"')
    stale = world.ask("grid_worker", "PATCH", f"/meetings/{bench}", json={"minutes": "b"},
                      headers={"If-Match": seen})  # fmt: skip
    assert (stale.status_code, stale.json()["version"]) == (412, 2)
    lamp = _raise(world, bench, kind="other", text="x")
    answer = {"json": {"text": "a"}, "headers": {"If-Match": '"7"'}}
    path = f"/matters/{lamp['id']}/answer"
    assert world.ask("grid_worker", "POST", path, **answer).status_code == 412


def test_a_closed_meeting_stays_and_still_takes_what_a_phone_brings_late(world: World) -> None:
    bench = _meeting(world)
    path = f"/meetings/{bench}"
    nobody = world.ask("grid_worker", "POST", f"{path}/close", json={})
    assert (nobody.status_code, nobody.json()["detail"]) == (
        422, "attendees: how many came is needed",
    )  # fmt: skip
    assert world.ask("grid_worker", "POST", f"{path}/close",
                     json={"attendees": 0}).status_code == 200  # fmt: skip
    assert world.ask("grid_worker", "PATCH", path, json={"minutes": "x"}).status_code == 409
    assert world.ask("grid_worker", "POST", f"{path}/close", json={}).status_code == 409
    assert _raise(world, bench, kind="other", text="late")["state"] == "raised"
    tomorrow = _meeting(world, ago=timedelta(days=-1))
    early = world.ask("grid_worker", "POST", f"/meetings/{tomorrow}/close", json={"attendees": 3})
    assert (early.status_code, early.json()["detail"]) == (409, "the meeting has not begun yet")


_MISFITS: list[tuple[dict[str, Any], str]] = [
    ({"kind": "charging", "charger": "C0"}, "needs a fault code"),
    ({"kind": "charging", "code": "no-output"}, "a charger or a site is needed"),
    ({"kind": "charging", "charger": "zz", "code": "no-output"}, "there is no such place"),
    ({"kind": "charging", "charger": "C0", "code": "no-output", "company": "c"}, "its ticket"),
    ({"kind": "parking", "charger": "C0"}, "only for a matter about charging"),
    ({"kind": "parking", "company": "c", "person": "admin"}, "only one owes"),
    ({"kind": "parking", "company": "nobody"}, "there is no company"),
    ({"kind": "parking", "person": "nobody"}, "there is no person"),
    ({"kind": "parking", "raised_at": "2090-01-01T00:00:00Z"}, "in the future"),
]


def test_a_matter_that_does_not_fit_is_refused_with_the_reason(world: World) -> None:
    bench = _meeting(world)
    for said, told in _MISFITS:
        body = {"id": str(uuid4()), "text": "x", **said}
        answer = world.ask("grid_worker", "POST", f"/meetings/{bench}/matters", json=body)
        assert answer.status_code == 422 and told in answer.json()["detail"], answer.text
    assert world.ask("grid_worker", "GET", "/matters").json()["items"] == []


def test_matters_are_seen_by_their_own_people_only(world: World) -> None:
    bench = _meeting(world)
    lamp = _raise(world, bench, kind="facilities", text="路灯", company="c")
    mine = _raise(world, bench, kind="parking", text="占车位")
    assert mine["person"] == "grid_worker"
    seen = world.ask("repairer", "GET", "/matters").json()["items"]
    assert [row["id"] for row in seen] == [lamp["id"]]
    assert world.ask("repairer", "GET", f"/matters/{mine['id']}").status_code == 404
    assert world.ask("repairer", "GET", "/meetings").json()["items"] == []
    assert world.ask("repairer", "GET", f"/meetings/{bench}/minutes.pdf").status_code == 404
    given = {"company": "c", "deadline_at": (_now() + WEEKS).isoformat()}
    moved = world.ask("grid_worker", "POST", f"/matters/{mine['id']}/hand-on", json=given)
    assert (moved.json()["state"], moved.json()["company"]) == ("handed-on", "c")
    assert world.ask("repairer", "GET", f"/matters/{mine['id']}").status_code == 200
    world.db.execute(
        "WITH far AS (INSERT INTO grid (area_id, code, name) SELECT id, 'far', 'F' FROM area "
        "RETURNING id) UPDATE person_grid SET grid_id = far.id FROM person p, far "
        "WHERE p.id = person_id AND p.login = 'grid_worker'"
    )
    assert world.ask("grid_worker", "GET", f"/meetings/{bench}").status_code == 404
    assert world.ask("grid_worker", "GET", "/matters").json()["items"] == []
    said = {"id": str(uuid4()), "grid": "g", "place": "x", "starts_at": _now().isoformat()}
    assert world.ask("grid_worker", "POST", "/meetings", json=said).status_code == 403


def test_a_matter_about_charging_goes_only_as_its_ticket_goes(world: World) -> None:
    bench = _meeting(world)
    path = f"/matters/{_charging(world, bench)['id']}"
    refused = world.ask("grid_worker", "POST", f"{path}/answer", json={"text": "fertig"})
    assert (refused.status_code, "goes as its ticket" in refused.json()["detail"]) == (409, True)
    lamp = _raise(world, bench, kind="facilities", text="路灯")
    early = world.ask("grid_worker", "POST", f"/matters/{lamp['id']}/settle")
    assert (early.json()["state"], early.json()["allowed"]) == ("raised", ["hand-on", "answer"])
    fixed = world.ask("grid_worker", "PATCH", f"/matters/{lamp['id']}", json={"text": "灯"})
    assert (fixed.json()["text"], fixed.json()["version"]) == ("灯", 2)


def test_lists_follow_their_cursor_and_their_filters(world: World) -> None:
    bench = _meeting(world)
    for number in range(5):
        _raise(world, bench, kind="other", text=str(number))
    late = (_now() - timedelta(hours=1)).isoformat()
    _raise(world, bench, kind="parking", text="late", deadline_at=late)
    seen, cursor = [], ""
    while True:
        page = world.ask("admin", "GET", f"/matters?limit=4&meeting={bench}{cursor}").json()
        seen += [row["text"] for row in page["items"]]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert seen == ["0", "1", "2", "3", "4", "late"]
    overdue = world.ask("admin", "GET", "/matters?overdue=1").json()["items"]
    assert [row["text"] for row in overdue] == ["late"]
    assert world.ask("admin", "GET", "/meetings?limit=1").json()["next_cursor"] is not None
    assert world.ask("admin", "GET", "/matters?cursor=zzz").status_code == 422


@pytest.mark.parametrize("language", ["zh-CN", "en"])
def test_hostile_words_are_printed_as_words(world: World, language: str) -> None:
    evil = '#panic("x") \\ $x$ <script> [*] `a` @b //'
    bench = _meeting(world, place=evil, agenda=[evil])
    _raise(world, bench, kind="other", text=evil)
    world.ask("grid_worker", "PATCH", f"/meetings/{bench}", json={"minutes": f"{evil}\n{evil}"})
    made = world.ask("grid_worker", "GET", f"/meetings/{bench}/minutes.pdf?language={language}")
    assert made.content.startswith(b"%PDF-")
    following = _meeting(world, ago=timedelta())
    assert _feedback(world, following)["matters"][0]["text"] == evil


_STEPS = st.lists(
    st.sampled_from([HandOn(Owner(1), _now()), Answer("done so"), Settle()]), max_size=8
)


@given(_STEPS)
def test_no_matter_is_done_without_an_answer(steps: list[Any]) -> None:
    matter = Matter("raised", Owner(person_id=1), _now(), "x", "other")
    for action in steps:
        try:
            after = step(matter, action, _now())
        except Refused as refused:
            assert refused.state == matter.state
            continue
        assert (after.state == "done") == (after.done_at is not None)
        assert after.state not in ("answered", "done") or after.answer
        assert after.state != "handed-on" or after.answer is None
        matter = after


def test_the_papers_fit_their_pages_whatever_is_raised() -> None:
    t = Speech("zh", ZoneInfo("Asia/Shanghai"), _now())
    meeting = {
        "area_name": "万和", "grid_name": "一", "place": "树下", "starts_at": _now(),
        "attendees": 3, "agenda": [], "minutes": None, "next_at": None, "closed_at": None,
    }  # fmt: skip
    long = {
        "kind": "other", "text": "很长的话" * 200, "site_name": None, "label": None,
        "connector": None, "company_name": None, "person": "w", "deadline_at": _now(),
        "ticket_state": None, "state": "raised",
    }  # fmt: skip
    data = papers.minutes_data(t, meeting, [long] * 3)
    assert len(paper.pages("api", "papers/minutes.typ", data)) >= 2
    assert len(paper.pages("api", "papers/minutes.typ", {**data, "matters": []})) == 1
