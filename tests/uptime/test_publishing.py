"""Figures are published once a period is over; corrections make versions, with why and who."""

import json
import os
import signal
from datetime import timedelta
from typing import Any

from alerts.maintenance import maintain, roll_up
from ingest.batch import BatchBuilder, Message, read
from pilewatch.settings import Database, Settings
from pilewatch.store.observations import KnownCharger, ObservationStore, microseconds
from pilewatch.store.pool import connect
from pilewatch.uptime.building import build_on, built_until, rebuild
from pilewatch.uptime.periods import Length, period
from pilewatch.uptime.publishing import history, publish_due
from pilewatch.workflow import audit
from pilewatch.workflow.downtime import Window, cancel_downtime, enter_downtime
from tests.uptime.conftest import START, Recorded, seconds
from tests.uptime.slow import Out, Trouble, Word

HOUR, DAY = 3600, 86_400
MAY = period("2026-05")


def _story(r: Recorded) -> None:
    """The last four hours of May (local), of which the charger is silent for the second one."""
    r.promise_of(60)
    beats = [Word(at, 0, "heartbeat") for at in range(0, 5 * HOUR, 60) if not HOUR <= at < 2 * HOUR]
    r.hear([Word(0, 1, "available"), Word(0, 2, "available"), *beats])


def _versions(r: Recorded, level: Any = "connector", id: int | None = None) -> list[dict[str, Any]]:
    return history(r.db, level, id or r.connectors[0], MAY)


def _publish(r: Recorded, day: float) -> int:
    r.build(day * DAY)
    return publish_due(r.db, r.at(day * DAY))


def test_a_month_is_published_a_day_after_its_end_once_for_each_subject(recorded: Recorded) -> None:
    r = recorded
    _story(r)
    assert _publish(r, 1) == 0
    assert _publish(r, 1.5) == 2  # the month, and the twelve months that end with it
    assert _publish(r, 1.6) == 0
    (only,) = _versions(r)
    assert (only["version"], only["why"], only["person"]) == (1, "first", None)
    silent = HOUR - 120  # three heartbeats after the last one at 0:59:00 and before 2:00:00
    assert seconds(only["tally"])["unknown"] == silent
    assert only["tally"].service == 4 * HOUR * 1_000_000
    (site,) = _versions(r, "site", r.site)
    assert site["tally"].unknown == 2 * silent * 1_000_000 and site["tally"].connectors == 2
    (company,) = _versions(r, "company", r.company)
    assert company["tally"] == site["tally"]


def test_a_downtime_entered_afterwards_corrects_and_the_earlier_figure_stays(
    recorded: Recorded,
) -> None:
    r = recorded
    _story(r)
    _publish(r, 2)
    now = r.at(3 * DAY)
    window = Window("site", r.site, "power-cut", r.at(HOUR), r.at(1.5 * HOUR), "transformer", "118")
    with r.db.transaction():
        id = enter_downtime(r.db, r.policy, now, window, r.worker)
        audit.record(r.db, now, r.worker, "downtime.enter", f"downtime/{id}")
    assert _publish(r, 3) == 1
    first, second = _versions(r)
    assert (second["version"], second["why"], second["person"]) == (2, f"downtime/{id}", "w")
    assert first["tally"].nevi_excluded == 0
    assert second["tally"].nevi_excluded == 1_680 * 1_000_000  # from 1:02:00 to 1:30:00
    assert second["tally"].plain == first["tally"].plain
    with r.db.transaction():
        cancel_downtime(r.db, r.at(4 * DAY), id)
    # It was cancelled when it was over: what it explained, it goes on to explain.
    assert _publish(r, 4) == 1 and len(_versions(r)) == 2


