"""Tickets, reports, inspections and evidence in a real database."""

import threading
from datetime import timedelta
from uuid import uuid4

import pytest

from pilewatch.model import SubjectKind
from pilewatch.store.pool import connect
from pilewatch.workflow.desk import ENGINE, Actor, Subject, VersionConflict, act, open_ticket
from pilewatch.workflow.inspections import record_inspection
from pilewatch.workflow.reports import answer_receipt, file_report, report_by_receipt
from pilewatch.workflow.tickets import Accept, Assign, Claim, Merge, Refused, Reopen
from pilewatch.workflow.verification import sweep_repaired
from tests.workflow.conftest import NOW, Community

PERSON = Actor("person")


def _open(c: Community, code: str, connector: int = 0) -> int:
    subject = Subject(SubjectKind.CONNECTOR, c.connectors[connector])
    with c.db.transaction():
        return open_ticket(c.db, c.policy, NOW, subject=subject, code=code, actor=ENGINE).ticket_id


def _claim(c: Community, ticket: int) -> None:
    with c.db.transaction():
        for action in (Assign(company=c.company), Accept(), Claim("worn plug", "replaced")):
            act(c.db, c.policy, NOW, ticket, action, PERSON)


def _sweep(c: Community, minutes: float) -> str:
    with c.db.transaction():
        swept = sweep_repaired(c.db, c.policy, NOW + timedelta(minutes=minutes))
    return "".join(k[0] for k in ("verified", "returned", "recovered") if getattr(swept, k))


def test_one_matter_is_one_ticket(community: Community) -> None:
    c = community
    first = _open(c, "relay-open")
    assert _open(c, "relay-welded") == first
    assert c.timeline(first) == ["opened", "joined", "worsened"]
    row = c.db.execute("SELECT severity, code FROM ticket").fetchall()
    assert row == [{"severity": 1, "code": "relay-welded"}]
    assert _open(c, "display-failure") != first


def test_a_session_after_the_claim_proves_the_repair(community: Community) -> None:
    c = community
    ticket = _open(c, "plug-broken")
    _claim(c, ticket)
    minute = timedelta(minutes=1)
    c.session(c.connectors[0], NOW - 5 * minute, NOW + minute, 500)  # began before the claim
    c.session(c.connectors[0], NOW + minute, NOW + 2 * minute, 3)  # delivered nothing
    c.session(c.connectors[1], NOW + minute, NOW + 2 * minute, 500)  # another plug
    c.heard(NOW + 60 * minute)
    assert _sweep(c, 60) == ""
    c.session(c.connectors[0], NOW + 3 * minute, NOW + 50 * minute, 400)
    assert _sweep(c, 60) == "v"
    assert c.state(ticket) == "closed"
    assert c.timeline(ticket)[-2:] == ["verified", "closed"]


def test_healthy_idle_proves_only_faults_that_show_in_idle(community: Community) -> None:
    c = community
    seen, hidden = _open(c, "connector-lock"), _open(c, "relay-open", 1)
    _claim(c, seen)
    _claim(c, hidden)
    c.heard(NOW + timedelta(minutes=9))
    assert _sweep(c, 9) == ""
    c.heard(NOW + timedelta(minutes=11))
    assert _sweep(c, 11) == "v"
    assert (c.state(seen), c.state(hidden)) == ("closed", "repaired")


def test_a_silent_pile_proves_nothing_and_the_claim_returns(community: Community) -> None:
    c = community
    ticket = _open(c, "connector-lock")
    _claim(c, ticket)
    assert _sweep(c, 60) == ""  # last heard an hour ago
    assert _sweep(c, 73 * 60) == "r"
    assert c.state(ticket) == "repairing"


def test_reports_join_and_a_no_reopens(community: Community) -> None:
    c = community
    place = {"site_id": c.site, "charger_id": c.chargers[0], "connector_id": c.connectors[0]}

    def say() -> "tuple[int, bool, str]":
        with c.db.transaction():
            filed = file_report(
                c.db, c.policy, NOW, source="page", code="no-output", note=None, **place
            )
        return filed.ticket_id, filed.joined, filed.receipt_token

    ticket, joined, token = say()
    assert not joined and say()[:2] == (ticket, True)
    receipt = report_by_receipt(c.db, token)
    assert receipt is not None and [line["action"] for line in receipt.timeline[-2:]] == [
        "reported-too",
        "worsened",
    ]
    assert report_by_receipt(c.db, "nonsense") is None
    _claim(c, ticket)
    with c.db.transaction():
        answer_receipt(c.db, c.policy, NOW, token, charges_now=False)
    assert c.state(ticket) == "reopened"


def test_idle_time_proves_nothing_that_only_people_have_seen(community: Community) -> None:
    c = community
    ticket, _, _ = _say(c, "display-failure")
    _claim(c, ticket)
    c.heard(NOW + timedelta(minutes=11))
    assert _sweep(c, 11) == ""
    assert c.state(ticket) == "repaired"


def test_a_site_is_proved_although_one_of_its_ports_has_another_fault(
    community: Community,
) -> None:
    c = community
    with c.db.transaction():
        site = open_ticket(
            c.db, c.policy, NOW, subject=Subject(SubjectKind.SITE, c.site), code="over-voltage",
            actor=ENGINE,
        ).ticket_id  # fmt: skip
    c.db.execute(
        "UPDATE connector_state SET status = 'faulted', healthy_since = NULL "
        "WHERE connector_id = %s",
        (c.connectors[0],),
    )
    _claim(c, site)
    c.heard(NOW + timedelta(minutes=11))
    assert _sweep(c, 11) == "v"
    assert c.state(site) == "closed"


