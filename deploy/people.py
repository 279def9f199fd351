"""`pilewatch person`: who may do more than a resident. What is done here is audited without a
person: whoever runs the command has the database anyway."""

# Each process imports only what it needs: `pilewatch ingest` must not load all of `api`.
# ruff: noqa: PLC0415

import argparse
import getpass
import sys
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

import psycopg

from pilewatch.clock import utc_now
from pilewatch.settings import Settings
from pilewatch.store import queries
from pilewatch.store.pool import Db, connect
from pilewatch.workflow import audit

Parser = argparse.ArgumentParser
Work = Callable[[Db, argparse.Namespace], None]
_ROLES = "grid_worker, repairer, operator, admin, auditor or device"


class Wrong(Exception):
    """It cannot be done; `str()` says why."""


def register(commands: Any, add: Callable[..., Parser]) -> None:
    """Add the command and its words."""
    person = commands.add_parser("person", help="who may do more than a resident")
    inner = person.add_subparsers(required=True, metavar="COMMAND")

    def word(name: str, work: Work, text: str, into: Any = inner) -> Parser:
        made = add(name, _running(work), text, into)
        made.add_argument("login")
        return made

    new = word("add", _add, "add a person and print a key, which is shown once")
    new.add_argument("--name")
    new.add_argument("--role", required=True, help=_ROLES)
    _add_reach(new)
    add("list", _running(_list), "everyone, with role and reach", inner)
    change = word("change", _change, "another role, company, grid, area, name or e-mail")
    change.add_argument("--name")
    change.add_argument("--role", help=_ROLES)
    _add_reach(change)
    word("disable", _disable, "nothing opens for them any more")
    word("enable", _enable, "they may log in again")
    word("password", _password, "set a password for the login page; asked for, never an argument")
    word("reset-totp", _reset_totp, "take a lost second factor away")
    link = word("link", _link, "who they are at the organisation's own login")
    link.add_argument("--issuer", required=True, metavar="URL")
    link.add_argument("--subject", required=True, help="their `sub` there")
    token = inner.add_parser("token", help="keys for programs")
    keys = token.add_subparsers(required=True, metavar="COMMAND")
    made = word("add", _add_key, "make a key and print it, once", keys)
    made.add_argument("--label", default="made with the command")
    made.add_argument(
        "--scope", action="append", help="what it may be used for; may be repeated; else everything"
    )
    made.add_argument("--days", type=int, help="how long it is valid; else until it is revoked")
    word("list", _list_keys, "a person's keys, without themselves", keys)
    word("revoke", _revoke_key, "this key opens nothing any more", keys).add_argument(
        "number", type=int
    )


def _add_reach(parser: Parser) -> None:
    parser.add_argument("--company", help="of a repairer, operator or device, by code")
    parser.add_argument("--grid", action="append", help="of a grid worker or device, by code")
    parser.add_argument("--area", action="append", help="of an admin or auditor; without: all")
    parser.add_argument("--email", help="as the organisation's own login knows it")


def _running(work: Work) -> Callable[[Settings, argparse.Namespace], int]:
    def run(settings: Settings, arguments: argparse.Namespace) -> int:
        url = settings.database.url.get_secret_value()
        try:
            with connect(url, application="pilewatch") as db, db.transaction():
                work(db, arguments)
        except (Wrong, ValueError) as error:
            print(error, file=sys.stderr)
            return 1
        except psycopg.errors.UniqueViolation as error:
            what = "e-mail" if error.diag.constraint_name == "person_email" else "login"
            print(f"this {what} is somebody's already", file=sys.stderr)
            return 1
        return 0

    return run


def _add(db: Db, arguments: argparse.Namespace) -> None:
    from api.people import add_person, new_api_key, persons

    name, grids, areas = arguments.name or arguments.login, arguments.grid, arguments.area
    id = add_person(
        db, arguments.login, name, arguments.role, company=arguments.company,
        grids=grids or (), areas=areas or (), email=arguments.email,
    )  # fmt: skip
    _record(db, "person.add", id, None, _told(persons(db, id=id)[0]))
    key = new_api_key(db, id, "first key", utc_now())
    _record(db, "key.add", id, None, {"label": "first key"})
    print(key)


def _list(db: Db, _: argparse.Namespace) -> None:
    from api.people import persons

    after = 0
    while rows := persons(db, after=after, limit=500):
        for row in rows:
            reach = ", ".join(filter(None, [row["company"], *row["grids"], *row["areas"]]))
            marks = [word for word in ("password", "totp") if row[word]]
            marks += [] if row["active"] else ["disabled"]
            print(
                f"{row['login']:16} {row['role']:12} {reach or '-':24} {' '.join(marks)}".rstrip()
            )
        after = rows[-1]["id"]


