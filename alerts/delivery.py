"""Notifications leave from the outbox: at least once, each with a key to deduplicate on."""

import hashlib
import hmac
import json
import random
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import httpx
import structlog

from pilewatch.policy import Policy
from pilewatch.store import queries
from pilewatch.store.pool import Db

_LOG = structlog.get_logger()
_SQL = queries.load("alerts")

Send = Callable[[str, str, dict[str, Any]], None]
"""(key, topic, payload); raises `OSError` or `httpx.HTTPError` where it did not arrive."""


def deliver_due(db: Db, send: Send, policy: Policy, now: datetime) -> int:
    """Send what is due, each marked by itself; gives how many were sent.

    A crash between sending and marking sends it again, with the same key.
    """
    sent = 0
    for row in db.execute(_SQL["due_outbox"], {"now": now}).fetchall():
        try:
            send(row["key"], row["topic"], row["payload"])
        except (httpx.HTTPError, OSError) as error:
            _postpone(db, policy, row, f"{type(error).__name__}: {error}"[:500], now)
        else:
            db.execute(_SQL["outbox_sent"], {"id": row["id"], "now": now})
            sent += 1
    return sent


def _postpone(db: Db, policy: Policy, row: dict[str, Any], error: str, now: datetime) -> None:
    rule, attempts = policy.delivery, row["attempts"] + 1
    pause = min(rule.first_pause_s * 2 ** (attempts - 1), rule.longest_pause_s)
    due = now + timedelta(seconds=pause * random.uniform(0.8, 1.2))  # noqa: S311
    dead = attempts >= rule.attempts
    _LOG.warning("notification failed", key=row["key"], attempts=attempts, dead=dead, error=error)
    values = {"id": row["id"], "error": error, "due_at": due, "dead_at": now if dead else None}
    db.execute(_SQL["outbox_failed"], values)


def log_only(key: str, topic: str, payload: dict[str, Any]) -> None:
    """Where no receiver is set up, each notification is a line of the log."""
    _LOG.info("notification", key=key, topic=topic, **{k: v for k, v in payload.items() if v})


def webhook(url: str, secret: str | None, clock: Callable[[], datetime]) -> Send:
    """POST as JSON, signed: `X-Pilewatch-Signature: t=UNIX,v1=HMAC-SHA256(secret, "t.body")`."""
    client = httpx.Client(timeout=10)

    def send(key: str, topic: str, payload: dict[str, Any]) -> None:
        body = json.dumps({"key": key, "topic": topic, "data": payload}, ensure_ascii=False)
        headers = {"Content-Type": "application/json", "Idempotency-Key": key}
        if secret is not None:
            moment = str(int(clock().timestamp()))
            sign = hmac.new(secret.encode(), f"{moment}.{body}".encode(), hashlib.sha256)
            headers["X-Pilewatch-Signature"] = f"t={moment},v1={sign.hexdigest()}"
        client.post(url, content=body.encode(), headers=headers).raise_for_status()

    return send
