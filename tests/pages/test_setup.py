"""From an empty database to the first message of the first charger, by the setup pages."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from fastapi.testclient import TestClient
from playwright.sync_api import Browser

from api.app import create_app
from pilewatch.settings import Api, Database, People, Settings
from pilewatch.store.pool import Db
from pilewatch.workflow.firststeps import admin_can_log_in, answer_tests, new_code
from tests.pages.conftest import World, serve

REGISTRY = """\
areas: [{code: a, name: 浉河区}]
grids: [{code: g, area: a, name: 一网格}]
sites: [{code: s, grid: g, name: 万和一期}]
chargers: [{code: P1, site: s, kind: ebike, label: 东门 1 号柜, connectors: 2}]
"""
ADMIN = {"name": "王", "login": "wang", "password": "battery staple"}


@pytest.fixture
def settings(plain_database_url: str) -> Settings:
    """Of an installation with nothing in it; an admin may do without a second factor here."""
    return Settings(
        database=Database(url=plain_database_url, pool_size=2),
        api=Api(port=0), people=People(totp_roles=()),
    )  # fmt: skip


@pytest.fixture
def client(plain_db: Db, settings: Settings) -> Iterator[TestClient]:
    """A browser."""
    with TestClient(create_app(settings)) as made:
        yield made


def csrf(page: Any) -> str:
    """The first form's."""
    found = re.search(r'name="csrf" value="([^"]+)"', page.text)
    assert found is not None, page.text
    return found[1]


def test_a_new_installation_leads_to_its_first_admin_once(client: TestClient, plain_db: Db) -> None:
    assert client.get("/", follow_redirects=False).headers["location"] == "/setup"
    told = client.get("/setup").text
    assert "pilewatch setup" in told and "<form" not in told.split("<main")[1]
    assert "used up" in client.get("/setup?code=guess&lang=en").text
    code, other = (new_code(plain_db, datetime.now(UTC)) for _ in range(2))
    assert 'name="password"' in client.get(f"/setup?code={code}").text
    for wrong in ({"password": "short"}, {"login": "no spaces"}, {"login": ""}, {"name": " "}):
        answer = client.post("/setup/admin", data={"code": code, **ADMIN, **wrong})
        assert answer.status_code == 422 and not admin_can_log_in(plain_db)
    assert client.post("/setup/admin", data={"code": "guess", **ADMIN}).url.path == "/setup"
    assert not admin_can_log_in(plain_db)
    shown = client.post("/setup/admin", data={"code": code, **ADMIN})
    assert shown.url.path == "/setup" and admin_can_log_in(plain_db)
    again = client.post("/setup/admin", data={"code": other, **ADMIN, "login": "mallory"})
    assert again.url.path == "/setup"
    assert plain_db.execute("SELECT count(*) AS n FROM person").fetchone() == {"n": 1}
    client.cookies.clear()
    assert client.get("/setup", follow_redirects=False).headers["location"].startswith("/login")


def _begun(client: TestClient, db: Db) -> Any:
    code = new_code(db, datetime.now(UTC))
    return client.post("/setup/admin", data={"code": code, **ADMIN})


def test_a_registry_is_shown_then_imported_and_a_bad_one_changes_nothing(
    client: TestClient, plain_db: Db
) -> None:
    token = csrf(_begun(client, plain_db))
    url = "/setup/registry"
    for name, content, said in (
        ("x.yaml", b"sites: [{code: s, grid: nowhere, name: x}]", "nowhere"),
        ("x.yaml", b"\xff\xfe", "UTF-8"),
        ("x.exe", b"MZ", ".xlsx"),
        ("x.xlsx", b"PK\x03\x04", "x"),
        ("x.yaml", b"#" * 600_000, "larger"),
    ):
        bad = client.post(url, data={"csrf": token}, files={"file": (name, content)})
        assert bad.status_code == 422 and said in bad.text and "/tmp" not in bad.text
    shown = client.post(url, data={"csrf": token}, files={"file": ("r.yaml", REGISTRY.encode())})
    assert "+ chargers P1" in shown.text
    assert plain_db.execute("SELECT count(*) AS n FROM charger").fetchone() == {"n": 0}
    hidden = dict(re.findall(r'name="(content|ending)" value="([^"]*)"', shown.text))
    assert client.post(url, data=hidden).status_code == 403
    done = client.post(url, data={"csrf": token, **hidden})
    assert plain_db.execute("SELECT code FROM charger").fetchone() == {"code": "P1"}
    assert "pilewatch/v1/P1/up/online" in done.text
    assert client.post(url, data={"csrf": token, **hidden, "content": "%"}).status_code == 422
    steps = plain_db.execute("SELECT action FROM audit ORDER BY id").fetchall()
    assert [row["action"] for row in steps][-1] == "registry.load"


def test_a_test_message_is_sent_by_the_engine_and_its_fate_is_shown(
    client: TestClient, plain_db: Db
) -> None:
    token = csrf(_begun(client, plain_db))
    for _ in range(2):
        waiting = client.post("/setup/message", data={"csrf": token})
    assert "pilewatch alerts" in waiting.text and "http-equiv" in waiting.text
    tried: list[str] = []

    def send(name: str) -> str | None:
        tried.append(name)
        return "connection refused" if name == "duty" else None

    answer_tests(plain_db, ["duty", "lead"], send, datetime.now(UTC))
    answer_tests(plain_db, ["duty", "lead"], send, datetime.now(UTC))
    assert tried == ["duty", "lead"], "asked twice while it waited, sent once"
    shown = client.get("/setup?lang=en").text
    assert "connection refused" in shown and "lead" in shown


def test_only_an_admin_sees_the_steps(world: World) -> None:
    for role in ("operator", "grid_worker", "repairer", "auditor"):
        assert world.client(role).get("/setup").status_code == 403
    assert world.client("admin").get("/setup").status_code == 200


def test_the_way_fits_a_phone_and_waits_for_the_first_word(
    settings: Settings, plain_db: Db, browser: Browser
) -> None:
    app = create_app(settings)
    with serve(app) as url:
        _walk(url, plain_db, browser)
    app.state.context.pool.close()


def _walk(url: str, db: Db, browser: Browser) -> None:
    page = browser.new_page(base_url=url, viewport={"width": 360, "height": 740})

    def fine() -> None:
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")

    page.goto("/")
    fine()
    page.goto(f"/setup?code={new_code(db, datetime.now(UTC))}")
    fine()
    for field, value in ADMIN.items():
        page.fill(f"#{field}", value)
    page.press("#password", "Enter")
    page.wait_for_selector("#registry")
    fine()
    file = {"name": "r.yaml", "mimeType": "text/yaml", "buffer": REGISTRY.encode()}
    page.set_input_files("#file", file)  # type: ignore[arg-type]
    page.click("#registry form[enctype] button")
    page.wait_for_selector("text=chargers P1")
    fine()
    page.click("#registry .primary")
    page.wait_for_selector("pre >> text=pilewatch/v1/P1/up/online")
    db.execute("INSERT INTO charger_state (charger_id, last_seen_at) SELECT id, now() FROM charger")
    page.wait_for_selector("a[href='/console/chargers/P1']", timeout=20_000)
    fine()
