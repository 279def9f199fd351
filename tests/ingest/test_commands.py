"""Commands on real brokers: sent once they can be, sent again after a kill, answered once."""

import json
import queue
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from paho.mqtt.enums import CallbackAPIVersion

from ingest.batch import BatchBuilder, Message, Reading
from pilewatch.store.observations import KnownCharger, ObservationStore
from pilewatch.store.pool import Db, connect
from pilewatch.wire import decode
from pilewatch.workflow.commands import Order, expire, order
from tests.ingest.conftest import publisher, running, settings_for, wait_until
from tests.ingest.processes import IngesterProcess
from tests.parts import Mosquitto


class Pile:
    """A charger's connection: hears commands, answers what it is told to."""

    def __init__(self, port: int, code: str):
        self.code = code
        self.heard: queue.Queue[dict[str, Any]] = queue.Queue()
        self.client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=f"pile-{code}")
        self.client.on_message = lambda _c, _d, m: self.heard.put(json.loads(m.payload))
        subscribed = queue.Queue[bool]()
        self.client.on_subscribe = lambda *_: subscribed.put(True)
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()
        self.client.subscribe(f"pilewatch/v1/{code}/down/command", 1)
        assert subscribed.get(timeout=10)

    def hears(self) -> dict[str, Any]:
        """The next command."""
        return self.heard.get(timeout=40)

    def answers(self, command_id: str, outcome: str, detail: str | None = None) -> None:
        """One result."""
        said = {"at": datetime.now(UTC).isoformat(), "commandId": command_id, "outcome": outcome}
        said |= {"detail": detail} if detail else {}
        topic = f"pilewatch/v1/{self.code}/up/result"
        self.client.publish(topic, json.dumps(said), qos=1).wait_for_publish(10)


@contextmanager
def pile(port: int, code: str = "C1") -> Iterator[Pile]:
    """A charger that is connected for a while."""
    made = Pile(port, code)
    try:
        yield made
    finally:
        made.client.disconnect()
        made.client.loop_stop()


def reset(db: Db, code: str = "C1", seconds: float = 60, **more: Any) -> int:
    """An engine's reset of this charger."""
    row = db.execute("SELECT id FROM charger WHERE code = %s", (code,)).fetchone()
    assert row is not None
    what = Order(row["id"], "reset", "test", timedelta(seconds=seconds), **more)
    with db.transaction():
        id = order(db, datetime.now(UTC), what)
    assert id is not None
    return id


def row(db: Db, id: int) -> dict[str, Any]:
    """The command as it stands."""
    found = db.execute("SELECT * FROM command WHERE id = %s", (id,)).fetchone()
    assert found is not None
    return dict(found)


def state(db: Db, id: int) -> str:
    """Its state."""
    return str(row(db, id)["state"])


@pytest.mark.mosquitto
@pytest.mark.parametrize("version", ["5", "3.1.1"])
def test_a_command_goes_out_and_its_results_come_back(
    registered_plain: str, mosquitto: Mosquitto, version: str
) -> None:
    settings = settings_for(registered_plain, mosquitto.port, version)
    with (
        connect(registered_plain, application="t") as db,
        running(settings) as ingester,
        pile(mosquitto.port) as c1,
    ):
        id = reset(db)
        said = c1.hears()
        assert (said["name"], said["args"], "connector" in said) == ("reset", {}, False)
        assert datetime.fromisoformat(said["expiresAt"]) > datetime.now(UTC)
        wait_until(lambda: state(db, id) == "sent")
        c1.answers(said["commandId"], "accepted")
        wait_until(lambda: state(db, id) == "accepted")
        c1.answers("nobody-asked-this", "done")
        c1.answers(said["commandId"], "done", "rebooted")
        wait_until(lambda: state(db, id) == "done")
        assert row(db, id)["detail"] == "rebooted"
        c1.answers(said["commandId"], "accepted")
        c1.answers(said["commandId"], "failed", "too late")
        unknown = ingester.metrics.unknown_results
        with publisher(mosquitto.port) as other:  # another charger answers for it
            word = {"commandId": said["commandId"], "outcome": "failed"}
            other.send("pilewatch/v1/C2/up/result", json.dumps(word))
        wait_until(lambda: unknown._value.get() == 2)
        assert (state(db, id), row(db, id)["detail"]) == ("done", "rebooted")


@pytest.mark.mosquitto
def test_what_nobody_hears_waits_for_the_charger_and_is_never_late(
    registered_plain: str, mosquitto: Mosquitto
) -> None:
    settings = settings_for(registered_plain, mosquitto.port)
    with connect(registered_plain, application="t") as db, running(settings):
        brief = reset(db, "C2", seconds=0.4)
        id = reset(db)
        wait_until(lambda: row(db, id)["detail"] == "the charger is not connected to the broker")
        wait_until(lambda: state(db, brief) == "expired")
        with pile(mosquitto.port, "C2") as c2, pile(mosquitto.port) as c1:
            c1.hears()
            wait_until(lambda: (state(db, id), row(db, id)["detail"]) == ("sent", None))
            assert c2.heard.empty(), "its time was over"


