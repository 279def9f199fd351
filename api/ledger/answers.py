"""How the ledger's lines and figures go out."""

from datetime import date, datetime
from uuid import UUID

from pydantic import BaseModel, ConfigDict


class SharedWith(BaseModel):
    """One side that has a work order of the matter."""

    duty: str
    company: str | None
    owner: str | None
    state: str


class LedgerLine(BaseModel):
    """One matter: a ticket, or one of a meeting. `done_at` is when it was said to be done, which
    the deadline promises; `settled_at` when it was closed, answered or rejected. `satisfied` is the
    residents' last answer. Money is in fen."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": 31,
                    "ticket": 7,
                    "matter": None,
                    "raised_at": "2026-05-01T08:00:00Z",
                    "source": "page",
                    "area": "wanhe",
                    "grid": "wanhe-1",
                    "site": "wanhe-1a",
                    "charger": "WH-E01",
                    "connector": 3,
                    "text": "插上没反应",
                    "kind": "no-output",
                    "severity": 2,
                    "state": "closed",
                    "company": "xinchong",
                    "owner": "wang",
                    "deadline_at": "2026-05-03T08:00:00Z",
                    "done_at": "2026-05-01T10:30:00Z",
                    "settled_at": "2026-05-01T12:00:00Z",
                    "overdue": False,
                    "cause": "contact of the socket worn",
                    "cause_code": "worn",
                    "remedy": "socket replaced",
                    "remedy_code": "part-replaced",
                    "proof": "session",
                    "reopened": 0,
                    "paused_s": 0,
                    "cost_fen": 4500,
                    "satisfied": True,
                    "shared": [
                        {"duty": "power", "company": "xydl", "owner": None, "state": "done"}
                    ],
                }
            ]
        }
    )

    id: int
    ticket: int | None
    matter: UUID | None
    raised_at: datetime
    source: str
    area: str
    grid: str
    site: str | None
    charger: str | None
    connector: int | None
    text: str | None
    kind: str
    severity: int | None
    state: str
    company: str | None
    owner: str | None
    deadline_at: datetime
    done_at: datetime | None
    settled_at: datetime | None
    overdue: bool
    cause: str | None
    cause_code: str | None
    remedy: str | None
    remedy_code: str | None
    proof: str | None
    reopened: int
    paused_s: float
    cost_fen: int
    satisfied: bool | None
    shared: list[SharedWith]


class GroupFigures(BaseModel):
    """Lines of one site, kind or source; `open` at the end of the month."""

    name: str
    raised: int
    settled: int
    on_time: int
    late: int
    escalated: int
    open: int


class DayFigures(BaseModel):
    """One day."""

    day: date
    raised: int
    settled: int


class FiguresAnswer(BaseModel):
    """One month: open before + raised - settled = open after. `inside_grid` to `dissatisfied` are
    of what was settled; `overdue` is open after and past its deadline; `hours` is the median time
    from report to repair."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "month": "2026-05",
                    "area": "wanhe",
                    "before": 2,
                    "raised": 31,
                    "settled": 30,
                    "after": 3,
                    "inside_grid": 28,
                    "escalated": 2,
                    "on_time": 27,
                    "late": 3,
                    "reopened": 1,
                    "rejected": 2,
                    "satisfied": 9,
                    "dissatisfied": 1,
                    "overdue": 0,
                    "paused_s": 7200,
                    "hours": 5.5,
                    "by_site": [],
                    "by_kind": [],
                    "by_source": [],
                    "days": [{"day": "2026-05-01", "raised": 1, "settled": 0}],
                }
            ]
        }
    )

    month: str
    area: str | None
    before: int
    raised: int
    settled: int
    after: int
    inside_grid: int
    escalated: int
    on_time: int
    late: int
    reopened: int
    rejected: int
    satisfied: int
    dissatisfied: int
    overdue: int
    paused_s: float
    hours: float | None
    by_site: list[GroupFigures]
    by_kind: list[GroupFigures]
    by_source: list[GroupFigures]
    days: list[DayFigures]