def _change(db: Db, arguments: argparse.Namespace) -> None:
    given = {
        **{"name": arguments.name, "role": arguments.role, "email": arguments.email},
        **{"company": arguments.company, "grids": arguments.grid, "areas": arguments.area},
    }
    said = {name: value for name, value in given.items() if value is not None}
    if not said:
        raise Wrong("say what is to change: see `pilewatch person change --help`")
    if "role" in said:  # what the old role reached is nothing to the new one
        said = {"company": None, "grids": [], "areas": [], **said}
    _rewrite(db, arguments.login, said)


def _disable(db: Db, arguments: argparse.Namespace) -> None:
    _rewrite(db, arguments.login, {"active": False})


def _enable(db: Db, arguments: argparse.Namespace) -> None:
    _rewrite(db, arguments.login, {"active": True})


def _rewrite(db: Db, login: str, said: Mapping[str, Any]) -> None:
    from api.people import Reach, change_person, person_named

    before = person_named(db, login)
    wanted = {**before, **said}
    reach = Reach(wanted["company"], tuple(wanted["grids"]), tuple(wanted["areas"]))
    change_person(
        db, before["id"], name=wanted["name"], role=wanted["role"], reach=reach,
        email=wanted["email"], active=wanted["active"],
    )  # fmt: skip
    after = person_named(db, login)
    _record(db, "person.change", before["id"], _told(before), _told(after))
    print("done")


def _password(db: Db, arguments: argparse.Namespace) -> None:
    from api.people import person_named, set_password

    asked = getpass.getpass if sys.stdin.isatty() else lambda _: sys.stdin.readline().rstrip("\n")
    password = asked(f"new password of {arguments.login}: ")
    if sys.stdin.isatty() and asked("once more: ") != password:
        raise Wrong("the two were not the same; nothing was changed")
    set_password(db, arguments.login, password)
    _record(db, "person.password", person_named(db, arguments.login)["id"])
    print("done")


def _reset_totp(db: Db, arguments: argparse.Namespace) -> None:
    from api import second_factor
    from api.people import end_sessions, person_named

    person = person_named(db, arguments.login)
    second_factor.end(db, person["id"])
    end_sessions(db, person["id"])
    _record(db, "person.second-factor.end", person["id"])
    print("done")


def _link(db: Db, arguments: argparse.Namespace) -> None:
    from api.people import person_named

    person = person_named(db, arguments.login)
    issuer = arguments.issuer.rstrip("/")
    values = {
        **{"issuer": issuer, "subject": arguments.subject},
        **{"person_id": person["id"], "now": utc_now()},
    }
    if db.execute(queries.load("people")["link"], values).fetchone() is None:
        raise Wrong("this identity is somebody's already")
    _record(db, "person.link", person["id"], None, {"issuer": issuer})
    print("done")


def _add_key(db: Db, arguments: argparse.Namespace) -> None:
    from api.people import new_api_key, person_named
    from api.rights import SCOPES

    for word in arguments.scope or ():
        if word not in SCOPES:
            raise Wrong(f"scope {word!r}; right would be one of {', '.join(SCOPES)}")
    if arguments.days is not None and not 1 <= arguments.days <= 36500:
        raise Wrong(f"--days {arguments.days}; right would be 1 to 36500")
    person, now = person_named(db, arguments.login), utc_now()
    ends = None if arguments.days is None else now + timedelta(days=arguments.days)
    key = new_api_key(
        db, person["id"], arguments.label, now, scopes=arguments.scope, expires_at=ends
    )
    told = {"label": arguments.label, "scopes": arguments.scope, "days": arguments.days}
    _record(db, "key.add", person["id"], None, told)
    print(key)


def _list_keys(db: Db, arguments: argparse.Namespace) -> None:
    from api.people import keys_of, person_named

    person = person_named(db, arguments.login)
    for row in keys_of(db, person["id"], utc_now(), before=2**63 - 1, limit=1000):
        ends = row["expires_at"].isoformat(timespec="minutes") if row["expires_at"] else "-"
        scopes = "everything" if row["scopes"] is None else ",".join(row["scopes"])
        state = "valid" if row["valid"] else "over"
        print(f"{row['id']:6} {state:6} {ends:24} {scopes:20} {row['label']}")


def _revoke_key(db: Db, arguments: argparse.Namespace) -> None:
    from api.people import person_named, revoke_key

    person = person_named(db, arguments.login)
    if not revoke_key(db, person["id"], arguments.number, utc_now()):
        raise Wrong(f"{arguments.login} has no valid key {arguments.number}")
    _record(db, "key.revoke", person["id"], {"key": arguments.number})
    print("done")


def _record(
    db: Db,
    action: str,
    id: int,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
) -> None:
    audit.record(db, utc_now(), None, action, f"person/{id}", before, after)


def _told(person: Mapping[str, Any]) -> dict[str, Any]:
    return {name: person[name] for name in ("role", "company", "grids", "areas", "active")}
