"""A reporter who has left a contact is asked, and the contact is found nowhere else."""

from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet

from alerts.notify.channels import NotSent, open_channels
from alerts.notify.dispatch import send_due, write_deliveries
from alerts.notify.letters import Letters
from alerts.notify.receivers import (
    Address,
    BadReceivers,
    Directory,
    Receiver,
    load_directory,
)
from pilewatch.clock import utc_now
from pilewatch.sealing import Seal
from pilewatch.workflow.contacts import Contact, Kind, Language, erase_contacts, keep_contact
from pilewatch.workflow.desk import Actor, act
from pilewatch.workflow.reports import answer_receipt, file_report
from pilewatch.workflow.tickets import Accept, Claim, Close, Verify
from tests.alerts.conftest import Watched
from tests.alerts.outside import http_receiver, mail_server

PUBLIC = "https://piles.example"
PHONE, MAIL = "13812345678", "grandma@x.example"
DAY = 86400.0


def reports(w: Watched, seal: Seal, kind: Kind, to: str, language: Language = "zh-CN") -> int:
    """Somebody reports a port and says how to be reached; gives the ticket."""
    with w.db.transaction():
        filed = file_report(
            w.db, w.policy, w.at(0), source="page", site_id=w.site, charger_id=w.chargers[0],
            connector_id=w.connectors[0], code="no-output", note=None, token=f"token-{to}",
        )  # fmt: skip
        contact = Contact(kind, to, filed.receipt_token, language)
        keep_contact(w.db, seal, w.at(0), filed.report_id, contact)
    assert filed.ticket_id is not None
    return filed.ticket_id


def closes(w: Watched, ticket: int, seconds: float) -> None:
    """The ticket goes its way to the end."""
    person = Actor("person", w.worker)
    with w.db.transaction():
        for action in (Accept(), Claim("a", "b"), Verify({"kind": "inspection"}), Close()):
            act(w.db, w.policy, w.at(seconds), ticket, action, person)


def send(w: Watched, directory: Directory, seal: Seal, seconds: float) -> None:
    """Route and send at this moment."""
    channels = open_channels(directory.addresses, PUBLIC, lambda: w.at(seconds))
    write_deliveries(w.db, directory, w.at(seconds))
    send_due(w.db, directory, channels, w.policy.delivery, w.at(seconds), Letters(seal, PUBLIC))


def everything_kept(w: Watched) -> str:
    """All rows of all tables that may not hold a contact."""
    tables = ("outbox", "delivery", "audit", "report", "ticket_entry", "question", "event")
    rows: list[Any] = []
    for table in tables:
        rows += w.db.execute(f"SELECT * FROM {table}").fetchall()  # type: ignore[arg-type]
    return repr(rows) + repr(w.db.execute("SELECT sealed FROM report_contact").fetchall())


def test_reporters_are_asked_at_the_end_and_four_weeks_later(
    watched: Watched, capsys: pytest.CaptureFixture[str]
) -> None:
    w, seal = watched, Seal([Fernet.generate_key().decode()])
    with http_receiver() as gateway, mail_server() as mails:
        url = f"mailto://127.0.0.1:{mails.port}?from=pilewatch@x.example&to={{to}}"
        directory = Directory(
            [
                Receiver("sms", "sms", role="resident", way="phone", topics=["report.*"]),
                Receiver("mail", "mail", role="resident", way="email", topics=["report.*"]),
                Receiver("staff", "programs", topics=["*"]),
            ],
            {
                "sms": Address("webhook", f"{gateway.url}/sms", "s"),
                "programs": Address("webhook", f"{gateway.url}/staff", "s"),
                "mail": Address("apprise", url),
            },
        )
        ticket = reports(w, seal, "phone", PHONE)
        assert reports(w, seal, "email", MAIL, "en") == ticket
        closes(w, ticket, 100)
        w.look(101)
        send(w, directory, seal, 101)
        sms = [post for post in gateway.posts if post[0] == "/sms"]
        assert len(sms) == 1
        assert sms[0][2]["to"] == PHONE
        assert f"{PUBLIC}/r/token-{PHONE}" in sms[0][2]["body"] and "充不进电" in sms[0][2]["body"]
        (mail,) = mails.mails
        assert mail["To"] == MAIL and "does it charge" in str(mail["Subject"])
        body = mail.get_body(("plain", "html"))
        assert body is not None and f"{PUBLIC}/r/token-{MAIL}" in body.get_content()
        staff = repr([post for post in gateway.posts if post[0] == "/staff"])
        assert "report.asked" in staff

        w.look(27 * DAY)
        send(w, directory, seal, 27 * DAY)
        assert len(mails.mails) == 1
        w.look(29 * DAY)
        w.look(29 * DAY)
        send(w, directory, seal, 29 * DAY)
        assert len(mails.mails) == 2 and "still" in str(mails.mails[1]["Subject"])
        told = capsys.readouterr()
        for secret in (PHONE, MAIL):
            assert secret not in everything_kept(w) + staff + told.out + told.err


