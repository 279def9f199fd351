"""Work orders, costs and bulk orders through the API: rights, results, repeats."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx

from tests.api.conftest import World

SOON = (datetime.now(UTC) + timedelta(days=1)).isoformat()


def shared_out(world: World, **more: Any) -> tuple[int, dict[str, Any]]:
    """A ticket of company c, and its one work order for the power supplier."""
    world.db.execute("INSERT INTO company (code, name) VALUES ('power', '供电所')")
    ticket = world.ticket()
    part = {"duty": "power", "company": "power", "task": "恢复供电", "deadline_at": SOON, **more}
    made = world.ask("operator", "POST", f"/tickets/{ticket}/split", json={"orders": [part]})
    assert made.status_code == 201, made.text
    (order,) = made.json()["items"]
    return ticket, order


def test_a_company_does_its_part_and_sees_nothing_else(world: World) -> None:
    ticket, order = shared_out(world)
    assert (order["subject"]["charger"], order["actions"]) == ("C0", ["accept", "finish", "cancel"])
    path = f"/work-orders/{order['id']}"
    assert world.ask("repairer", "POST", f"{path}/accept", json={}).status_code == 403, "c's"
    world.db.execute(
        "UPDATE person SET company_id = (SELECT id FROM company WHERE code = 'power') "
        "WHERE login = 'repairer'"
    )
    assert world.ask("repairer", "GET", f"/tickets/{ticket}").status_code == 404
    assert [o["id"] for o in world.ask("repairer", "GET", "/work-orders").json()["items"]] == [
        order["id"]
    ]
    accepted = world.ask("repairer", "POST", f"{path}/accept", json={}, headers={"If-Match": '"1"'})
    assert (accepted.json()["state"], accepted.headers["etag"]) == ("accepted", '"2"')
    old = world.ask("repairer", "POST", f"{path}/finish", json={}, headers={"If-Match": '"1"'})
    assert (old.status_code, old.json()["version"], old.json()["state"]) == (412, 2, "accepted")
    again = world.ask("repairer", "POST", f"{path}/accept", json={})
    assert (again.status_code, again.json()["allowed"]) == (409, ["finish", "cancel"])
    assert world.ask("repairer", "POST", f"{path}/cancel", json={"note": "x"}).status_code == 403
    assert world.ask("operator", "GET", f"/tickets/{ticket}").json()["open_orders"] == 1
    claim = {"cause": "a", "remedy": "b", "cause_code": "mains", "remedy_code": "mains-restored"}
    world.ask("operator", "POST", f"/tickets/{ticket}/accept")
    waits = world.ask("operator", "POST", f"/tickets/{ticket}/claim", json=claim)
    assert waits.status_code == 409 and "waits for 1 work orders" in waits.json()["detail"]
    done = world.ask("repairer", "POST", f"{path}/finish", json={"note": "已送电"})
    assert (done.json()["state"], done.json()["note"]) == ("done", "已送电")
    claimed = world.ask("operator", "POST", f"/tickets/{ticket}/claim", json=claim).json()
    assert (claimed["state"], claimed["cause_code"]) == ("repaired", "mains")
    (line,) = world.ask("operator", "GET", "/ledger").json()["items"]
    power = {"duty": "power", "company": "power", "owner": None, "state": "done"}
    assert line["shared"] == [power]
    sheet = world.ask("operator", "GET", "/ledger/export.csv").content.decode("utf-8-sig")
    assert "C；供电：供电所" in sheet
    audited = [r["action"] for r in world.db.execute("SELECT action FROM audit ORDER BY id")]
    assert audited[:3] == ["ticket.split", "work-order.accept", "ticket.accept"]


def test_a_grid_worker_does_what_is_the_communitys(world: World) -> None:
    _, order = shared_out(world, duty="community", owner="grid_worker", company=None)
    path = f"/work-orders/{order['id']}"
    assert world.ask("grid_worker", "POST", f"{path}/finish", json={}).status_code == 200
    assert world.ask("operator", "POST", f"{path}/return", json={}).status_code == 409, "no reason"
    back = world.ask("operator", "POST", f"{path}/return", json={"note": "没开门"})
    assert back.json()["state"] == "open"
    assert world.ask("operator", "GET", "/work-orders/999").status_code == 404
    listed = world.ask("operator", "GET", "/work-orders?state=open&duty=community&ticket=1")
    assert [o["id"] for o in listed.json()["items"]] == [order["id"]]


def test_a_part_that_nobody_can_do_is_refused(world: World) -> None:
    path = f"/tickets/{world.ticket()}/split"
    good = {"duty": "power", "company": "c", "task": "x", "deadline_at": SOON}
    for wrong in (
        {"company": None}, {"company": "nobody"}, {"owner": "nobody"}, {"duty": "gas"},
        {"deadline_at": "2025-01-01T00:00:00Z"}, {"task": ""},
    ):  # fmt: skip
        orders = {"orders": [{**good, **wrong}]}
        assert world.ask("operator", "POST", path, json=orders).status_code == 422, wrong
    assert world.ask("operator", "POST", path, json={"orders": []}).status_code == 422
    assert world.community.timeline(1) == ["opened"]


def test_costs_are_entered_shown_by_payer_and_withdrawn(world: World) -> None:
    ticket = world.ticket("plug-broken")
    path = f"/tickets/{ticket}/costs"
    part = {"kind": "part", "part": "socket", "unit_fen": 4500, "payer": "operator",
            "warrantor": "c", "warranty_until": "2099-01-01"}  # fmt: skip
    assert world.ask("repairer", "POST", path, json=part).status_code == 201
    work = {"kind": "labour", "quantity": 2, "unit_fen": 3000, "payer": "property"}
    told = world.ask("repairer", "POST", path, json=work).json()
    assert told["by_payer"] == {"operator": 4500, "property": 6000} and told["total_fen"] == 10500
    one = told["items"][0]["id"]
    gone = world.ask("operator", "POST", f"{path}/{one}/withdraw").json()
    assert gone["total_fen"] == 6000 and gone["items"][0]["withdrawn_at"]
    assert world.ask("operator", "POST", f"{path}/{one}/withdraw").status_code == 404
    for wrong in (
        {"unit_fen": 45.5}, {"unit_fen": -1}, {"unit_fen": "4500"}, {"part": None},
        {"part": "flux"}, {"warrantor": None}, {"warrantor": "nobody"}, {"payer": "nobody"},
        {"quantity": 0}, {"kind": "labour"}, {"warranty_until": "0001-01-01"},
    ):  # fmt: skip
        assert world.ask("repairer", "POST", path, json={**part, **wrong}).status_code == 422, wrong
    world.db.execute("UPDATE ticket SET company_id = NULL")
    assert world.ask("repairer", "GET", path).status_code == 404
    codes = world.ask(None, "GET", "/repair-codes").json()
    assert {"code": "socket", "zh": "插座", "en": "socket"} in codes["parts"]


def test_a_word_for_residents_is_on_the_receipt_and_others_are_not(world: World) -> None:
    said = {"charger": "C1", "connector": 2, "code": "no-output"}
    filed = world.ask(None, "POST", "/reports", json=said).json()
    path = f"/tickets/{filed['ticket_id']}/comments"
    for body in ({"text": "供应商太慢"}, {"text": "周五换插座", "audience": "residents"}):
        assert world.ask("operator", "POST", path, json=body).status_code == 200
    steps = world.ask(None, "GET", f"/receipts/{filed['receipt']}").json()["steps"]
    assert [(s["action"], s["text"]) for s in steps] == [
        ("opened", None),
        ("announced", "周五换插座"),
    ]
    page = world.client.get(f"/r/{filed['receipt']}").text
    assert "周五换插座" in page and "供应商太慢" not in page


# --- one order for many tickets


def bulk(world: World, action: str, ids: list[Any], role: str = "operator", **more: Any) -> Any:
    """One bulk order."""
    headers = more.pop("headers", {})
    items = [id if isinstance(id, dict) else {"id": id} for id in ids]
    order = {"action": action, "tickets": items, **more}
    return world.ask(role, "POST", "/tickets/bulk", json=order, headers=headers)


def test_each_ticket_of_a_bulk_order_has_its_own_result(world: World) -> None:
    one, two, three = (world.ticket("plug-broken", connector=n) for n in range(3))
    world.ask("operator", "POST", f"/tickets/{two}/reject", json={"reason": "x"})
    wanted = [three, two, 999, {"id": one, "version": 7}]
    told = bulk(world, "assign", wanted, body={"company": "c", "assignee": "repairer"}).json()
    assert (told["done"], told["refused"]) == (1, 3)
    short = [(r["id"], r["status"], r["state"], r["version"]) for r in told["results"]]
    assert short == [
        (three, 200, "assigned", 2), (two, 409, "rejected", 2), (999, 404, None, None),
        (one, 412, "open", 1),
    ]  # fmt: skip
    assert told["results"][1]["problem"]["type"] == "urn:pilewatch:problem:refused"
    assert world.community.state(one) == "open"


def test_a_bulk_order_that_does_not_fit_does_nothing(world: World) -> None:
    world.ticket()
    one = [{"id": 1}]
    orders: list[dict[str, Any]] = [
        {"action": "assign", "tickets": []},
        {"action": "assign", "tickets": one * 2},
        {"action": "assign", "tickets": one, "body": {"company": "nobody"}},
        {"action": "claim", "tickets": one, "body": {"cause": "a"}},
        {"action": "accept", "tickets": one, "body": {"x": 1}},
        {"action": "close", "tickets": one},
        {"action": "accept", "tickets": [{"id": n} for n in range(1, 202)]},
    ]
    for order in orders:
        refused = world.ask("operator", "POST", "/tickets/bulk", json=order)
        assert refused.status_code == 422, order
    assert world.community.timeline(1) == ["opened"]


def test_a_bulk_order_sent_again_goes_on_where_it_was(world: World) -> None:
    key = {"Idempotency-Key": str(uuid4())}
    ids = [world.ticket("plug-broken", connector=n) for n in range(4)]
    # The order's process dies after two of four: what it had committed is what is kept.
    whole = bulk(world, "comment", ids, body={"text": "a"}, headers=dict(key)).json()
    world.db.execute(
        "DELETE FROM ticket_entry WHERE ticket_id = ANY(%s) AND action = 'commented'", (ids[2:],)
    )
    world.db.execute("UPDATE ticket SET version = 1 WHERE id = ANY(%s)", (ids[2:],))
    world.db.execute(
        "DELETE FROM idempotency_key WHERE key = ANY(%s)",
        ([f"{key['Idempotency-Key']} {id}" for id in ids[2:]],),
    )
    again = bulk(world, "comment", ids, body={"text": "a"}, headers=dict(key))
    assert again.json() == whole and whole["done"] == 4
    for id in ids:
        assert world.community.timeline(id) == ["opened", "commented"]
    other = bulk(world, "comment", ids[:1], body={"text": "b"}, headers=dict(key))
    assert other.status_code == 422 and "Idempotency-Key" in other.json()["detail"]


def test_of_bulk_twins_at_the_same_moment_each_ticket_is_done_once(world: World) -> None:
    key = {"Idempotency-Key": str(uuid4()), **world.headers("operator")}
    ids = [world.ticket("plug-broken", connector=n) for n in range(6)]
    order = {"action": "comment", "tickets": [{"id": n} for n in ids], "body": {"text": "a"}}
    with world.served(), httpx.Client(base_url=world.base, timeout=30) as client:

        def send(_: int) -> httpx.Response:
            return client.post("/api/v1/tickets/bulk", json=order, headers=key)

        with ThreadPoolExecutor(12) as crowd:
            answers = list(crowd.map(send, range(12)))
    assert {a.status_code for a in answers} == {200}
    assert len({a.text for a in answers}) == 1
    for id in ids:
        assert world.community.timeline(id) == ["opened", "commented"]


def test_bulk_orders_that_meet_from_both_ends_wait_for_each_other_in_no_ring(world: World) -> None:
    ids = [world.ticket("plug-broken", connector=n) for n in range(6)]
    with world.served(), httpx.Client(base_url=world.base, timeout=30) as client:

        def send(number: int) -> httpx.Response:
            items = [{"id": id} for id in (ids if number % 2 else ids[::-1])]
            order = {"action": "comment", "tickets": items, "body": {"text": "a"}}
            key = {"Idempotency-Key": str(uuid4()), **world.headers("operator")}
            return client.post("/api/v1/tickets/bulk", json=order, headers=key)

        with ThreadPoolExecutor(6) as crowd:
            answers = list(crowd.map(send, range(6)))
    assert [(a.status_code, a.json()["done"]) for a in answers] == [(200, 6)] * 6
    assert all(world.community.timeline(id) == ["opened", *["commented"] * 6] for id in ids)


def test_a_bulk_order_needs_the_right_of_the_single_one(world: World) -> None:
    id = world.ticket()
    assert bulk(world, "assign", [id], role="repairer", body={"company": "c"}).status_code == 403
    assert bulk(world, "accept", [id], role="repairer").json()["done"] == 1
    world.db.execute("UPDATE ticket SET company_id = NULL")
    assert bulk(world, "start", [id], role="repairer").json()["results"][0]["status"] == 404
