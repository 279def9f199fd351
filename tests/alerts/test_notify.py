"""Notifications: who is told of what, when, in which words, and how failures end."""

import hashlib
import hmac
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime, time, timedelta
from pathlib import Path
from typing import Any

import pytest
from psycopg.types.json import Jsonb

from alerts.notify.channels import open_channels
from alerts.notify.dispatch import send_due, write_deliveries
from alerts.notify.news import read_news
from alerts.notify.receivers import (
    Address,
    BadReceivers,
    Directory,
    Quiet,
    Receiver,
    load_directory,
)
from alerts.notify.routing import due_at
from alerts.notify.words import LOCALES, Words, catalogue
from pilewatch.faultcodes import FAULTS
from pilewatch.model import Severity
from pilewatch.policy import Delivery
from pilewatch.workflow.desk import ENGINE, Actor, act
from pilewatch.workflow.tickets import Accept, Claim, Comment, Reject, TicketState
from tests.alerts.conftest import Watched
from tests.alerts.outside import HttpReceiver, http_receiver, mail_server
from tests.workflow.conftest import NOW

PUBLIC = "https://piles.example"
RULE = Delivery(attempts=3, first_pause_s=10, longest_pause_s=100)


@pytest.fixture
def outside() -> Iterator[HttpReceiver]:
    """A receiver of HTTP POSTs."""
    with http_receiver() as made:
        yield made


class Office:
    """The router and the sender over a watched community, at moments a test chooses."""

    def __init__(self, w: Watched, directory: Directory):
        self.w = w
        self.directory = directory
        self.moment = NOW
        self.channels = open_channels(directory.addresses, PUBLIC, lambda: self.moment)

    def turn(self, seconds: float) -> int:
        """Route and send at this moment; gives how many messages arrived."""
        self.moment = self.w.at(seconds)
        write_deliveries(self.w.db, self.directory, self.moment)
        return send_due(self.w.db, self.directory, self.channels, RULE, self.moment)

    def rows(self) -> list[dict[str, Any]]:
        """Every delivery."""
        return self.w.db.execute("SELECT * FROM delivery ORDER BY id").fetchall()


def office(w: Watched, *receivers: Receiver, **addresses: Address) -> Office:
    """An office with these receivers."""
    return Office(w, Directory(list(receivers), addresses))


def breaks(w: Watched, seconds: float = 0, code: str = "relay-open", charger: int = 0) -> None:
    """A port reports a fault long enough for a ticket."""
    w.says(seconds, charger, 1, "faulted", code)
    w.look(seconds + 10)


def test_a_decision_is_told_once_and_settled(watched: Watched, outside: HttpReceiver) -> None:
    hook = Address("webhook", outside.url, "s3cret")
    o = office(watched, Receiver("hook", "hook", topics=["*"]), hook=hook)
    breaks(watched)
    assert o.turn(11) == 2
    assert o.turn(12) == 0
    assert [d["topic"] for d in outside.documents()] == ["ticket.opened", "incident.opened"]
    _, headers, body = outside.posts[0]
    assert headers["Idempotency-Key"] == body["key"]
    stamp, sign = (part.partition("=")[2] for part in headers["X-Pilewatch-Signature"].split(","))
    assert stamp == str(int(watched.at(11).timestamp()))
    signed = stamp.encode() + b"." + outside.bodies[0]
    assert sign == hmac.new(b"s3cret", signed, hashlib.sha256).hexdigest()
    unsettled = watched.db.execute("SELECT FROM outbox WHERE sent_at IS NULL").fetchall()
    assert unsettled == []


def test_news_without_a_receiver_are_settled_too(watched: Watched) -> None:
    o = office(watched)
    breaks(watched)
    assert o.turn(11) == 0
    assert watched.db.execute("SELECT FROM outbox WHERE sent_at IS NULL").fetchall() == []


def test_failures_back_off_and_end_as_dead_letters(watched: Watched, outside: HttpReceiver) -> None:
    o = office(watched, Receiver("hook", "hook"), hook=Address("webhook", outside.url + "/token-1"))
    breaks(watched)
    outside.answers = [(500, {}), (429, {"Retry-After": "60"}), (503, {})]
    o.turn(11)
    row = o.rows()[0]
    assert (row["attempts"], row["last_error"]) == (1, "answered 500")
    assert timedelta(seconds=8) <= row["due_at"] - watched.at(11) <= timedelta(seconds=12)
    o.turn(12)
    assert len(outside.posts) == 1, "not before its time"
    o.turn(24)
    row = o.rows()[0]
    assert row["due_at"] >= watched.at(24) + timedelta(seconds=60), "as the other side asked"
    o.turn(90)
    row = o.rows()[0]
    assert (row["attempts"], row["dead_at"], row["last_error"]) == (
        3,
        watched.at(90),
        "answered 503",
    )
    assert len({d["key"] for d in outside.documents()}) == 1
    assert o.turn(10_000) == 0
    assert "token-1" not in str(o.rows()), "addresses are secrets"


