"""Two areas of two grids, three companies, six sites, and at each one thing of every kind.

Everything is written by SQL and noted beside it in plain words (`Thing`), so that who may see it
can be said without asking the program.
"""

import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from api.people import add_person
from tests.api.conftest import World

GRIDS = {"m11": "m1", "m12": "m1", "m21": "m2", "m22": "m2"}
"""Each grid's area."""
COMPANIES = ("k0", "k1", "k2")
_IN_GRID = ("m12", "m21", "m22", "m11", "m12", "m21")
_OF = ("k1", "k2", "k0", "k1", "k2", None)


@dataclass(frozen=True)
class Place:
    """A site: where it stands, and whose it is."""

    site: str
    grid: str
    company: str | None


PLACES = [
    Place(f"site{n}", grid, company)
    for n, (grid, company) in enumerate(zip(_IN_GRID, _OF, strict=True), 1)
]


@dataclass
class Thing:
    """Something that somebody may see. `given`: companies whose ticket or task it is; `mine`: the
    asker is, by name, to act on the ticket that it belongs to; `owned`: on this very thing."""

    kind: str
    id: Any
    places: list[Place]
    charger: str = ""
    given: set[str | None] = field(default_factory=set)
    mine: bool = False
    owned: bool = False
    ticket: int | None = None
    doers: set[str | None] = field(default_factory=set)


