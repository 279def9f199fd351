"""Reports as staff enter and see them, and what a receipt's owner may do."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from cryptography.fernet import Fernet
from fastapi.testclient import TestClient

from api.app import create_app
from pilewatch.sealing import Seal
from pilewatch.settings import Sealing
from pilewatch.store.pool import Db
from pilewatch.workflow.contacts import contact_of
from tests.api.conftest import World
from tests.workflow.test_photos import picture

KEY = Fernet.generate_key().decode()
MATTER = {"charger": "C1", "connector": 2, "code": "no-output"}


@pytest.fixture
def keeping(plain_db: Db, plain_database_url: str) -> Iterator[World]:
    """An installation that has a key for contacts."""
    made = World(plain_db, plain_database_url)
    kept = made.settings.model_copy(update={"sealing": Sealing(keys=KEY)})  # type: ignore[arg-type]
    made.client = TestClient(create_app(kept), raise_server_exceptions=False)
    with made.client:
        yield made


def _report(world: World, **more: Any) -> dict[str, Any]:
    made = world.ask(None, "POST", "/reports", json={**MATTER, **more})
    assert made.status_code == 201, made.text
    return dict(made.json())


def test_a_worker_enters_a_call_and_reads_the_receipt_out(world: World) -> None:
    said = {**MATTER, "id": str(uuid4()), "note": "王奶奶来电"}
    filed = world.ask("grid_worker", "POST", "/reports/phone", json=said)
    assert filed.status_code == 201
    told = filed.json()
    assert [len(part) for part in told["read_out"].split(" ")] == [4, 4, 4, 4]
    assert told["receipt"] == told["read_out"].replace(" ", "")
    assert world.ask(None, "GET", f"/receipts/{told['receipt']}").json()["state"] == "open"
    again = world.ask("grid_worker", "POST", "/reports/phone", json=said)
    assert again.json()["receipt"] == told["receipt"]
    assert world.ask("operator", "GET", "/reports").json()["items"][0]["source"] == "phone"
    assert len(world.db.execute("SELECT FROM audit").fetchall()) == 1
    other = world.ask("grid_worker", "POST", "/reports/phone", json={**said, "code": "vandalism"})
    assert (other.status_code, other.json()["detail"]) == (
        409,
        "id: it came before with another code",
    )
    assert len(world.ask("operator", "GET", "/reports").json()["items"]) == 1
    audited = world.db.execute("SELECT action, after FROM audit WHERE action = 'report.phone'")
    assert "王奶奶" not in repr(audited.fetchall())
    second = world.ask("grid_worker", "POST", "/reports/phone", json={**said, "id": str(uuid4())})
    assert (second.json()["joined"], second.json()["others"]) == (True, 1)


def test_a_worker_of_another_grid_enters_nothing_here(world: World) -> None:
    world.db.execute(
        "WITH far AS (INSERT INTO grid (area_id, code, name) SELECT id, 'far', 'F' FROM area "
        "RETURNING id) UPDATE person_grid SET grid_id = far.id FROM person p, far "
        "WHERE p.id = person_id AND p.login = 'grid_worker'"
    )
    said = {**MATTER, "id": str(uuid4())}
    assert world.ask("grid_worker", "POST", "/reports/phone", json=said).status_code == 403
    _report(world)
    assert world.ask("grid_worker", "GET", "/reports").json()["items"] == []
    assert world.ask("grid_worker", "GET", "/reports/1").status_code == 404


def test_what_waits_for_a_review_is_listed_and_reviewed_once(world: World) -> None:
    for number in range(4):
        last = _report(world, charger=f"C{number % 3}", note="Buy cheap scooters now!")
    assert last["ticket_id"] is None
    story = world.ask(None, "GET", f"/receipts/{last['receipt']}").json()
    assert (story["waits"], story["steps"], story["state"]) == (True, [], None)
    waiting = world.ask("operator", "GET", "/reports?to_review=1").json()["items"]
    assert [row["doubt"] for row in waiting] == [["same-text"]]
    path = f"/reports/{waiting[0]['id']}/review"
    done = world.ask("operator", "POST", path, json={"accept": True}).json()
    assert done["accepted"] is True and done["ticket_id"] is not None
    assert world.ask("operator", "POST", path, json={"accept": False}).status_code == 409
    assert world.ask("operator", "GET", "/reports?to_review=1").json()["items"] == []
    assert world.ask("operator", "POST", "/reports/1/review",
                     json={"accept": True}).status_code == 409  # fmt: skip


def test_photos_are_seen_by_staff_of_the_place_and_by_the_receipts_owner(world: World) -> None:
    token = _report(world)["receipt"]
    path = f"/receipts/{token}/photos"
    sent = picture("PNG", (30, 20))
    added = world.ask(None, "POST", path, content=sent, headers={"Content-Type": "image/png"})
    assert (added.status_code, added.json()) == (201, {"number": 1})
    assert world.ask(None, "POST", path, content=sent).json() == {"number": 1}
    for role, where in ((None, f"{path}/1"), ("repairer", "/reports/1/photos/1")):
        seen = world.ask(role, "GET", where)
        assert (seen.status_code, seen.headers["content-type"]) == (200, "image/jpeg")
        assert seen.headers["x-content-type-options"] == "nosniff"
        assert seen.headers["content-security-policy"] == "default-src 'none'; sandbox"
        assert "no-store" in seen.headers["cache-control"]
        assert seen.content[:2] == b"\xff\xd8"
    assert world.ask(None, "GET", "/reports/1/photos/1").status_code == 401
    assert world.ask(None, "GET", "/receipts/guess/photos/1").status_code == 404
    assert world.ask("operator", "GET", "/reports/1/photos/2").status_code == 404
    world.db.execute("UPDATE ticket SET company_id = NULL")
    assert world.ask("repairer", "GET", "/reports/1/photos/1").status_code == 404
    assert world.ask(None, "GET", f"/receipts/{token}").json()["photos"] == [1]


def test_what_is_no_photo_is_refused_and_a_large_body_is_cut(world: World) -> None:
    path = f"/receipts/{_report(world)['receipt']}/photos"
    refused = world.ask(None, "POST", path, content=b"<script>")
    assert (refused.status_code, "JPEG, PNG or WebP" in refused.json()["detail"]) == (422, True)
    assert world.ask(None, "POST", path, content=b"x" * (11 * 2**20)).status_code == 413
    assert world.ask(None, "POST", "/reports", content=b"x" * (300 * 1024)).status_code == 413
    for number in range(3):
        assert (
            world.ask(None, "POST", path, content=picture("PNG", (9 + number, 9))).status_code
            == 201
        )
    full = world.ask(None, "POST", path, content=picture("PNG", (20, 9)))
    assert (full.status_code, full.json()["detail"]) == (409, "a report has 3 photos at most")


def test_a_contact_is_kept_only_where_there_is_a_key(world: World) -> None:
    refused = world.ask(None, "POST", "/reports", json={**MATTER, "contact": "13812345678"})
    assert (refused.status_code, refused.json()["detail"]) == (
        422, "contact: this installation keeps none",
    )  # fmt: skip
    assert world.ask("admin", "GET", "/reports").json()["items"] == []


def test_a_contact_is_left_changed_and_forgotten_by_its_owner(keeping: World) -> None:
    world = keeping
    filed = _report(world, contact="138 1234 5678")
    seal = Seal([KEY])
    kept = contact_of(world.db, seal, 1)
    assert kept is not None and (kept.kind, kept.to) == ("phone", "13812345678")
    assert kept.receipt == filed["receipt"]
    path = f"/receipts/{filed['receipt']}/contact"
    changed = world.ask(None, "PUT", path, json={"contact": "li@x.example", "language": "en"})
    assert changed.json() == {"kind": "email"}
    wrong = world.ask(None, "PUT", path, json={"contact": "li@x"})
    assert wrong.status_code == 422 and "li@x" not in wrong.text
    seen = world.ask("admin", "GET", "/reports/1").json()
    assert seen["contact"] is True and "li@x.example" not in repr(seen)
    assert world.ask(None, "GET", f"/receipts/{filed['receipt']}").json()["contact"] is True
    assert world.ask(None, "DELETE", path).json() == {"kind": None}
    assert contact_of(world.db, seal, 1) is None
    assert world.ask(None, "DELETE", "/receipts/guess/contact").status_code == 404
    phone = {**MATTER, "id": str(uuid4()), "contact": "13800000000"}
    called = world.ask("operator", "POST", "/reports/phone", json=phone).json()
    assert contact_of(world.db, seal, 2) is not None
    world.ask(None, "DELETE", f"/receipts/{called['receipt']}/contact")
    assert world.ask("operator", "POST", "/reports/phone", json=phone).status_code == 201
    assert contact_of(world.db, seal, 2) is None, "a repeat brings nothing back"
    assert "13800000000" not in repr(world.db.execute("SELECT * FROM audit").fetchall())


def test_the_me_too_count_grows_with_each_reporter(world: World) -> None:
    counts = [_report(world)["others"] for _ in range(3)]
    assert counts == [0, 1, 2]
    ticket = world.ask("operator", "GET", "/tickets/1").json()
    assert ticket["reports"] == 3
    listed = world.ask("operator", "GET", "/reports?ticket=1&limit=2").json()
    assert len(listed["items"]) == 2 and listed["next_cursor"] is not None
    assert datetime.fromisoformat(listed["items"][0]["reported_at"]) < datetime.now(UTC)
