"""What the database says is to be told: webhooks of the API, and pushes to parties of OCPI."""

import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from cryptography.fernet import Fernet

from alerts.notify.channels import Post
from alerts.notify.dispatch import send_due, write_deliveries
from alerts.notify.receivers import Directory
from alerts.notify.subscriptions import paused, with_subscriptions
from pilewatch.policy import Delivery
from pilewatch.reach import Unreachable, reach
from pilewatch.sealing import Seal
from pilewatch.settings import Ocpi
from pilewatch.store import queries
from pilewatch.workflow.telling import tell, tell_parties
from tests.alerts.conftest import Watched
from tests.alerts.outside import HttpReceiver, http_receiver

SQL = queries.load("webhooks")
RULE = Delivery(attempts=3, first_pause_s=10, longest_pause_s=100)


@pytest.fixture
def outside() -> Iterator[HttpReceiver]:
    """A receiver of HTTP POSTs."""
    with http_receiver() as made:
        yield made


class Office:
    """Routing and sending with the database's receivers, at moments a test chooses."""

    def __init__(self, w: Watched):
        self.w = w
        self.moment = w.at(0)
        self.post = Post(lambda: self.moment)
        self.seal = Seal()

    def turn(self, seconds: float) -> int:
        """Tell, route and send at this moment; gives how many messages arrived."""
        self.moment = self.w.at(seconds)
        w = self.w
        tell_parties(w.db, lambda: self.moment)
        directory, channels = with_subscriptions(
            w.db, Directory([], {}), {}, self.post, Ocpi(), self.seal
        )
        write_deliveries(w.db, directory, self.moment)
        return send_due(w.db, directory, channels, RULE, self.moment, paused=paused(w.db))


def hook(w: Watched, url: str, topics: list[str], company: bool = True, site: str = "s") -> int:
    """A webhook of the company, or of everyone."""
    values = {"url": url, "secret": "whs_1", "topics": topics, "sites": [site], "now": w.at(0),
              "company_id": w.company if company else None, "person_id": w.worker}  # fmt: skip
    row = w.db.execute(SQL["add_webhook"], values).fetchone()
    assert row is not None
    return int(row["id"])


def breaks(w: Watched, seconds: float, charger: int = 0) -> None:
    """A port reports a fault long enough for a ticket."""
    w.says(seconds, charger, 1, "faulted", "relay-open")
    w.look(seconds + 10)


def test_a_subscription_is_told_what_it_asked_for_signed_and_again_on_replay(
    watched: Watched, outside: HttpReceiver
) -> None:
    o = Office(watched)
    id = hook(watched, outside.url, ["ticket.opened"])
    hook(watched, outside.url + "/elsewhere", ["ticket.*"], site="t")
    breaks(watched, 0)
    assert o.turn(11) == 1
    [(path, headers, body)] = outside.posts
    assert (path, body["topic"]) == ("/", "ticket.opened")
    stamp, sign = (part.partition("=")[2] for part in headers["X-Pilewatch-Signature"].split(","))
    signed = stamp.encode() + b"." + outside.bodies[0]
    assert sign == hmac.new(b"whs_1", signed, hashlib.sha256).hexdigest()
    breaks(watched, 20, charger=1)
    watched.db.execute("UPDATE webhook SET active = false WHERE id = %s", (id,))
    assert o.turn(31) == 0, "a pause: what is for it waits"
    watched.db.execute("UPDATE webhook SET active = true WHERE id = %s", (id,))
    assert o.turn(32) == 1
    values = {"id": id, "from_at": watched.at(0), "now": watched.at(40)}
    assert watched.db.execute(SQL["replay_webhook"], values).fetchone() == {"messages": 2}
    assert o.turn(41) == 2
    keys = [headers["Idempotency-Key"] for _, headers, _ in outside.posts]
    assert keys[:2] == keys[2:] and len(set(keys)) == 2
    assert watched.db.execute("SELECT FROM outbox WHERE sent_at IS NULL").fetchall() == []
    later = {**values, "from_at": watched.at(10_000)}
    assert watched.db.execute(SQL["replay_webhook"], later).fetchone() == {"messages": 0}
    outside.answers = [(500, {})]
    watched.db.execute(SQL["replay_webhook"], {**values, "now": watched.at(43)})
    assert o.turn(44) == 0
    watched.db.execute(SQL["end_webhook"], {"id": id, "now": watched.at(45)})
    assert o.turn(1000) == 0 and len(outside.posts) == 5


