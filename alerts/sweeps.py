"""What no event tells: silence, meters, signals and demand, found in whole sets."""

import msgspec

from alerts import correlation
from alerts.detectors import controller, demand, flapping, metering, silence
from alerts.detectors.demand import Idle
from alerts.detectors.metering import Reading
from alerts.incidents import Finding, Incident
from alerts.ledger import SQL, incident_from
from alerts.turn import Turn
from pilewatch.model import SubjectKind
from pilewatch.workflow.downtime import end_plan, ended_plans

_SHOWN = 400
"""Beyond so many changed connectors a live page asks for all anew (NOTIFY holds 8000 bytes)."""


def sweep(turn: Turn) -> None:
    """What no event tells, found by the database in whole sets."""
    for part in SWEEPS:
        part(turn)
    for incident in turn.consequences.self_repair.sweep():
        turn.consequences.announce(incident, turn.now)


def _end_plans(turn: Turn) -> None:
    """What is still there after its planned downtime is an ordinary incident."""
    for row in ended_plans(turn.db, turn.now):
        incident = turn.ledger.keep(incident_from(row))
        end_plan(turn.db, row["id"])
        turn.consequences.announce(incident, turn.now)


def hear(turn: Turn) -> None:
    """Who speaks again, since the moment when it was heard."""
    moment = {"now": turn.now}
    returned = turn.db.execute(SQL["returned_chargers"], moment).fetchall()
    for row in returned:
        turn.consider(silence.returned_charger(row["charger_id"], row["last_seen_at"]))
    refreshed = turn.db.execute(SQL["refreshed_connectors"], moment).fetchall()
    for row in refreshed:
        port, heard_at = row["connector_id"], row["heard_at"]
        turn.consider(silence.stale_connector(port, heard_at, stale=False, heard_at=heard_at))
    _changed(
        turn,
        chargers=[row["charger_id"] for row in returned],
        connectors=[row["connector_id"] for row in refreshed],
    )


def _listen(turn: Turn) -> None:
    """Who no longer speaks."""
    moment = {"now": turn.now}
    silent = turn.db.execute(SQL["silent_chargers"], moment).fetchall()
    for row in silent:
        said = {
            "by": "three heartbeats missed",
            "last_seen_at": row["last_seen_at"].isoformat(),
            "heartbeat_s": row["heartbeat_s"],
        }
        turn.consider(silence.silent_charger(row["charger_id"], turn.now, said))
    stale = turn.db.execute(SQL["stale_connectors"], moment).fetchall()
    for row in stale:
        port, heard_at = row["connector_id"], row["heard_at"]
        turn.consider(silence.stale_connector(port, turn.now, stale=True, heard_at=heard_at))
    _changed(
        turn,
        chargers=[row["charger_id"] for row in silent],
        connectors=[row["connector_id"] for row in stale],
    )


def _changed(turn: Turn, *, chargers: list[int], connectors: list[int]) -> None:
    """Say that what is shown of these has changed, though nothing has been said by them."""
    if chargers:
        rows = turn.db.execute(SQL["connectors_of_chargers"], {"ids": chargers})
        connectors = connectors + [row["id"] for row in rows]
    if connectors:
        payload = ",".join(map(str, connectors)) if len(connectors) <= _SHOWN else "*"
        turn.db.execute(SQL["notify"], {"channel": "pilewatch_state", "payload": payload})


def _read_meters(turn: Turn) -> None:
    """The latest values of connectors that break a limit, or did."""
    limits = turn.policy.limits
    values = {
        "now": turn.now,
        **msgspec.structs.asdict(limits),
        "mine": metering.METERING,
        "clock_lag_s": turn.policy.controller.clock_lag_s,
    }
    for row in turn.db.execute(SQL["meters_to_judge"], values).fetchall():
        turn.ledger.read_chargers([row["charger_id"]])
        subjects = (
            (SubjectKind.CHARGER, row["charger_id"]),
            (SubjectKind.CONNECTOR, row["connector_id"]),
        )
        live = {
            incident.key: incident.detector
            for kind, subject in subjects
            for incident in turn.ledger.at(kind, subject)
            if not incident.quiet
        }
        for finding in metering.meter_faults(Reading(**row), live, turn.now, limits):
            turn.consider(finding, row["charger_id"])


