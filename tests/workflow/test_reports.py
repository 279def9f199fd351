"""Doubt, reviews, contacts and the two questions, over a real database."""

import threading
from datetime import timedelta
from typing import Any

import pytest
from cryptography.fernet import Fernet
from hypothesis import given
from hypothesis import strategies as st

from pilewatch.policy import Reports
from pilewatch.sealing import Seal
from pilewatch.settings import Sealing
from pilewatch.store.pool import connect
from pilewatch.workflow.contacts import (
    BadContact,
    Contact,
    contact_of,
    erase_contact,
    erase_contacts,
    keep_contact,
    read_contact,
)
from pilewatch.workflow.desk import Actor, act
from pilewatch.workflow.doubt import Form, Recent, fingerprint, signs
from pilewatch.workflow.receipts import form_age_s, form_stamp, in_groups, typed_receipt
from pilewatch.workflow.reports import (
    Filed,
    Reviewed,
    answer_receipt,
    file_report,
    report_by_receipt,
    review_report,
)
from pilewatch.workflow.tickets import Accept, Claim, Close, Verify
from tests.workflow.conftest import NOW, Community

WEEKS = timedelta(days=28)


def _say(c: Community, note: str | None = None, *, pile: int = 0, code: str = "no-output",
         at: timedelta = timedelta(), form: Form | None = None, **more: Any) -> Filed:  # fmt: skip
    said = {"source": "page", **more}
    with c.db.transaction():
        return file_report(
            c.db, c.policy, NOW + at, site_id=c.site, charger_id=c.chargers[pile],
            connector_id=None, code=code, note=note, form=form, **said,
        )  # fmt: skip


def _close(c: Community, ticket: int | None, at: timedelta = timedelta()) -> None:
    assert ticket is not None
    with c.db.transaction():
        for action in (Accept(), Claim("a", "b"), Verify({"kind": "session"}), Close()):
            act(c.db, c.policy, NOW + at, ticket, action, Actor("person", c.worker))


def _answer(c: Community, token: str, charges: bool, at: timedelta) -> None:
    with c.db.transaction():
        answer_receipt(c.db, c.policy, NOW + at, token, charges_now=charges)


@pytest.mark.parametrize(
    ("form", "recent", "found"),
    [
        (Form("", 30), Recent(0, 0), []),
        (None, Recent(0, 0), []),
        (Form("", 3 * 86400), Recent(2, 29), []),
        (Form("https://x.example", 30), Recent(0, 0), ["trap"]),
        (Form("", None), Recent(0, 0), ["unsigned"]),
        (Form("", 0.2), Recent(0, 0), ["fast"]),
        (None, Recent(3, 30), ["same-text", "burst"]),
    ],
)
def test_each_sign_of_spam_has_its_word(
    form: Form | None, recent: Recent, found: list[str]
) -> None:
    assert signs(form, recent, Reports()) == found


@given(st.text(max_size=60))
def test_a_text_is_recognised_whatever_its_case_and_spaces(text: str) -> None:
    same = fingerprint(f" {text}\n!… ")
    assert same == fingerprint(text)
    assert fingerprint("坏了") is None and fingerprint(None) is None
    assert fingerprint("ＢＵＹ cheap scooters NOW") == fingerprint("buy cheap scooters, now!")


def test_the_same_advertisement_at_many_piles_waits_and_an_honest_word_does_not(
    community: Community,
) -> None:
    c = community
    spam = [_say(c, "Buy cheap scooters now!", pile=n % 3).ticket_id for n in range(5)]
    assert [ticket is None for ticket in spam] == [False] * 3 + [True] * 2
    assert all(_say(c, "坏了", pile=n % 3).ticket_id for n in range(6))
    assert _say(c, "buy cheap scooters now", source="phone").ticket_id is not None
    next_day = _say(c, "Buy cheap scooters now!", at=timedelta(days=2))
    assert next_day.ticket_id is not None


