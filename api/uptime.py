"""`/api/v1/uptime`: three figures side by side, what they leave out, and their history."""

import csv
import io
from typing import Annotated, Any

from fastapi import Depends, Query, Response

from api import problems
from api import uptime_models as answers
from api.context import Ask, Asked, Page, Paged, Word
from api.models import Listed
from api.problems import Problem
from api.rights import demand, scope
from api.routers import ordering, reading
from pilewatch.store import queries
from pilewatch.uptime.analysis import Group, analyse
from pilewatch.uptime.building import built_until
from pilewatch.uptime.measures import RAPID_W, excluded_pieces
from pilewatch.uptime.periods import Length, Period, moment, period
from pilewatch.uptime.publishing import history, known_tallies
from pilewatch.uptime.reading import Level, Place, Row, layers_of, places, sums

router, orders = reading("uptime"), ordering("uptime")
_SQL = queries.load("uptime")
_PLANNING = queries.load("planning")
Month = Annotated[str, Query(description="As 2026-11, in each site's own time")]
LengthWord = Annotated[
    Length, Query(description="The month, the twelve months that end with it, or its year")
]
By = Annotated[Level, Query(description="What each line is about")]


class Asking:
    """Which connectors, and over which time."""

    def __init__(
        self,
        ask: Ask,
        month: Month,
        span: LengthWord = Length.MONTH,
        area: Annotated[Word, Query(description="Only of this area")] = None,
        company: Annotated[Word, Query(description="Only of this operating company")] = None,
        site: Annotated[Word, Query(description="Only of this site")] = None,
        charger: Annotated[Word, Query(description="Only of this charger")] = None,
        connector: Annotated[
            int | None, Query(ge=1, le=999, description="Only this port of the charger")
        ] = None,
        rapid: Annotated[bool, Query(description="Only 50 kW and more, as reg. 7 demands")] = False,
    ):
        demand(ask.caller, "read")
        self.ask = ask
        try:
            self.period = period(month, span)
        except ValueError as error:
            raise Problem(422, str(error)) from error
        self.words = {"area": area, "company": company, "site": site, "charger": charger}
        self.connector = connector
        self.rapid = rapid

    def places(self) -> list[Place]:
        """What was asked for, within what the caller may see."""
        found = places(self.ask.db, **self.words, connector=self.connector, **_seen_by(self.ask))
        return [p for p in found if not self.rapid or (p.max_power_w or 0) >= RAPID_W]

    def rows(self, level: Level) -> list[Row]:
        """Its figures, line by line."""
        return sums(known_tallies(self.ask.db, self.places(), self.period), level)


Asks = Annotated[Asking, Depends(Asking, scope="function")]


# --- figures


@router.get(
    "/uptime",
    response_model=answers.UptimeAnswer,
    summary="Uptime by three rules",
    **problems.for_staff(),
)
def uptime(asking: Asks, page: Paged, by: By = "site") -> Any:
    """Exact to the second, from what is known now. Side by side: plain (unknown is down), NEVI
    (documented outage is left out), and the UK's (unknown counts as reliable)."""
    db, found = asking.ask.db, asking.places()
    until = built_until(db)
    counted = known_tallies(db, found, asking.period)
    rows, cursor = _cut(sums(counted, by), page)
    ends = [asking.period.span(place.timezone)[1] for place in found]
    return {
        "month": f"{asking.period.month:%Y-%m}",
        "span": asking.period.length.value,
        "by": by,
        "known_until": until,
        "complete": until is not None and bool(ends) and moment(max(ends)) <= until,
        "never_heard": len({p.id for p in found if p.standing} - {p.id for p, _ in counted}),
        "items": [{"code": row.code, **answers.figures(row.tally)} for row in rows],
        "next_cursor": cursor,
    }


@router.get(
    "/uptime.csv",
    response_class=Response,
    summary="Uptime by three rules as CSV",
    **problems.for_staff(),
)
def uptime_csv(asking: Asks, by: By = "site") -> Response:
    """The same as one table, all lines of it (text/csv, UTF-8)."""
    lines = [
        {"month": str(asking.period), by: row.code, **_flat(answers.figures(row.tally))}
        for row in asking.rows(by)
    ]
    text = io.StringIO()
    if lines:
        writer = csv.DictWriter(text, lines[0].keys())
        writer.writeheader()
        writer.writerows({k: _safe(v) for k, v in line.items()} for line in lines)
    name = f"uptime-{asking.period.month:%Y-%m}-{by}.csv"
    head = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(text.getvalue(), media_type="text/csv", headers=head)