def _look_at_phases(turn: Turn) -> None:
    values = {"now": turn.now, "nominal_v": turn.policy.limits.nominal_v}
    for row in turn.db.execute(SQL["dead_phases"], values).fetchall():
        finding = metering.phase_loss(
            row["charger_id"], turn.now, lost=row["lost"], ports=row["ports"]
        )
        incident = turn.ledger.find(finding.key)
        seen = incident is not None and not incident.quiet
        if row["lost"] != seen and turn.may_speak(finding):
            turn.consider(finding)


def _look_at_demand(turn: Turn) -> None:
    """Another slice of the ports each minute, so that all are looked at once an hour."""
    rule = turn.policy.demand
    values = {
        "now": turn.now,
        "slices": 60,
        "slice": turn.now.minute,
        "clock_lag_s": turn.policy.controller.clock_lag_s,
        **msgspec.structs.asdict(rule),
    }
    idle = [Idle(**row) for row in turn.db.execute(SQL["unused_connectors"], values)]
    for finding in demand.vanished_demand(idle, turn.now, rule):
        turn.consider(finding)
    for row in turn.db.execute(SQL["used_again"]).fetchall():
        turn.consider(demand.used_again(row["connector_id"], turn.now))
    window = {"now": turn.now, "window_s": turn.policy.flapping.window_s}
    for row in turn.db.execute(SQL["steady_connectors"], window).fetchall():
        turn.consider(flapping.steady(row["connector_id"], turn.now))


def _look_at_controllers(turn: Turn) -> None:
    rule = turn.policy.controller
    lags = {"now": turn.now, "limit": rule.clock_lag_s, "mine": controller.CLOCK_LAG}
    for row in turn.db.execute(SQL["clock_lags"], lags).fetchall():
        turn.consider(
            controller.lagging_clock(row["charger_id"], turn.now, row["clock_lag_s"], rule)
        )
    values = {
        "now": turn.now,
        "limit": rule.rssi_dbm,
        "window_s": rule.boots_within_s,
        "mine": controller.CONTROLLER,
    }
    for row in turn.db.execute(SQL["weak_signals"], values).fetchall():
        turn.consider(
            controller.weak_signal(row["charger_id"], turn.now, row["rssi_dbm"], rule.rssi_dbm)
        )
    for row in turn.db.execute(SQL["controllers_well_again"], values).fetchall():
        turn.consider(controller.controller_gone(row["code"], row["charger_id"], turn.now))


def _judge_parents(turn: Turn) -> None:
    """What chargers share is at fault while enough of them are."""
    families, rule = {"families": list(correlation.SHARED)}, turn.policy.correlation
    for row in turn.db.execute(SQL["parents"], families).fetchall():
        parent = turn.ledger.keep(incident_from(row))
        present = correlation.persists(parent.key, row["ill"], row["chargers"], rule)
        _judge(turn, parent, {"ill": row["ill"], "chargers": row["chargers"]}, present=present)
    for row in turn.db.execute(SQL["port_parents"]).fetchall():
        parent = turn.ledger.keep(incident_from(row))
        _judge(turn, parent, {"ill": row["ill"]}, present=row["ill"] > 0)


def _judge(turn: Turn, parent: Incident, seen: dict[str, int], *, present: bool) -> None:
    if present == parent.quiet:
        turn.consider(
            Finding(
                parent.key,
                parent.detector,
                parent.code,
                present=present,
                at=turn.now,
                evidence=seen,
            )
        )


SWEEPS = (
    _listen,
    _read_meters,
    _look_at_phases,
    _look_at_controllers,
    _look_at_demand,
    _judge_parents,
    _end_plans,
)
"""In the order in which they are taken."""
