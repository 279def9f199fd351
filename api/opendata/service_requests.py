"""`/open311/v2/requests` and `/tokens`: what was reported, and how to report, by GeoReport v2."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Form, Path, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from api.idempotency import OnceRoute, once
from api.opendata import markup
from api.opendata.georeport import Asking, Here, Row, answer, shown
from api.pages.words import Speech
from api.people import caller_by_key
from pilewatch.faultcodes import FAULTS
from pilewatch.workflow.reports import file_report, report_by_receipt

router = APIRouter(prefix="/open311/v2", tags=["Open311"])
orders = APIRouter(
    prefix="/open311/v2",
    tags=["Open311"],
    route_class=OnceRoute,
    dependencies=[Depends(once, scope="function")],
)
_DAYS = timedelta(days=90)
_WITHIN_M = 300.0
"""How far from a site a coordinate may be that is meant for it."""
_LONGEST = 4000
_NOTE = 2000
_CLOSED = frozenset({"verified", "closed", "rejected", "merged"})


# --- what was reported

_REQUEST = {
    "service_request_id": "7",
    "status": "open",
    "status_notes": "师傅已接单，在路上",
    "service_name": "充不进电",
    "service_code": "no-output",
    "description": "充不进电",
    "agency_responsible": "信阳充电运营",
    "service_notice": "",
    "requested_datetime": "2026-05-01T08:00:00Z",
    "updated_datetime": "2026-05-01T08:20:00Z",
    "expected_datetime": "2026-05-03T08:00:00Z",
    "address": "万和路 1 号 东门 1 号 3",
    "address_id": "WH-E01",
    "zipcode": "464000",
    "lat": 32.13,
    "long": 114.07,
    "media_url": "",
}


@router.get(
    "/requests.{format}",
    summary="Service requests",
    **shown("service_requests", "request", _REQUEST, 400),
)
def requests(
    here: Asking,
    service_request_id: Annotated[
        str | None, Query(description="Only these, comma separated; the rest is not looked at")
    ] = None,
    service_code: Annotated[
        str | None, Query(description="Only of these services, comma separated")
    ] = None,
    start_date: Annotated[str | None, Query(description="Asked then or later")] = None,
    end_date: Annotated[str | None, Query(description="Asked then or before")] = None,
    status: Annotated[str | None, Query(description="open, closed, or both by comma")] = None,
) -> Response:
    """Newest first: 90 days and 1,000 requests at most; without dates the last 90 days."""
    if service_request_id:
        ids = [_id(here, word) for word in service_request_id.split(",")[:1000]]
        return _told(here, ids=ids)
    begins, ends = _span(here, start_date, end_date)
    words = set((status or "open,closed").split(","))
    if not words <= {"open", "closed"}:
        raise here.refuse(400, "status: open, closed, or open,closed")
    closed = None if len(words) == 2 else words == {"closed"}
    codes = None if not service_code else service_code.replace("\0", "").split(",")[:100]
    return _told(here, from_at=begins, to_at=ends, codes=codes, closed=closed)


def _span(here: Here, begins: str | None, ends: str | None) -> tuple[datetime, datetime]:
    """At most 90 days: with one end given, from or until there."""
    first, last = _moment(here, "start_date", begins), _moment(here, "end_date", ends)
    try:
        if last is None:
            last = here.ask.now if first is None else min(here.ask.now, first + _DAYS)
        if first is None or last - first > _DAYS:
            first = last - _DAYS
    except OverflowError as error:
        raise here.refuse(400, "start_date, end_date: out of range") from error
    return first, last


def _moment(here: Here, name: str, said: str | None) -> datetime | None:
    if not said:
        return None
    try:
        # A plus sign that a client did not encode arrives as a space.
        found = datetime.fromisoformat(said.replace(" ", "+"))
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise here.refuse(400, f"{name}: right would be as 2026-05-01T00:00:00Z") from error


@router.get(
    "/requests/{id}.{format}",
    summary="One service request",
    **shown("service_requests", "request", _REQUEST, 400),
)
def request(id: Annotated[str, Path(description="Its number")], here: Asking) -> Response:
    """A list of one."""
    return _told(here, ids=[_id(here, id)], one=id)


def _id(here: Here, word: str) -> int:
    number = word.strip()
    if not (number.isascii() and number.isdigit() and len(number) < 19):
        raise here.refuse(404, f"there is no request {word[:40]}")
    return int(number)


def _told(here: Here, *, one: str | None = None, **wanted: Any) -> Response:
    nothing = dict.fromkeys(("ids", "from_at", "to_at", "codes", "closed"))
    rows = here.rows("service_requests", **{**nothing, **wanted})
    if one is not None and not rows:
        raise here.refuse(404, f"there is no request {one[:40]}")
    told = [_request(row, here.t) for row in rows]
    return answer("service_requests", "request", told, here.format)


def _request(row: Row, t: Speech) -> Row:
    name = t(f"fault.{row['code']}")
    place = [row["address"] or row["site_name"], row["label"], row["number"]]
    return {
        "service_request_id": str(row["id"]),
        "status": "closed" if row["state"] in _CLOSED else "open",
        "status_notes": t(f"mend.{row['state']}"),
        "service_name": name,
        "service_code": row["code"],
        "description": name,
        "agency_responsible": row["company"] or "",
        "service_notice": "",
        "requested_datetime": markup.fit(row["opened_at"]),
        "updated_datetime": markup.fit(row["updated_at"]),
        "expected_datetime": markup.fit(row["deadline_at"]),
        "address": " ".join(str(word) for word in place if word is not None),
        "address_id": row["charger"] or row["site"],
        "zipcode": row["postal_code"] or "",
        "lat": row["latitude"],
        "long": row["longitude"],
        "media_url": "",
    }


_TOKEN = {"service_request_id": "7", "token": "q7…"}


@router.get(
    "/tokens/{token}.{format}",
    summary="The service request of a token",
    **shown("service_requests", "request", _TOKEN),
)
def token(token: Annotated[str, Path(description="As POST gave it")], here: Asking) -> Response:
    """A token is the secret of a report's receipt."""
    found = report_by_receipt(here.ask.db, here.ask.now, token)
    if found is None:
        raise here.refuse(404, "there is no such token")
    row: Row = {"token": token}
    if found.ticket_id is not None:
        row["service_request_id"] = str(found.ticket_id)
    return answer("service_requests", "request", [row], here.format)