def test_an_exclusion_and_its_withdrawal_make_versions(plain_recorded: Recorded) -> None:
    r = plain_recorded
    _story(r)
    _publish(r, 2)
    r.leave_out(Out(1, "vandalism", HOUR, 2 * HOUR))
    _publish(r, 3)
    r.db.execute("UPDATE exclusion SET withdrawn_at = %s", (r.at(4 * DAY),))
    _publish(r, 4)
    tallies = [version["tally"] for version in _versions(r)]
    assert [t.nevi_excluded > 0 for t in tallies] == [False, True, False]
    assert tallies[0] == tallies[2]
    assert len(history(r.db, "connector", r.connectors[1], MAY)) == 1, "it is of the other port"


def test_an_incident_that_is_told_afterwards_corrects_and_one_of_today_does_not(
    plain_recorded: Recorded,
) -> None:
    r = plain_recorded
    _story(r)
    _publish(r, 2)
    r.trouble(Trouble(1, "relay-open", 2 * HOUR, 3 * HOUR))
    assert _publish(r, 3) == 1
    first, second = _versions(r)
    assert (first["tally"].out_of_order, second["tally"].out_of_order) == (0, HOUR * 1_000_000)
    assert second["why"] == "incident/1"
    r.trouble(Trouble(2, "relay-open", 3 * DAY, None))
    r.db.execute("UPDATE incident SET phase = 'clearing', quiet_since = now() WHERE id = 2")
    assert r.db.execute("SELECT count(*) AS n FROM uptime_due").fetchone() == {"n": 0}
    r.db.execute("UPDATE incident SET ended_at = %s WHERE id = 1", (r.at(2.5 * HOUR),))
    assert _publish(r, 4) == 1
    assert _versions(r)[2]["tally"].out_of_order == HOUR * 500_000


def test_late_words_correct_and_the_same_words_again_do_not(recorded: Recorded) -> None:
    r = recorded
    _story(r)
    _publish(r, 2)
    lost = [Word(at, 0, "heartbeat") for at in range(HOUR, 2 * HOUR, 60)]
    r.come_late(lost)
    assert publish_due(r.db, r.at(2.1 * DAY)) == 1
    second = _versions(r)[1]
    assert second["why"] == "late data" and second["tally"].unknown == 0
    r.come_late(lost)
    publish_due(r.db, r.at(2.2 * DAY))
    assert len(_versions(r)) == 2


def test_the_twelve_months_and_the_year_are_published_with_their_last_month(
    plain_recorded: Recorded,
) -> None:
    r = plain_recorded
    _story(r)
    r.build(DAY)
    r.db.execute("UPDATE interval_progress SET built_until = %s", (r.at(216 * DAY),))
    assert publish_due(r.db, r.at(216 * DAY)) == 8 * 2 + 1  # May to December, and the year
    spans = r.db.execute("SELECT span, month FROM uptime_period ORDER BY month, span").fetchall()
    assert {str(row["month"])[:7] for row in spans} == {f"2026-{n:02}" for n in range(5, 13)}
    year = history(r.db, "site", r.site, period("2026-12", Length.YEAR))
    twelve = history(r.db, "site", r.site, period("2026-12", Length.TWELVE_MONTHS))
    months = [history(r.db, "site", r.site, period(f"2026-{n:02}"))[0] for n in range(5, 13)]
    assert year[0]["tally"].unknown == sum(m["tally"].unknown for m in months)
    assert twelve[0]["tally"].service == year[0]["tally"].service


def test_a_builder_that_is_killed_leaves_nothing_out_and_nothing_double(
    plain_recorded: Recorded, plain_database_url: str
) -> None:
    r = plain_recorded
    _story(r)
    oldest, ends = START - timedelta(days=30), r.at(2 * DAY)
    for part in range(1, 5):
        pid = os.fork()
        if pid == 0:
            try:
                with connect(plain_database_url, application="killed") as db:
                    build_on(db, ends, oldest)
                    publish_due(db, ends)
            finally:
                os._exit(0)
        while (built_until(r.db) or oldest) < r.at(part * 9 * HOUR):
            assert (r.db.closed, r.db.broken) == (False, False)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    _publish(r, 2)
    (once,) = _versions(r)
    before = r.db.execute("SELECT * FROM contact_change ORDER BY 1, 2").fetchall()
    assert rebuild(r.db, START - timedelta(days=9), ends) > 0
    assert r.db.execute("SELECT * FROM contact_change ORDER BY 1, 2").fetchall() == before
    r.db.execute("TRUNCATE interval_progress, contact_change, state_change")
    r.build(2 * DAY)
    assert r.tallies(MAY)[1] == once["tally"]


