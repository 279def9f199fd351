"""Bodies and answers about people, keys, sessions and the audit."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from api.models import Body, Code, Moment, Text, example
from api.people import SHORTEST_PASSWORD, Role
from api.rights import SCOPES


def _known(word: str) -> str:
    if word not in SCOPES:
        raise ValueError(f"no scope; right would be one of {', '.join(SCOPES)}")
    return word


ScopeWord = Annotated[str, AfterValidator(_known), Field(json_schema_extra={"enum": [*SCOPES]})]


def _no_doubles(words: list[Any]) -> list[Any]:
    return sorted(set(words))


Name = Annotated[Text, Field(max_length=100)]
Codes = Annotated[list[Code], Field(max_length=200), AfterValidator(_no_doubles)]
Scopes = Annotated[list[ScopeWord], Field(min_length=1), AfterValidator(_no_doubles)]
Email = Annotated[Text, Field(max_length=200, pattern=r"^[^@\s]+@[^@\s]+$")]
Password = Annotated[str, Field(min_length=SHORTEST_PASSWORD, max_length=1000)]


class PersonRequest(Body):
    """A new person. A company is for repairers, operators and devices; grids are for grid workers
    and devices; areas are for admins and auditors, who without any see all."""

    model_config = example(login="zhou", name="周师傅", role="repairer", company="xinchong")

    login: Annotated[Code, Field(pattern=r"^[^\s:]+$")] = Field(examples=["zhou"])
    name: Name = Field(examples=["周师傅"])
    role: Role = Field(examples=["repairer"])
    company: Code | None = Field(None, examples=["xinchong"])
    grids: Codes = Field(default=[], examples=[["wanhe-1"]])
    areas: Codes = Field(default=[], examples=[["wanhe"]])
    email: Email | None = Field(None, examples=["zhou@example.org"])


class PersonChange(Body):
    """What is to be different; what is not named stays. Their sessions end."""

    model_config = example(role="grid_worker", company=None, grids=["wanhe-1"])

    name: Name | None = None
    role: Role | None = None
    company: Code | None = None
    grids: Codes | None = None
    areas: Codes | None = None
    email: Email | None = None
    active: bool | None = Field(None, description="False: nothing opens any more")


class PersonAnswer(BaseModel):
    """A person as an admin sees them."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    **{"id": 7, "login": "zhou", "name": "周师傅", "role": "repairer"},
                    **{"email": None, "active": True, "version": 1, "company": "xinchong"},
                    **{"grids": [], "areas": [], "password": True, "totp": False},
                    "identities": [],
                }
            ]
        }
    )

    id: int
    login: str
    name: str
    role: str
    email: str | None
    active: bool
    version: int
    company: str | None
    grids: list[str]
    areas: list[str]
    password: bool = Field(description="Whether one is set")
    totp: bool = Field(description="Whether a second factor is set up")
    identities: list[str] = Field(description="Issuer and subject at organisations' logins")


class PasswordAnswer(BaseModel):
    """Shown once; empty in a repeated answer."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"password": "k7Qp2v9sXw4m"}]})

    password: str


class PasswordChange(Body):
    """The password that is in use, and the new one."""

    model_config = example(old="correct horse", new="battery staple")

    old: str = Field(max_length=1000)
    new: Password


class IdentityRequest(Body):
    """Who the person is at an organisation's own login: its issuer and their `sub` there."""

    model_config = example(issuer="https://login.example.org", subject="248289761001")

    issuer: Annotated[Text, Field(max_length=500)]
    subject: Annotated[Text, Field(max_length=255)]


class KeyRequest(Body):
    """A key for a program. Without scopes it may do all that its person may."""

    model_config = example(
        label="board in the office", scopes=["read"], expires_at="2027-01-01T00:00:00+08:00"
    )

    label: Name = Field(examples=["board in the office"])
    scopes: Scopes | None = None
    expires_at: Moment | None = None


class KeyAnswer(BaseModel):
    """A key, without itself."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    **{"id": 3, "label": "board in the office", "scopes": ["read"]},
                    **{"created_at": "2026-05-01T08:00:00Z", "revoked_at": None},
                    **{"expires_at": "2026-12-31T16:00:00Z", "valid": True},
                }
            ]
        }
    )

    id: int
    label: str
    scopes: list[str] | None
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    valid: bool


class NewKeyAnswer(KeyAnswer):
    """With the key itself: shown once, and empty in a repeated answer."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    **{"id": 3, "label": "board in the office", "scopes": ["read"]},
                    **{"created_at": "2026-05-01T08:00:00Z", "revoked_at": None},
                    **{"expires_at": "2026-12-31T16:00:00Z", "valid": True, "key": "pw_…"},
                }
            ]
        }
    )

    key: str


class SessionAnswer(BaseModel):
    """A login that has not ended."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    **{"id": 5, "created_at": "2026-05-01T08:00:00Z"},
                    **{"expires_at": "2026-05-01T20:00:00Z", "current": True},
                }
            ]
        }
    )

    id: int
    created_at: datetime
    expires_at: datetime
    current: bool = Field(description="Whether it is the one that asks")


class AuditAnswer(BaseModel):
    """One change: who, through which key or session and request, what, and how it was before."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    **{"id": 120, "seq": 118, "at": "2026-05-01T08:00:00Z", "person": "li"},
                    **{"key": None, "session": 5, "request": "1c9b0f1e6b2a4c51"},
                    **{"action": "ticket.accept", "object": "ticket/12"},
                    **{"before": {"state": "assigned"}, "after": {"state": "accepted"}},
                    "hash": "5b0c0d4f8a1e7c3329d6b1f0a4c8e2d75b0c0d4f8a1e7c3329d6b1f0a4c8e2d7",
                }
            ]
        }
    )

    id: int
    seq: int = Field(description="Its place in the chain")
    at: datetime
    person: str | None = Field(description="None: the `pilewatch` command, or the program itself")
    key: int | None
    session: int | None
    request: str | None
    action: str
    object: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    hash: str = Field(description="SHA-256 over it and the hash before")
