"""Drafts of the policy are tried on history by a process of their own."""

from datetime import datetime, timedelta

import pytest

from deploy.trials import try_next
from pilewatch.settings import Database, Settings
from pilewatch.store import policies
from pilewatch.store.pool import Db
from tests.deploy.test_backtest import Afternoon, afternoon, at

__all__ = ["afternoon"]


def _draft(db: Db, person: int, text: str, begins: datetime, ends: datetime) -> int:
    return policies.add_draft(db, ends, text, person, begins, ends)


def test_a_draft_is_tried_and_tells_what_it_would_have_changed(
    afternoon: Afternoon, plain_database_url: str
) -> None:
    db, worker = afternoon.db, afternoon.community.worker
    text = "[debounce]\nreported_s = 90\nsilence_s = 30\nclear_s = 60\n"
    id = _draft(db, worker, text, at(0), at(60))
    settings = Settings(database=Database(url=plain_database_url))
    assert try_next(db, settings)
    assert not try_next(db, settings), "each once"
    row = policies.drafts(db, id=id)[0]
    assert (row["state"], row["progress"], row["problem"]) == ("done", 1, None)
    assert [ticket["code"] for ticket in row["result"]["missing"]] == ["relay-open"]
    assert policies.save(db, at(61), id, worker)
    assert not policies.save(db, at(62), id, worker)


def test_a_draft_whose_trier_died_is_taken_up_again(plain_db: Db, afternoon: Afternoon) -> None:
    id = _draft(plain_db, afternoon.community.worker, "", at(0), at(60))
    first = policies.claim(plain_db, at(0))
    assert first is not None and first.id == id
    assert policies.claim(plain_db, at(0) + timedelta(seconds=59)) is None
    again = policies.claim(plain_db, at(0) + timedelta(seconds=61))
    assert again is not None and again.id == id


def test_what_cannot_be_tried_says_why(plain_db: Db, plain_database_url: str) -> None:
    row = plain_db.execute(
        "INSERT INTO person (login, name, role) VALUES ('o', 'O', 'operator') RETURNING id"
    ).fetchone()
    assert row is not None
    id = _draft(plain_db, row["id"], "", at(0), at(60))
    plain_db.execute("UPDATE policy_draft SET text = 'of another version = 1'")
    assert try_next(plain_db, Settings(database=Database(url=plain_database_url)))
    found = policies.drafts(plain_db, id=id)[0]
    assert found["state"] == "failed" and "policy" in found["problem"]


@pytest.mark.parametrize("state", ["queued", "running", "failed"])
def test_only_what_was_tried_to_the_end_can_be_saved(plain_db: Db, state: str) -> None:
    row = plain_db.execute(
        "INSERT INTO person (login, name, role) VALUES ('o', 'O', 'operator') RETURNING id"
    ).fetchone()
    assert row is not None
    id = _draft(plain_db, row["id"], "", at(0), at(60))
    plain_db.execute("UPDATE policy_draft SET state = %s", (state,))
    assert not policies.save(plain_db, at(61), id, row["id"])