def test_words_that_the_ingester_takes_in_late_reach_the_figures(plain_recorded: Recorded) -> None:
    r = plain_recorded
    _story(r)
    r.build(5 * HOUR)
    before = seconds(r.tallies(MAY)[2])
    known = {"C0": KnownCharger(r.chargers[0], {1: r.connectors[0], 2: r.connectors[1]})}
    store = ObservationStore(r.db, retention_days=30)
    beats = [
        ("heartbeat", {"at": r.at(at).isoformat(), "uptimeS": at})
        for at in range(HOUR, HOUR + 1800, 60)
    ]
    broken = ("status/2", {"at": r.at(HOUR + 600).isoformat(), "connector": 2, "status": "faulted"})
    now = r.at(6 * HOUR)
    messages = [
        Message(f"pilewatch/v1/C0/up/{kind}", json.dumps(said).encode(), 100,
                microseconds(now), 1, n, replayed=False, redelivered=False, connection=1)
        for n, (kind, said) in enumerate([*beats, broken])
    ]  # fmt: skip
    messages = [m._replace(size=len(m.payload)) for m in messages]
    builder = BatchBuilder(known, lambda who, why: True).add_all(map(read, messages))
    assert store.write(builder.build(), now).inserted == len(messages)
    assert roll_up(r.db, r.at(8 * HOUR)) == 1
    after = seconds(r.tallies(MAY)[2])
    # Silent from 1:02:00 on before; now heard until 1:29:00 and three heartbeats more.
    assert before["unknown"] - after["unknown"] == 1740 + 60
    assert after["out_of_order"] == 4 * HOUR - (HOUR + 600) - after["unknown"]


def test_what_retention_dropped_stays_in_the_figures_and_late_words_for_it_change_nothing(
    recorded: Recorded, database_url: str
) -> None:
    r = recorded
    _story(r)
    settings = Settings(database=Database(url=database_url, retention_days=3))
    maintain(r.db, settings, r.at(2 * DAY))
    before = r.tallies(MAY)
    assert seconds(before[1])["service"] == 4 * HOUR
    maintain(r.db, settings, r.at(6 * DAY))
    assert r.db.execute("SELECT count(*) AS n FROM observation").fetchone() == {"n": 0}
    r.come_late([Word(at, 0, "heartbeat") for at in range(HOUR, 2 * HOUR, 60)])
    assert r.tallies(MAY) == before
    assert rebuild(r.db, START, r.at(DAY)) == 0


def test_what_was_retired_keeps_its_past_and_gets_no_downtime(plain_recorded: Recorded) -> None:
    r = plain_recorded
    _story(r)
    r.hear([Word(3 * HOUR, 1, "unavailable")])
    r.build(5 * DAY)
    assert r.tallies(period("2026-06"))[1].unknown > 2 * DAY * 1_000_000
    r.db.execute("UPDATE charger SET active = false")
    assert r.tallies(MAY)[2].working > 0
    # It was heard until 5:02:00, and the month changed at 4:00:00.
    assert seconds(r.tallies(period("2026-06"))[2])["service"] == HOUR + 60 + 60
    assert r.tallies(period("2026-07")) == {}
    r.db.execute("UPDATE charger SET active = true")
    r.db.execute("UPDATE connector SET active = false WHERE number = 1")
    assert seconds(r.tallies(MAY)[1])["service"] == 3 * HOUR
    assert set(r.tallies(period("2026-06"))) == {2}
