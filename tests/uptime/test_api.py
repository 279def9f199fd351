"""Uptime through the API: figures, exclusions with their document, hours, history, rights."""

import csv
import io
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from api.people import add_person, new_api_key
from pilewatch.store.pool import Db
from pilewatch.uptime.publishing import publish_due
from tests.api.conftest import World

SAID = {
    "scope": "charger", "code": "C0", "reason": "vandalism", "document": "police 12",
    "from_at": "2026-03-10T00:00:00Z", "to_at": "2026-03-10T06:00:00Z",
}  # fmt: skip
MARCH = {"month": "2026-03"}


@pytest.fixture
def march(plain_db: Db, plain_database_url: str) -> Iterator[World]:
    """Two chargers heard all March (local), of which C0's port 1 was broken for the 10th (UTC)."""
    world = World(plain_db, plain_database_url, chargers=2)
    begins, ends = (datetime(2026, 2, 28, 16, tzinfo=UTC), datetime(2026, 3, 31, 16, tzinfo=UTC))
    for connector in world.community.connectors:
        _change(plain_db, "state", connector, begins, "working")
    for charger in world.community.chargers:
        _change(plain_db, "contact", charger, begins, True)
    broken = world.community.connectors[0]
    _change(plain_db, "state", broken, datetime(2026, 3, 10, tzinfo=UTC), "faulted")
    _change(plain_db, "state", broken, datetime(2026, 3, 11, tzinfo=UTC), "working")
    plain_db.execute(
        "INSERT INTO interval_progress VALUES (true, %s, %s)", (ends + timedelta(days=2), ends)
    )
    with world.client:
        yield world


def _change(db: Db, what: str, id: int, at: datetime, value: Any) -> None:
    db.execute(f"INSERT INTO {what}_change VALUES (%s, %s, %s)", (id, at, value))  # type: ignore[arg-type]


def _get(world: World, path: str, role: str = "operator", **more: Any) -> Any:
    answer = world.ask(role, "GET", path, params={**MARCH, **more})
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_three_figures_stand_side_by_side(march: World) -> None:
    told = _get(march, "/uptime")
    assert (told["complete"], told["by"], told["span"]) == (True, "site", "month")
    assert told["never_heard"] == 0
    (site,) = told["items"]
    assert (site["code"], site["connectors"], site["service_s"]) == ("s", 4, 4 * 31 * 86400)
    assert site["plain"]["percent"] == site["nevi"]["percent"] == pytest.approx(100 * 123 / 124)
    assert site["out_of_order_s"] == 86400 and site["uk"]["down_s"] == 86400
    ports = _get(march, "/uptime", by="connector", charger="C0")["items"]
    assert [(p["code"], p["nevi"]["missed"]) for p in ports] == [("C0/1", 1), ("C0/2", 0)]
    year = _get(march, "/uptime", span="year", by="area")
    assert year["complete"] is False and year["items"][0]["code"] == "a"
    assert _get(march, "/uptime", rapid=True)["items"] == []
    march.db.execute("INSERT INTO connector (charger_id, number) SELECT id, 9 FROM charger")
    assert _get(march, "/uptime")["never_heard"] == 2


@pytest.mark.parametrize("by", ["connector", "charger", "site", "company", "area"])
def test_every_level_adds_up_to_the_same_time(march: World, by: str) -> None:
    items = _get(march, "/uptime", by=by)["items"]
    assert sum(row["working_s"] for row in items) == 123 * 86400
    answer = march.ask("operator", "GET", "/uptime.csv", params={**MARCH, "by": by})
    assert answer.headers["content-type"].startswith("text/csv")
    lines = list(csv.DictReader(io.StringIO(answer.text)))
    assert [line[by] for line in lines] == [row["code"] for row in items]
    assert sum(float(line["plain_up_s"]) for line in lines) == 123 * 86400


@pytest.mark.parametrize("span", ["month", "twelve-months"])
def test_what_is_published_is_what_would_be_counted(march: World, span: str) -> None:
    asked = {"by": "connector", "span": span}
    counted = _get(march, "/uptime", **asked)["items"]
    publish_due(march.db, datetime.now(UTC))
    march.db.execute("DELETE FROM state_change")  # so that nothing can be counted any more
    assert _get(march, "/uptime", **asked)["items"] == counted
    march.ask("operator", "POST", "/exclusions", json=SAID)
    assert _get(march, "/uptime", **asked)["items"] == [], "what is to be corrected is counted anew"