@router.get(
    "/uptime/excluded",
    response_model=Listed[answers.ExcludedAnswer],
    summary="Every piece of time that was left out",
    **problems.for_staff(),
)
def excluded(asking: Asks, page: Paged) -> Any:
    """With its reason and document. NEVI leaves out outage only, the UK figure all of the time;
    the pieces of a figure do not overlap, and add up to what it left out."""
    pieces = (
        (place, piece)
        for place, layers in layers_of(asking.ask.db, asking.places(), asking.period)
        for piece in excluded_pieces(layers)
    )
    found, cursor = _cut(list(pieces), page)
    items = [
        {
            "charger": place.charger,
            "connector": place.number,
            "measure": piece.measure,
            "from_at": moment(piece.span[0]),
            "to_at": moment(piece.span[1]),
            "seconds": (piece.span[1] - piece.span[0]) / 1e6,
            "reason": piece.reason,
            "document": piece.document,
            "source": piece.source,
        }
        for place, piece in found
    ]
    return {"items": items, "next_cursor": cursor}


@router.get(
    "/uptime/history",
    response_model=answers.VersionsAnswer,
    summary="A published figure and its corrections",
    **problems.for_staff(),
)
def versions(
    ask: Ask,
    month: Month,
    by: By,
    code: Annotated[str, Query(max_length=80, description="Its code; of a connector WH-E01/2")],
    span: LengthWord = Length.MONTH,
) -> Any:
    """Periods are published a day after their end. A later downtime, exclusion or late word makes a
    new version; the earlier ones stay. Nothing where it was not published yet."""
    demand(ask.caller, "read")
    try:
        asked: Period = period(month, span)
    except ValueError as error:
        raise Problem(422, str(error)) from error
    ids = {p.subject(by) for p in places(ask.db, **_seen_by(ask))}
    found = [id for id, known in ids if known == code and id is not None]
    if not found:
        raise Problem(422, f"code: there is no such {by}")
    rows = history(ask.db, by, found[0], asked)
    return {"items": [{**row, **answers.figures(row["tally"])} for row in rows]}


@router.get(
    "/analysis",
    response_model=answers.AnalysisAnswer,
    summary="What breaks, how often, and for how long",
    **problems.for_staff(),
)
def analysis(
    asking: Asks,
    by: Annotated[Group, Query(description="Reliability of each of these")] = "model",
    worst: Annotated[int, Query(ge=1, le=200, description="How many of the worst piles")] = 20,
) -> Any:
    """MTBF and MTTR, faults by their hours (Pareto), the worst piles, and how long each model goes
    without a failure (Kaplan–Meier)."""
    ask = asking.ask
    return vars(analyse(ask.db, asking.places(), asking.period, by=by, worst=worst))


# --- what is left out


# --- shapes


def _seen_by(ask: Asked) -> dict[str, Any]:
    narrowed = scope(ask.caller)
    return {"company_id": narrowed["company_id"], "grids": narrowed["grids"]}


def _cut(rows: list[Any], page: Page) -> tuple[list[Any], str | None]:
    """One page of a list that is made anew for each; its cursor counts the lines before it."""
    begins, ends = page.after, page.after + page.limit
    more = [{"id": ends}] * page.limit if ends < len(rows) else []
    return rows[begins:ends], page.answer(more, [])["next_cursor"]


def _flat(figures: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in figures.items():
        if isinstance(value, dict):
            found |= {f"{name}_{inner}": each for inner, each in value.items()}
        else:
            found[name] = value
    return found


def _safe(value: Any) -> Any:
    """No cell that a spreadsheet would take for a formula."""
    return f"'{value}" if isinstance(value, str) and value.startswith(tuple("=+-@\t\r")) else value


def _rows(ask: Asked, name: str, **values: Any) -> list[dict[str, Any]]:
    return ask.db.execute(_SQL[name], values).fetchall()