def test_a_receiver_that_hangs_up_does_not_hold_up_another(
    watched: Watched, outside: HttpReceiver
) -> None:
    with http_receiver() as gone:
        away = gone.url
    o = office(
        watched,
        Receiver("away", "away", topics=["*"]),
        Receiver("hook", "hook", topics=["*"]),
        away=Address("webhook", away),
        hook=Address("webhook", outside.url),
    )
    breaks(watched)
    assert o.turn(11) == 2
    failed = [row for row in o.rows() if row["receiver"] == "away"]
    assert [row["attempts"] for row in failed] == [1, 0]
    assert failed[0]["last_error"] == "ConnectError"


def test_a_message_that_cannot_be_made_stops_no_other(
    watched: Watched, outside: HttpReceiver
) -> None:
    with mail_server() as mails:
        url = f"mailto://127.0.0.1:{mails.port}?from=a@x.example&to=b@x.example"
        o = office(
            watched,
            Receiver("li", "mail"),
            Receiver("hook", "hook"),
            mail=Address("apprise", url),
            hook=Address("webhook", outside.url),
        )
        breaks(watched)
        watched.db.execute("UPDATE area SET timezone = 'Mars/Olympus'")
        assert o.turn(11) == 1
    errors = {row["receiver"]: row["last_error"] for row in o.rows()}
    assert errors == {"li": "it could not be made: ZoneInfoNotFoundError", "hook": None}


def test_a_receiver_taken_out_of_the_file_is_a_dead_letter(watched: Watched) -> None:
    o = office(watched, Receiver("old", "x"), x=Address("log"))
    breaks(watched)
    write_deliveries(watched.db, o.directory, watched.at(11))
    assert send_due(watched.db, Directory([], {}), {}, RULE, watched.at(11)) == 0
    assert o.rows()[0]["dead_at"] == watched.at(11)


NIGHT = Quiet(time(22), time(7), "Asia/Shanghai")


@pytest.mark.parametrize(
    ("local", "severity", "digest", "expected"),
    [
        ("2026-05-01T12:00", 2, None, "2026-05-01T12:00"),
        ("2026-05-01T22:00", 2, None, "2026-05-02T07:00"),
        ("2026-05-02T03:00", 3, None, "2026-05-02T07:00"),
        ("2026-05-02T07:00", 3, None, "2026-05-02T07:00"),
        ("2026-05-02T03:00", 1, 60, "2026-05-02T03:00"),
        ("2026-05-01T12:10", 3, 30, "2026-05-01T12:30"),
        ("2026-05-01T21:45", 3, 60, "2026-05-02T07:00"),
    ],
)
def test_quiet_hours_and_digests_hold_back_all_but_danger(
    local: str, severity: int, digest: int | None, expected: str
) -> None:
    receiver = Receiver("r", "c", quiet=NIGHT, digest_minutes=digest)
    found = due_at(receiver, severity, datetime.fromisoformat(f"{local}+08:00"))
    assert found == datetime.fromisoformat(f"{expected}+08:00")


def test_quiet_hours_by_day() -> None:
    nap = Receiver("r", "c", quiet=Quiet(time(12), time(14), "UTC"))
    for hour, expected in ((11, 11), (12, 14), (13, 14), (14, 14)):
        moment = datetime.fromisoformat(f"2026-05-01T{hour}:00+00:00")
        assert due_at(nap, 2, moment).hour == expected


