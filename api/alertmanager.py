"""Alerts of Prometheus come in by Alertmanager's webhook, and become incidents."""

import re
from typing import Annotated, Any, Literal

from psycopg.types.json import Jsonb
from pydantic import AfterValidator, AwareDatetime, BaseModel, Field

from api import problems
from api.context import Ask, Asked
from api.models import Code, Text, example, no_nul
from api.problems import Problem
from api.rights import demand, scope
from api.routers import ordering
from pilewatch.faultcodes import FAULTS
from pilewatch.store import queries

orders = ordering()
_SQL = queries.load("alertmanager")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_PORT = re.compile(r"[0-9]{1,3}")


class Alert(BaseModel):
    """One alert of a group. What else Alertmanager sends is not looked at."""

    status: Literal["firing", "resolved"]
    labels: dict[Code, Text] = Field(max_length=100)
    annotations: dict[Code, Annotated[str, AfterValidator(no_nul)]] = Field(
        default_factory=dict, max_length=100
    )
    starts_at: AwareDatetime = Field(alias="startsAt")
    ends_at: AwareDatetime = Field(alias="endsAt")


class AlertmanagerRequest(BaseModel):
    """A group of alerts as Alertmanager's webhook sends it, version 4."""

    model_config = example(
        version="4",
        status="firing",
        receiver="pilewatch",
        alerts=[
            {
                "status": "firing",
                "labels": {"alertname": "OverTemperature", "charger": "WH-E01", "connector": "3"},
                "annotations": {"summary": "91 °C in the cabinet"},
                "startsAt": "2026-05-01T08:00:00Z",
                "endsAt": "0001-01-01T00:00:00Z",
            }
        ],
    )

    version: Literal["4"]
    alerts: list[Alert] = Field(max_length=500)


class TakenAnswer(BaseModel):
    """So many alerts were taken over."""

    model_config = example(taken=1)

    taken: int


@orders.post(
    "/alertmanager",
    status_code=202,
    response_model=TakenAnswer,
    summary="Alerts of Alertmanager",
    tags=["incidents"],
    **problems.for_staff(),
)
def alertmanager(body: AlertmanagerRequest, ask: Ask) -> Any:
    """All of the group, or none. Labels: `charger` (and `connector`) or `site` say where; `code`,
    or else `alertname` (`over-temperature` or `OverTemperature`), is the fault. A resolved alert
    clears its incident."""
    demand(ask.caller, "alertmanager")
    events, wrong = [], []
    for place, alert in enumerate(body.alerts):
        try:
            events.append(_event(ask, alert))
        except ValueError as error:
            wrong.append({"pointer": f"/body/alerts/{place}/labels", "detail": str(error)})
    if wrong:
        raise Problem(422, "some alerts cannot be placed; see errors", errors=wrong)
    with ask.db.transaction():
        for event in events:
            ask.db.execute(_SQL["add_event"], event)
        ask.db.execute(_SQL["wake_engine"])
    return {"taken": len(events)}


def _event(ask: Asked, alert: Alert) -> dict[str, Any]:
    """The alert as a row of `event`. Raises `ValueError` where its labels do not fit."""
    labels = alert.labels
    code = _fault(labels)
    place = _place(ask, labels)
    at = alert.starts_at if alert.status == "firing" else alert.ends_at
    return {
        "kind": f"alert.{alert.status}",
        "charger_id": place["charger_id"],
        "connector_id": place["connector_id"],
        "at": min(at, ask.now),
        "now": ask.now,
        "payload": Jsonb(
            {
                "code": code,
                "site_id": place["site_id"],
                "alert": labels.get("alertname"),
                "summary": alert.annotations.get("summary"),
                "starts_at": alert.starts_at.isoformat(),
            }
        ),
    }


def _fault(labels: dict[str, str]) -> str:
    said = labels.get("code") or labels.get("alertname")
    if not said:
        raise ValueError("a label `code` or `alertname` is needed")
    code = _CAMEL.sub("-", said).lower()
    if code not in FAULTS:
        raise ValueError(f"{said!r} is no fault code; set the label `code`, see the taxonomy")
    return code


def _place(ask: Asked, labels: dict[str, str]) -> dict[str, Any]:
    charger, site, port = (labels.get(word) or None for word in ("charger", "site", "connector"))
    if charger is None and site is None:
        raise ValueError("a label `charger` or `site` is needed")
    if port is not None and not _PORT.fullmatch(port):
        raise ValueError(f"connector {port!r}: right would be its number, 1 to 999")
    values = {"charger": charger, "site": site, "connector": None if port is None else int(port)}
    row = ask.db.execute(_SQL["alert_place"], {**values, **scope(ask.caller)}).fetchone()
    if row is None:
        said = ", ".join(f"{word} {value}" for word, value in values.items() if value is not None)
        raise ValueError(f"there is no such place: {said}")
    return row