def test_a_doubtful_report_is_kept_reviewed_and_then_goes_its_way(community: Community) -> None:
    c = community
    held = _say(c, form=Form("filled by a robot", 30))
    assert held.ticket_id is None
    receipt = report_by_receipt(c.db, NOW, held.receipt_token)
    assert receipt is not None and receipt.waits and receipt.timeline == []
    _answer(c, held.receipt_token, False, timedelta())
    with c.db.transaction():
        ticket = review_report(c.db, c.policy, NOW, held.report_id, person_id=c.worker, accept=True)
    receipt = report_by_receipt(c.db, NOW, held.receipt_token)
    assert receipt is not None and receipt.ticket_id == ticket and not receipt.waits
    with pytest.raises(Reviewed), c.db.transaction():
        review_report(c.db, c.policy, NOW, held.report_id, person_id=c.worker, accept=False)
    other = _say(c, pile=1, form=Form("", None))
    with c.db.transaction():
        assert review_report(c.db, c.policy, NOW, other.report_id, person_id=c.worker,
                             accept=False) is None  # fmt: skip
    receipt = report_by_receipt(c.db, NOW, other.receipt_token)
    assert receipt is not None and receipt.dismissed and not receipt.waits


def test_danger_to_people_waits_for_no_review_and_worsens_a_known_matter(
    community: Community,
) -> None:
    c = community
    fire = _say(c, code="over-temperature", form=Form("x", None))
    assert fire.ticket_id is not None
    known = _say(c, pile=1)
    assert _say(c, pile=1, code="over-temperature").ticket_id == known.ticket_id
    row = c.db.execute("SELECT severity FROM ticket WHERE id = %s", (known.ticket_id,)).fetchone()
    assert row == {"severity": 1}


def test_a_reporter_is_asked_when_it_is_closed_and_once_more_after_four_weeks(
    community: Community,
) -> None:
    c, day = community, timedelta(days=1)
    filed = _say(c)
    assert _say(c).others == 1

    def asked(at: timedelta) -> tuple[str, bool | None] | None:
        receipt = report_by_receipt(c.db, NOW + at, filed.receipt_token)
        assert receipt is not None
        return receipt.asking and (receipt.asking.kind, receipt.asking.charges)

    assert asked(day) is None
    _close(c, filed.ticket_id, day)
    assert asked(day) == ("now", None)
    _answer(c, filed.receipt_token, True, day)
    assert asked(day) == ("now", True) == asked(WEEKS)
    assert asked(day + WEEKS) == ("later", None)
    _answer(c, filed.receipt_token, False, day + WEEKS)
    assert c.state(filed.ticket_id or 0) == "reopened"
    assert asked(day + WEEKS) is None
    _close(c, filed.ticket_id, 2 * WEEKS)
    assert asked(2 * WEEKS) == ("now", None)
    assert asked(3 * WEEKS) == ("later", None)
    _answer(c, filed.receipt_token, True, 3 * WEEKS)
    assert asked(4 * WEEKS) == ("later", True)
    rows = c.db.execute(
        "SELECT round, kind, charges FROM question WHERE report_id = %s ORDER BY round, due_at",
        (filed.report_id,),
    ).fetchall()
    assert [tuple(row.values()) for row in rows] == [
        (0, "now", True), (0, "later", False), (1, "now", None), (1, "later", True),
    ]  # fmt: skip


def test_a_no_joins_the_ticket_that_is_open_meanwhile(community: Community) -> None:
    c = community
    old = _say(c)
    _close(c, old.ticket_id)
    new = _say(c)
    assert new.ticket_id != old.ticket_id
    _answer(c, old.receipt_token, False, timedelta(minutes=1))
    receipt = report_by_receipt(c.db, NOW, old.receipt_token)
    assert receipt is not None and receipt.ticket_id == new.ticket_id
    assert c.state(old.ticket_id or 0) == "closed"


def test_of_neighbours_who_dispute_together_one_reopens_and_all_are_heard(
    community: Community, plain_database_url: str
) -> None:
    c = community
    filed = [_say(c) for _ in range(6)]
    _close(c, filed[0].ticket_id)
    start = threading.Barrier(6)

    def dispute(token: str) -> None:
        with connect(plain_database_url, application="race") as db:
            start.wait()
            with db.transaction():
                answer_receipt(db, c.policy, NOW, token, charges_now=False)

    threads = [threading.Thread(target=dispute, args=(one.receipt_token,)) for one in filed]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    said = c.timeline(filed[0].ticket_id or 0)[-6:]
    assert sorted(said) == ["reopened", *["resident-disputed"] * 5]


