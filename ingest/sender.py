"""The sending half of the ingester: queued commands go to the broker, by one process at a time.

Whoever holds the advisory lock sends. A command is `sent` after the broker's PUBACK; a kill before
that commit means that it is sent again, with the same commandId. Nothing is left in a buffer that
could leave after its time: a connection that breaks is thrown away, and with MQTT 5 the broker
itself drops what has expired.
"""

import random
import threading
import time
from dataclasses import dataclass, field
from typing import Any

import msgspec
import paho.mqtt.client as mqtt
import psycopg
import structlog
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from ingest.metrics import Metrics
from ingest.session import authenticate
from pilewatch.clock import Clock
from pilewatch.settings import Mqtt
from pilewatch.store import queries
from pilewatch.store.pool import Db, connect
from pilewatch.wire import Command, command_topic
from pilewatch.workflow.commands import expire

_LOG = structlog.get_logger()
_SQL = queries.load("commands")
_AT_ONCE = 100
_CONNECT_S = 10.0
_ACKNOWLEDGE_S = 5.0
_LOOK_S = 0.5
_AGAIN_S = 2.0
"""After so long, what nobody heard is tried again: the charger may be back."""
_STAND_BY_S = 2.0
_NOBODY = 0x10
"""The broker's reason code where no subscription fits (MQTT 5)."""


class Away(ConnectionError):
    """The broker cannot be had now; `str()` says why."""


@dataclass
class _Outcome:
    """What became of one round: ids by what the broker said of them."""

    sent: list[int] = field(default_factory=list)
    unheard: list[int] = field(default_factory=list)
    refused: list[int] = field(default_factory=list)
    reason: str = ""


class Line:
    """One connection that only publishes; used until it breaks, then never again."""

    def __init__(self, settings: Mqtt, client_id: str):
        """Connects. Raises `Away`."""
        self._v5 = settings.version == "5"
        self._changed = threading.Condition()
        self._up = self._lost = False
        self._problem = "no answer from the broker"
        self._answers: dict[int, tuple[int, str]] = {}
        self.client = client = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            client_id=client_id,
            protocol=mqtt.MQTTv5 if self._v5 else mqtt.MQTTv311,
            clean_session=None if self._v5 else True,
            reconnect_on_failure=False,
        )
        client.max_inflight_messages_set(_AT_ONCE)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_publish = self._on_publish
        try:
            authenticate(client, settings)
            client.connect(settings.host, settings.port, settings.keepalive_s)
        except (OSError, ValueError) as error:
            raise Away(str(error)) from error
        client.loop_start()
        with self._changed:
            self._changed.wait_for(lambda: self._up or self._lost, _CONNECT_S)
        if not self._up:
            self.close()
            raise Away(self._problem)

    def publish(self, topic: str, payload: bytes, seconds: float) -> int:
        """Hand it over, good for so long; gives the number to ask `answers` for. Raises `Away`."""
        properties = None
        if self._v5:
            properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
            properties.MessageExpiryInterval = max(int(seconds), 1)
        said = self.client.publish(topic, payload, qos=1, properties=properties)
        if said.rc != MQTTErrorCode.MQTT_ERR_SUCCESS:
            raise Away("the connection broke")
        return said.mid

    def answers(self, mids: set[int], seconds: float) -> dict[int, tuple[int, str]]:
        """What the broker acknowledged of these within so long: reason code and its name."""
        with self._changed:
            self._changed.wait_for(lambda: self._lost or mids <= set(self._answers), seconds)
            return {mid: self._answers.pop(mid) for mid in mids if mid in self._answers}

    @property
    def lost(self) -> bool:
        """Broken; nothing more goes through it."""
        return self._lost

    def close(self) -> None:
        """Say goodbye and forget what waits."""
        self.client.disconnect()
        self.client.loop_stop()

    def _on_connect(self, _c: Any, _d: Any, _flags: Any, reason: Any, _p: Any) -> None:
        with self._changed:
            self._up, self._lost = not reason.is_failure, reason.is_failure
            self._problem = f"the broker refused us: {reason}"
            self._changed.notify_all()

    def _on_disconnect(self, _c: Any, _d: Any, _flags: Any, _reason: Any, _p: Any) -> None:
        with self._changed:
            self._lost = True
            self._changed.notify_all()

    def _on_publish(self, _c: Any, _d: Any, mid: int, reason: Any, _p: Any) -> None:
        with self._changed:
            self._answers[mid] = (reason.value, str(reason))
            self._changed.notify_all()