def _say(c: Community, code: str, connector: int = 0) -> tuple[int, bool, str]:
    with c.db.transaction():
        filed = file_report(
            c.db, c.policy, NOW, source="page", site_id=c.site, charger_id=c.chargers[0],
            connector_id=c.connectors[connector], code=code, note=None,
        )  # fmt: skip
    return filed.ticket_id, filed.joined, filed.receipt_token


def test_a_dead_gateway_explains_no_output_but_no_broken_plug(community: Community) -> None:
    c = community
    with c.db.transaction():
        gateway = open_ticket(
            c.db, c.policy, NOW, subject=Subject(SubjectKind.GATEWAY, c.gateway),
            code="offline-gateway", actor=ENGINE,
        ).ticket_id  # fmt: skip
    joined, was_joined, token = _say(c, "no-output")
    assert (joined, was_joined) == (gateway, True)
    plug, was_joined, _ = _say(c, "plug-broken", 1)
    assert plug != gateway and not was_joined

    _claim(c, gateway)
    c.db.execute(
        "UPDATE ticket SET state = 'closed', evidence = '{\"kind\": \"online\"}' WHERE id = %s",
        (gateway,),
    )
    with c.db.transaction():
        after = answer_receipt(c.db, c.policy, NOW, token, charges_now=False)
    assert after is not None and after.ticket_id not in (gateway, plug)
    assert c.state(gateway) == "closed", "the gateway is not to blame again"
    assert c.state(int(after.ticket_id or 0)) == "open"


def test_another_fault_of_the_same_port_is_joined_only_if_it_stops_the_port(
    community: Community,
) -> None:
    c = community
    notice = _open(c, "meter-mismatch")
    ticket, joined, _ = _say(c, "no-output")
    assert (ticket != notice, joined) == (True, False)
    assert _say(c, "plug-broken")[:2] == (ticket, True)


def test_an_inspection_verifies_opens_and_repeats_nothing(community: Community) -> None:
    c = community
    ticket = _open(c, "plug-broken")
    _claim(c, ticket)

    def check(passed: bool, connector: int, key: object = None) -> object:
        with c.db.transaction():
            return record_inspection(
                c.db, c.policy, NOW, id=key or uuid4(), charger_id=c.chargers[connector // 2],
                connector_id=c.connectors[connector], person_id=c.worker, inspected_at=NOW,
                passed=passed, test_charge=True, answers=[], note=None,
            )  # fmt: skip

    key = uuid4()
    assert check(True, 0, key).verified_tickets == [ticket]  # type: ignore[attr-defined]
    assert check(True, 0, key).created is False  # type: ignore[attr-defined]
    assert c.state(ticket) == "closed"
    opened = check(False, 2).opened_tickets  # type: ignore[attr-defined]
    assert len(opened) == 1


def test_merge_moves_reports_and_reopening_a_double_is_refused(community: Community) -> None:
    c = community
    one, two = _open(c, "display-failure"), _open(c, "reader-failure")
    with c.db.transaction():
        act(c.db, c.policy, NOW, two, Merge(one), PERSON)
    assert c.state(two) == "merged" and c.timeline(one)[-1] == "merged-here"
    with pytest.raises(Refused), c.db.transaction():
        act(c.db, c.policy, NOW, one, Merge(two), PERSON)
    closed = _open(c, "connector-lock")
    _claim(c, closed)
    c.heard(NOW + timedelta(minutes=11))
    assert _sweep(c, 11) == "v"
    again = _open(c, "connector-lock")
    with pytest.raises(Refused, match=f"ticket {again} is already open"), c.db.transaction():
        act(c.db, c.policy, NOW, closed, Reopen("x"), PERSON)


def test_of_racing_hands_exactly_one_wins(community: Community, plain_database_url: str) -> None:
    c = community
    ticket = _open(c, "relay-open")
    outcomes: list[str] = []
    start = threading.Barrier(12)

    def race(kind: str) -> None:
        with connect(plain_database_url, application="race") as db:
            start.wait()
            try:
                with db.transaction():
                    if kind == "accept":
                        act(db, c.policy, NOW, ticket, Accept(), PERSON, expected_version=1)
                    else:
                        subject = Subject(SubjectKind.CONNECTOR, c.connectors[3])
                        opened = open_ticket(
                            db, c.policy, NOW, subject=subject, code="no-earth", actor=ENGINE
                        )
                        kind += " created" if opened.created else " joined"
                outcomes.append(kind)
            except (Refused, VersionConflict):
                outcomes.append("lost")

    threads = [threading.Thread(target=race, args=(k,)) for k in ["accept", "open"] * 6]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["accept"] + ["lost"] * 5 + ["open created"] + ["open joined"] * 5


def test_every_entry_has_its_notification(community: Community) -> None:
    c = community
    _claim(c, _open(c, "relay-open"))
    keys = {row["key"] for row in c.db.execute("SELECT key FROM outbox")}
    entries = c.db.execute("SELECT ticket_id, id FROM ticket_entry").fetchall()
    assert keys == {f"ticket/{row['ticket_id']}/{row['id']}" for row in entries}