def test_a_sealed_secret_signs_and_one_whose_key_is_gone_waits_with_the_reason(
    watched: Watched, outside: HttpReceiver
) -> None:
    o, old, new = Office(watched), *(Fernet.generate_key().decode() for _ in range(2))
    closed = Seal([old]).close("whs_1")
    id = hook(watched, outside.url, ["ticket.opened"])
    watched.db.execute("UPDATE webhook SET secret = %s WHERE id = %s", (closed, id))
    breaks(watched, 0)
    o.seal = Seal([new])
    assert o.turn(11) == 0
    [waits] = watched.db.execute("SELECT last_error, sent_at FROM delivery").fetchall()
    assert waits == {"last_error": "its secret is closed by none of sealing.keys", "sent_at": None}
    o.seal = Seal([new, old])
    assert o.turn(60) == 1
    [(_, headers, _)] = outside.posts
    stamp, sign = (part.partition("=")[2] for part in headers["X-Pilewatch-Signature"].split(","))
    signed = stamp.encode() + b"." + outside.bodies[0]
    assert sign == hmac.new(b"whs_1", signed, hashlib.sha256).hexdigest()


def test_a_company_hears_of_its_own_matters_only(watched: Watched, outside: HttpReceiver) -> None:
    o = Office(watched)
    hook(watched, outside.url + "/own", ["ticket.*"])
    hook(watched, outside.url + "/all", ["ticket.*"], company=False)
    watched.db.execute("UPDATE site SET company_id = NULL")
    breaks(watched, 0)
    o.turn(11)
    assert {path for path, _, _ in outside.posts} == {"/all"}


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:8080/x",
        "http://localhost/",
        "http://[::1]/",
        "http://10.1.2.3/",
        "http://169.254.169.254/latest",
        "http://0.0.0.0/",
        "http://2130706433/",
        "http://[::ffff:127.0.0.1]/",
        "ftp://1.1.1.1/",
        "http:///x",
        "nothing",
    ],
)
def test_a_subscription_cannot_lead_into_our_own_network(url: str) -> None:
    with pytest.raises(Unreachable):
        reach(url, private=False)


def test_a_public_host_is_reached_at_the_address_that_was_checked() -> None:
    there = reach("https://1.1.1.1:8443/hook?x=1", private=False)
    assert str(there.url) == "https://1.1.1.1:8443/hook?x=1"
    assert there.headers == {"Host": "1.1.1.1:8443"}
    assert there.extensions == {"sni_hostname": "1.1.1.1"}


# --- OCPI


class Party:
    """A receiver interface of OCPI that keeps what it is given, and knows what it knows."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str, dict[str, Any], dict[str, str]]] = []
        self.objects: dict[str, dict[str, Any]] = {}
        self.broken = 0
        self.code = 1000
        party = self

        class Handler(BaseHTTPRequestHandler):
            def do_PUT(self) -> None:
                self.take()

            def do_PATCH(self) -> None:
                self.take()

            def take(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                path = self.path.removeprefix("/locations")
                party.calls.append((self.command, path, body, dict(self.headers)))
                known = path in party.objects or self.command == "PUT"
                status = 500 if party.broken > 0 else 200 if known else 404
                party.broken -= 1
                if status == 200:
                    party.objects.setdefault(path, {}).update(body)
                    for evse in body.get("evses", []):
                        party.objects[f"{path}/{evse['uid']}"] = evse
                said = json.dumps({"status_code": party.code, "timestamp": "x"}).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(said)))
                self.end_headers()
                self.wfile.write(said)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        """Its locations."""
        return f"http://127.0.0.1:{self.server.server_port}/locations"

    def status(self, connector: int) -> str:
        """What it believes of a port."""
        evses = {path: o for path, o in self.objects.items() if path.count("/") == 4}
        [found] = [o for path, o in evses.items() if path.endswith(f"/{connector}")]
        return str(found["status"])


@pytest.fixture
def party(watched: Watched) -> Iterator[Party]:
    """A party that wants changes pushed; the site has coordinates."""
    made = Party()
    watched.db.execute("UPDATE site SET latitude = 32, longitude = 114")
    values = {"name": "hub", "hash": b"x", "push_url": made.url, "push_token": "t0ken"}
    watched.db.execute(SQL["add_party"], {**values, "now": watched.at(0)})
    yield made
    made.server.shutdown()
    made.server.server_close()


def says(w: Watched, seconds: float, connector: int, status: str) -> None:
    """A port's status as current state; all piles are heard."""
    w.heard(w.at(seconds))
    w.db.execute(
        "UPDATE connector_state SET status = %s WHERE connector_id = %s", (status, connector)
    )


