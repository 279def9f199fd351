"""`/api/v1/sites`, `/chargers`, `/connectors`: what stands where, and how it is."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import Path, Request, Response
from pydantic import BaseModel

from api import problems
from api.context import Ask, ChargerWord, Paged, SiteWord, one, tag
from api.models import Listed, PathCode, example
from api.routers import reading

router = reading("state")
Port = Annotated[int, Path(ge=1, le=999, description="The connector's number on its charger")]


class SiteAnswer(BaseModel):
    """A charging place and how its connectors stand now."""

    model_config = example(
        code="wanhe-1a",
        name="万和一区东门",
        grid="wanhe-1",
        company="xinchong",
        address="万和路 1 号",
        latitude=31.2,
        longitude=121.4,
        repair_phone="021-00000000",
        connectors=20,
        available=14,
        out_of_order=1,
        unknown=0,
    )

    code: str
    name: str
    grid: str
    company: str | None
    address: str | None
    latitude: float | None
    longitude: float | None
    repair_phone: str | None
    connectors: int
    available: int
    out_of_order: int
    unknown: int


class ChargerAnswer(BaseModel):
    """A pile."""

    model_config = example(
        code="WH-E01",
        site="wanhe-1a",
        gateway=None,
        kind="ebike",
        label="东门 1 号",
        vendor="dny",
        model="D10",
        firmware="3.2",
        last_seen_at="2026-05-01T08:00:00Z",
        rssi_dbm=-71,
        online=True,
    )

    code: str
    site: str
    gateway: str | None
    kind: str
    label: str
    vendor: str | None
    model: str | None
    firmware: str | None
    last_seen_at: datetime | None
    rssi_dbm: float | None
    online: bool


class ConnectorAnswer(BaseModel):
    """A connector: `status` is what may be believed now, `said` what it said last, and `age_s`
    how long ago that was confirmed."""

    model_config = example(
        charger="WH-E01",
        connector=3,
        site="wanhe-1a",
        kind="ebike",
        label="东门 1 号",
        status="charging",
        said="charging",
        errors=[],
        online=True,
        stale=False,
        heard_at="2026-05-01T08:00:00Z",
        age_s=12.5,
        session_id="s-81",
        power_w=180,
        energy_wh=412,
        voltage_v=221,
        current_a=0.82,
        temperature_c=31,
        soc=None,
    )

    charger: str
    connector: int
    site: str
    kind: str
    label: str
    status: str
    said: str
    errors: list[dict[str, Any]]
    online: bool
    stale: bool
    heard_at: datetime | None
    age_s: float | None
    session_id: str | None
    power_w: float | None
    energy_wh: float | None
    voltage_v: float | None
    current_a: float | None
    temperature_c: float | None
    soc: float | None

    @classmethod
    def example(cls) -> "ConnectorAnswer":
        """The one that the document shows."""
        return cls.model_validate(cls.model_json_schema()["examples"][0])


@router.get(
    "/sites",
    response_model=Listed[SiteAnswer],
    summary="Sites and free ports",
    **problems.open_to_all(),
)
def sites(request: Request, response: Response, ask: Ask, page: Paged) -> Any:
    """Every charging place with its live counts."""
    rows = ask.rows("sites", code=None, after=page.after, limit=page.limit)
    return tag(request, response, rows) or page.answer(rows, rows)


@router.get(
    "/sites/{code}",
    response_model=SiteAnswer,
    summary="One site",
    **problems.open_to_all(404),
)
def site(code: PathCode, ask: Ask) -> Any:
    """One charging place."""
    return one(ask.rows("sites", code=code, after=0, limit=1), f"site {code}")


@router.get(
    "/chargers",
    response_model=Listed[ChargerAnswer],
    summary="Chargers",
    **problems.open_to_all(),
)
def chargers(
    request: Request, response: Response, ask: Ask, page: Paged, site: SiteWord = None
) -> Any:
    """Every pile, or those of one site."""
    rows = ask.rows("chargers", site=site, code=None, after=page.after, limit=page.limit)
    return tag(request, response, rows) or page.answer(rows, rows)


@router.get(
    "/chargers/{code}",
    response_model=ChargerAnswer,
    summary="One charger",
    **problems.open_to_all(404),
)
def charger(code: PathCode, ask: Ask) -> Any:
    """One pile."""
    rows = ask.rows("chargers", site=None, code=code, after=0, limit=1)
    return one(rows, f"charger {code}")


@router.get(
    "/connectors",
    response_model=Listed[ConnectorAnswer],
    summary="Live state and its age",
    **problems.open_to_all(),
)
def connectors(
    request: Request,
    response: Response,
    ask: Ask,
    page: Paged,
    site: SiteWord = None,
    charger: ChargerWord = None,
) -> Any:
    """How each connector stands now, and how old that knowledge is."""
    rows = ask.rows(
        "connectors",
        site=site,
        charger=charger,
        connector=None,
        after=page.after,
        limit=page.limit,
    )
    # The age grows by itself: it is no reason to send everything again.
    told = [{k: v for k, v in row.items() if k != "age_s"} for row in rows]
    return tag(request, response, told) or page.answer(rows, rows)


@router.get(
    "/chargers/{code}/connectors/{number}",
    response_model=ConnectorAnswer,
    summary="One connector",
    **problems.open_to_all(404),
)
def connector(code: PathCode, number: Port, ask: Ask) -> Any:
    """How one connector stands now."""
    rows = ask.rows("connectors", site=None, charger=code, connector=number, after=0, limit=1)
    return one(rows, f"connector {number} of charger {code}")
