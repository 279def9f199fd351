"""The pages of operators and repairers over a real database, without a script."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from fastapi.testclient import TestClient

from pilewatch.policy import Policy
from pilewatch.store.policies import end_trial, in_force
from pilewatch.workflow.desk import ENGINE, Actor, act
from pilewatch.workflow.tickets import Accept, Claim, ReturnClaim
from tests.api.test_explain import hot
from tests.pages.conftest import World


def _csrf(client: TestClient) -> str:
    found = re.search(r'name="csrf" value="([^"]+)"', client.get("/console").text)
    assert found is not None
    return found[1]


def _say(world: World, at: datetime, status: str | None, watts: float | None = None) -> None:
    world.db.execute(
        "INSERT INTO observation (observed_at, received_at, charger_id, connector, kind, seq, "
        "status, power_w) VALUES (%s, %s, %s, 1, %s, -1, %s, %s)",
        (at, at, world.community.chargers[0], 1 if status else 2, status, watts),
    )


# --- a charger's past


def test_a_charger_shows_its_states_measures_and_incidents_of_any_range(world: World) -> None:
    now = datetime.now(UTC)
    hot(world.db, world.community, now)
    _say(world, now - timedelta(hours=30), "available")
    _say(world, now - timedelta(hours=2), "charging")
    client = world.client("operator")
    page = client.get("/console/chargers/C0").text
    assert 'class="s-available"' in page and 'class="s-charging"' in page
    assert 'id="chart-temperature"' in page and "limit 80 °C" in page
    assert 'class="mark level-1"' in page and 'id="i-1"' in page, "on the picture, and listed"
    assert "measured 97, limit 80" in page
    elsewhere = (now - timedelta(days=3)).strftime("%Y-%m-%dT%H:%M")
    until = (now - timedelta(days=2)).strftime("%Y-%m-%dT%H:%M")
    old = client.get(f"/console/chargers/C0?from={elsewhere}&to={until}").text
    assert "Nothing was measured" in old and "Nothing was wrong" in old
    assert "could not be read" in client.get("/console/chargers/C0?from=x&to=y").text


def test_a_charts_points_stay_few_whatever_was_sent(world: World) -> None:
    world.db.execute(
        "INSERT INTO observation (observed_at, received_at, charger_id, connector, kind, seq, "
        "power_w) SELECT now() - n * interval '5 s', now(), %s, 1, 2, -1, n FROM "
        "generate_series(1, 17000) n",
        (world.community.chargers[0],),
    )
    page = world.client("operator").get("/console/chargers/C0")
    rows = page.text.count("<tr data-at=")
    assert 200 < rows <= 241
    assert len(page.content) < 120_000


def test_long_ranges_come_from_what_outlives_the_observations(world: World) -> None:
    hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(days=20)
    port, pile = world.community.connectors[0], world.community.chargers[0]
    world.db.execute("INSERT INTO state_change VALUES (%s, %s, 'working')", (port, hour))
    for at, heard in ((hour, True), (hour + timedelta(days=5), False),
                      (hour + timedelta(days=9), True)):  # fmt: skip
        world.db.execute("INSERT INTO contact_change VALUES (%s, %s, %s)", (pile, at, heard))
    world.db.execute(
        "INSERT INTO observation_hour (connector_id, hour, samples, power_avg_w, power_max_w, "
        "sessions_ended) VALUES (%s, %s, 60, 210, 350, 1)",
        (port, hour + timedelta(days=1)),
    )
    page = world.client("operator").get("/console/chargers/C0?hours=720").text
    band = page.split('class="band"')[1]
    words = re.findall(r'class="s-(\w+)"', band)
    assert words == ["working", "unknown", "working"]
    assert "350" in page


def test_nobody_sees_the_past_of_a_charger_outside_the_own_scope(world: World) -> None:
    world.db.execute("UPDATE site SET company_id = NULL")
    assert world.client("repairer").get("/console/chargers/C0").status_code == 404


# --- the board


def test_ten_thousand_tickets_are_paged(world: World) -> None:
    db, site = world.db, world.community.site
    db.execute("SET session_replication_role = replica")  # the ledger is not looked at
    db.execute(
        "WITH c AS (INSERT INTO charger (code, site_id, kind, label) SELECT 'B' || n, %s, 'ebike', "
        "'大柜 ' || n FROM generate_series(1, 1000) n RETURNING id) "
        "INSERT INTO connector (charger_id, number) SELECT id, n FROM c, generate_series(1, 10) n",
        (site,),
    )
    db.execute(
        "INSERT INTO ticket (subject_kind, subject_id, site_id, charger_id, connector_id, code, "
        "family, severity, state, opened_at, deadline_at, version) "
        "SELECT 'connector', n.id, %s, n.charger_id, n.id, 'plug-broken', 'contact', "
        "2 + (n.id %% 2), 'open', now(), now() + n.id * interval '1 s', 1 "
        "FROM connector n JOIN charger c ON c.id = n.charger_id WHERE c.code LIKE 'B%%'",
        (site,),
    )
    db.execute("SET session_replication_role = DEFAULT")
    db.execute("ANALYZE")
    client = world.client("operator")
    page = client.get("/console")
    assert len(page.content) < 300_000
    assert "<b>10000</b>" in page.text and page.text.count('class="matter ') == 50
    shown = set(re.findall(r'id="t-(\d+)"', page.text))
    following = client.get("/console?page=2").text
    assert not shown & set(re.findall(r'id="t-(\d+)"', following))
    last = client.get("/console?page=200").text
    assert last.count('class="matter ') == 50 and 'rel="next"' not in last
    assert client.get("/console?page=99999&severity=3").text.count('class="matter ') == 0


def test_one_order_for_many_tells_what_became_of_each(world: World) -> None:
    first, second = world.ticket("plug-broken", 0), world.ticket("no-output", 2)
    client = world.client("operator")
    said = {"csrf": _csrf(client), "order": "assign", "company": "c", "assignee": "repairer"}
    chosen = [f"{first}:1", f"{second}:7", "99999:1"]
    done = client.post("/console/bulk", data={**said, "ticket": chosen})
    assert done.status_code == 200 and "1 of 3 done" in done.text
    assert "Somebody changed it meanwhile" in done.text and "Not within your reach" in done.text
    assert world.community.state(first) == "assigned" and world.community.state(second) == "open"
    assert client.post("/console/bulk", data=said).status_code == 422
    wrong = {**said, "ticket": ["x:1"]}
    assert client.post("/console/bulk", data=wrong).status_code == 422
    assert client.post("/console/bulk", data={**said, "csrf": "x"}).status_code == 403
    unknown = {**said, "order": "explode", "ticket": chosen}
    assert client.post("/console/bulk", data=unknown).status_code == 404


def test_a_silence_needs_a_reason_spares_danger_and_can_be_ended(world: World) -> None:
    danger, notice = world.ticket("over-temperature", 0), world.ticket("weak-signal", 2)
    client = world.client("operator")
    said = {"csrf": _csrf(client), "order": "silence", "hours": "24",
            "ticket": [f"{danger}:1", f"{notice}:1"]}  # fmt: skip
    assert "A reason is needed" in client.post("/console/bulk", data=said).text
    done = client.post("/console/bulk", data={**said, "note": "antenna ordered"}).text
    assert "1 of 2 done" in done and "Danger to people is not silenced" in done
    listed = client.get("/console/silences").text
    assert "antenna ordered" in listed and listed.count('action="/console/silences/') == 1
    assert "Silenced until" in client.get("/console").text
    id = world.row("SELECT id FROM silence")["id"]
    ended = client.post(f"/console/silences/{id}/end", data={"csrf": _csrf(client)})
    assert ended.status_code == 303
    assert "Nothing is silenced" in client.get("/console/silences").text
    mine = {**said, "csrf": _csrf(repairer := world.client("repairer")), "note": "x"}
    assert repairer.post("/console/bulk", data=mine).status_code == 403


# --- the repairer


def test_a_repairer_sees_own_work_and_why_a_claim_was_not_believed(world: World) -> None:
    now = datetime.now(UTC)
    world.db.execute("UPDATE connector_state SET healthy_since = %s", (now,))
    mine, other = world.ticket("display-failure", 0), world.ticket("plug-broken", 2)
    me = world.row("SELECT id FROM person WHERE login = 'repairer'")["id"]
    world.db.execute("UPDATE ticket SET assignee_id = %s WHERE id = %s", (me, mine))
    world.db.execute("UPDATE ticket SET company_id = NULL WHERE id = %s", (other,))
    client = world.client("repairer")
    page = client.get("/repair").text
    assert f'href="/console/tickets/{mine}#do-accept"' in page and "Plug or socket" not in page
    with world.db.transaction():
        act(world.db, Policy(), now, mine, Accept(), Actor("person", me))
        act(world.db, Policy(), now, mine, Claim("dark", "new screen"), Actor("person", me))
    waiting = client.get("/repair?by=way").text
    assert "awaiting proof" in waiting and "at least 50 Wh" in waiting
    port = world.community.connectors[0]
    world.community.session(port, now + timedelta(seconds=1), now + timedelta(seconds=9), 12)
    with world.db.transaction():
        act(world.db, Policy(), now, mine, ReturnClaim("no proof"), ENGINE)
    for path in ("/repair", f"/console/tickets/{mine}"):
        told = client.get(path).text
        assert "nothing proved it" in told and "At most 12 Wh" in told, path
        assert "30 minutes are needed" in told and "Either of these" in told, path
    hot(world.db, world.community, now)
    world.db.execute("UPDATE incident SET family = 'display', code = 'display-failure'")
    again = client.get("/repair").text
    assert "still reports this fault" in again and "At most" not in again
    assert world.client("operator").get("/repair").status_code == 200
    assert world.client("grid_worker").get("/repair").status_code == 403


# --- map, uptime, wall


def test_map_and_uptime_show_each_only_what_they_may_see(world: World) -> None:
    world.db.execute("UPDATE site SET latitude = 32.13, longitude = 114.07")
    world.ticket("over-temperature", 0)
    client = world.client("operator")
    page = client.get("/console/map").text
    assert 'class="spot c-danger"' in page and "万和一期东门" in page
    hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    month = hour.replace(day=1, hour=0) - timedelta(days=10)
    for port in world.community.connectors:
        world.db.execute("INSERT INTO state_change VALUES (%s, %s, 'working')", (port, month))
    for pile in world.community.chargers:
        world.db.execute("INSERT INTO contact_change VALUES (%s, %s, true)", (pile, month))
    world.db.execute("INSERT INTO interval_progress VALUES (true, %s, %s)", (hour, month))
    world.db.execute(
        "INSERT INTO state_change VALUES (%s, %s, 'faulted')",
        (world.community.connectors[0], month + timedelta(days=1)),
    )
    heat = client.get(f"/console/uptime?site=s&month={month:%Y-%m}").text
    assert 'class="h-4">100<' in heat and 'class="h-1">50<' in heat and "<b>100</b>" in heat
    assert "That is no month" in client.get("/console/uptime?month=13").text
    world.db.execute("UPDATE site SET company_id = NULL")
    other = world.client("repairer")
    assert "万和一期东门" not in other.get("/console/map").text
    assert "Nothing is known" in other.get(f"/console/uptime?site=s&month={month:%Y-%m}").text


def test_the_wall_counts_and_names_nobody(world: World) -> None:
    assert "–" in world.client().get("/board").text
    id = world.ticket("relay-open", 0)
    link = world.report(world.client(), note="my neighbour 13800001111")
    page = world.client().get("/board?area=a").text
    assert "Raised this month</dt><dd>2<" in page and "4 of 6 usable" in page
    for secret in ("13800001111", "万和一期东门", "C0", link, "Relay"):
        assert secret not in page
    assert f"#{id}" not in page
    assert world.client().get("/board?area=zz").status_code == 404
    assert world.client().get("/board?area=%00").status_code == 200
    part = world.client().get("/board", headers={"X-Fragment": "1"}).text
    assert "<html" not in part and "Raised this month" in part


# --- quarantine and policy


def test_an_unknown_charger_is_adopted_once_and_by_whom_may(world: World) -> None:
    world.db.execute("INSERT INTO unknown_charger VALUES ('NEW-1', now(), now(), 7)")
    client = world.client("operator")
    assert 'action="/console/quarantine/adopt"' in client.get("/console/quarantine").text
    said = {"csrf": _csrf(client), "code": "NEW-1", "site": "s", "kind": "ebike",
            "label": "新桩", "connectors": "4"}  # fmt: skip
    path = "/console/quarantine/adopt"
    for wrong in ({"site": ""}, {"kind": "boat"}, {"label": " "}, {"connectors": "0"}):
        assert client.post(path, data={**said, **wrong}).status_code == 422
    assert client.post(path, data={**said, "csrf": ""}).status_code == 403
    assert client.post(path, data={**said, "site": "zz"}).status_code == 403
    assert client.post(path, data={**said, "code": "NEVER"}).status_code == 409
    done = client.post(path, data=said)
    assert (done.status_code, done.headers["location"]) == (303, "/console/chargers/NEW-1")
    assert client.get("/console/chargers/NEW-1").status_code == 200
    assert client.post(path, data=said).status_code == 409
    ports = world.row("SELECT count(*) AS n FROM connector n JOIN charger c "
                      "ON c.id = n.charger_id WHERE c.code = 'NEW-1'")  # fmt: skip
    assert ports["n"] == 4
    assert world.row("SELECT count(*) AS n FROM audit WHERE action = 'charger.adopt'")["n"] == 1
    assert "adopt" not in world.client("auditor").get("/console/quarantine").text
    mine = {**said, "csrf": _csrf(auditor := world.client("auditor"))}
    assert auditor.post(path, data=mine).status_code == 403


def test_a_policy_is_refused_with_its_place_or_tried_before_it_is_saved(world: World) -> None:
    client = world.client("operator")
    csrf = _csrf(client)
    bad = {"csrf": csrf, "text": '[debounce]\npeople_s = "x"', "days": "1"}
    refused = client.post("/console/policy", data=bad)
    assert refused.status_code == 422 and "debounce.people_s" in refused.text
    assert "people_s = &#34;x&#34;" in refused.text, "what was typed is kept"
    for text in ("calendar_file = '/etc/passwd'", "a = " + "[" * 5000, "unknown = 1"):
        answer = client.post("/console/policy", data={**bad, "text": text})
        assert answer.status_code == 422 and "root:" not in answer.text
    good = {"csrf": csrf, "text": "[debounce]\npeople_s = 7\n", "days": "3"}
    written = client.post("/console/policy", data=good)
    assert written.status_code == 303
    path = written.headers["location"]
    assert "<progress" in client.get(path).text
    assert client.post(f"{path}/save", data={"csrf": csrf}).status_code == 409
    id = int(path.rsplit("/", 1)[1])
    world.db.execute("UPDATE policy_draft SET state = 'running', alive_at = now()")
    summary = {
        "tickets": {"real": 9, "with_policy": 4}, "false_alarms": {"real": 2,
        "with_policy_known": 1}, "median_delay_s": {"real": 10.0, "with_policy": None},
    }  # fmt: skip
    end_trial(world.db, id, result={"summary": summary, "missing": [], "extra": []})
    assert in_force(world.db, Policy()).debounce.people_s == 2
    assert client.post(f"{path}/save", data={"csrf": csrf}).status_code == 303
    assert in_force(world.db, Policy()).debounce.people_s == 7
    assert "in force since" in client.get(path).text
    assert client.post(f"{path}/save", data={"csrf": csrf}).status_code == 409
    world.db.execute("UPDATE policy_draft SET text = 'of a newer program = 1', id = DEFAULT")
    assert in_force(world.db, Policy()).debounce.people_s == 2, "the file's, and no crash"


@pytest.mark.parametrize("role", ["repairer", "grid_worker", "auditor", None])
def test_only_who_answers_for_all_sees_the_policy(world: World, role: str | None) -> None:
    answer = world.client(role).get("/console/policy")
    assert answer.status_code == (303 if role is None else 403)


def test_an_operator_of_one_company_does_not_decide_for_all(world: World) -> None:
    world.db.execute(
        "UPDATE person SET company_id = %s WHERE login = 'operator'", (world.community.company,)
    )
    assert world.client("operator").get("/console/policy").status_code == 403