@pytest.mark.mosquitto
def test_the_engines_reset_waits_while_somebody_charges(
    registered_plain: str, mosquitto: Mosquitto
) -> None:
    settings = settings_for(registered_plain, mosquitto.port)
    with (
        connect(registered_plain, application="t") as db,
        running(settings) as ingester,
        publisher(mosquitto.port) as c2,
        pile(mosquitto.port, "C2") as ears,
    ):
        topic = "pilewatch/v1/C2/up/status/1"
        c2.send(topic, json.dumps({"connector": 1, "status": "charging", "seq": 1}))
        wait_until(lambda: db.execute("SELECT FROM event").fetchone() is not None)
        id = reset(db, "C2")
        other = reset(db, "C1")
        wait_until(lambda: row(db, other)["detail"] is not None)
        assert state(db, id) == "queued"
        c2.send(topic, json.dumps({"connector": 1, "status": "available", "seq": 2}))
        assert ears.hears()["commandId"] == row(db, id)["command_id"]
        assert ingester.metrics.commands.labels("unheard")._value.get() >= 1


@pytest.mark.mosquitto
def test_a_kill_between_sending_and_keeping_sends_the_same_again(
    registered_plain: str, mosquitto: Mosquitto, tmp_path: Path
) -> None:
    names = ("first", "second")
    with connect(registered_plain, application="t") as db, pile(mosquitto.port) as c1:
        ingesters = [
            IngesterProcess(registered_plain, mosquitto.port, tmp_path / f"{name}.log")
            for name in names
        ]
        try:
            for ingester in ingesters:
                wait_until(lambda i=ingester: i.log.exists() and i.connections(), 40)
            with connect(registered_plain, application="t2") as hand, hand.transaction():
                id = reset(db)
                # The sender's own commit waits for this row, after the broker had the message.
                hand.execute("SELECT FROM command WHERE id = %s FOR UPDATE", (id,))
                first = c1.hears()
                for ingester in ingesters:
                    ingester.kill()
                # Their statement has not reached the database either.
                db.execute(
                    "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE "
                    "application_name = 'pilewatch commands' AND datname = current_database()"
                )
            assert state(db, id) == "queued"
            for ingester in ingesters:
                ingester.start()
            second = c1.hears()
            assert second == first, "the same commandId: a charger obeys it once"
            wait_until(lambda: state(db, id) == "sent")
            c1.answers(first["commandId"], "done")
            wait_until(lambda: state(db, id) == "done")
            assert c1.heard.empty()
        finally:
            for ingester in ingesters:
                ingester.kill()


@pytest.mark.parametrize(
    ("before", "after", "ends"),
    [("queued", 61, "expired"), ("sent", 61, "sent"), ("sent", 91, "expired"),
     ("accepted", 500, "accepted"), ("accepted", 961, "expired"), ("done", 9999, "done")],
)  # fmt: skip
def test_what_is_not_answered_in_time_is_expired_without_any_ingester(
    registered_plain: str, before: str, after: float, ends: str
) -> None:
    with connect(registered_plain, application="t") as db:
        id = reset(db)
        issued = row(db, id)["issued_at"]
        db.execute(
            "UPDATE command SET state = %s, accepted_at = issued_at, "
            "ended_at = CASE WHEN %s = 'done' THEN issued_at END WHERE id = %s",
            (before, before, id),
        )
        expire(db, issued + timedelta(seconds=after))
        assert state(db, id) == ends


_ANSWERS = st.lists(
    st.tuples(
        st.sampled_from(["accepted", "rejected", "done", "failed"]),
        st.sampled_from(["C1", "C1", "C1", "C2"]),  # another charger now and then
        st.booleans(),  # the batch ends here
    ),
    max_size=7,
)


def _expected(before: str, answers: list[str]) -> str:
    """The rule, one answer after another."""
    now = before
    for answer in answers:
        opens = answer == "accepted" and now in ("queued", "sent")
        refuses = answer == "rejected" and now in ("queued", "sent", "expired")
        ends = answer in ("done", "failed") and now not in ("done", "failed")
        now = answer if opens or refuses or ends else now
    return now


def test_any_order_and_repetition_of_answers_ends_as_the_rule_says(registered_plain: str) -> None:
    with connect(registered_plain, application="t") as db:
        store = ObservationStore(db, retention_days=1)
        known = store.find_chargers(["C1", "C2"])

        @settings(max_examples=30, deadline=None)
        @given(_ANSWERS, st.sampled_from(["queued", "sent", "accepted", "expired"]))
        def answered(answers: list[tuple[str, str, bool]], before: str) -> None:
            db.execute("DELETE FROM command")
            id = reset(db)
            db.execute(
                "UPDATE command SET state = %s, ended_at = CASE WHEN %s = 'expired' THEN "
                "issued_at END WHERE id = %s",
                (before, before, id),
            )
            command_id, now = row(db, id)["command_id"], datetime.now(UTC)
            batch: list[Reading] = []
            for place, (outcome, code, ends) in enumerate(answers):
                said = json.dumps(
                    {"commandId": command_id, "outcome": outcome, "at": now.isoformat()}
                )
                heard = decode(f"pilewatch/v1/{code}/up/result", said.encode(), now)
                message = Message(None, b"", 0, 0, 1, place, False, False, 0)
                batch.append(Reading(message, heard.observations, False, None))
                if ends:
                    _write(store, known, batch, now)
            _write(store, known, batch, now)
            own = [outcome for outcome, code, _ in answers if code == "C1"]
            assert state(db, id) == _expected(before, own)
            after = row(db, id)
            assert (after["ended_at"] is not None) == (
                after["state"] in ("rejected", "done", "failed", "expired")
            )

        answered()


def _write(
    store: ObservationStore, known: dict[str, KnownCharger], batch: list[Reading], now: datetime
) -> None:
    store.write(BatchBuilder(known, lambda *_: False).add_all(batch).build(), now)
    batch.clear()
