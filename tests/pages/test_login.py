"""Second factors and one's own account, in plain forms without a script."""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pyotp
import pytest
from cryptography.fernet import Fernet
from fastapi.testclient import TestClient
from pydantic import SecretStr, ValidationError

from api import second_factor
from api.people import person_named
from pilewatch.sealing import Seal
from pilewatch.settings import Api, People, Sealing
from pilewatch.store.pool import Db, connect
from tests.pages.conftest import PASSWORD, World


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = datetime(2026, 5, 1, 8, 0, 5, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def passes(self, **span: float) -> None:
        """Later."""
        self.now += timedelta(**span)


class Door(World):
    """The pages of an installation where operators must have a second factor, behind TLS."""

    def __init__(self, db: Db, url: str):
        self.clock = Clock()
        address = Api(public_url="https://piles.example.org")
        self.keys = SecretStr(Fernet.generate_key().decode())
        must = People(totp_roles=frozenset({"operator"}))
        super().__init__(
            db, url, self.clock, api=address, people=must, sealing=Sealing(keys=self.keys)
        )

    def browser(self) -> TestClient:
        """One that has nothing yet; its address is https, as the cookies want."""
        return TestClient(
            self.app, base_url="https://piles.example.org", raise_server_exceptions=False,
            follow_redirects=False, headers={"Accept-Language": "en"},
        )  # fmt: skip

    def enter(self, client: TestClient, login: str, password: str = PASSWORD) -> str:
        """Log in with the password; where that leads."""
        said = {"login": login, "password": password, "next": "/console?late=1"}
        answer = client.post("/login", data=said)
        assert answer.status_code == 303, answer.text
        return answer.headers["location"]

    def code(self, login: str) -> str:
        """What the person's app shows now."""
        kept = self.row("SELECT totp_secret FROM person WHERE login = %s", login)["totp_secret"]
        key = Fernet(self.keys.get_secret_value())
        secret = key.decrypt(kept.removeprefix("fernet:")).decode()
        return pyotp.TOTP(secret).at(self.clock.now)

    def set_up(self, login: str) -> list[str]:
        """Give a person a second factor; their recovery codes."""
        id = person_named(self.db, login)["id"]
        seal = Sealing(keys=self.keys).seal()
        second_factor.offer(self.db, id, seal)
        codes = second_factor.begin(
            self.db, id, self.code(login), seal, address="x", now=self.clock.now
        )
        assert codes is not None
        self.clock.passes(seconds=30)
        return codes


@pytest.fixture
def door(plain_db: Db, plain_database_url: str) -> Iterator[Door]:
    """The pages with a clock of their own."""
    made = Door(plain_db, plain_database_url)
    yield made
    made.app.state.context.pool.close()


def csrf_of(client: TestClient, path: str) -> str:
    """The token that this page's forms carry."""
    found = re.search(r'name="csrf" value="([^"]+)"', client.get(path).text)
    assert found is not None
    return found[1]


def test_a_role_that_must_have_a_second_factor_sets_it_up_before_it_comes_in(door: Door) -> None:
    client = door.browser()
    assert door.enter(client, "operator") == "/login/second-factor"
    half = client.cookies["pilewatch_session"]
    assert client.get("/console").headers["location"] == "/login?next=/console"
    assert client.get("/api/v1/tickets").status_code == 401
    page = client.get("/login/second-factor")
    assert "<svg" in page.text and page.headers["cache-control"] == "no-store"
    csrf = csrf_of(client, "/login/second-factor")
    path, right = "/login/second-factor", door.code("operator")
    assert client.post(path, data={"code": right, "csrf": "x"}).status_code == 403
    assert client.post(path, data={"code": "000000", "csrf": csrf}).status_code == 401
    done = client.post(path, data={"code": right, "csrf": csrf})
    codes = re.findall(r"<code>([A-Z0-9]{4}(?:-[A-Z0-9]{4}){3})</code>", done.text)
    assert len(set(codes)) == 10 and 'href="/console?late=1"' in done.text
    assert client.cookies["pilewatch_session"] != half
    assert client.get("/console").status_code == 200
    client.cookies.set("pilewatch_session", half)
    assert client.get("/console").status_code == 303
    kept = door.db.execute("SELECT hash FROM recovery_code").fetchall()
    assert not {code.replace("-", "").encode() for code in codes} & {bytes(k["hash"]) for k in kept}
    audited = door.db.execute("SELECT action FROM audit").fetchall()
    assert {row["action"] for row in audited} == {"login.password", "person.second-factor.begin"}


def test_a_code_opens_once_and_an_old_one_never(door: Door) -> None:
    door.set_up("repairer")
    client, code = door.browser(), door.code("repairer")
    assert door.enter(client, "repairer") == "/login/code"
    csrf = csrf_of(client, "/login/code")
    assert client.get("/console").status_code == 303
    done = client.post("/login/code", data={"code": f"{code[:3]} {code[3:]}", "csrf": csrf})
    assert (done.status_code, done.headers["location"]) == (303, "/console?late=1")
    assert client.get("/console").status_code == 200
    again = door.browser()
    door.enter(again, "repairer")
    csrf = csrf_of(again, "/login/code")
    for late in (0, 25):  # the same code, and while its half minute is still allowed for
        door.clock.passes(seconds=late)
        assert again.post("/login/code", data={"code": code, "csrf": csrf}).status_code == 401
    door.clock.passes(seconds=30)
    sent = {"code": door.code("repairer"), "csrf": csrf}
    assert again.post("/login/code", data=sent).status_code == 303


def test_a_key_may_be_followed_by_another_and_without_it_only_recovery_codes_open(
    door: Door,
) -> None:
    recovery, id = door.set_up("repairer")[0], person_named(door.db, "repairer")["id"]
    newer = Fernet.generate_key().decode()

    def opens(code: str, keys: str | None) -> bool:
        seal = Seal(() if keys is None else keys.split())
        return second_factor.passes(door.db, id, code, seal, address=code, now=door.clock.now)

    assert not opens(door.code("repairer"), newer)
    assert not opens(door.code("repairer"), None)
    assert opens(door.code("repairer"), f"{newer} {door.keys.get_secret_value()}")
    assert opens(recovery, newer)
    for wrong in ("", "short", "x" * 44):
        with pytest.raises(ValidationError, match=r"no (Fernet )?key"):
            Sealing(keys=SecretStr(wrong))


def test_of_a_code_sent_twice_at_once_one_opens(door: Door, plain_database_url: str) -> None:
    recovery = door.set_up("repairer")[0]
    id, code = person_named(door.db, "repairer")["id"], door.code("repairer")

    seal = Sealing(keys=door.keys).seal()

    def opens(word: str, number: int) -> bool:
        with connect(plain_database_url, application="test") as db:
            return second_factor.passes(db, id, word, seal, address=f"{number}", now=door.clock.now)

    with ThreadPoolExecutor(8) as crowd:
        tried = [crowd.submit(opens, word, n) for n in range(4) for word in (code, recovery)]
        assert sum(one.result() for one in tried) == 2


def test_a_recovery_code_opens_once_and_however_it_is_typed(door: Door) -> None:
    first, second, *_ = door.set_up("repairer")
    for code, status in ((first.lower().replace("-", " "), 303), (first, 401), (second, 303)):
        client = door.browser()
        door.enter(client, "repairer")
        csrf = csrf_of(client, "/login/code")
        assert client.post("/login/code", data={"code": code, "csrf": csrf}).status_code == status
    assert second_factor.recovery_codes_left(door.db, person_named(door.db, "repairer")["id"]) == 8


def test_guessing_codes_is_stopped_also_by_logging_in_again(door: Door) -> None:
    door.set_up("repairer")
    answers = []
    for _ in range(3):
        client = door.browser()
        door.enter(client, "repairer")
        csrf = csrf_of(client, "/login/code")
        answers += [
            client.post("/login/code", data={"code": guess, "csrf": csrf}).status_code
            for guess in ("000000", "abcdef")
        ]
    assert answers == [401] * 5 + [429]
    right = client.post("/login/code", data={"code": door.code("repairer"), "csrf": csrf})
    assert right.status_code == 429
    door.clock.passes(minutes=16)
    assert client.get("/login/code").status_code == 303  # half a login does not wait so long
    door.enter(client, "repairer")
    sent = {"code": door.code("repairer"), "csrf": csrf_of(client, "/login/code")}
    assert client.post("/login/code", data=sent).status_code == 303


def test_cookies_go_only_over_tls_to_this_site_and_to_no_script(door: Door) -> None:
    said = {"login": "repairer", "password": PASSWORD}
    cookie = door.browser().post("/login", data=said).headers["set-cookie"].lower()
    assert {"httponly", "samesite=strict", "secure"} <= set(cookie.split("; "))
    elsewhere = door.browser().post("/login", data=said, headers={"Sec-Fetch-Site": "cross-site"})
    assert elsewhere.status_code == 403


def test_the_account_page_changes_the_password_and_ends_the_other_sessions(door: Door) -> None:
    here, there = door.browser(), door.browser()
    door.enter(here, "repairer")
    door.enter(there, "repairer")
    csrf = csrf_of(here, "/account")
    new = {"new": "battery staple", "again": "battery staple", "csrf": csrf}
    for wrong, status in (
        ({**new, "old": "guess"}, 401),
        ({**new, "old": PASSWORD, "again": "battery"}, 422),
        ({"old": PASSWORD, "new": "short", "again": "short", "csrf": csrf}, 422),
        ({**new, "old": PASSWORD, "csrf": "x"}, 403),
    ):
        assert here.post("/account/password", data=wrong).status_code == status
    assert here.post("/account/password", data={**new, "old": PASSWORD}).status_code == 200
    assert here.get("/account").status_code == 200
    assert there.get("/account").headers["location"] == "/login?next=/account"
    door.enter(there, "repairer", "battery staple")
    assert there.get("/account").text.count("<td>this one</td>") == 1
    assert here.post("/account/sessions/end", data={"csrf": csrf}).status_code == 303
    assert [c.get("/account").status_code for c in (here, there)] == [303, 303]


def test_a_key_is_shown_once_works_within_its_scopes_and_is_revoked(door: Door) -> None:
    client = door.browser()
    door.enter(client, "repairer")
    csrf = csrf_of(client, "/account")
    wrong = {"label": "board", "scope": ["read", "root"], "days": "3", "csrf": csrf}
    assert client.post("/account/keys", data=wrong).status_code == 422
    made = client.post("/account/keys", data={**wrong, "scope": ["read"]})
    key = re.search(r"pw_[\w-]+", made.text)
    assert key is not None and key[0] not in client.get("/account").text
    program = door.browser()
    program.headers["Authorization"] = f"Bearer {key[0]}"
    assert program.get("/api/v1/tickets").status_code == 200
    narrow = program.post("/api/v1/tickets/1/comments", json={"text": "x"})
    assert (narrow.status_code, "scope tickets" in narrow.text) == (403, True)
    door.clock.passes(days=3, seconds=1)
    assert program.get("/api/v1/tickets").status_code == 401
    door.clock.passes(days=-3)
    door.enter(client, "repairer")
    found = re.search(r"/account/keys/\d+/revoke", client.get("/account").text)
    assert found is not None
    sent = {"csrf": csrf_of(client, "/account")}
    assert client.post(found[0], data=sent).status_code == 303
    assert program.get("/api/v1/tickets").status_code == 401


def test_the_account_page_turns_the_second_factor_on_and_off(door: Door) -> None:
    client = door.browser()
    door.enter(client, "repairer")
    csrf = csrf_of(client, "/account/second-factor")
    sent = {"code": door.code("repairer"), "csrf": csrf}
    assert "Recovery codes" in client.post("/account/second-factor", data=sent).text
    assert client.get("/account/second-factor").headers["location"] == "/account"
    assert "10 recovery codes" in client.get("/account").text
    assert client.post("/account/second-factor/end", data=sent).status_code == 401
    door.clock.passes(seconds=30)
    sent["code"] = door.code("repairer")
    assert "The second factor is off" in client.post("/account/second-factor/end", data=sent).text
    assert door.enter(door.browser(), "repairer") == "/console?late=1"


def test_a_device_does_not_log_in(door: Door) -> None:
    said = {"login": "device", "password": PASSWORD}
    assert door.browser().post("/login", data=said).status_code == 401


def test_each_login_is_in_the_audit_and_a_failed_one_names_nobody(door: Door) -> None:
    door.set_up("repairer")
    client, id = door.browser(), person_named(door.db, "repairer")["id"]
    door.enter(client, "repairer")
    csrf = re.search(r'name="csrf" value="([^"]+)"', client.get("/login/code").text)
    assert csrf is not None
    for code in ("000000", door.code("repairer")):
        client.post("/login/code", data={"code": code, "csrf": csrf[1]})
    for login in ("repairer", "nobody-here"):
        client.cookies.clear()
        client.post("/login", data={"login": login, "password": "wrong"})
    rows = door.db.execute(
        "SELECT person_id, action, object FROM audit WHERE action LIKE 'login.%' ORDER BY id"
    ).fetchall()
    assert [tuple(row.values()) for row in rows] == [
        (id, "login.password", f"person/{id}"),
        (None, "login.code.failed", f"person/{id}"),
        (id, "login.code", f"person/{id}"),
        (None, "login.password.failed", f"person/{id}"),
    ]