def test_nobody_is_asked_who_has_answered_or_is_not_to_be_reached_any_more(
    watched: Watched,
) -> None:
    w, seal = watched, Seal([Fernet.generate_key().decode()])
    with http_receiver() as gateway:
        directory = Directory(
            [Receiver("sms", "sms", role="resident", topics=["*"])],
            {"sms": Address("webhook", gateway.url)},
        )
        ticket = reports(w, seal, "phone", PHONE)
        closes(w, ticket, 100)
        with w.db.transaction():
            answer_receipt(w.db, w.policy, w.at(101), f"token-{PHONE}", charges_now=False)
        assert w.state(ticket) == "reopened"
        w.look(102)
        closes(w, ticket, 200)
        w.look(201)
        other = Seal([Fernet.generate_key().decode()])  # the old key was lost
        send(w, directory, other, 201)
        assert gateway.posts == []
        w.look(29 * DAY)
        assert erase_contacts(w.db, w.policy, w.at(30 * DAY)) == 0
        assert erase_contacts(w.db, w.policy, w.at(43 * DAY)) == 1
        send(w, directory, seal, 43 * DAY)
        assert gateway.posts == []
        unsent = w.db.execute("SELECT count(*) AS n FROM outbox WHERE sent_at IS NULL").fetchone()
        assert unsent == {"n": 0}


def test_a_way_to_residents_is_no_alertmanager_and_gets_no_test(tmp_path: Path) -> None:
    file = tmp_path / "notify.toml"
    said = """
        [channels.am]
        kind = "alertmanager"
        url_env = "AM"
        [[receivers]]
        name = "us"
        channel = "am"
        role = "resident"
    """
    file.write_text(said)
    with pytest.raises(BadReceivers, match="us: an alertmanager writes to no residents"):
        load_directory(file, environment={"AM": "http://127.0.0.1:1"})
    file.write_text(said.replace('"alertmanager"', '"apprise"') + 'topics = ["report.asked"]')
    directory = load_directory(file, environment={"AM": "mailto://127.0.0.1:1?to={to}"})
    channels = open_channels(directory.addresses, PUBLIC, utc_now)
    with pytest.raises(NotSent, match="a report of one's own"):
        channels["am"].test(directory.receivers[0])


def test_a_mail_server_that_names_whom_it_refuses_is_not_quoted(watched: Watched) -> None:
    w, seal = watched, Seal([Fernet.generate_key().decode()])
    directory = Directory(
        [Receiver("mail", "mail", role="resident", topics=["report.*"])],
        {"mail": Address("apprise", "mailto://127.0.0.1:1?from=a@x.example&to={to}")},
    )
    closes(w, reports(w, seal, "email", MAIL), 100)
    w.look(101)
    send(w, directory, seal, 101)
    row = w.db.execute("SELECT last_error, attempts FROM delivery").fetchone()
    assert row is not None and row["attempts"] == 1 and MAIL not in row["last_error"]
