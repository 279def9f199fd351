"""Why there is an incident: evidence, the measure around it, and who may know."""

from datetime import UTC, datetime, timedelta

from psycopg.types.json import Jsonb

from pilewatch.store.pool import Db
from tests.api.conftest import World
from tests.workflow.conftest import Community


def hot(db: Db, community: Community, now: datetime) -> int:
    """Twenty minutes of a plug that gets too hot, and its incident."""
    for minute in range(20):
        at = now - timedelta(minutes=20 - minute)
        db.execute(
            "INSERT INTO observation (observed_at, received_at, charger_id, connector, kind, seq, "
            "connector_id, temperature_c, power_w) VALUES (%s, %s, %s, 1, 2, %s, %s, %s, 200)",
            (at, at, community.chargers[0], minute, community.connectors[0], 40 + 3 * minute),
        )
    started = now - timedelta(minutes=6)
    said = {"at": started.isoformat(), "code": "over-temperature", "value": 82, "limit": 80.0}
    row = db.execute(
        "INSERT INTO incident (subject_kind, subject_id, site_id, charger_id, connector_id, code, "
        "family, severity, effect, detector, phase, started_at, opened_at, evidence) VALUES "
        "('connector', %s, %s, %s, %s, 'over-temperature', 'thermal', 1, 'out-of-order', "
        "'metering', 'open', %s, %s, %s) RETURNING id",
        (community.connectors[0], community.site, community.chargers[0], community.connectors[0],
         started, started, Jsonb({"first": said, "latest": {**said, "value": 97}})),
    ).fetchone()  # fmt: skip
    assert row is not None
    return int(row["id"])


def test_an_incident_is_explained_with_values_limit_and_chart(both: World) -> None:
    world = both
    id = hot(world.db, world.community, datetime.now(UTC))
    answer = world.ask("operator", "GET", f"/incidents/{id}/explanation")
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert (told["first"]["value"], told["latest"]["value"]) == (82, 97)
    chart = told["chart"]
    assert (chart["measure"], chart["unit"], chart["limit"]) == ("temperature_c", "°C", 80)
    assert [b["max"] for b in chart["bins"]] == [40 + 3 * minute for minute in range(20)]
    few = world.ask("operator", "GET", f"/incidents/{id}/explanation", params={"points": 4})
    bins = few.json()["chart"]["bins"]
    assert len(bins) <= 4 and sum(b["samples"] for b in bins) == 20
    assert max(b["max"] for b in bins) == 97, "a bin hides no peak"


def test_who_may_not_see_the_place_gets_no_explanation(world: World) -> None:
    id = hot(world.db, world.community, datetime.now(UTC))
    world.db.execute("UPDATE site SET company_id = NULL")
    paths = f"/incidents/{id}/explanation"
    expected = ((None, 401), ("repairer", 404), ("operator", 200))
    assert [world.ask(role, "GET", paths).status_code for role, _ in expected] == [
        status for _, status in expected
    ]
    assert world.ask("operator", "GET", "/incidents/999/explanation").status_code == 404


def test_a_parent_names_its_members_and_needs_no_chart(world: World) -> None:
    world.db.execute(
        "INSERT INTO incident (subject_kind, subject_id, site_id, code, family, severity, effect, "
        "detector, phase, started_at) VALUES ('site', %s, %s, 'power-loss', 'silence', 2, "
        "'out-of-order', 'silence', 'open', now())",
        (world.community.site, world.community.site),
    )
    for charger in world.community.chargers:
        world.db.execute(
            "INSERT INTO incident (subject_kind, subject_id, site_id, charger_id, code, family, "
            "severity, effect, detector, phase, parent_id, started_at) VALUES ('charger', %s, %s, "
            "%s, 'offline-charger', 'silence', 3, 'out-of-order', 'silence', 'member', 1, now())",
            (charger, world.community.site, charger),
        )
    told = world.ask("operator", "GET", "/incidents/1/explanation").json()
    assert (told["members"], told["chart"], told["parent"]) == ([2, 3, 4], None, None)
    assert world.ask("operator", "GET", "/incidents/2/explanation").json()["parent"] == 1