def test_a_digest_is_one_mail_in_the_receivers_language(watched: Watched) -> None:
    with mail_server() as mails:
        url = f"mailto://127.0.0.1:{mails.port}?from=pilewatch@x.example&to=li@x.example"
        o = office(
            watched,
            Receiver("li", "mail", topics=["*"], digest_minutes=10),
            Receiver("eve", "mail", language="en", least_severity=Severity.PEOPLE),
            mail=Address("apprise", url),
        )
        breaks(watched, 0)
        breaks(watched, 20, "connector-lock", charger=1)
        o.turn(31)
        breaks(watched, 40, "ground-fault", charger=2)
        assert o.turn(50) == 2, "danger to people waits for nothing"
        assert {m["Subject"][:4] for m in mails.mails} == {"[危及人", "[dan"}
        assert o.turn(599) == 0
        assert o.turn(600) == 1
        body = mails.mails[-1].get_body(("plain", "html"))
        assert body is not None
        text = body.get_content()
        assert mails.mails[-1]["Subject"] == "[设备故障] 共 2 条消息"
        assert f"{PUBLIC}/console/tickets/1" in text and f"{PUBLIC}/console/tickets/2" in text
        assert f"{PUBLIC}/console/tickets/3" not in text


def test_a_killed_sender_sends_again_with_the_same_key(
    watched: Watched, plain_database_url: str, outside: HttpReceiver
) -> None:
    """The kill comes between the answer of the receiver and the mark in the database."""
    breaks(watched)
    o = office(watched, Receiver("hook", "hook"), hook=Address("webhook", outside.url))
    write_deliveries(watched.db, o.directory, watched.at(11))
    script = (
        "import os, sys\n"
        "from alerts.notify.channels import open_channels\n"
        "from alerts.notify.dispatch import send_due\n"
        "from alerts.notify.receivers import Address, Directory, Receiver\n"
        "from pilewatch.clock import utc_now\n"
        "from pilewatch.policy import Delivery\n"
        "from pilewatch.store.pool import connect\n"
        "addresses = {'hook': Address('webhook', sys.argv[2])}\n"
        "directory = Directory([Receiver('hook', 'hook')], addresses)\n"
        "real = open_channels(addresses, 'https://x', utc_now)['hook']\n"
        "class Killed:\n"
        "    def send(self, *told):\n"
        "        real.send(*told)\n"
        "        os.kill(os.getpid(), 9)\n"
        "db = connect(sys.argv[1], application='t')\n"
        "send_due(db, directory, {'hook': Killed()}, Delivery(), utc_now())\n"
    )
    command = [sys.executable, "-c", script, plain_database_url, outside.url]
    ended = subprocess.run(command, env=dict(os.environ), timeout=60, check=False)
    assert ended.returncode == -9
    assert o.turn(12) == 1
    keys = [d["key"] for d in outside.documents()]
    assert len(keys) == 2 and len(set(keys)) == 1
    assert o.turn(13) == 0


ROBOTS = {
    "wecombot://0a1b2c3d-key": ("qyapi.weixin.qq.com", "msgtype"),
    "dingtalk://0a1b2c3d4e5f": ("oapi.dingtalk.com", "msgtype"),
    "feishu://0a1b2c3d4e5f": ("open.feishu.cn", "msg_type"),
}


@pytest.mark.parametrize("url", ROBOTS)
def test_chat_robots_get_what_they_ask_for(
    watched: Watched,
    outside: HttpReceiver,
    url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    host, kind = ROBOTS[url]
    trusted = outside.stand_for(tmp_path, host)
    monkeypatch.setenv("HTTPS_PROXY", outside.url)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(trusted))
    o = office(watched, Receiver("robot", "robot", topics=["*"]), robot=Address("apprise", url))
    breaks(watched)
    assert o.turn(11) == 1, "ticket and incident of one decision are one message"
    place, _, body = outside.posts[0]
    assert place.startswith(host) and kind in body
    assert "新工单" in str(body) and f"{PUBLIC}/console/tickets/1" in str(body)
    outside.answers = [(500, {})]
    breaks(watched, 20, "connector-lock", charger=1)
    assert o.turn(31) == 0
    error = o.rows()[-1]["last_error"]
    assert "0a1b2c3d" not in error and "500" in error


def test_every_topic_and_fault_speaks_both_languages(watched: Watched) -> None:
    chinese, english = (catalogue(language) for language in LOCALES)  # type: ignore[arg-type]
    assert set(chinese) == set(english)
    assert all(chinese.values()) and all(english.values())
    for code in FAULTS:
        assert f"fault.{code}" in english
    for state in TicketState:
        assert f"state.{state}" in english
    breaks(watched)
    person = Actor("person", watched.worker)
    with watched.db.transaction():
        for action in (Accept(), Claim("a", "b"), Comment("c")):
            act(watched.db, watched.policy, watched.at(20), 1, action, person)
    watched.says(30, 0, 1, "available")
    watched.look(200)
    ids = [row["id"] for row in watched.db.execute("SELECT id FROM outbox ORDER BY id")]
    for language in LOCALES:
        words = Words(language, PUBLIC)  # type: ignore[arg-type]
        for one in read_news(watched.db, ids):
            assert f"topic.{one.topic}" in english, one.topic
            message = words.message([one])
            assert "S x" in message.title, "the place"
            assert f"{PUBLIC}/console/tickets/1" in message.body


