"""Whoever asks, and whatever is whose: lists, single reads, searches, exports, pushes and changes
agree with the rule that is written out here, in plain words and without the program's own.

People (role, company, grids, areas, a key's scopes) and who has to do with what are drawn.
"""

import csv
import io
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import DataObject

from alerts.notify.channels import Post
from alerts.notify.news import read_news
from alerts.notify.receivers import Directory
from alerts.notify.routing import route
from alerts.notify.subscriptions import with_subscriptions
from api.people import ROLES, Reach, change_person
from api.rights import SCOPES
from pilewatch.clock import utc_now
from pilewatch.sealing import Seal
from pilewatch.settings import Ocpi
from tests.api.conftest import World
from tests.api.neighbourhood import COMPANIES, GRIDS, PLACES, Neighbourhood, Place, Thing

_MISSING = 2**31
_READERS = frozenset({"grid_worker", "repairer", "operator", "admin", "auditor"})
_STAFF = _READERS - {"auditor"}
_COMMUNITY = frozenset({"grid_worker", "operator", "admin"})
_OFFICE = frozenset({"operator", "admin"})
_OF_THE_SITE = frozenset(
    {"charger", "incident", "command", "patrol_plan", "round", "exclusion", "downtime"}
    | {"inspection", "quarantine", "webhook"}
)
"""What a company sees of its own sites, whoever is to act on it; an operator sees all of it."""


@dataclass(frozen=True)
class Me:
    """Who asks."""

    role: str
    company: str | None
    grids: frozenset[str]
    areas: frozenset[str]
    scopes: frozenset[str] | None

    def walks(self, grid: str) -> bool:
        """Whether the grid is within the territory of a worker, admin or auditor."""
        if self.role == "grid_worker":
            return grid in self.grids
        if self.role in ("admin", "auditor"):
            return not self.areas or GRIDS[grid] in self.areas
        return True

    @property
    def bound(self) -> bool:
        """Whether only what a company has to do with is seen."""
        return self.role == "repairer" or (self.role == "operator" and self.company is not None)

    @property
    def whole(self) -> bool:
        """Whether everything is seen: an operator of no company, an admin of no area."""
        return not self.bound and all(self.walks(grid) for grid in GRIDS)

    def may(self, roles: frozenset[str], scope: str) -> bool:
        """Whether role and key allow this sort of thing at all."""
        return self.role in roles and (self.scopes is None or scope in self.scopes)

    def keeps(self, place: Place) -> bool:
        """Whether the site is the asker's own to look after."""
        its = self.company is not None and self.company == place.company
        return self.walks(place.grid) and (not self.bound or its)

    def sees(self, thing: Thing) -> bool:
        """The rule."""
        if thing.owned and thing.kind in ("work_order", "matter"):
            return True
        if thing.kind == "person":
            everywhere = bool(thing.places) and all(self.walks(p.grid) for p in thing.places)
            return not self.areas or everywhere
        if thing.kind == "webhook":
            return all(map(self.keeps, thing.places))
        if thing.kind in _OF_THE_SITE - {"charger", "command", "incident"}:
            return any(map(self.keeps, thing.places))
        place = thing.places[0]
        if not self.walks(place.grid):
            return False
        if not self.bound:
            return True
        if thing.kind == "meeting":
            return False
        concerned: set[str | None] = set(thing.given)
        unticketed = thing.kind == "report" and thing.ticket is None
        operated = self.role == "operator" and thing.kind != "matter"
        if thing.kind in _OF_THE_SITE | {"delivery"} or unticketed or operated:
            concerned.add(place.company)
        return thing.mine or (self.company is not None and self.company in concerned)

    def takes(self, order: Thing) -> bool:
        """Whether a work order that is seen is the asker's to accept; all here are the
        community's part."""
        if order.owned:
            return True
        if self.role == "grid_worker":
            return True
        return not self.bound or self.company in order.doers


def change(method: str, path: str, scope: str, roles: frozenset[str], **body: Any) -> "Change":
    return Change(method, path, scope, roles, body)