def test_pages_follow_each_other(march: World) -> None:
    first = _get(march, "/uptime", by="connector", limit=3)
    second = _get(march, "/uptime", by="connector", limit=3, cursor=first["next_cursor"])
    codes = [row["code"] for row in first["items"] + second["items"]]
    assert codes == ["C0/1", "C0/2", "C1/1", "C1/2"] and second["next_cursor"] is None


def test_an_exclusion_is_entered_changed_and_withdrawn_on_record(march: World) -> None:
    made = march.ask("operator", "POST", "/exclusions", json=SAID)
    assert (made.status_code, made.headers["etag"]) == (201, '"1"'), made.text
    path = f"/exclusions/{made.json()['id']}"
    pieces = _get(march, "/uptime/excluded")["items"]
    nevi = [p for p in pieces if p["measure"] == "nevi"]
    assert [(p["charger"], p["connector"], p["seconds"], p["document"]) for p in nevi] == [
        ("C0", 1, 21600, "police 12")
    ]
    assert {p["source"] for p in pieces} == {f"exclusion/{made.json()['id']}"}
    longer = {"to_at": "2026-03-10T12:00:00Z"}
    stale = march.ask("operator", "PATCH", path, json=longer, headers={"If-Match": '"7"'})
    assert (stale.status_code, stale.json()["version"]) == (412, 1)
    changed = march.ask("operator", "PATCH", path, json=longer, headers={"If-Match": '"1"'})
    assert changed.json()["version"] == 2 and changed.json()["document"] == "police 12"
    assert _get(march, "/uptime")["items"][0]["nevi"]["excluded_s"] == 12 * 3600
    assert march.ask("operator", "DELETE", path).json()["withdrawn_at"] is not None
    assert march.ask("operator", "DELETE", path).status_code == 409
    assert _get(march, "/uptime/excluded")["items"] == []
    assert march.ask("operator", "GET", path).json()["version"] == 3
    rows = march.db.execute("SELECT action, object FROM audit ORDER BY id").fetchall()
    assert [row["action"] for row in rows] == [
        "exclusion.enter", "exclusion.change", "exclusion.withdraw",
    ]  # fmt: skip
    assert {row["object"] for row in rows} == {path[1:].replace("exclusions", "exclusion")}


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"to_at": "2026-03-09T00:00:00Z"}, "to_at: must be later"),
        ({"from_at": "2099-01-01T00:00:00Z", "to_at": "2099-01-02T00:00:00Z"}, "planned downtime"),
        ({"document": " "}, "document"),
        ({"code": "nowhere"}, "there is no such charger"),
        ({"connector": 1}, "connector: its number"),
    ],
)
def test_an_impossible_exclusion_is_refused_with_the_reason(
    march: World, more: dict[str, Any], told: str
) -> None:
    answer = march.ask("operator", "POST", "/exclusions", json={**SAID, **more})
    assert answer.status_code == 422 and told in answer.json()["detail"]
    reason = march.ask("operator", "POST", "/exclusions", json={**SAID, "reason": "bad luck"})
    assert reason.json()["errors"][0]["pointer"] == "/body/reason"


def test_a_correction_shows_in_the_history_with_who_and_why(march: World) -> None:
    publish_due(march.db, datetime.now(UTC))
    asked = {"by": "connector", "code": "C0/1"}
    assert len(_get(march, "/uptime/history", **asked)["items"]) == 1
    made = march.ask("operator", "POST", "/exclusions", json=SAID).json()
    publish_due(march.db, datetime.now(UTC))
    first, second = _get(march, "/uptime/history", **asked)["items"]
    assert (first["why"], first["nevi"]["excluded_s"]) == ("first", 0)
    assert (second["why"], second["person"]) == (f"exclusion/{made['id']}", "operator")
    assert second["nevi"]["excluded_s"] == 21600
    nothing = march.ask(
        "operator", "GET", "/uptime/history", params={**MARCH, "by": "site", "code": "x"}
    )
    assert nothing.status_code == 422


