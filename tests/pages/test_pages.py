"""The pages over a real database: what residents and staff can do without a script."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from string import Formatter
from typing import get_args

import pytest
from fastapi.testclient import TestClient

from api.pages import board, commanding, past
from api.pages.render import template_names, template_source
from api.pages.views import PHOTO_WORDS, SAYINGS
from api.pages.words import LOCALES, catalogue
from api.people import ROLES, set_password
from api.rights import SCOPES
from pilewatch.faultcodes import FAULTS
from pilewatch.model import Kind, Status
from pilewatch.policy import PROMISES, Escalation, Policy
from pilewatch.workflow import proving
from pilewatch.workflow.commands import CommandState
from pilewatch.workflow.desk import ENGINE, Actor, act
from pilewatch.workflow.tickets import BY_PEOPLE, Accept, Claim, Comment, PauseReason, TicketState
from tests.api.test_explain import hot
from tests.pages.conftest import PASSWORD, World


def _csrf(client: TestClient) -> str:
    found = re.search(r'name="csrf" value="([^"]+)"', client.get("/console").text)
    assert found is not None
    return found[1]


def test_the_site_page_tells_each_port_in_words_and_how_old_that_is(world: World) -> None:
    world.db.execute(
        "UPDATE connector_state SET status = 'charging' WHERE connector_id = %s",
        (world.community.connectors[0],),
    )
    world.ticket("plug-broken", connector=1)
    page = world.client().get("/s/s")
    assert page.status_code == 200
    assert "Free" in page.text and "In use" in page.text and "Reported" in page.text
    assert "<b>4</b> <span>free now<small>of 6 ports</small>" in page.text
    assert 'href="tel:0755-1234567"' in page.text
    assert "Confirmed" in page.text and "just now" in page.text
    world.community.heard(datetime.now(UTC) - timedelta(hours=2))
    old = world.client(language="zh-CN").get("/s/s").text
    assert "<b>0</b>" in old and "联系不上" in old and "不明" in old and "上次确认：2小时前" in old


def test_a_resident_reports_in_plain_forms_and_follows_the_receipt(world: World) -> None:
    client = world.client()
    assert "?port=2" in client.get("/report/C1").text
    assert all(f"fault={code}" in client.get("/report/C1?port=2").text for code in SAYINGS)
    assert "Send report" in client.get("/report/C1?port=2&fault=no-output").text
    receipt = client.get(world.report(client, note="a\r\nb"))
    assert "Report received" in receipt.text and "Promised to be repaired" in receipt.text
    assert 'name="robots" content="noindex"' in receipt.text
    assert receipt.headers["x-robots-tag"] == "noindex"
    assert "Somebody has reported this already" in client.get("/report/C1?port=2").text
    assert world.row("SELECT note FROM report")["note"] == "a\nb"


def test_no_reopens_a_claimed_repair_and_yes_is_thanked(world: World) -> None:
    client = world.client()
    link, id = world.report(client), world.row("SELECT id FROM ticket")["id"]
    assert client.post(f"{link}/answer", data={"charges": "yes"}).status_code == 409
    actor = Actor("person", world.community.worker)
    for action in (Accept(), Claim("worn", "replaced")):
        with world.db.transaction():
            act(world.db, Policy(), datetime.now(UTC), id, action, actor)
    assert "Does it charge now?" in client.get(link).text
    assert client.post(f"{link}/answer", data={"charges": "yes"}).status_code == 303
    assert "Confirmed: it charges" in client.get(link).text
    assert client.post(f"{link}/answer", data={"charges": "no"}).status_code == 303
    assert world.community.state(id) == "reopened"
    assert "worn" not in client.get(link).text


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"port": "77", "fault": "no-output"},
        {"port": "1", "fault": "nonsense"},
        {"port": "1", "fault": "no-output", "note": "x" * 501},
        {"port": "1", "fault": "no-output", "note": "a\0b"},
    ],
)
def test_a_report_that_does_not_fit_asks_again(world: World, data: dict[str, str]) -> None:
    answer = world.client().post("/report/C1", data=data)
    assert answer.status_code == 422
    assert answer.headers["content-type"].startswith("text/html")
    assert world.row("SELECT count(*) AS n FROM report")["n"] == 0


def test_the_qr_is_a_picture_of_the_piles_address(world: World) -> None:
    answer = world.client().get("/p/C1/qr.svg")
    assert answer.headers["content-type"] == "image/svg+xml"
    assert answer.text.startswith("<?xml") and "<path" in answer.text


def test_login_needs_the_password_and_logout_ends_the_session(world: World) -> None:
    client = world.client()
    assert client.get("/console").headers["location"] == "/login?next=/console"
    wrong = client.post("/login", data={"login": "operator", "password": "guess"})
    assert wrong.status_code == 401 and "wrong" in wrong.text
    assert client.post("/login", data={"login": "no\0one", "password": "x"}).status_code == 401
    away = {"login": "operator", "password": PASSWORD, "next": "//evil.example"}
    right = client.post("/login", data=away)
    assert (right.status_code, right.headers["location"]) == (303, "/console")
    cookie = right.headers["set-cookie"].lower()
    assert "httponly" in cookie and "samesite=strict" in cookie
    token = client.cookies["pilewatch_session"]
    assert token.encode() not in bytes(world.row("SELECT hash FROM login_session")["hash"])
    csrf = _csrf(client)
    assert client.post("/logout", data={"csrf": "x"}).status_code == 403
    assert client.post("/logout", data={"csrf": csrf}).status_code == 303
    client.cookies.set("pilewatch_session", token)
    assert client.get("/console").status_code == 303


def test_guessing_passwords_is_stopped(world: World) -> None:
    client = world.client()
    wrong = {"login": "operator", "password": "guess"}
    answers = [client.post("/login", data=wrong).status_code for _ in range(6)]
    assert answers == [401] * 5 + [429]
    right = client.post("/login", data={"login": "operator", "password": PASSWORD})
    assert right.status_code == 429
    assert client.post("/login", data={"login": "admin", "password": PASSWORD}).status_code == 303


def test_a_new_password_ends_the_old_sessions(world: World) -> None:
    client = world.client("operator")
    set_password(world.db, "operator", "battery staple")
    assert client.get("/console").status_code == 303
    told = {"login": "operator", "password": "battery staple"}
    assert client.post("/login", data=told).status_code == 303
    with pytest.raises(ValueError, match="nobody"):
        set_password(world.db, "nobody", "x")


def test_the_board_sorts_by_danger_and_filters(world: World) -> None:
    world.ticket("display-failure", 0)
    world.ticket("over-temperature", 2)
    client = world.client("operator")
    page = client.get("/console").text
    assert page.index("Overheating") < page.index("Screen dark")
    assert "Screen dark" not in client.get("/console?severity=1").text
    assert "No ticket fits" in client.get("/console?late=1").text
    assert "Screen dark" in client.get("/console?severity=&site=s&state=open").text


def test_members_are_folded_under_their_parent(world: World) -> None:
    id = world.ticket("power-loss", 0)
    into = (
        "INSERT INTO incident (subject_kind, subject_id, site_id, charger_id, code, family, "
        "severity, effect, detector, phase, started_at, parent_id, ticket_id, evidence) VALUES "
        "(%s, %s, %s, %s, %s, 'silence', 2, 'out-of-order', 'silence', %s, now(), %s, %s, %s) "
        "RETURNING id"
    )
    site, said = world.community.site, '{"latest": {"silent": 2, "chargers": 3}}'
    parent = world.row(into, "site", site, site, None, "power-loss", "open", None, id, said)["id"]
    for pile in world.community.chargers[:2]:
        world.row(into, "charger", pile, site, pile, "offline-charger", "member", parent, None,
                  "{}")  # fmt: skip
    page = world.client("operator").get("/console").text
    assert "piles affected: 2" in page and "2 of 3 piles are silent" in page
    assert page.count('class="matter ') == 1


def test_a_ticket_goes_its_way_by_forms(world: World) -> None:
    id = world.ticket("plug-broken")
    operator, repairer = world.client("operator"), world.client("repairer")
    path = f"/console/tickets/{id}"
    page = operator.get(path).text
    assert 'id="do-assign"' in page and 'id="do-claim"' not in page
    csrf = _csrf(operator)
    given = {"csrf": csrf, "version": "1", "company": "c", "assignee": "repairer"}
    assert operator.post(f"{path}/assign", data=given).status_code == 303
    mine = {"csrf": _csrf(repairer), "version": "2"}
    assert repairer.post(f"{path}/accept", data=mine).status_code == 303
    late = operator.post(f"{path}/comment", data={"csrf": csrf, "version": "1", "note": "my words"})
    assert late.status_code == 409
    assert "Someone changed this ticket" in late.text and "my words" in late.text
    missed = late.text.split('role="alert"')[1].split("</ol>")[0]
    assert "assigned" in missed and "accepted" in missed and "opened" not in missed
    claim = {**mine, "version": "3", "cause": "worn", "remedy": "new plug", "part": "plug"}
    assert repairer.post(f"{path}/claim", data=claim).status_code == 303
    refused = repairer.post(f"{path}/start", data={**mine, "version": "4"})
    assert refused.status_code == 409 and "not possible now" in refused.text
    story = operator.get(path).text
    assert "new plug" in story and 'id="do-reopen"' in story
    assert world.row("SELECT count(*) AS n FROM audit WHERE action LIKE 'ticket.%%'")["n"] == 3


@pytest.mark.parametrize("word", ["assign", "accept", "start", "claim", "reject", "comment"])
def test_no_form_works_without_its_token(world: World, word: str) -> None:
    id = world.ticket()
    client = world.client("admin")
    sent = client.post(f"/console/tickets/{id}/{word}", data={"version": "1", "note": "x"})
    assert sent.status_code == 403
    assert world.community.state(id) == "open"


def test_the_api_takes_the_session_only_with_the_token(world: World) -> None:
    id = world.ticket()
    client = world.client("operator")
    assert client.get("/api/v1/me").json()["role"] == "operator"
    path = f"/api/v1/tickets/{id}/accept"
    assert client.post(path).status_code == 403
    assert client.post(path, headers={"X-CSRF-Token": "x"}).status_code == 403
    assert client.post(path, headers={"X-CSRF-Token": _csrf(client)}).status_code == 200


def test_a_repairer_sees_the_own_company_and_no_quarantine(world: World) -> None:
    id = world.ticket()
    world.db.execute("UPDATE ticket SET company_id = NULL")
    client = world.client("repairer")
    assert client.get(f"/console/tickets/{id}").status_code == 404
    assert "Relay" not in client.get("/console").text
    assert client.get("/console/quarantine").status_code == 403
    csrf = {"csrf": _csrf(client), "version": "1"}
    assert client.post(f"/console/tickets/{id}/accept", data=csrf).status_code == 404


def test_charger_and_quarantine_pages_show_what_was_said(world: World) -> None:
    now = datetime.now(UTC)
    for minutes in (5, 15, 25):
        world.db.execute(
            "INSERT INTO observation (observed_at, received_at, charger_id, connector, kind, seq, "
            "power_w, temperature_c) VALUES (%s, %s, %s, 1, 2, -1, 250, 41)",
            (now - timedelta(minutes=minutes), now, world.community.chargers[0]),
        )
    world.db.execute(
        "INSERT INTO quarantine (received_at, topic, payload, size, reason) "
        "VALUES (now(), 'pilewatch/v1/X/up/status', '', 3, 'not JSON')"
    )
    world.db.execute("INSERT INTO unknown_charger VALUES ('NEW-1', now(), now(), 7)")
    client = world.client("operator")
    page = client.get("/console/chargers/C0").text
    assert "chart-power" in page and "meter" in page and "250 W" in page
    listed = client.get("/console/quarantine").text
    assert "not JSON" in listed and "NEW-1" in listed


@pytest.mark.parametrize(
    ("path", "status"),
    [("/nothing", 404), ("/s/%00", 404), ("/p/zzz", 404), ("/r/guess", 404), ("/p/%F0%9F", 404),
     ("/console/tickets/99999999999999999999", 422)],
)  # fmt: skip
def test_errors_on_pages_are_pages_in_both_languages(world: World, path: str, status: int) -> None:
    for language, word in (("zh", "回到首页"), ("en", "To the start page")):
        answer = world.client("operator", language=language).get(path)
        assert answer.status_code == status
        assert word in answer.text and "<h1>" in answer.text
    assert world.client().get("/api/v1/nothing").headers["content-type"].startswith("application/")


def test_a_broken_page_is_told_in_words_and_shielded(world: World) -> None:
    world.db.execute("DROP FUNCTION port_now CASCADE")
    answer = world.client().get("/")
    assert answer.status_code == 500 and "Something broke on our side" in answer.text
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]


def test_every_page_is_shielded(world: World) -> None:
    client = world.client("operator")
    for path in ("/", "/s/s", "/p/C0", "/report/C0", "/console", "/nothing", "/static/live.js"):
        headers = client.get(path).headers
        assert "unsafe" not in headers["content-security-policy"]
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
    assert client.get("/console").headers["cache-control"] == "no-store"
    versioned = re.search(r"/static/pilewatch\.css\?v=\w+", client.get("/").text)
    assert versioned is not None
    assert "immutable" in client.get(versioned[0]).headers["cache-control"]


def test_the_language_is_chosen_kept_and_guessed(world: World) -> None:
    client = world.client(language="fr, en;q=0.5, zh;q=0.2")
    assert 'lang="en"' in client.get("/").text
    assert 'lang="zh-CN"' in client.get("/?lang=zh").text
    assert 'lang="zh-CN"' in client.get("/").text
    assert 'lang="zh-CN"' in world.client(language="fr;q=x").get("/?lang=xx").text


def test_a_fragment_is_the_living_part_only(world: World) -> None:
    part = world.client().get("/s/s", headers={"X-Fragment": "1"}).text
    assert "<html" not in part and "free now" in part


def test_a_big_site_stays_small_on_the_wire(world: World) -> None:
    for number in range(10):
        world.db.execute(
            "WITH made AS (INSERT INTO charger (code, site_id, kind, label) "
            "VALUES (%s, %s, 'ebike', %s) RETURNING id) "
            "INSERT INTO connector (charger_id, number) SELECT id, n FROM made, "
            "generate_series(1, 20) n",
            (f"BIG-{number}", world.community.site, f"大柜 {number}"),
        )
    client = world.client()
    page = client.get("/s/s")
    files = set(re.findall(r'/static/[^"]+', page.text))
    total = len(page.content) + sum(len(client.get(file).content) for file in files)
    assert total < 100_000, total


def _used_keys() -> set[str]:
    sources = [template_source(name) for name in template_names()]
    sources += [p.read_text() for p in Path("api/pages").glob("*.py")]
    found: set[str] = set()
    for text in sources:
        found |= set(re.findall(r'\b(?:t|self)\("([a-z0-9.-]+[a-z0-9])"', text))
        for chosen in re.findall(r'\bt\("([a-z.-]+)" if [^)]*? else "([a-z.-]+)"', text):
            found |= set(chosen)
    assert len(found) > 100
    return found


def _families() -> set[str]:
    states = [state.value for state in TicketState]
    actions = set(re.findall(r'"([a-z-]+)"', " ".join(_workflow_actions())))
    kinds = [kind.name.lower().replace("_", "-") for kind in Kind]
    return {
        *(f"fault.{code}" for code in FAULTS),
        *(f"{family}.{state}" for family in ("state", "mend") for state in states),
        *(f"status.{status.value}" for status in Status),
        *(f"mend.{word}" for word in ("review", "dismissed")),
        *(f"photo.{word}" for word in PHOTO_WORDS),
        *(f"action.{action}" for action in actions),
        *(f"role.{role}" for role in ROLES),
        *(f"scope.{word}" for word in [*SCOPES, "all"]),
        *(f"say.{code}" for code in SAYINGS),
        *(f"observation.{kind}" for kind in kinds),
        *(f"pause.{reason}" for reason in get_args(PauseReason)),
        *(f"{family}.{word}" for family in ("promise", "promised") for word in PROMISES),
        *(f"ladder.{step.to}" for step in Escalation().steps),
        *(f"do.{word}" for word in BY_PEOPLE if word != "merge"),
        *(f"guide.{kind}.{step}" for kind in ("ebike", "car") for step in range(1, 5)),
        *(f"command.{button}" for button in commanding._NAMES),
        *(f"command.state.{state}" for state in get_args(CommandState)),
        *(f"command.problem.{word}" for word in ("reason", "connector", "on-site", "under-way")),
        *(f"trial.{word}" for word in _trial_words()),
        *(f"lack.{word}" for word in get_args(proving.Word)),
        *(f"range.{hours}" for hours in past.PRESETS),
        *(f"range.problem.{word}" for word in ("unreadable", "length")),
        *(f"bulk.{word}" for word in ("assign", "accept", "comment", "silence")),
        *(f"bulk.hours.{hours}" for hours in board.HOURS),
        *(f"bulk.refused.{word}" for word in ("changed", "danger", "not-now", "not-yours")),
        *(f"bulk.problem.{word}" for word in ("none", "reason")),
        *(f"keys.{word}" for word in ("next", "previous", "open", "pick", "filter", "help")),
        *(f"map.{word}" for word in ("danger", "bad", "some", "good", "unknown")),
        *(f"heat.{level}" for level in range(5)),
        *(f"adopt.problem.{word}" for word in ("incomplete", "gone")),
        *(f"policy.state.{word}" for word in ("queued", "running", "done", "failed")),
        *(f"policy.{word}" for word in ("tickets", "false-alarms", "delay", "missing", "extra")),
        *(f"wall.{word}" for word in ("raised", "settled", "on-time", "satisfied", "open")),
        *("wall.overdue", "repair.by-deadline", "repair.by-way", "status.working"),
        *(f"nav.{word}" for word in ("repair", "map", "uptime", "quarantine", "policy")),
        *(f"proof.{kind}" for kind in ("session", "idle", "online", "inspection")),
    }


def _trial_words() -> list[str]:
    """Every reason and outcome of a trial that a timeline can show."""
    text = Path("alerts/selfrepair.py").read_text()
    reasons = re.findall(r'(?:return|Verdict\.[A-Z]+,|_end\(incident,) "([a-z-]+)"', text)
    return [*reasons, "rejected", "failed", "expired", "limit", "cured", "cleared"]


def _workflow_actions() -> list[str]:
    text = "".join(
        Path(f"{name}.py").read_text()
        for name in (
            *("pilewatch/workflow/transitions", "pilewatch/workflow/desk"),
            *("alerts/consequences",),
            *("pilewatch/workflow/reports", "pilewatch/workflow/inspections", "alerts/selfrepair"),
        )
    )
    found = re.findall(r'(?:to\([\w.]+|Entry|Comment\([\w.]+), ("[a-z-]+")', text)
    return [*found, *re.findall(r'Entry\(("[a-z-]+")', text)]


@pytest.mark.parametrize("language", LOCALES)
def test_every_word_exists_in_every_language(language: str) -> None:
    known = catalogue(language)
    missing = (_used_keys() | _families()) - set(known)
    assert not missing
    empty = {key for key, text in known.items() if not text} - {
        "port.confirmed.before",
        "port.confirmed.after",
    }
    assert not empty
    other = catalogue("zh" if language == "en" else "en")
    assert set(known) == set(other)
    for key, text in known.items():
        fields = [{name for _, name, _, _ in Formatter().parse(t) if name} for t in
                  (text, other[key])]  # fmt: skip
        assert fields[0] == fields[1], key


def test_a_ticket_shows_the_measure_and_the_limit_that_was_broken(world: World) -> None:
    id = hot(world.db, world.community, datetime.now(UTC))
    ticket = world.ticket("over-temperature")
    world.db.execute("UPDATE incident SET ticket_id = %s WHERE id = %s", (ticket, id))
    page = world.client("operator").get(f"/console/tickets/{ticket}").text
    assert "measured 97, limit 80" in page and "limit 80 °C" in page
    points = re.search(r'<polyline points="([^"]+)"/><line class="limit"[^>]*y1="([\d.]+)"', page)
    assert points is not None
    heights = [float(pair.split(",")[1]) for pair in points[1].split()]
    assert len(heights) == 20
    broken = [height < float(points[2]) for height in heights]
    assert broken == [40 + 3 * minute > 80 for minute in range(20)]


def test_staff_order_commands_by_plain_forms_and_see_what_became_of_them(world: World) -> None:
    client = world.client("repairer")
    page = client.get("/console/chargers/C0").text
    buttons = re.findall(r'name="order" value="([a-z-]+)"', page)
    assert buttons == list(commanding._NAMES)
    assert "No commands yet." in page
    said = {"csrf": _csrf(client), "port": "2", "reason": "plug stuck"}
    path = "/console/chargers/C0/commands"
    assert client.post(path, data={**said, "csrf": "x", "order": "unlock"}).status_code == 403
    sent = client.post(path, data={**said, "order": "unlock"})
    assert (sent.status_code, sent.headers["location"]) == (303, "/console/chargers/C0#commands")
    again = client.post(path, data={**said, "order": "unlock"})
    assert again.status_code == 409 and "already under way" in again.text
    assert 'value="plug stuck"' in again.text, "what was typed is kept"
    for order, more, told in (
        ("start-test", {}, "Only for somebody who stands at the pile"),
        ("start-test", {"on_site": "1", "port": ""}, "Choose the port first"),
        ("reset", {"reason": " "}, "A reason is needed"),
    ):
        refused = client.post(path, data={**said, "order": order, **more})
        assert (refused.status_code, told in refused.text) == (422, True), order
    assert client.post(path, data={**said, "order": "explode"}).status_code == 404
    for order in ("reset", "service-off", "start-test"):
        done = client.post(path, data={**said, "order": order, "on_site": "1"})
        assert done.status_code == 303, order
    world.db.execute(
        "UPDATE command SET state = 'failed', detail = 'stuck', ended_at = now() "
        "WHERE name = 'unlock'"
    )
    page = client.get("/console/chargers/C0").text
    assert "Take out of service" in page and "waiting to be sent" in page
    assert "failed" in page and "stuck" in page and "repairer" in page
    worker = world.client("grid_worker").get("/console/chargers/C0").text
    assert re.findall(r'name="order" value="([a-z-]+)"', worker) == ["trigger-status", "start-test"]
    world.db.execute("UPDATE site SET company_id = NULL")
    assert "Commands" not in client.get("/console/chargers/C0").text


@pytest.mark.parametrize(
    ("language", "told"), [("en", "the fault was still there"), ("zh", "故障仍然存在")]
)
def test_a_ticket_tells_the_resets_that_were_tried(world: World, language: str, told: str) -> None:
    id = world.ticket("internal-error")
    said = {"command": 7, "issued_at": "2026-05-01T08:00:00+00:00", "state": "done",
            "detail": None, "outcome": "ticket", "why": "still-there"}  # fmt: skip
    with world.db.transaction():
        tried = Comment(None, "reset-tried", said)
        act(world.db, Policy(), datetime.now(UTC), id, tried, ENGINE)
    page = world.client("operator", language).get(f"/console/tickets/{id}").text
    assert told in page and "7" in page


def test_public_pages_and_files_are_packed_for_who_unpacks_and_secret_ones_never(
    world: World,
) -> None:
    client = world.client()
    style = re.search(r'href="(/static/pilewatch\.css[^"]+)"', client.get("/s/s").text)
    assert style is not None
    for path in ("/s/s", style[1]):
        packed, plain = (
            client.get(path, headers={"Accept-Encoding": said}) for said in ("br, gzip", "gzip;q=0")
        )
        assert packed.headers["content-encoding"] == "gzip" and "content-encoding" not in (
            plain.headers
        )
        assert packed.text == plain.text and "Accept-Encoding" in packed.headers["vary"]
        assert int(packed.headers["content-length"]) < len(plain.content) / 2
    secret = world.client("operator").get("/console", headers={"Accept-Encoding": "gzip"})
    assert "content-encoding" not in secret.headers
