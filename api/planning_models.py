"""Planned downtime and silences, as they come in and go out."""

from datetime import datetime

from pydantic import BaseModel, Field

from api.models import Body, Code, FaultCode, Moment, Port, Text, example
from pilewatch.workflow.downtime import DowntimeKind, ScopeKind


class DowntimeRequest(Body):
    """What is planned. A connector is the number of a port on the charger of this code."""

    model_config = example(
        scope="site",
        code="wanhe-1a",
        kind="power-cut",
        from_at="2026-05-06T00:00:00Z",
        to_at="2026-05-06T06:00:00Z",
        reason="work on the transformer",
        reference="停电公告 2026-118",
    )

    scope: ScopeKind = Field(examples=["site"])
    code: Code = Field(examples=["wanhe-1a"])
    connector: Port | None = Field(None, examples=[3])
    kind: DowntimeKind = Field(examples=["power-cut"])
    from_at: Moment
    to_at: Moment
    reason: Text = Field(examples=["work on the transformer"])
    reference: Text | None = Field(None, examples=["停电公告 2026-118"])


class DowntimeChange(Body):
    """What is to be another one; what is left out stays."""

    model_config = example(to_at="2026-05-06T08:00:00Z", reason="the work takes longer")

    to_at: Moment | None = None
    reason: Text | None = None
    reference: Text | None = None


class SilenceRequest(Body):
    """What fits all that is named; at least one thing is. Danger to people needs `severity` 1."""

    model_config = example(
        charger="WH-E01", code="weak-signal", to_at="2026-05-08T00:00:00Z", reason="antenna ordered"
    )

    site: Code | None = Field(None, examples=["wanhe-1a"])
    charger: Code | None = Field(None, examples=["WH-E01"])
    code: FaultCode | None = Field(None, examples=["weak-signal"])
    severity: int | None = Field(None, ge=1, le=3, examples=[3])
    to_at: Moment
    reason: Text = Field(examples=["antenna ordered"])


class SilenceChange(Body):
    """What is to be another one; what is left out stays."""

    model_config = example(to_at="2026-05-10T00:00:00Z")

    to_at: Moment | None = None
    reason: Text | None = None


class DowntimeAnswer(BaseModel):
    """A planned downtime; `incidents` is how many it explains."""

    model_config = example(
        id=3,
        scope="site",
        code="wanhe-1a",
        connector=None,
        kind="power-cut",
        from_at="2026-05-06T00:00:00Z",
        to_at="2026-05-06T06:00:00Z",
        reason="work on the transformer",
        reference="停电公告 2026-118",
        entered_by="li",
        entered_at="2026-05-01T08:00:00Z",
        cancelled_at=None,
        incidents=0,
    )

    id: int
    scope: str
    code: str
    connector: int | None
    kind: str
    from_at: datetime
    to_at: datetime
    reason: str
    reference: str | None
    entered_by: str
    entered_at: datetime
    cancelled_at: datetime | None
    incidents: int


class SilenceAnswer(BaseModel):
    """A silence; `held` is how many notifications it held or holds back."""

    model_config = example(
        id=2,
        site=None,
        charger="WH-E01",
        code="weak-signal",
        severity=None,
        from_at="2026-05-01T08:00:00Z",
        to_at="2026-05-08T00:00:00Z",
        reason="antenna ordered",
        entered_by="li",
        entered_at="2026-05-01T08:00:00Z",
        active=True,
        held=1,
    )

    id: int
    site: str | None
    charger: str | None
    code: str | None
    severity: int | None
    from_at: datetime
    to_at: datetime
    reason: str
    entered_by: str
    entered_at: datetime
    active: bool
    held: int