@dataclass(frozen=True)
class Change:
    """A harmless order about one thing."""

    method: str
    path: str
    scope: str
    roles: frozenset[str]
    body: dict[str, Any]


@dataclass(frozen=True)
class Kind:
    """How the API shows and changes things of a kind."""

    reads: tuple[str, ...] = ()
    change: Change | None = None
    listed: str | None = None
    roles: frozenset[str] = _READERS
    scope: str = "read"
    table: str = ""
    uuid: bool = False


KINDS = {
    "ticket": Kind(
        ("/tickets/{id}", "/tickets/{id}/costs"),
        change("POST", "/tickets/{id}/comments", "tickets", _STAFF, text="x"),
        "/tickets",
    ),
    "incident": Kind(("/incidents/{id}", "/incidents/{id}/explanation"), listed="/incidents"),
    "report": Kind(
        ("/reports/{id}", "/reports/{id}/photos/1"),
        change("POST", "/reports/{id}/review", "reports", _COMMUNITY, accept=False),
        "/reports",
    ),
    "work_order": Kind(
        ("/work-orders/{id}",),
        change("POST", "/work-orders/{id}/accept", "tickets", _STAFF),
        "/work-orders",
    ),
    "charger": Kind(
        ("/chargers/{id}/observations", "/chargers/{id}/commands"),
        change("POST", "/chargers/{id}/commands", "commands", _STAFF,
               name="triggerStatus", reason="x"),
    ),
    "command": Kind(("/commands/{id}",)),
    "meeting": Kind(
        ("/meetings/{id}",),
        change("PATCH", "/meetings/{id}", "meetings", _COMMUNITY, place="y"),
        "/meetings", uuid=True,
    ),
    "matter": Kind(
        ("/matters/{id}",),
        change("POST", "/matters/{id}/answer", "meetings", _STAFF, text="y"),
        "/matters", uuid=True,
    ),
    "patrol_plan": Kind(
        ("/patrol-plans/{id}",),
        change("PATCH", "/patrol-plans/{id}", "planning", _OFFICE, name="y"),
        "/patrol-plans",
    ),
    "round": Kind(
        ("/rounds/{id}", "/rounds/{id}/stops"),
        change("PATCH", "/rounds/{id}", "planning", _OFFICE, worker=None),
        "/rounds", table="patrol_round",
    ),
    "exclusion": Kind(
        ("/exclusions/{id}",),
        change("PATCH", "/exclusions/{id}", "planning", _OFFICE, document="y"),
        "/exclusions",
    ),
    "inspection": Kind(
        ("/inspections/{id}", "/inspections/{id}/photos/1"),
        change("PUT", "/inspections/{id}/photos/1", "inspections",
               frozenset({"grid_worker", "admin"})),
        uuid=True,
    ),
    "webhook": Kind(
        ("/webhooks/{id}",),
        change("PATCH", "/webhooks/{id}", "webhooks", _OFFICE, active=False),
        "/webhooks", _OFFICE, "webhooks",
    ),
    "person": Kind(
        ("/persons/{id}",),
        change("PATCH", "/persons/{id}", "people", frozenset({"admin"}), name="y"),
        "/persons", frozenset({"admin", "auditor"}), "people",
    ),
    "quarantine": Kind(listed="/quarantine", roles=_OFFICE | {"auditor"}),
    "delivery": Kind(listed="/deliveries", roles=_OFFICE | {"auditor"}),
    "audit": Kind(listed="/audit", roles=frozenset({"admin", "auditor"}), scope="audit"),
}  # fmt: skip


