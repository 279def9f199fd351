"""Shifts over the API: planned, handed over, cancelled, audited."""

from datetime import UTC, datetime, timedelta
from typing import Any

from tests.api.conftest import World


def _said(hours: float, **more: Any) -> dict[str, Any]:
    begins = datetime.now(UTC) + timedelta(hours=hours)
    times = {"from_at": begins.isoformat(), "to_at": (begins + timedelta(hours=8)).isoformat()}
    return {"person": "operator", **times, **more}


def test_a_shift_is_planned_handed_over_and_audited(world: World) -> None:
    made = world.ask("operator", "POST", "/shifts", json=_said(-1, scope="area", code="a"))
    assert made.status_code == 201, made.text
    id = made.json()["id"]
    assert made.json()["on_duty"] and made.json()["code"] == "a"
    again = world.ask("admin", "POST", "/shifts", json=_said(2, scope="area", code="a"))
    assert again.status_code == 422 and "on duty there already" in again.text
    early = world.ask("operator", "DELETE", f"/shifts/{id}")
    assert early.status_code == 422 and "hand it over" in early.text
    note = {"note": "C1: 电工晚上八点来"}
    done = world.ask("operator", "POST", f"/shifts/{id}/hand-over", json=note)
    assert done.status_code == 200 and not done.json()["on_duty"]
    assert done.json()["note"] == note["note"] and done.json()["noted_at"]
    assert world.ask("operator", "GET", "/shifts?current=1").json()["items"] == []
    assert [s["id"] for s in world.ask("repairer", "GET", "/shifts").json()["items"]] == [id]
    rows = world.db.execute("SELECT action, after FROM audit ORDER BY id").fetchall()
    assert [row["action"] for row in rows] == ["shift.enter", "shift.hand-over"]
    assert "电工" not in str(rows)


def test_what_does_not_fit_is_refused_with_what_would(world: World) -> None:
    for said, told in (
        ({"person": "repairer"}, "no operator or admin"),
        ({"scope": "area"}, "both, or neither"),
        ({"scope": "site", "code": "nowhere"}, "there is no such site"),
        ({"to_at": "2020-01-01T00:00:00Z"}, "later than from_at"),
        ({"to_at": "2099-01-01T00:00:00Z"}, "24 hours"),
        ({"scope": "charger", "code": "C0"}, "invalid"),
    ):
        answer = world.ask("operator", "POST", "/shifts", json=_said(1, **said))
        assert answer.status_code == 422 and told in answer.text, (said, answer.text)
    made = world.ask("operator", "POST", "/shifts", json=_said(1)).json()
    seen = world.ask("operator", "GET", f"/shifts/{made['id']}").headers["etag"]
    stale = world.client.delete(
        f"/api/v1/shifts/{made['id']}",
        headers={**world.headers("operator"), "If-Match": '"another"'},
    )
    assert stale.status_code == 412
    fresh = world.client.delete(
        f"/api/v1/shifts/{made['id']}", headers={**world.headers("operator"), "If-Match": seen}
    )
    assert fresh.status_code == 200 and fresh.json()["cancelled_at"]
    assert world.ask("operator", "DELETE", f"/shifts/{made['id']}").status_code == 404


def test_an_operator_of_one_company_plans_for_its_own_sites_and_people_only(world: World) -> None:
    world.join("theirs", "operator", company="c")
    alone = world.ask("theirs", "POST", "/shifts", json=_said(1, person="theirs"))
    assert alone.status_code == 403, "not for all sites"
    own = {"scope": "site", "code": "s"}
    other = world.ask("theirs", "POST", "/shifts", json=_said(1, **own))
    assert other.status_code == 422, "nobody else's operator"
    made = world.ask("theirs", "POST", "/shifts", json=_said(1, person="theirs", **own))
    assert made.status_code == 201
