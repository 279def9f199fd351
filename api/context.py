"""What every endpoint needs: a connection, the moment, the caller."""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

from fastapi import Depends, Header, Query, Request, Response

from api.people import RESIDENT, Caller, caller_by_key, caller_by_session
from api.problems import Problem
from api.request_id import request_id
from pilewatch.clock import Clock
from pilewatch.policy import Policy
from pilewatch.settings import Settings
from pilewatch.store import queries
from pilewatch.store.policies import in_force
from pilewatch.store.pool import Db, Pool
from pilewatch.workflow import audit

SQL = queries.load("api")
SESSION_COOKIE = "pilewatch_session"
_BIG = 2**63 - 1
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(frozen=True)
class Context:
    """The process's parts, made once."""

    settings: Settings
    policy: Policy
    clock: Clock
    pool: Pool


@dataclass(frozen=True)
class Asked:
    """One request: who, when, with which connection. `csrf` is the login session's token that a
    form must carry; None without a session."""

    db: Db
    now: datetime
    caller: Caller
    context: Context
    csrf: str | None = None

    @property
    def policy(self) -> Policy:
        """The policy in force."""
        return in_force(self.db, self.context.policy)

    @property
    def person_id(self) -> int:
        """Who asks, after `demand`."""
        assert self.caller.id is not None
        return self.caller.id

    @contextmanager
    def all_or_nothing(self) -> Iterator[None]:
        """One transaction; a `ValueError` of what cannot be is the asker's error (422)."""
        try:
            with self.db.transaction():
                yield
        except ValueError as error:
            raise Problem(422, str(error)) from error

    def record(
        self,
        action: str,
        about: str,
        before: Mapping[str, Any] | None = None,
        after: Mapping[str, Any] | None = None,
    ) -> None:
        """Write into the audit what the caller has changed."""
        audit.record(self.db, self.now, self.caller.id, action, about, before, after)

    def rows(self, name: str, **values: Any) -> list[dict[str, Any]]:
        """The rows of a named query."""
        return self.db.execute(SQL[name], {"now": self.now, "ids": None, **values}).fetchall()


def asked(
    request: Request,
    authorization: Annotated[str | None, Header(include_in_schema=False)] = None,
) -> Iterator[Asked]:
    """Lend a connection for the request, and find out whose it is."""
    context: Context = request.app.state.context
    now = context.clock()
    with context.pool.connection() as db:
        caller, csrf = RESIDENT, None
        if authorization is not None:
            scheme, _, key = authorization.partition(" ")
            found = caller_by_key(db, key.strip(), now) if scheme.lower() == "bearer" else None
            if found is None:
                raise Problem(401, "this key is unknown, revoked or expired")
            caller = found
        elif token := request.cookies.get(SESSION_COOKIE):
            session = caller_by_session(db, token, now)
            if session is not None:
                caller, csrf = session.caller, session.csrf
                if request.url.path.startswith("/api/") and request.method not in _SAFE:
                    check_csrf(csrf, request.headers.get("x-csrf-token"))
        origin = audit.Origin(caller.key_id, caller.session_id, request_id(request))
        with audit.coming_from(db, origin):
            yield Asked(db, now, caller, context, csrf)


def check_csrf(expected: str | None, given: str | None) -> None:
    """Raises `Problem` 403 unless the token of the session's own pages came along."""
    if expected is None or not hmac.compare_digest(expected.encode(), (given or "").encode()):
        raise Problem(403, "X-CSRF-Token: the token of the login session is needed")


IfMatch = Annotated[
    str | None, Header(description="The ETag that was seen; 412 if it is another by now")
]
# The connection goes back to the pool before the answer is sent: a slow reader holds none.
Ask = Annotated[Asked, Depends(asked, scope="function")]
Word = Annotated[str | None, Query(max_length=64, pattern=r"^[^\x00]+$")]
SiteWord = Annotated[Word, Query(description="Only of this site", examples=["wanhe-1a"])]
ChargerWord = Annotated[Word, Query(description="Only of this charger", examples=["WH-E01"])]


def guard_cache(ask: Ask, response: Response) -> None:
    """What staff see stays in no cache; what all may see is asked for again, by its ETag."""
    staff = ask.caller.id is not None
    response.headers["Cache-Control"] = "no-store" if staff else "no-cache"
    response.headers["Vary"] = "Authorization, Cookie"


@dataclass(frozen=True)
class Page:
    """A piece of a list: how many rows, from which id on."""

    limit: int
    at: int | None

    @property
    def before(self) -> int:
        """For lists with the newest first."""
        return _BIG if self.at is None else self.at

    @property
    def after(self) -> int:
        """For lists with the oldest first."""
        return 0 if self.at is None else self.at

    def answer(self, rows: list[dict[str, Any]], items: list[Any]) -> dict[str, Any]:
        """The list's document; a cursor where there may be more."""
        full = len(rows) == self.limit and rows
        cursor = base64.urlsafe_b64encode(str(rows[-1]["id"]).encode()).decode() if full else None
        return {"items": items, "next_cursor": cursor}


def page(
    limit: Annotated[int, Query(ge=1, le=500, description="Rows of one page")] = 100,
    cursor: Annotated[
        str | None, Query(max_length=64, description="`next_cursor` of the page before")
    ] = None,
) -> Page:
    """Reads limit and cursor. Raises `Problem` 422 for a cursor that we did not give."""
    if cursor is None:
        return Page(limit, None)
    try:
        at = int(base64.urlsafe_b64decode(cursor.encode("ascii")))
    except (ValueError, binascii.Error) as error:
        raise Problem(422, "cursor: use the next_cursor of the page before") from error
    if not 0 < at <= _BIG:
        raise Problem(422, "cursor: use the next_cursor of the page before")
    return Page(limit, at)


Paged = Annotated[Page, Depends(page)]


def one(rows: list[dict[str, Any]], what: str, status: int = 404) -> dict[str, Any]:
    """The first of these rows. Raises `Problem` where there is none."""
    if not rows:
        raise Problem(status, f"there is no {what}")
    return rows[0]


def seen_version(if_match: str | None) -> int | None:
    """The version that the asker has seen, if told. Raises `Problem` 412 for what is no ETag."""
    if if_match is None or if_match.strip() == "*":
        return None
    text = if_match.strip().strip('"')
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise Problem(412, "If-Match: use the ETag that came with it")
    return int(text)


def etag_of(value: object) -> str:
    """The same for the same value."""
    return f'"{hashlib.sha256(repr(value).encode()).hexdigest()[:20]}"'


def check_match(if_match: str | None, etag: str) -> None:
    """Raises `Problem` 412 where the asker has seen another state than the present one."""
    if if_match is not None and if_match.strip() not in ("*", etag):
        raise Problem(412, "it has been changed meanwhile: get it again, and use its ETag")


def tag(request: Request, response: Response, value: object) -> Response | None:
    """Set the ETag; a 304 where the asker has it already."""
    etag = etag_of(value)
    response.headers["ETag"] = etag
    if request.headers.get("if-none-match") == etag:
        return Response(status_code=304, headers={"ETag": etag})
    return None