def test_a_new_location_is_put_and_a_change_is_patched_with_its_moment(
    watched: Watched, party: Party
) -> None:
    o, port = Office(watched), watched.connectors[3]
    watched.heard(watched.at(0))
    o.turn(0)
    [(method, path, body, headers)] = party.calls
    assert (method, path) == ("PUT", f"/CN/PLW/{watched.site}")
    assert len(body["evses"]) == 10
    assert headers["Authorization"] == "Token dDBrZW4="
    assert headers["OCPI-from-party-id"] == "PLW" and headers["X-Request-ID"]
    says(watched, 5, port, "charging")
    o.turn(5)
    method, path, body, _ = party.calls[-1]
    assert (method, path) == ("PATCH", f"/CN/PLW/{watched.site}/{port}")
    assert body == {"status": "CHARGING", "last_updated": "2026-05-01T08:00:05.000Z"}
    o.turn(8)
    assert len(party.calls) == 2, "nothing has changed"
    watched.db.execute("UPDATE connector SET max_power_w = 500 WHERE id = %s", (port,))
    o.turn(11)
    method, path, body, _ = party.calls[-1]
    assert (method, body["connectors"][0]["max_electric_power"]) == ("PUT", 500)
    assert watched.db.execute("SELECT FROM outbox WHERE sent_at IS NULL").fetchall() == []


def test_what_could_not_be_pushed_is_pushed_later_as_it_is_then_and_once(
    watched: Watched, party: Party
) -> None:
    o, port = Office(watched), watched.connectors[0]
    watched.heard(watched.at(0))
    o.turn(0)
    party.broken = 1
    says(watched, 3, port, "charging")
    o.turn(3)
    assert party.status(port) == "AVAILABLE"
    says(watched, 6, port, "faulted")
    o.turn(6)
    says(watched, 9, port, "available")
    o.turn(9)
    calls = len(party.calls)
    says(watched, 20, port, "reserved")
    o.turn(20)
    assert party.status(port) == "RESERVED"
    assert len(party.calls) == calls + 1, "one message tells all that waited"
    attempts = watched.db.execute("SELECT FROM delivery WHERE sent_at IS NULL").fetchall()
    assert attempts == []


def test_what_the_party_does_not_know_is_sent_whole_and_its_own_errors_count(
    watched: Watched, party: Party
) -> None:
    o, port = Office(watched), watched.connectors[0]
    watched.heard(watched.at(0))
    tell(watched.db, lambda: watched.at(0))
    o.turn(0)
    party.objects.clear()
    says(watched, 5, port, "charging")
    o.turn(5)
    assert [call[0] for call in party.calls[-2:]] == ["PATCH", "PUT"]
    assert party.status(port) == "CHARGING"
    party.code = 3000
    says(watched, 10, port, "available")
    assert o.turn(10) == 0
    row = watched.db.execute(
        "SELECT last_error FROM delivery WHERE sent_at IS NULL AND attempts = 1"
    ).fetchone()
    assert row == {"last_error": "answered with an OCPI error"}


def test_silence_is_pushed_as_unknown_without_any_event(watched: Watched, party: Party) -> None:
    o, port = Office(watched), watched.connectors[0]
    watched.heard(watched.at(0))
    o.turn(0)
    o.turn(300)
    assert {party.status(c) for c in watched.connectors} == {"UNKNOWN"}
    assert party.status(port) == "UNKNOWN"


def test_nobody_is_told_where_nobody_asked(watched: Watched) -> None:
    assert Office(watched).turn(0) == 0
    assert tell(watched.db, lambda: watched.at(0)) == 11
    assert watched.db.execute("SELECT FROM outbox").fetchall() == []
    earlier: datetime = watched.at(0) - timedelta(seconds=1)
    assert tell_parties(watched.db, lambda: earlier) == 0