# --- to report


class ServiceRequest(BaseModel):
    """The fields of a POST that are looked at; all others are thrown away unread. A place is
    `address_id` (a charger's code, or a site's), `lat` and `long`, or a charger."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "service_code": "no-output",
                    "api_key": "pw_…",
                    "address_id": "WH-E01",
                    "attribute[connector]": "3",
                    "description": "插上没反应",
                }
            ]
        }
    )

    service_code: str = ""
    api_key: str = ""
    jurisdiction_id: str = ""
    lat: str = ""
    long: str = ""
    address_id: str = ""
    address_string: str = ""
    description: str = ""
    charger: str = Field("", alias="attribute[charger]")
    connector: str = Field("", alias="attribute[connector]")


_FILED = {
    "service_request_id": "7",
    "service_notice": "https://piles.example/r/q7…",
    "account_id": "",
}


@orders.post(
    "/requests.{format}",
    status_code=201,
    summary="Report by Open311",
    **shown("service_requests", "request", _FILED, 400, 403, success=201),
)
def file(filing: Annotated[ServiceRequest, Form()], here: Asking) -> Response:
    """Form-encoded. It joins the live ticket of the same matter, or opens one; `service_notice` is
    the address of its story. What waits for a review has a `token` and no number yet."""
    ask = here.ask
    own = ask.context.settings.open311.jurisdiction_id
    if filing.jurisdiction_id not in ("", own):
        raise here.refuse(404, f"jurisdiction_id: this is {own}")
    if not filing.api_key or caller_by_key(ask.db, filing.api_key, ask.now) is None:
        raise here.refuse(403, "api_key: a known key is needed")
    if filing.service_code not in FAULTS:
        raise here.refuse(400 if not filing.service_code else 404, "service_code: see services")
    if len(filing.description) > _LONGEST or "\0" in filing.description:
        raise here.refuse(400, f"description: {_LONGEST} characters at most, and no NUL")
    place = _find(here, filing)
    with ask.db.transaction():
        filed = file_report(
            ask.db,
            ask.policy,
            ask.now,
            source="open311",
            site_id=place["site_id"],
            charger_id=place["charger_id"],
            connector_id=place["connector_id"],
            code=filing.service_code,
            note=filing.description[:_NOTE].strip() or None,
        )
    base = ask.context.settings.api.public_url.rstrip("/")
    row: Row = {
        "service_notice": f"{base}/r/{filed.receipt_token}",
        "account_id": "",
    }
    if filed.ticket_id is None:
        row["token"] = filed.receipt_token
    else:
        row["service_request_id"] = str(filed.ticket_id)
    return answer("service_requests", "request", [row], here.format, 201)


def _find(here: Here, filing: ServiceRequest) -> Row:
    site, charger = None, filing.charger or None
    if address := filing.address_id or filing.address_string:
        found = here.rows("address_id", code=_word(address))
        if not found:
            raise here.refuse(404, "address_id: there is no charger or site of this code")
        site, charger = found[0]["site"], charger or found[0]["charger"]
    elif filing.lat or filing.long:
        site = _near(here, filing)
    elif charger is None:
        raise here.refuse(400, "lat and long, address_id, or attribute[charger] are needed")
    port = filing.connector
    if port and not (port.isascii() and port.isdigit() and 1 <= len(port) <= 3):
        raise here.refuse(400, "attribute[connector]: a number from 1 to 999 is needed")
    if port and charger is None:
        raise here.refuse(400, "attribute[connector]: it needs attribute[charger]")
    places = here.ask.rows(
        "find_place",
        site=site,
        charger=None if charger is None else _word(charger),
        connector=int(port) if port else None,
    )
    if not places:
        raise here.refuse(404, "there is no such pile or port at this place")
    return places[0]


def _near(here: Here, filing: ServiceRequest) -> str:
    try:
        latitude, longitude = float(filing.lat), float(filing.long)
        if not (-90 <= latitude <= 90 and -180 <= longitude <= 180):
            raise ValueError("out of range")
    except ValueError as error:
        raise here.refuse(400, "lat, long: degrees are needed, as 32.13 and 114.07") from error
    position = {"latitude": latitude, "longitude": longitude, "within": _WITHIN_M}
    found = here.rows("nearest_site", **position)
    if not found:
        raise here.refuse(404, f"there is no site within {_WITHIN_M:.0f} m of lat and long")
    return str(found[0]["code"])


def _word(text: str) -> str:
    return "" if "\0" in text else text[:64]
