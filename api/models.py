"""What many bodies and answers are made of: texts, codes, moments, lists, checked at the door."""

from datetime import datetime
from typing import Annotated, Any, Generic, Literal, TypeVar

from fastapi import Path
from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field

from pilewatch.faultcodes import FAULTS


def no_nul(text: str) -> str:
    """A text that PostgreSQL can keep. Raises `ValueError`."""
    if "\0" in text:
        raise ValueError("the character NUL cannot be kept")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError("not valid Unicode") from error
    return text


def _fault(code: str) -> str:
    if code not in FAULTS:
        raise ValueError("no fault code; see the taxonomy")
    return code


Text = Annotated[str, Field(min_length=1, max_length=2000), AfterValidator(no_nul)]
Code = Annotated[str, Field(min_length=1, max_length=64), AfterValidator(no_nul)]
FaultCode = Annotated[str, AfterValidator(_fault)]
Port = Annotated[int, Field(ge=1, le=999)]
Big = 2**63 - 1
Id = Annotated[int, Path(ge=1, le=Big, description="Its number")]
Token = Annotated[
    str, Path(min_length=1, max_length=200, description="The secret of the receipt's link")
]


def _near(moment: datetime) -> datetime:
    if not 2020 <= moment.year <= 2100:
        raise ValueError("a moment between 2020 and 2100 is needed")
    return moment


Moment = Annotated[AwareDatetime, AfterValidator(_near)]
"""A moment of a plan, with its offset from UTC."""
PathCode = Annotated[
    str,
    Path(min_length=1, max_length=64, pattern=r"^[^\x00]+$", description="Its code"),
    AfterValidator(no_nul),
]
T = TypeVar("T", bound=BaseModel)


def example(**values: Any) -> ConfigDict:
    """A model's example for the OpenAPI document."""
    return ConfigDict(json_schema_extra={"examples": [values]})


class Listed(BaseModel, Generic[T]):
    """One page of a list; `next_cursor` where there may be more."""

    items: list[T]
    next_cursor: str | None


class Body(BaseModel):
    """What is sent to us: nothing that we do not know."""

    model_config = ConfigDict(extra="forbid")


class Subject(BaseModel):
    """What a matter is about, by the codes of the registry."""

    kind: Literal["site", "gateway", "charger", "connector"]
    site: str
    gateway: str | None = None
    charger: str | None = None
    connector: int | None = None


def with_subject(row: dict[str, Any]) -> dict[str, Any]:
    """The row with the codes of what it is about in one `subject`."""
    keys = ("site", "gateway", "charger", "connector")
    subject = {"kind": row["subject_kind"], **{key: row[key] for key in keys}}
    return {**{k: v for k, v in row.items() if k not in keys}, "subject": subject}