class Sender:
    """Runs in a thread of its own until `stopping`; survives the absence of database and broker."""

    def __init__(
        self,
        url: str,
        settings: Mqtt,
        client_id: str,
        *,
        clock: Clock,
        metrics: Metrics,
        stopping: threading.Event,
    ):
        self._url = url
        self._settings = settings
        self._client_id = f"{client_id}-commands"
        self._clock = clock
        self._metrics = metrics
        self._line: Line | None = None
        self._not_before: dict[int, float] = {}
        self.stopping = stopping

    def run(self) -> None:
        """Wait for the lock, then send; a broken database gives the lock to somebody else."""
        while not self.stopping.is_set():
            try:
                with connect(self._url, application="pilewatch commands") as db:
                    self._serve(db)
            except psycopg.Error as error:
                _LOG.warning("commands wait", problem=str(error).strip().splitlines()[:1])
                self.stopping.wait(random.uniform(0.5, 1.5))  # noqa: S311
            finally:
                self._hang_up()

    def _serve(self, db: Db) -> None:
        while not self.stopping.is_set():
            row = db.execute(_SQL["try_to_send"]).fetchone()
            if row is not None and row["sends"]:
                break
            self.stopping.wait(_STAND_BY_S)
        db.execute("LISTEN pilewatch_command")
        while not self.stopping.is_set():
            try:
                self.look(db)
            except Away as error:
                _LOG.warning("commands wait for the broker", problem=str(error))
                self._hang_up()
                self.stopping.wait(random.uniform(0.5, 2.0))  # noqa: S311
            for _ in db.notifies(timeout=_LOOK_S, stop_after=1):
                pass

    def look(self, db: Db) -> None:
        """Send what is queued now, once. Raises `Away`."""
        now = self._clock()
        expire(db, now)
        waiting = db.execute(_SQL["commands_to_send"], {"now": now, "limit": _AT_ONCE}).fetchall()
        self._not_before = {
            row["id"]: self._not_before[row["id"]]
            for row in waiting
            if row["id"] in self._not_before
        }
        due = [r for r in waiting if self._not_before.get(r["id"], 0.0) <= time.monotonic()]
        if due:
            self._keep(db, self._send(due))

    def _send(self, rows: list[dict[str, Any]]) -> _Outcome:
        if self._line is None or self._line.lost:
            self._hang_up()
            self._line = Line(self._settings, self._client_id)
        line, mids = self._line, {}
        for row in rows:
            left = (row["expires_at"] - self._clock()).total_seconds()
            if left > 0:
                topic = command_topic(row["charger"])
                mids[line.publish(topic, encode(row), left)] = row["id"]
        found = _Outcome()
        answers = line.answers(set(mids), _ACKNOWLEDGE_S)
        for mid, (code, name) in answers.items():
            if code == _NOBODY:
                found.unheard.append(mids[mid])
            elif code >= 0x80:
                found.refused.append(mids[mid])
                found.reason = name
            else:
                found.sent.append(mids[mid])
        if len(answers) < len(mids):
            self._hang_up()  # what it still holds must not leave later
        return found

    def _keep(self, db: Db, found: _Outcome) -> None:
        now = self._clock()
        if found.sent:
            db.execute(_SQL["mark_sent"], {"ids": found.sent, "now": now})
        for ids, detail in (
            (found.unheard, "the charger is not connected to the broker"),
            (found.refused, f"the broker refused it: {found.reason}"),
        ):
            if ids:
                db.execute(_SQL["note_unsent"], {"ids": ids, "detail": detail})
                self._not_before |= dict.fromkeys(ids, time.monotonic() + _AGAIN_S)
        if found.refused:
            _LOG.error("the broker refuses commands", reason=found.reason)
        for outcome in ("sent", "unheard", "refused"):
            self._metrics.commands.labels(outcome).inc(len(getattr(found, outcome)))

    def _hang_up(self) -> None:
        if self._line is not None:
            self._line.close()
            self._line = None


def encode(row: dict[str, Any]) -> bytes:
    """The message of a command's row; times are UTC."""
    said = Command(
        command_id=row["command_id"],
        issued_at=row["issued_at"],
        expires_at=row["expires_at"],
        name=row["name"],
        connector=row["connector"],
        args=row["args"],
    )
    told = msgspec.to_builtins(said)
    return msgspec.json.encode({k: v for k, v in told.items() if v is not None})