def test_topics_of_every_action_have_words() -> None:
    """Every word that the timeline knows is a topic."""
    from api.pages.words import catalogue as pages

    actions = {key.removeprefix("action.") for key in pages("en") if key.startswith("action.")}
    told = {key for key in catalogue("en") if key.startswith("topic.ticket.")}
    assert {f"topic.ticket.{action}" for action in actions} <= told


def test_rules_narrow_who_is_told(watched: Watched) -> None:
    log = Address("log")
    told = ["all", "company", "grid", "area", "site", "open"]
    o = office(
        watched,
        Receiver("all", "log"),
        Receiver("company", "log", companies=["c"]),
        Receiver("other-company", "log", companies=["d"]),
        Receiver("grid", "log", grids=["g"]),
        Receiver("other-grid", "log", grids=["h"]),
        Receiver("area", "log", areas=["a"]),
        Receiver("site", "log", sites=["s"]),
        Receiver("person", "log", person="w"),
        Receiver("danger", "log", least_severity=Severity.PEOPLE),
        Receiver("open", "log", topics=["ticket.opened"]),
        Receiver("incidents", "log", topics=["incident.cleared"]),
        log=log,
    )
    breaks(watched)
    o.turn(11)
    assert sorted(row["receiver"] for row in o.rows()) == sorted(told)


def test_an_escalation_reaches_only_the_role_that_it_is_for(watched: Watched) -> None:
    o = office(
        watched,
        Receiver("repairer", "log", role="repairer"),
        Receiver("grid", "log", role="grid_worker"),
        Receiver("all", "log"),
        log=Address("log"),
    )
    breaks(watched)
    watched.db.execute("UPDATE outbox SET routed_at = now(), sent_at = now()")
    watched.db.execute(
        "INSERT INTO outbox (key, topic, payload, created_at, due_at) "
        "SELECT 'k', 'ticket.escalated', payload || %s, created_at, due_at "
        "FROM outbox WHERE topic = 'ticket.opened'",
        (Jsonb({"to": "grid_worker", "promise": "repair", "level": 3}),),
    )
    o.turn(11)
    assert sorted(row["receiver"] for row in o.rows()) == ["all", "grid"]
    (news,) = read_news(watched.db, [o.rows()[0]["outbox_id"]])
    assert (
        "Promise to repair in danger or broken; level 3" in Words("en", PUBLIC).message([news]).body
    )


def test_the_parent_is_told_with_its_members(watched: Watched) -> None:
    for charger in range(5):
        watched.dies(1, charger)
    watched.look(32)
    ids = [row["id"] for row in watched.db.execute("SELECT id FROM outbox ORDER BY id")]
    message = Words("en", PUBLIC).message(read_news(watched.db, ids))
    assert "5 chargers: x, x, x, x, x" in message.body
    assert message.body.count("/console/tickets/") == 1


def test_alertmanagers_format_fires_and_resolves(watched: Watched, outside: HttpReceiver) -> None:
    o = office(
        watched,
        Receiver("am", "am", topics=["*"]),
        am=Address("alertmanager", outside.url),
    )
    breaks(watched)
    o.turn(11)
    watched.says(20, 0, 1, "available")
    watched.look(100)
    o.turn(101)
    firing, resolved = outside.documents()
    for document, status in ((firing, "firing"), (resolved, "resolved")):
        assert set(document) == {
            *("version", "groupKey", "truncatedAlerts", "status", "receiver", "groupLabels"),
            *("commonLabels", "commonAnnotations", "externalURL", "alerts"),
        }
        assert (document["version"], document["truncatedAlerts"]) == ("4", 0)
        assert (document["status"], document["receiver"]) == (status, "am")
        assert document["groupLabels"] == {"site": "s"}
        (alert,) = document["alerts"]
        assert set(alert) == {
            *("status", "labels", "annotations", "startsAt", "endsAt", "generatorURL"),
            "fingerprint",
        }
        labels = {"alertname": "relay-open", "site": "s", "charger": "C0", "connector": "1"}
        assert labels.items() <= alert["labels"].items()
        assert all(isinstance(value, str) for value in alert["labels"].values())
        assert datetime.fromisoformat(alert["startsAt"]) == watched.at(0)
    assert firing["alerts"][0]["endsAt"] == "0001-01-01T00:00:00Z"
    assert datetime.fromisoformat(resolved["alerts"][0]["endsAt"]) == watched.at(20)
    assert firing["alerts"][0]["fingerprint"] == resolved["alerts"][0]["fingerprint"]


