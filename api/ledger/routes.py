"""`/api/v1/ledger`: the list of all matters, its sheets, and the month's report."""

import base64
import binascii
import json
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from tempfile import TemporaryFile
from typing import IO, Annotated, Any, Literal
from urllib.parse import quote

from fastapi import Depends, Path, Query, Response
from fastapi.responses import StreamingResponse
from pydantic import AwareDatetime
from starlette.background import BackgroundTask

from api import models, problems
from api.context import Ask, Asked, Word
from api.ledger.answers import FiguresAnswer, LedgerLine
from api.ledger.report import BadMonth, figures_of, make_pdf, read_month
from api.ledger.words import Language, Words, kind_names
from api.models import Listed
from api.problems import Problem
from api.rights import demand, scope
from api.routers import reading
from pilewatch.workflow.figures import Figures
from pilewatch.workflow.ledger import BadSearch, Mark, Wanted, all_lines, lines
from pilewatch.workflow.tickets import TicketState

router = reading("ledger")
_MOST = 20_000
"""Lines of one sheet: more are asked for in pieces."""
_XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
State = TicketState | Literal["raised", "handed-on", "answered", "done"]
Source = Literal["machine", "page", "phone", "meeting", "open311", "inspection", "staff"]
In = Annotated[Language, Query(description="Language of the document")]
MonthWord = Annotated[
    str, Query(pattern=r"^20\d\d-(0[1-9]|1[0-2])$", description="The month", examples=["2026-11"])
]
AreaWord = Annotated[Word, Query(description="Only of this area", examples=["wanhe"])]


def _wanted(
    area: AreaWord = None,
    grid: Annotated[Word, Query(description="Only of this grid", examples=["wanhe-1"])] = None,
    site: Annotated[Word, Query(description="Only of this site", examples=["wanhe-1a"])] = None,
    company: Annotated[
        Word, Query(description="Only what this company answers for", examples=["xinchong"])
    ] = None,
    state: Annotated[State | None, Query(description="Only in this state")] = None,
    kind: Annotated[
        Word, Query(description="A fault code or a matter's kind", examples=["no-output"])
    ] = None,
    source: Annotated[Source | None, Query(description="Only what came this way")] = None,
    severity: Annotated[int | None, Query(ge=1, le=3, description="1 people to 3 notice")] = None,
    settled: Annotated[bool | None, Query(description="Closed, answered, rejected, merged")] = None,
    overdue: Annotated[bool | None, Query(description="Past its deadline, done or not")] = None,
    from_at: Annotated[AwareDatetime | None, Query(description="Raised then or later")] = None,
    to_at: Annotated[AwareDatetime | None, Query(description="Raised before then")] = None,
    text: Annotated[
        str | None,
        Query(
            min_length=1,
            max_length=100,
            pattern=r"^[^\x00]+$",
            description="Words, with spaces between; a line has all of them",
            examples=["充不进电 东门"],
        ),
    ] = None,
) -> Wanted:
    return Wanted(
        area,
        grid,
        site,
        company,
        state,
        kind,
        source,
        severity,
        settled,
        overdue,
        from_at,
        to_at,
        text,
    )


Filter = Annotated[Wanted, Depends(_wanted)]


def _mark(
    cursor: Annotated[
        str | None, Query(max_length=100, description="`next_cursor` of the page before")
    ] = None,
) -> Mark | None:
    if cursor is None:
        return None
    try:
        at, id = json.loads(base64.urlsafe_b64decode(cursor.encode("ascii")))
        mark = Mark(datetime.fromisoformat(at), int(id))
        if mark.at.tzinfo is None or not 0 <= mark.id <= models.Big:
            raise ValueError("not ours")
    except (ValueError, TypeError, OverflowError, binascii.Error, RecursionError) as error:
        raise Problem(422, "cursor: use the next_cursor of the page before") from error
    return mark


@router.get(
    "/ledger",
    response_model=Listed[LedgerLine],
    summary="The ledger: all matters",
    **problems.for_staff(),
)
def ledger(
    ask: Ask,
    wanted: Filter,
    after: Annotated[Mark | None, Depends(_mark)],
    limit: Annotated[int, Query(ge=1, le=500, description="Rows of one page")] = 100,
) -> Any:
    """Newest first: tickets and the other matters of meetings, in one list."""
    demand(ask.caller, "ledger")
    rows = _searched(
        lambda: lines(
            ask.db,
            ask.now,
            wanted,
            kind_names(),
            narrowed=scope(ask.caller),
            after=after,
            limit=limit,
        )
    )
    cursor = None
    if len(rows) == limit:
        last = json.dumps([rows[-1]["raised_at"].isoformat(), rows[-1]["id"]])
        cursor = base64.urlsafe_b64encode(last.encode()).decode()
    return {"items": rows, "next_cursor": cursor}


