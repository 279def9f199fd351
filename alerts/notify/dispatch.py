"""The two steps of a notification: write its deliveries once, then send each at least once."""

import random
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import psycopg
import structlog

from alerts.notify.channels import Channel
from alerts.notify.letters import NO_LETTERS, Letters
from alerts.notify.news import read_news
from alerts.notify.receivers import Directory, Receiver
from alerts.notify.routing import route
from alerts.notify.sending import NotSent
from pilewatch.policy import Delivery
from pilewatch.store import queries
from pilewatch.store.pool import Db
from pilewatch.workflow.shifts import on_duty

_LOG = structlog.get_logger()
_SQL = queries.load("notify")


def write_deliveries(db: Db, directory: Directory, now: datetime) -> int:
    """Decide who is told of what waits in the outbox, in one transaction; gives how much waited."""
    with db.transaction():
        ids = [row["id"] for row in db.execute(_SQL["outbox_to_route"], {"now": now})]
        if not ids:
            return 0
        news = read_news(db, ids)
        duty = on_duty(db, now, {one.site_id for one in news if one.site_id is not None})
        for planned in route(news, directory, now, duty):
            values = {
                "outbox_id": planned.outbox_id,
                "receiver": planned.receiver,
                "key": planned.key,
                "due_at": planned.due_at,
                "now": now,
            }
            db.execute(_SQL["add_delivery"], values)
        db.execute(_SQL["mark_routed"], {"ids": ids, "now": now})
    return len(ids)


def send_due(
    db: Db,
    directory: Directory,
    channels: Mapping[str, Channel],
    rule: Delivery,
    now: datetime,
    letters: Letters = NO_LETTERS,
    paused: frozenset[str] = frozenset(),
) -> int:
    """Send what is due, each message marked by itself; gives how many arrived.

    A crash between sending and marking sends it again, with the same key. A receiver that cannot
    be reached is not asked again in this round: it does not hold up the others. What is for
    those in `paused` waits.
    """
    messages = db.execute(_SQL["due_messages"], {"now": now}).fetchall()
    away = set(paused)
    sent = 0
    for message in messages:
        if message["receiver"] in away:
            continue
        receiver = directory.find(message["receiver"])
        try:
            _send(db, receiver, channels, message, letters)
        except NotSent as error:
            away.add(message["receiver"])
            _postpone(db, rule, message, error, now, forget=receiver is None)
        else:
            db.execute(_SQL["deliveries_sent"], {"ids": message["ids"], "now": now})
            sent += 1
    db.execute(_SQL["settle_outbox"], {"now": now})
    return sent


def _send(
    db: Db,
    receiver: Receiver | None,
    channels: Mapping[str, Channel],
    message: dict[str, Any],
    letters: Letters,
) -> None:
    if receiver is None:
        raise NotSent("the file of receivers no longer names it")
    try:
        news = read_news(db, message["outbox_ids"])
        channel = channels[receiver.channel]
        if receiver.role != "resident":
            channel.send(receiver, message["key"], news)
        for letter in letters.about(db, news) if receiver.role == "resident" else ():
            channel.write(letter, message["key"])
    except (NotSent, psycopg.Error):
        raise
    except Exception as error:
        # A message that cannot be made must not stop all others.
        raise NotSent(f"it could not be made: {type(error).__name__}") from error


def _postpone(
    db: Db, rule: Delivery, message: dict[str, Any], error: NotSent, now: datetime, *, forget: bool
) -> None:
    attempts = message["attempts"] + 1
    pause = min(rule.first_pause_s * 2 ** (attempts - 1), rule.longest_pause_s)
    pause *= random.uniform(0.8, 1.2)  # noqa: S311
    if error.retry_after_s is not None:
        pause = max(pause, min(error.retry_after_s, rule.longest_pause_s))
    dead = forget or attempts >= rule.attempts
    _LOG.warning(
        "notification failed",
        receiver=message["receiver"],
        key=message["key"],
        attempts=attempts,
        dead=dead,
        error=str(error),
    )
    values = {
        "ids": message["ids"],
        "attempts": attempts,
        "error": str(error),
        "due_at": now + timedelta(seconds=pause),
        "dead_at": now if dead else None,
    }
    db.execute(_SQL["deliveries_failed"], values)