class Neighbourhood:
    """The things, and what may be changed of who has to do with them."""

    def __init__(self, world: World):
        self.db = world.db
        self.things: dict[str, list[Thing]] = {}
        self.news: dict[int, Thing] = {}
        self._holders: dict[int, tuple[set[str | None], bool]] = {}
        self._on_charger: dict[str, list[int]] = {}
        self._registry()
        for number, place in enumerate(PLACES, 1):
            self._at(place, f"P{number}")
        for grid in GRIDS:
            self._in_grid(grid)
        for area in ("m1", "m2"):
            here = [place for place in PLACES if GRIDS[place.grid] == area]
            for kind in ("patrol_plan", "exclusion", "downtime"):
                getattr(self, f"_{kind}")("area", self._id("area", area), here)
        self._people()

    def all(self) -> Iterator[Thing]:
        """Everything there is."""
        for things in self.things.values():
            yield from things

    def of(self, kind: str) -> dict[Any, Thing]:
        """The things of a kind by their ids."""
        return {thing.id: thing for thing in self.things[kind]}

    def _people(self) -> None:
        """A worker of each grid, a repairer of each company, an admin of each area and of all."""
        for grid in GRIDS:
            id = add_person(self.db, f"w {grid}", "x", "grid_worker", grids=[grid])
            self._note("person", id, [Place("", grid, None)])
        for company in COMPANIES:
            id = add_person(self.db, f"r {company}", "x", "repairer", company=company)
            self._note("person", id, [], doers={company})
        for area in ("m1", "m2"):
            id = add_person(self.db, f"a {area}", "x", "admin", areas=[area])
            self._note("person", id, [Place("", g, None) for g in GRIDS if GRIDS[g] == area])
        self._note("person", add_person(self.db, "chief", "x", "admin"), [])

    # --- who has to do with them

    def give_ticket(self, ticket: Thing, company: str | None, person: int | None) -> None:
        """The ticket is this company's, and this person's (the asker) by name."""
        self.db.execute(
            "UPDATE ticket SET company_id = (SELECT id FROM company WHERE code = %s), "
            "assignee_id = %s WHERE id = %s",
            (company, person, ticket.id),
        )
        self._holders[ticket.id] = ({company} - {None}, person is not None)

    def link(self, table: str, thing: Thing, ticket: Thing | None) -> None:
        """A report or an incident that came to a ticket, or to none."""
        thing.ticket = None if ticket is None else ticket.id
        self.db.execute(
            f"UPDATE {table} SET ticket_id = %s WHERE id = %s",  # type: ignore[call-overload]
            (thing.ticket, thing.id),
        )

    def own(self, table: str, thing: Thing, company: str | None, person: int | None) -> None:
        """A work order or a matter is to be done by this company or this person (the asker)."""
        columns = {
            "work_order": ("company_id", "owner_id"),
            "matter": ("owner_company_id", "owner_person_id"),
        }[table]
        self.db.execute(
            f"UPDATE {table} SET {columns[0]} = (SELECT id FROM company WHERE code = %s), "  # type: ignore[call-overload]
            f"{columns[1]} = %s WHERE id = %s",
            (company, person, thing.id),
        )
        thing.doers, thing.owned = {company} - {None}, person is not None

    def settle(self) -> None:
        """Note on each thing what its tickets say."""
        for thing in self.all():
            about = [thing.ticket] if thing.ticket else self._on_charger.get(thing.charger, [])
            holders = [self._holders[id] for id in about]
            thing.given = thing.doers.union(*(companies for companies, _ in holders))
            thing.mine = any(mine for _, mine in holders)
            if thing.kind == "matter" and thing.ticket:
                thing.owned = thing.mine
            if thing.kind == "person" and thing.doers:
                thing.places = [
                    other.places[0]
                    for other in (*self.things["charger"], *self.things["ticket"])
                    if thing.doers & ({other.places[0].company} if other.charger else other.given)
                ]

    # --- what became of them

    def content(self, table: str, thing: Thing) -> Any:
        """Its row, and what hangs on it."""
        key = "code" if table == "charger" else "id"
        row = self.db.execute(
            f"SELECT to_jsonb(x) AS row FROM {table} x WHERE {key} = %s",  # type: ignore[call-overload]
            (thing.id,),
        ).fetchone()
        more = self.db.execute(
            "SELECT (SELECT count(*) FROM ticket_entry) AS entries, "
            "(SELECT count(*) FROM command) AS commands, (SELECT count(*) FROM audit) AS changes, "
            "(SELECT count(*) FROM inspection_photo) AS photos"
        ).fetchone()
        return row, more

    # --- how they are made

    def _one(self, sql: str, *values: Any) -> Any:
        row = self.db.execute(f"{sql} RETURNING id", values).fetchone()  # type: ignore[call-overload]
        assert row is not None
        return row["id"]

    def _id(self, table: str, code: str | None) -> int | None:
        row = self.db.execute(f"SELECT id FROM {table} WHERE code = %s", (code,)).fetchone()  # type: ignore[call-overload]
        return None if row is None else int(row["id"])

    def _note(self, kind: str, id: Any, places: list[Place], **more: Any) -> Thing:
        thing = Thing(kind, id, places, **more)
        self.things.setdefault(kind, []).append(thing)
        return thing

    def _registry(self) -> None:
        for code in COMPANIES:
            self._one("INSERT INTO company (code, name) VALUES (%s, 'x')", code)
        for area in ("m1", "m2"):
            self._one("INSERT INTO area (code, name) VALUES (%s, 'x')", area)
        for grid, area in GRIDS.items():
            self._one(
                "INSERT INTO grid (area_id, code, name) VALUES (%s, %s, 'x')",
                self._id("area", area), grid,
            )  # fmt: skip
        self.checklist = self._one(
            "INSERT INTO checklist (code, number, purpose, chargers, digest, content, added_at) "
            "VALUES ('x', 1, 'patrol', '{ebike}', '', %s, now())",
            '{"name": {"zh": "x", "en": "x"}, "items": []}',
        )

    def _at(self, place: Place, charger: str) -> None:
        """One of everything at a new site with one pile."""
        site = self._one(
            "INSERT INTO site (code, grid_id, company_id, name) VALUES (%s, %s, %s, 'x')",
            place.site, self._id("grid", place.grid), self._id("company", place.company),
        )  # fmt: skip
        pile = self._one(
            "INSERT INTO charger (code, site_id, kind, label) VALUES (%s, %s, 'ebike', 'x')",
            charger, site,
        )  # fmt: skip
        self._one("INSERT INTO connector (charger_id, number) VALUES (%s, 1)", pile)
        self._note("charger", charger, [place], charger=charger)
        for family in ("f1", "f2"):
            self._ticket(site, pile, place, family, charger)
        self._report(site, place)
        self._incident(site, pile, place)
        self._fieldwork(site, pile, place)
        self._exclusion("site", site, [place])
        self._downtime("site", site, [place])
        self._machine(pile, place, charger)

    def _ticket(self, site: int, pile: int, place: Place, family: str, charger: str) -> None:
        """With a work order, a cost, a notification and an audit entry of its own."""
        id = self._one(
            "INSERT INTO ticket (subject_kind, subject_id, site_id, charger_id, code, family, "
            "severity, state, opened_at, deadline_at) VALUES ('charger', %s, %s, %s, 'no-output', "
            "%s, 2, 'open', now(), now())",
            pile, site, pile, family,
        )  # fmt: skip
        ticket = self._note("ticket", id, [place], ticket=id)
        self._on_charger.setdefault(charger, []).append(id)
        cost = self._one(
            "INSERT INTO ticket_cost (ticket_id, kind, quantity, unit_fen, payer, entered_by, "
            "entered_at) VALUES (%s, 'labour', 1, 100, 'user', 1, now())", id,
        )  # fmt: skip
        self._note("cost", cost, [place], ticket=id)
        order = self._one(
            "INSERT INTO work_order (ticket_id, duty, company_id, task, deadline_at, state, "
            "opened_at) VALUES (%s, 'community', %s, 'x', now(), 'open', now())",
            id, self._id("company", "k0"),
        )  # fmt: skip
        self._note("work_order", order, [place], ticket=id, doers={"k0"})
        news = self._tell("ticket", ticket)
        delivery = self._one(
            "INSERT INTO delivery (outbox_id, receiver, key, created_at, due_at, sent_at) "
            "VALUES (%s, 'r', %s, now(), now(), now())", news, f"t/{id}",
        )  # fmt: skip
        self._note("delivery", delivery, [place], ticket=id)
        entry = self._one(
            "INSERT INTO audit (at, person_id, action, object) VALUES (now(), NULL, 'x.y', %s)",
            f"ticket/{id}",
        )
        self._note("audit", entry, [place], ticket=id)

    def _report(self, site: int, place: Place) -> None:
        """A doubtful one with a photo."""
        id = self._one(
            "INSERT INTO report (receipt, source, site_id, code, reported_at, doubt) "
            "VALUES (%s, 'page', %s, 'no-output', now(), '{same-text}')",
            secrets.token_bytes(32), site,
        )  # fmt: skip
        self.db.execute(
            "INSERT INTO report_photo (report_id, number, added_at, sent, width, height, jpeg) "
            "VALUES (%s, 1, now(), %s, 1, 1, 'x')", (id, secrets.token_bytes(32)),
        )  # fmt: skip
        self._note("report", id, [place])

    def _incident(self, site: int, pile: int, place: Place) -> None:
        id = self._one(
            "INSERT INTO incident (subject_kind, subject_id, site_id, charger_id, code, family, "
            "severity, effect, detector, phase, started_at) VALUES ('charger', %s, %s, %s, "
            "'no-output', 'f', 2, 'out-of-order', 'reported', 'open', now())",
            pile, site, pile,
        )  # fmt: skip
        self._tell("incident", self._note("incident", id, [place]))

    def _tell(self, kind: str, thing: Thing) -> int:
        """A notification of it in the outbox."""
        news = self._one(
            "INSERT INTO outbox (key, topic, payload, created_at, due_at) "
            "VALUES (%s, %s, jsonb_build_object(%s::text, %s::bigint), now(), now())",
            f"{kind}/{thing.id}", f"{kind}.opened", kind, thing.id,
        )  # fmt: skip
        self.news[int(news)] = thing
        return int(news)

    def _fieldwork(self, site: int, pile: int, place: Place) -> None:
        """A plan, its open round over the pile, and an inspection with a photo."""
        plan = self._patrol_plan("site", site, [place])
        round = self._one(
            "INSERT INTO patrol_round (plan_id, number, opened_at, due_at) "
            "VALUES (%s, 1, now(), now() + interval '1 day')", plan,
        )  # fmt: skip
        self.db.execute(
            "INSERT INTO patrol_stop (round_id, charger_id, place, checklist_id) "
            "VALUES (%s, %s, 1, %s)", (round, pile, self.checklist),
        )  # fmt: skip
        self._note("round", round, [place])
        inspection = str(uuid4())
        self.db.execute(
            "INSERT INTO inspection (id, charger_id, person_id, inspected_at, received_at, passed) "
            "VALUES (%s, %s, 1, now(), now(), true)", (inspection, pile),
        )  # fmt: skip
        self.db.execute(
            "INSERT INTO inspection_photo (inspection_id, name, added_at, sent, width, height, "
            "jpeg) VALUES (%s, '1', now(), %s, 1, 1, 'x')", (inspection, secrets.token_bytes(32)),
        )  # fmt: skip
        self._note("inspection", inspection, [place])

    def _patrol_plan(self, kind: str, id: Any, places: list[Place]) -> Any:
        plan = self._one(
            "INSERT INTO patrol_plan (name, kind, purpose, scope_kind, scope_id, interval_days, "
            "route, first_due_at, entered_by, entered_at) "
            "VALUES ('x', 'patrol', 'patrol', %s, %s, 90, 'nearest', now(), 1, now())", kind, id,
        )  # fmt: skip
        self._note("patrol_plan", plan, places)
        return plan

    def _exclusion(self, kind: str, id: Any, places: list[Place]) -> None:
        made = self._one(
            "INSERT INTO exclusion (scope_kind, scope_id, reason, document, from_at, to_at, "
            "entered_by, entered_at) VALUES (%s, %s, 'utility', 'x', now() - interval '1 h', "
            "now(), 1, now())", kind, id,
        )  # fmt: skip
        self._note("exclusion", made, places)

    def _downtime(self, kind: str, id: Any, places: list[Place]) -> None:
        made = self._one(
            "INSERT INTO downtime (scope_kind, scope_id, kind, from_at, to_at, reason, entered_by, "
            "entered_at) VALUES (%s, %s, 'maintenance', now() + interval '1 d', "
            "now() + interval '2 d', 'x', 1, now())", kind, id,
        )  # fmt: skip
        self._note("downtime", made, places)

    def _machine(self, pile: int, place: Place, charger: str) -> None:
        """A command, a message in quarantine, and a webhook of the site's company."""
        command = self._one(
            "INSERT INTO command (charger_id, name, reason, state, issued_at, expires_at, "
            "ended_at) VALUES (%s, 'reset', 'x', 'done', now(), now() + interval '1 h', now())",
            pile,
        )
        self._note("command", command, [place], charger=charger)
        message = self._one(
            "INSERT INTO quarantine (received_at, topic, payload, size, reason, charger_code) "
            "VALUES (now(), 't', '', 0, 'r', %s)", charger,
        )  # fmt: skip
        self._note("quarantine", message, [place])
        hook = self._one(
            "INSERT INTO webhook (url, secret, topics, sites, company_id, created_by, created_at) "
            "VALUES ('https://x.example', 'x', '{ticket.*}', ARRAY[%s], %s, 1, now())",
            place.site, self._id("company", place.company),
        )  # fmt: skip
        self._note("webhook", hook, [place])

    def _in_grid(self, grid: str) -> None:
        """A meeting with two matters: one that is nobody's ticket, and one that has become one."""
        here = [Place("", grid, None)]
        meeting = str(uuid4())
        self.db.execute(
            "INSERT INTO meeting (id, grid_id, place, starts_at, entered, entered_by, entered_at) "
            "VALUES (%s, %s, 'x', now(), '', 1, now())", (meeting, self._id("grid", grid)),
        )  # fmt: skip
        self._note("meeting", meeting, here)
        other = str(uuid4())
        self._matter(other, meeting, "other", self._id("company", "k0"))
        self._note("matter", other, here, doers={"k0"})
        ticket = next(t for t in self.things["ticket"] if t.places[0].grid == grid)
        report = self._one(
            "INSERT INTO report (receipt, source, site_id, code, reported_at, ticket_id) "
            "SELECT %s, 'meeting', site_id, 'no-output', now(), id FROM ticket WHERE id = %s",
            secrets.token_bytes(32), ticket.id,
        )  # fmt: skip
        charging = str(uuid4())
        self._matter(charging, meeting, "charging", None, ticket.id, report)
        self._note("matter", charging, here, ticket=ticket.id)

    def _matter(self, id: str, meeting: str, kind: str, company: Any, *linked: Any) -> None:
        ticket, report = linked or (None, None)
        self.db.execute(
            "INSERT INTO matter (id, meeting_id, grid_id, raised_at, kind, text, owner_company_id, "
            "deadline_at, state, entered, entered_by, entered_at, ticket_id, report_id) "
            "SELECT %s, m.id, m.grid_id, now(), %s, 'x', %s, now(), 'raised', '', 1, now(), %s, %s "
            "FROM meeting m WHERE m.id = %s",
            (id, kind, company, ticket, report, meeting),
        )
