"""Promises in danger or broken, work orders overdue: the next one up is told, each step once."""

from dataclasses import replace
from datetime import datetime

from pilewatch.policy import Policy
from pilewatch.store import queries
from pilewatch.store.pool import Db
from pilewatch.workflow.desk import ENGINE, act, get_ticket
from pilewatch.workflow.orders import get_order, order_danger
from pilewatch.workflow.promises import next_danger

_SQL = queries.load("promises")
_ORDERS = queries.load("orders")
_MANY = 500


def sweep_promises(db: Db, policy: Policy, now: datetime) -> int:
    """Take every step that is due, in the caller's transaction; gives how many.

    A ticket that a person holds at this moment is left to the next sweep.
    """
    taken = 0
    for row in db.execute(_SQL["tickets_in_danger"], {"now": now, "limit": _MANY}).fetchall():
        ticket = get_ticket(db, row["id"])
        danger = next_danger(ticket, policy)
        while danger is not None and danger.at <= now:
            ticket = act(db, policy, now, ticket.id, danger.step, ENGINE)
            danger = next_danger(ticket, policy)
            taken += 1
        at = None if danger is None else danger.at
        db.execute(_SQL["look_again"], {"id": ticket.id, "at": at})
    return taken + _sweep_orders(db, policy, now)


def _sweep_orders(db: Db, policy: Policy, now: datetime) -> int:
    taken = 0
    for row in db.execute(_ORDERS["orders_in_danger"], {"now": now, "limit": _MANY}).fetchall():
        ticket, order = get_ticket(db, row["ticket_id"]), get_order(db, row["id"])
        danger = order_danger(order, ticket, policy)
        while danger is not None and danger.at <= now:
            ticket = act(db, policy, now, ticket.id, danger.step, ENGINE)
            order = replace(order, level=danger.step.level)
            danger = order_danger(order, ticket, policy)
            taken += 1
        values = {"id": order.id, "level": order.level, "at": danger and danger.at}
        db.execute(_ORDERS["order_escalated"], values)
    return taken