GOOD = """
[channels.robot]
url_env = "ROBOT"
[[receivers]]
name = "li"
channel = "robot"
companies = ["c"]
quiet = {begins = 22:00:00, until = 07:00:00}
digest_minutes = 30
least_severity = 2
"""


def test_the_file_of_receivers_is_read_with_secrets_from_outside(tmp_path: Path) -> None:
    file = tmp_path / "notify.toml"
    file.write_text(GOOD)
    found = load_directory(file, environment={"ROBOT": "feishu://t0ken"})
    assert found.addresses["robot"] == Address("apprise", "feishu://t0ken")
    assert "t0ken" not in repr(found)
    assert found.receivers[0].quiet == Quiet(time(22), time(7), "Asia/Shanghai")


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ('url_env = "ROBOT"', "", "url_env or url_file is needed"),
        ('url_env = "ROBOT"', 'url_env = "NONE"', "the environment has no NONE"),
        ('url_env = "ROBOT"', 'url_file = "gone"', "url_file: FileNotFoundError"),
        ('channel = "robot"', 'channel = "rabbit"', "there is no channel 'rabbit'"),
        ("digest_minutes = 30", "digest_minutes = 0", "digest_minutes"),
        ("digest_minutes = 30", "digest = 3", "digest"),
        ("digest_minutes = 30", 'topics = ["tickets"]', "'tickets' is no topic"),
        ("07:00:00}", '07:00:00, timezone = "Mars"}', "'Mars' is no timezone"),
        ("least_severity = 2", "least_severity = 4", "least_severity"),
        ('name = "li"', 'name = "l i"', "name"),
    ],
)
def test_a_wrong_file_of_receivers_is_refused_with_its_place(
    tmp_path: Path, before: str, after: str, said: str
) -> None:
    file = tmp_path / "notify.toml"
    file.write_text(GOOD.replace(before, after))
    with pytest.raises(BadReceivers, match=r"notify\.toml") as refused:
        load_directory(file, environment={"ROBOT": "feishu://t0ken"})
    assert said in str(refused.value) and "t0ken" not in str(refused.value)


def test_rejected_work_is_told_to_its_person(watched: Watched) -> None:
    o = office(watched, Receiver("w", "log", person="w"), log=Address("log"))
    breaks(watched)
    watched.db.execute("UPDATE ticket SET assignee_id = %s", (watched.worker,))
    with watched.db.transaction():
        act(watched.db, watched.policy, watched.at(20), 1, Reject("no fault"), ENGINE)
    assert o.turn(21) == 2


def test_danger_reaches_those_on_duty_or_where_nobody_is_everybody_who_could_be(
    watched: Watched, outside: HttpReceiver
) -> None:
    hooks = {name: Address("webhook", f"{outside.url}/{name}") for name in ("li", "mo")}
    o = office(
        watched,
        *(Receiver(name, name, on_duty=name, topics=["ticket.opened"]) for name in hooks),
        **hooks,
    )
    for login in hooks:
        watched.db.execute(
            "INSERT INTO person (login, name, role) VALUES (%s, 'x', 'operator')", (login,)
        )
    watched.db.execute(
        "INSERT INTO shift (person_id, from_at, to_at, entered_by, entered_at) "
        "SELECT id, %s, %s, id, %s FROM person WHERE login = 'li'",
        (watched.at(0), watched.at(100), watched.at(0)),
    )
    breaks(watched, 0, "over-temperature")
    assert o.turn(20) == 1
    assert [row["receiver"] for row in o.rows()] == ["li"]
    breaks(watched, 200, "over-temperature", charger=1)
    assert o.turn(220) == 2
    breaks(watched, 230, "plug-broken", charger=2)
    o.turn(250)
    assert watched.db.execute("SELECT FROM ticket WHERE code = 'plug-broken'").fetchall()
    assert [row["receiver"] for row in o.rows()] == ["li", "li", "mo"]
