"""Logging in at the organisation's own login, over HTTP against a small real provider."""

import base64
import hmac
import json
from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from fastapi.testclient import TestClient
from pydantic import SecretStr

from api.attempts import Limits
from api.oidc import BACK
from api.people import person_named
from pilewatch.settings import People
from pilewatch.store.pool import Db
from tests.pages.conftest import World
from tests.pages.provider import CLIENT, SECRET, Provider


class Organised(World):
    """The pages of an installation whose staff log in at their organisation."""

    def __init__(self, db: Db, url: str, provider: Provider):
        self.provider = provider
        people = People(
            oidc_issuer=provider.issuer, oidc_client_id=CLIENT,
            oidc_client_secret=SecretStr(SECRET), oidc_link_by_email=True,
            totp_roles=frozenset({"auditor"}),
        )  # fmt: skip
        super().__init__(db, url, people=people)

    def link(self, login: str, subject: str) -> None:
        """As an admin does."""
        self.db.execute(
            "INSERT INTO identity VALUES (%s, %s, %s, now())",
            (self.provider.issuer, subject, person_named(self.db, login)["id"]),
        )

    def way_back(self, client: TestClient) -> str:
        """Off to the organisation, and the address that it sends the browser back to."""
        away = client.get("/login/organisation?next=/console?late=1")
        assert away.status_code == 303
        answer = httpx.get(away.headers["location"])
        assert answer.status_code == 303
        back = urlsplit(answer.headers["location"])
        assert (back.path, back.netloc) == (BACK, "127.0.0.1:8080")
        return f"{back.path}?{back.query}"

    def log_in(self, client: TestClient) -> httpx.Response:
        """The whole way."""
        answer: httpx.Response = client.get(self.way_back(client))
        return answer


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    """One provider for all; each test puts right what it bends."""
    with Provider().served() as made:
        yield made


@pytest.fixture
def door(plain_db: Db, plain_database_url: str, provider: Provider) -> Iterator[Organised]:
    """The installation."""
    provider.user, provider.wrong, provider.refuses, provider.forge = (
        {"sub": "u-1"},
        {},
        False,
        None,
    )
    made = Organised(plain_db, plain_database_url, provider)
    yield made
    made.app.state.context.pool.close()


def test_a_linked_person_comes_in_and_goes_on_where_they_wanted(door: Organised) -> None:
    door.link("repairer", "u-1")
    client = door.client()
    assert 'href="/login/organisation?next=' in client.get("/login").text
    page = door.log_in(client)
    assert page.status_code == 200
    assert 'content="0; url=/console?late=1"' in page.text
    assert "samesite=strict" in page.headers["set-cookie"].lower()
    assert client.get("/api/v1/me").json() == {"role": "repairer", "login": "repairer"}


def test_the_way_back_works_once_and_only_in_the_browser_where_it_began(door: Organised) -> None:
    door.link("repairer", "u-1")
    client, thief = door.client(), door.client()
    back = door.way_back(client)
    assert thief.get(back).status_code == 401
    assert client.get(back).status_code == 401  # the thief has used it up
    back = door.way_back(client)
    assert client.get(back).status_code == 200
    assert client.get(back).status_code == 401
    state = parse_qs(urlsplit(door.way_back(client)).query)["state"][0]
    assert client.get(f"{BACK}?state={state}&code=guess").status_code == 401
    assert client.get(BACK).status_code == 401


def test_a_token_that_is_not_for_this_login_opens_nothing(door: Organised) -> None:
    door.link("repairer", "u-1")
    client = door.client()
    wrongs: list[dict[str, object]] = [
        {"nonce": "another"},
        {"nonce": None},
        {"aud": "another"},
        {"aud": [CLIENT, "another"], "azp": "another"},
        {"iss": "https://elsewhere.example.org"},
        {"exp": 1_700_000_000},
        {"exp": None},
        {"sub": None},
        {"sub": 7},
    ]
    for wrong in wrongs:
        door.provider.wrong = wrong
        assert door.log_in(client).status_code == 401, wrong
        assert client.get("/api/v1/me").json()["role"] == "resident"


def test_a_forged_token_opens_nothing(door: Organised) -> None:
    def part(data: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(data).encode()).decode().rstrip("=")

    def unsigned(claims: dict[str, object]) -> str:
        return f"{part({'alg': 'none'})}.{part(claims)}."

    def keyed_by_what_is_public(claims: dict[str, object]) -> str:
        head = f"{part({'alg': 'HS256', 'kid': 'one'})}.{part(claims)}"
        pem = door.provider.key.as_pem(private=False)
        seal = hmac.digest(pem, head.encode(), "sha256")
        return f"{head}.{base64.urlsafe_b64encode(seal).decode().rstrip('=')}"

    door.link("repairer", "u-1")
    for forge in (unsigned, keyed_by_what_is_public, lambda _: "", lambda _: "a.é.c"):
        door.provider.forge = forge
        assert door.log_in(door.client()).status_code == 401


