"""A charger that nobody knew is registered: what it said before is not lost."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pilewatch.store.pool import connect
from pilewatch.store.registry import load_registry
from tests.ingest.conftest import REGISTRY, publisher, running, settings_for, wait_until
from tests.parts import Mosquitto

_NEW = REGISTRY + "  - {code: C3, site: s, kind: ebike, label: '3', connectors: 2}\n"


def test_what_an_unknown_charger_said_is_replayed_once_it_is_registered(
    registered: str, mosquitto: Mosquitto, tmp_path: Path
) -> None:
    began = datetime.now(UTC) - timedelta(minutes=3)
    up = "pilewatch/v1/C3/up"
    with (
        connect(registered, application="t") as db,
        running(settings_for(registered, mosquitto.port)),
        publisher(mosquitto.port) as pile,
    ):
        for number, status in enumerate(("available", "charging", "faulted")):
            said = {"at": (began + timedelta(minutes=number)).isoformat(), "connector": 1}
            pile.send(f"{up}/status/1", json.dumps({**said, "status": status, "seq": number}))
        pile.send(f"{up}/status/2", b"{")
        pile.send(f"{up}/status/9", json.dumps({"at": began.isoformat(), "connector": 9,
                                                "status": "available"}))  # fmt: skip
        wait_until(lambda: db.execute("SELECT FROM quarantine").rowcount == 5)
        path = tmp_path / "more.yaml"
        path.write_text(_NEW)
        load_registry(db, path)
        wait_until(lambda: db.execute("SELECT FROM observation").rowcount == 3)
        shown = db.execute("SELECT status, status_at FROM connector_state WHERE status = 'faulted'")
        assert shown.fetchall() == [
            {"status": "faulted", "status_at": began + timedelta(minutes=2)}
        ]
        assert not db.execute("SELECT FROM unknown_charger").rowcount
        kept = db.execute(
            "SELECT reason FROM quarantine WHERE replayed_at IS NULL ORDER BY id"
        ).fetchall()
        assert len(kept) == 2, "what was no JSON, and a connector that it has not"
        assert "connector 9 of charger C3 is not registered" in kept[1]["reason"]
        load_registry(db, path)
        pile.send(f"{up}/heartbeat", json.dumps({"at": datetime.now(UTC).isoformat()}))
        wait_until(lambda: db.execute("SELECT FROM observation").rowcount == 4)
        assert db.execute("SELECT FROM quarantine").rowcount == 6, "nothing is replayed twice"