def test_a_contact_is_sealed_bound_to_its_report_and_erased_in_time(community: Community) -> None:
    c = community
    old, new = (Fernet.generate_key().decode() for _ in range(2))
    filed, other = _say(c), _say(c, pile=1)
    contact = Contact("phone", "13812345678", filed.receipt_token, "zh-CN")
    keep_contact(c.db, Seal([old]), NOW, filed.report_id, contact)
    row = c.db.execute("SELECT sealed FROM report_contact").fetchone()
    assert row is not None and b"138" not in bytes(row["sealed"])
    assert "138" not in repr(contact)
    assert contact_of(c.db, Seal([new, old]), filed.report_id) == contact
    assert contact_of(c.db, Seal([new]), filed.report_id) is None
    c.db.execute("UPDATE report_contact SET report_id = %s", (other.report_id,))
    assert contact_of(c.db, Seal([old]), other.report_id) is None, "another report's"
    _close(c, filed.ticket_id)
    _close(c, other.ticket_id)
    days = timedelta(days=c.policy.reports.contact_days)
    assert erase_contacts(c.db, c.policy, NOW + days - timedelta(seconds=1)) == 0
    assert erase_contacts(c.db, c.policy, NOW + days) == 1
    held = _say(c, pile=2, form=Form("x", 9))
    keep_contact(c.db, Seal([old]), NOW, held.report_id, contact)
    with c.db.transaction():
        later = NOW + timedelta(days=1)
        review_report(c.db, c.policy, later, held.report_id, person_id=c.worker, accept=False)
    assert erase_contacts(c.db, c.policy, NOW + days) == 0
    assert erase_contacts(c.db, c.policy, later + days) == 1
    unseen = _say(c, pile=2, form=Form("x", 9))
    keep_contact(c.db, Seal([old]), NOW, unseen.report_id, contact)
    assert erase_contacts(c.db, c.policy, NOW + days) == 1, "what nobody reviews is not kept either"
    assert not erase_contact(c.db, held.report_id)


@pytest.mark.parametrize(
    ("text", "kind", "kept"),
    [
        ("138 1234 5678", "phone", "13812345678"),
        (" +86 (21) 5555-1234 ", "phone", "+862155551234"),
        ("wang.li+1@mail.example.cn", "email", "wang.li+1@mail.example.cn"),
    ],
)
def test_contacts_are_read_as_people_write_them(text: str, kind: str, kept: str) -> None:
    assert read_contact(text) == (kind, kept)


_ODD = ["", "12", "a@b", "x@y.z\r\nBcc: all@x.example", "1" * 200, "王", "٣" * 9, "a@b.c?d=e@f.g"]


@given(st.sampled_from(_ODD) | st.text(max_size=9))
def test_what_is_no_contact_is_refused(text: str) -> None:
    try:
        kind, kept = read_contact(text)
    except BadContact:
        return
    assert kind in ("phone", "email") and kept.isascii()
    assert not any(letter in kept for letter in " \r\n,;?&=")


def test_the_key_is_checked_and_told_to_nobody() -> None:
    assert not Sealing().seal()
    with pytest.raises(ValueError, match="no Fernet key") as caught:
        Sealing(keys="secret-but-wrong")  # type: ignore[arg-type]
    assert "secret-but-wrong" not in caught.value.errors()[0]["msg"]  # type: ignore[attr-defined]


def test_a_stamp_tells_how_long_its_own_form_was_shown(community: Community) -> None:
    db = community.db
    stamp = form_stamp(db, NOW, "C1")
    assert form_age_s(db, NOW + timedelta(seconds=7), "C1", stamp) == 7
    assert form_age_s(db, NOW, "C2", stamp) is None
    moment, _, sign = stamp.partition(".")
    for forged in ("", "x", f"{int(moment) - 9000}.{sign}", f"{moment}.é", f"{'9' * 400}.{sign}"):
        assert form_age_s(db, NOW, "C1", forged) is None
    assert typed_receipt(" 4821 0937-5516 0027\n") == "4821093755160027"
    assert in_groups("4821093755160027") == "4821 0937 5516 0027"
    assert typed_receipt("") == "" and typed_receipt(" abC-d_e ") == "abC-d_e"