def test_a_new_key_is_learned_and_a_stolen_kid_is_not_enough(door: Organised) -> None:
    door.link("repairer", "u-1")
    assert door.log_in(door.client()).status_code == 200
    door.provider.change_key()
    assert door.log_in(door.client()).status_code == 200
    door.provider.change_key(shown=False)
    assert door.log_in(door.client()).status_code == 401
    door.provider.change_key()


def test_only_a_verified_address_links_and_never_an_admin(door: Organised) -> None:
    for login in ("operator", "admin"):
        door.db.execute("UPDATE person SET email = %s WHERE login = %s", (f"{login}@org.cn", login))
    for verified in (False, "true", None):
        door.provider.user = {"sub": "u-9", "email": "operator@org.cn", "email_verified": verified}
        assert door.log_in(door.client()).status_code == 401
    door.provider.user = {"sub": "u-8", "email": "admin@org.cn", "email_verified": True}
    assert door.log_in(door.client()).status_code == 401
    door.provider.user = {"sub": "u-9", "email": "Operator@Org.cn", "email_verified": True}
    assert door.log_in(door.client()).status_code == 200
    # Linked now by the subject: the address may change, and opens no second identity.
    door.provider.user = {"sub": "u-9"}
    assert door.log_in(door.client()).status_code == 200
    door.provider.user = {"sub": "u-10", "email": "operator@org.cn", "email_verified": True}
    assert door.log_in(door.client()).status_code == 401
    rows = door.db.execute("SELECT action, after FROM audit ORDER BY id").fetchall()
    assert rows == [
        {"action": "person.link", "after": {"issuer": door.provider.issuer}},
        *[{"action": "login.organisation", "after": None}] * 2,
    ]
    count = door.db.execute("SELECT count(*) AS n FROM person WHERE role = 'admin'").fetchone()
    assert count == {"n": 1}


def test_the_second_factor_and_the_disabled_count_here_too(door: Organised) -> None:
    door.link("auditor", "u-1")
    client = door.client()
    assert 'content="0; url=/login/second-factor"' in door.log_in(client).text
    assert client.get("/api/v1/me").json()["role"] == "resident"
    door.db.execute("UPDATE person SET active = false WHERE login = 'auditor'")
    assert door.log_in(door.client()).status_code == 401


def test_refused_or_away_it_says_so(door: Organised) -> None:
    door.provider.refuses = True
    page = door.log_in(door.client())
    assert (page.status_code, "did not let you in" in page.text) == (401, True)
    door.app.state.organisation._provider = None
    door.app.state.organisation.people = People(oidc_issuer="http://127.0.0.1:9/none")
    page = door.client().get("/login/organisation")
    assert (page.status_code, "cannot be used now" in page.text) == (401, True)


def test_starts_are_bounded_for_an_address_and_in_all_and_leave_no_old_rows(
    door: Organised, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.oidc.STARTS", Limits(together=3, of_address=3, of_login=5))
    door.link("repairer", "u-1")

    def begin(client: TestClient) -> int:
        status: int = client.get("/login/organisation").status_code
        return status

    def rows(table: str) -> int:
        found = door.db.execute(f"SELECT count(*) AS n FROM {table}").fetchone()  # type: ignore[call-overload]
        assert found is not None
        return int(found["n"])

    here = door.client()
    there = TestClient(door.app, follow_redirects=False, client=("203.0.113.9", 9))
    assert [begin(here) for _ in range(5)] == [303] * 3 + [429] * 2
    assert "Please wait 15 minutes" in here.get("/login/organisation").text
    assert rows("oidc_login") == 3
    # Another address still can, until there are too many in all.
    assert [begin(there) for _ in range(3)] == [303, 303, 429]
    # Neither stands in the way of a password.
    assert here.post("/login", data={"login": "x", "password": "y"}).status_code == 401
    door.db.execute("UPDATE login_attempt SET at = at - interval '16 minutes'")
    door.db.execute("UPDATE oidc_login SET expires_at = expires_at - interval '16 minutes'")
    back = door.way_back(here)
    assert (rows("oidc_login"), rows("login_attempt")) == (1, 1)
    # Whoever comes in frees the address.
    assert [begin(door.client()) for _ in range(3)] == [303, 303, 429]
    assert here.get(back).status_code == 200
    assert [begin(here) for _ in range(4)] == [303] * 3 + [429]