def test_opening_hours_cut_what_is_measured(march: World) -> None:
    week = {str(day): [["08:00", "20:00"]] for day in range(1, 8)}
    said = {"from_on": "2026-01-01", "week": week}
    put = march.ask("operator", "PUT", "/sites/s/hours", json=said)
    assert put.json()["hours"] == [said], put.text
    seen = march.ask("repairer", "GET", "/sites/s/hours")
    assert (seen.json()["timezone"], seen.headers["etag"]) == ("Asia/Shanghai", put.headers["etag"])
    (site,) = _get(march, "/uptime")["items"]
    assert site["uk"]["total_s"] == 4 * 31 * 12 * 3600
    # The 10th in UTC is 08:00 of the 10th to 08:00 of the 11th in Shanghai.
    assert (site["uk"]["down_s"], site["nevi"]["excluded_s"]) == (12 * 3600, 12 * 3600)
    assert site["plain"]["percent"] == pytest.approx(100 * 123 / 124)
    wrong = march.ask(
        "operator", "PUT", "/sites/s/hours", json={**said, "week": {"1": [["9", "10"]]}}
    )
    assert wrong.status_code == 422 and "day 1" in wrong.json()["detail"]
    late = march.ask("operator", "PUT", "/sites/s/hours", json=said, headers={"If-Match": '"x"'})
    assert late.status_code == 412
    assert march.ask("repairer", "PUT", "/sites/s/hours", json=said).status_code == 403
    assert march.ask("operator", "PUT", "/sites/x/hours", json=said).status_code == 404
    rows = march.db.execute("SELECT action, object FROM audit").fetchall()
    assert [tuple(row.values()) for row in rows] == [("hours.set", "site/s/hours")]


def test_another_companys_figures_and_exclusions_are_not_there(march: World) -> None:
    db = march.db
    db.execute("INSERT INTO company (code, name) VALUES ('other', 'O')")
    stranger = add_person(db, "stranger", "S", "operator", company="other")
    march.keys["stranger"] = new_api_key(db, stranger, "t", datetime.now(UTC))
    id = march.ask("operator", "POST", "/exclusions", json=SAID).json()["id"]
    assert _get(march, "/uptime", "stranger")["items"] == []
    assert _get(march, "/uptime/excluded", "stranger")["items"] == []
    assert march.ask("stranger", "GET", "/exclusions").json()["items"] == []
    assert march.ask("stranger", "GET", f"/exclusions/{id}").status_code == 404
    for method, path, body, refused in (
        ("DELETE", f"/exclusions/{id}", None, 404),
        ("PATCH", f"/exclusions/{id}", {"document": "x"}, 404),
        ("POST", "/exclusions", SAID, 403),
    ):
        assert march.ask("stranger", method, path, json=body).status_code == refused
    history = {**MARCH, "by": "site", "code": "s"}
    assert march.ask("stranger", "GET", "/uptime/history", params=history).status_code == 422
    assert march.ask("stranger", "GET", "/sites/s/hours").status_code == 404
    assert march.ask(None, "GET", "/uptime", params=MARCH).status_code == 401
    assert _get(march, "/uptime", "repairer")["items"][0]["code"] == "s"


def test_an_analysis_tells_what_breaks(march: World) -> None:
    c = march.community
    march.db.execute("UPDATE charger SET model = 'M-' || (id - %s)", (c.chargers[0],))
    march.db.execute(
        "INSERT INTO incident (subject_kind, subject_id, site_id, charger_id, connector_id, code, "
        "family, severity, effect, detector, phase, started_at, opened_at, ended_at) VALUES "
        "('connector', %s, %s, %s, %s, 'relay-open', 'relay', 2, 'out-of-order', 'reported', "
        "'cleared', '2026-03-10Z', '2026-03-10Z', '2026-03-11Z')",
        (c.connectors[0], c.site, c.chargers[0], c.connectors[0]),
    )
    told = _get(march, "/analysis")
    first, second = told["reliability"]
    assert (first["group"], first["failures"], first["mttr_h"]) == ("M-0", 1, 24)
    assert first["mtbf_h"] == 61 * 24 and first["downtime_h"] == 24
    assert (second["group"], second["failures"], second["mtbf_h"]) == ("M-1", 0, None)
    assert told["pareto"] == [
        {"code": "relay-open", "failures": 1, "hours": 24, "share": 1, "cumulative": 1}
    ]
    assert [(w["charger"], w["down_h"], w["failures"]) for w in told["worst"]] == [("C0", 24, 1)]
    worn, sound = told["survival"]
    # One period of 9.33 days ended by the failure, one of 20.67 days that was cut short.
    assert (worn["model"], worn["periods"], worn["failures"]) == ("M-0", 2, 1)
    assert worn["median_days"] == pytest.approx(9 + 8 / 24)
    assert (sound["failures"], sound["median_days"], sound["after"]) == (0, None, {"30": 1})