class Asking:
    """One drawn person in a drawn state of the neighbourhood, who asks by key."""

    def __init__(self, world: World, hood: Neighbourhood, person: int, draw: Any):
        self.world, self.hood, self.draw = world, hood, draw
        self.person = person
        self.headers = world.headers("grid_worker")
        self.me = self._person()
        self._assign()

    def _person(self) -> Me:
        draw = self.draw
        role = draw(st.sampled_from([*ROLES, "operator", "operator", "admin", "repairer"]))
        company = draw(st.sampled_from([None, *COMPANIES]))
        grids = draw(st.frozensets(st.sampled_from(sorted(GRIDS)), max_size=3))
        areas = draw(st.frozensets(st.sampled_from(["m1", "m2"]), max_size=2))
        narrow = st.frozensets(st.sampled_from(sorted(SCOPES)), min_size=4)
        scopes = draw(st.none() | st.none() | narrow)
        me = Me(
            role,
            company if role in ("repairer", "operator", "device") else None,
            grids if role in ("grid_worker", "device") else frozenset(),
            areas if role in ("admin", "auditor") else frozenset(),
            scopes,
        )
        reach = Reach(me.company, tuple(me.grids), tuple(me.areas))
        change_person(
            self.world.db, self.person, name="x", role=role, reach=reach, email=None, active=True
        )
        self.world.db.execute(
            "UPDATE api_key SET scopes = %s WHERE person_id = %s",
            (None if scopes is None else sorted(scopes), self.person),
        )
        return me

    def _assign(self) -> None:
        hood, draw = self.hood, self.draw
        companies = st.sampled_from([None, *COMPANIES])
        somebody = st.sampled_from([None, None, None, self.person])
        tickets = hood.things["ticket"]
        for table in ("report", "incident"):
            for thing in hood.things[table]:
                here = [t for t in tickets if t.places == thing.places]
                hood.link(table, thing, draw(st.sampled_from([None, *here])))
        for ticket in tickets:
            hood.give_ticket(ticket, draw(companies), draw(somebody))
        for table in ("work_order", "matter"):
            for thing in hood.things[table]:
                if table == "matter" and thing.ticket is not None:
                    continue  # it is its ticket's
                person = draw(somebody)
                company = None if person else draw(st.sampled_from(COMPANIES))
                hood.own(table, thing, company, person)
        hood.settle()

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """An answer to this person; never our own failure."""
        answer = self.world.client.request(
            method, f"/api/v1{path}", json=body, headers=self.headers
        )
        assert answer.status_code < 500, answer.text
        return answer

    def listed(self, path: str) -> set[Any]:
        """The ids that a list holds over all its pages."""
        found: set[Any] = set()
        cursor, limit = "", self.draw(st.sampled_from([3, 500, 500, 500]))
        while cursor is not None:
            more = f"&cursor={cursor}" if cursor else ""
            glue = "&" if "?" in path else "?"
            answer = self.ask("GET", f"{path}{glue}limit={limit}{more}")
            assert answer.status_code == 200, answer.text
            found |= {row["id"] for row in answer.json()["items"]}
            cursor = answer.json()["next_cursor"]
        return found

    # --- what is looked at

    def lists(self) -> None:
        """Each list holds what the person sees, and nothing else of what we know."""
        for name, kind in KINDS.items():
            if kind.listed is None:
                continue
            if not self.me.may(kind.roles, kind.scope):
                assert self.ask("GET", kind.listed).status_code == 403, (name, self.me)
                continue
            known = self.hood.of(name)
            told = self.listed(kind.listed) & known.keys()
            right = {id for id, thing in known.items() if self.me.sees(thing)}
            assert told == right, (name, self.me, told ^ right)

    def filters(self) -> None:
        """Naming a foreign thing in a filter opens nothing."""
        if not self.me.may(_READERS, "read"):
            return
        site = self.draw(st.sampled_from(PLACES)).site
        ticket = self.draw(st.sampled_from(self.hood.things["ticket"]))
        plan = self.draw(st.sampled_from(self.hood.things["patrol_plan"]))
        meeting = self.draw(st.sampled_from(self.hood.things["meeting"]))
        for name, filter in (
            ("ticket", f"site={site}"), ("incident", f"site={site}"),
            ("report", f"ticket={ticket.id}"), ("work_order", f"ticket={ticket.id}"),
            ("round", f"plan={plan.id}"), ("matter", f"meeting={meeting.id}"),
        ):  # fmt: skip
            known = self.hood.of(name)
            told = self.listed(f"{KINDS[name].listed}?{filter}") & known.keys()
            assert all(self.me.sees(known[id]) for id in told), (name, filter, self.me)

    def ledger(self) -> None:
        """Lines, a search for words that all have, and the export tell of the same matters."""
        if not self.me.may(_READERS, "read"):
            assert self.ask("GET", "/ledger/export.csv").status_code == 403
            return
        tickets, matters = self.hood.of("ticket"), self.hood.of("matter")
        right: set[Any] = {id for id, thing in tickets.items() if self.me.sees(thing)}
        right |= {
            id
            for id, thing in matters.items()
            if thing.ticket is None
            and self.me.walks(thing.places[0].grid)
            and (not self.me.bound or thing.owned or self.me.company in thing.given - {None})
        }
        for query in ("limit=500", "limit=500&text=x"):
            lines = self.ask("GET", f"/ledger?{query}").json()["items"]
            told = {line["ticket"] or line["matter"] for line in lines}
            assert told & (tickets.keys() | matters.keys()) == right, (query, self.me)
        sheet = self.ask("GET", "/ledger/export.csv").content.decode("utf-8-sig")
        rows = list(csv.reader(io.StringIO(sheet)))
        assert len(rows) - 1 == len(lines), self.me

    def one(self, name: str) -> None:
        """A read and a change of one thing are answered as the rule says; a foreign thing stays as
        it is, and cannot be told from one that is not there."""
        kind = KINDS[name]
        thing = self.draw(st.sampled_from(self.hood.things[name]), label=name)
        sees = self.me.sees(thing)
        nowhere = str(uuid4()) if kind.uuid else "nowhere" if name == "charger" else _MISSING
        for path in kind.reads:
            answer = self.ask("GET", path.format(id=thing.id))
            right = 403 if not self.me.may(kind.roles, kind.scope) else 200 if sees else 404
            assert answer.status_code == right, (path, self.me, thing, answer.text)
            if right != 200:
                self._as_nowhere(answer, thing.id, "GET", path, nowhere, None)
        if kind.change is not None:
            self._change(kind, thing, nowhere, sees=sees)

    def _change(self, kind: Kind, thing: Thing, nowhere: object, *, sees: bool) -> None:
        order = kind.change
        assert order is not None
        before = self.hood.content(kind.table or thing.kind, thing)
        answer = self.ask(order.method, order.path.format(id=thing.id), order.body)
        if not self.me.may(order.roles, order.scope):
            right: tuple[int, ...] = (403,)
        elif not sees:
            right = (404,)
        elif self._beyond(thing):
            right = (403,)
        else:
            right = (200, 201, 202, 409, 422)
        about = (order.path, self.me, thing, answer.text)
        assert answer.status_code in right, about
        if answer.status_code >= 400:
            assert self.hood.content(kind.table or thing.kind, thing) == before, about
        if not sees:
            self._as_nowhere(answer, thing.id, order.method, order.path, nowhere, order.body)

    def _beyond(self, thing: Thing) -> bool:
        """Seen, and not the asker's to change."""
        if thing.kind == "work_order":
            return not self.me.takes(thing)
        partly = thing.kind in ("patrol_plan", "round", "exclusion")
        return partly and not all(map(self.me.keeps, thing.places))

    def _as_nowhere(
        self, answer: Any, id: object, method: str, path: str, nowhere: object, body: Any
    ) -> None:
        other = self.ask(method, path.format(id=nowhere), body)
        plain = [
            {**told.json(), "detail": told.json()["detail"].replace(f" {named}", " #")}
            for told, named in ((answer, id), (other, nowhere))
        ]
        assert plain[0] == plain[1], (path, self.me)

    def through(self) -> None:
        """Nothing foreign is reached through something of one's own."""
        tickets = self.hood.things["ticket"]
        own = [t for t in tickets if self.me.sees(t)]
        foreign = [t for t in tickets if not self.me.sees(t)]
        if not own or not foreign:
            return
        mine, theirs = self.draw(st.sampled_from(own)), self.draw(st.sampled_from(foreign))
        cost = next(c for c in self.hood.things["cost"] if c.ticket == theirs.id)
        for path, body in (
            (f"/tickets/{mine.id}/merge", {"into": theirs.id}),
            (f"/tickets/{mine.id}/costs/{cost.id}/withdraw", None),
        ):
            before = [self.hood.content("ticket", theirs), self.hood.content("ticket_cost", cost)]
            assert self.ask("POST", path, body).status_code in (403, 404), (path, self.me)
            after = [self.hood.content("ticket", theirs), self.hood.content("ticket_cost", cost)]
            assert before == after
        if self.me.may(_STAFF, "tickets"):
            many = [{"id": ticket.id} for ticket in tickets]
            order = {"action": "comment", "tickets": many, "body": {"text": "x"}}
            results = self.ask("POST", "/tickets/bulk", order).json()["results"]
            assert {r["id"] for r in results if r["status"] == 200} == {t.id for t in own}

    def downtimes(self) -> None:
        """All staff read what is planned; only those change it whose sites all of it are."""
        thing = self.draw(st.sampled_from(self.hood.things["downtime"]))
        path = f"/downtimes/{thing.id}"
        read = 200 if self.me.may(_READERS, "read") else 403
        assert self.ask("GET", path).status_code == read
        may = self.me.may(_OFFICE, "planning") and all(map(self.me.keeps, thing.places))
        changed = self.ask("PATCH", path, {"reason": "y"}).status_code
        assert changed == (200 if may else 403), (self.me, thing)

    def webhook(self) -> None:
        """A webhook of one's own is told nothing that its maker does not see."""
        sites = self.draw(st.lists(st.sampled_from([p.site for p in PLACES]), max_size=3,
                                   unique=True))  # fmt: skip
        body = {"url": "https://x.example", "topics": ["ticket.*", "incident.*"], "sites": sites}
        made = self.ask("POST", "/webhooks", body)
        chosen = [place for place in PLACES if place.site in sites]
        if not self.me.may(_OFFICE, "webhooks"):
            assert made.status_code == 403
            return
        fits = all(map(self.me.keeps, chosen)) and (bool(sites) or not self.me.areas)
        assert made.status_code == (201 if fits else 422), (self.me, sites, made.text)
        if not fits:
            return
        id = made.json()["id"]
        directory, _ = with_subscriptions(
            self.world.db, Directory([], {}), {}, Post(utc_now), Ocpi(), Seal()
        )
        known = self.hood.news
        news = read_news(self.world.db, list(known))
        now = datetime.now(UTC)
        told = {p.outbox_id for p in route(news, directory, now) if p.receiver == f"hook-{id}"}
        foreign = [known[id] for id in told if not self.me.sees(known[id])]
        assert not foreign, (self.me, sites, foreign)
        if self.me.whole and not sites:
            assert told == known.keys()
        self.ask("DELETE", f"/webhooks/{id}")


@pytest.mark.timeout(120)
def test_what_everybody_sees_and_changes_agrees_with_the_rule(world: World) -> None:
    hood = Neighbourhood(world)
    found = world.db.execute("SELECT id FROM person WHERE login = 'grid_worker'").fetchone()
    assert found is not None
    seen: set[tuple[str, bool]] = set()

    @settings(
        max_examples=20,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],  # a smaller example would not be easier to read
    )
    @given(st.data())
    def look(data: DataObject) -> None:
        asking = Asking(world, hood, found["id"], data.draw)
        seen.update((thing.kind, asking.me.sees(thing)) for thing in hood.all())
        asking.lists()
        asking.filters()
        asking.ledger()
        for name in data.draw(st.sets(st.sampled_from(sorted(KINDS)), min_size=5, max_size=8)):
            asking.one(name)
        asking.through()
        asking.downtimes()
        asking.webhook()

    look()
    # Each kind has been somebody's, and has been foreign (people rarely: only to an area's admin).
    kinds = hood.things.keys()
    assert {kind for kind, sees in seen if sees} == kinds
    assert {kind for kind, sees in seen if not sees} >= kinds - {"person"}