def _searched(read: Callable[[], list[dict[str, Any]]]) -> list[dict[str, Any]]:
    try:
        return read()
    except BadSearch as error:
        raise Problem(422, str(error)) from error


def _document(media_type: str, *statuses: int) -> dict[str, Any]:
    """What the OpenAPI document says of an answer that is a file."""
    said = problems.for_staff(*statuses)
    content = {media_type: {"schema": {"type": "string", "format": "binary"}}}
    said["responses"][200] = {"description": "The file", "content": content}
    return {**said, "response_class": Response}


@router.get("/ledger/export.csv", summary="The ledger as CSV", **_document("text/csv"))
def as_csv(ask: Ask, wanted: Filter, lang: In = "zh") -> Response:
    """UTF-8 with a byte order mark, for Excel; at most 20,000 lines, newest first."""
    from api.ledger.sheet import write_csv  # noqa: PLC0415 (it brings numpy)

    return _sheet(ask, wanted, lang, "csv", "text/csv; charset=utf-8", write_csv)


@router.get("/ledger/export.xlsx", summary="The ledger as XLSX", **_document(_XLSX))
def as_xlsx(ask: Ask, wanted: Filter, lang: In = "zh") -> Response:
    """With the columns that a community hands in; at most 20,000 lines, newest first."""
    from api.ledger.sheet import write_xlsx  # noqa: PLC0415

    return _sheet(ask, wanted, lang, "xlsx", _XLSX, write_xlsx)


def _sheet(
    ask: Asked,
    wanted: Wanted,
    language: Language,
    ending: str,
    media_type: str,
    write: Callable[[Iterable[dict[str, Any]], Words, IO[bytes]], None],
) -> Response:
    demand(ask.caller, "ledger")
    words = Words(language)
    file = TemporaryFile()  # noqa: SIM115 - closed when it has been sent
    try:
        with ask.db.transaction():
            ask.db.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            write(_bounded(ask, wanted), words, file)
        file.seek(0)
    except BadSearch as error:
        file.close()
        raise Problem(422, str(error)) from error
    except BaseException:
        file.close()
        raise
    name = f"{words('ledger.title')}-{ask.now:%Y%m%d}.{ending}"
    return _sent(file, media_type, name, f"ledger.{ending}")


def _bounded(ask: Asked, wanted: Wanted) -> Iterator[dict[str, Any]]:
    found = all_lines(
        ask.db, ask.now, wanted, kind_names(), narrowed=scope(ask.caller), most=_MOST + 1
    )
    for number, line in enumerate(found):
        if number == _MOST:
            raise Problem(422, f"more than {_MOST} lines: narrow it by from_at, to_at or place")
        yield line


def _sent(file: IO[bytes], media_type: str, name: str, plain_name: str) -> Response:
    return StreamingResponse(
        iter(lambda: file.read(65536), b""),
        media_type=media_type,
        headers=_headers("attachment", name, plain_name),
        background=BackgroundTask(file.close),
    )


def _headers(how: str, name: str, plain_name: str) -> dict[str, str]:
    """A file of staff: kept in no cache, and taken for nothing but what it is."""
    named = f"{how}; filename=\"{plain_name}\"; filename*=UTF-8''{quote(name)}"
    return {
        "Content-Disposition": named,
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
    }


@router.get(
    "/ledger/figures/{month}",
    response_model=FiguresAnswer,
    summary="The figures of a month",
    **problems.for_staff(404),
)
def month_figures(
    month: Annotated[str, Path(pattern=r"^20\d\d-(0[1-9]|1[0-2])$", description="The month")],
    ask: Ask,
    area: AreaWord = None,
) -> Any:
    """What the report shows, for programs; of the caller's own lines."""
    _, found = _figures(ask, month, area)
    groups = {
        key: [vars(g) for g in getattr(found, key)] for key in ("by_site", "by_kind", "by_source")
    }
    days = [{"day": day, "raised": raised, "settled": done} for day, raised, done in found.days]
    return {**vars(found), **groups, "days": days, "month": month, "area": area}


@router.get(
    "/ledger/report.pdf", summary="The month's report to print", **_document("application/pdf", 404)
)
def report(month: MonthWord, ask: Ask, area: AreaWord = None, lang: In = "zh") -> Response:
    """With charts; of the caller's own lines."""
    asked, found = _figures(ask, month, area)
    made = make_pdf(asked, found, ask.now, Words(lang))
    name = f"{Words(lang)('report.title')}-{month}.pdf"
    headers = _headers("inline", name, f"report-{month}.pdf")
    return Response(made, media_type="application/pdf", headers=headers)


def _figures(ask: Asked, month: str, area: str | None) -> tuple[Any, Figures]:
    demand(ask.caller, "ledger")
    try:
        asked = read_month(ask.db, month, area)
    except BadMonth as error:
        raise Problem(404, str(error)) from error
    return asked, figures_of(ask.db, asked, ask.now, scope(ask.caller))
