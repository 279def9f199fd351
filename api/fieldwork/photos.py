"""`/api/v1/inspections/{id}/photos`: the pictures that a worker's answers name."""

import hashlib
from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends, Path, Request
from pydantic import BaseModel

from api import problems
from api.context import Ask, Asked
from api.models import example
from api.problems import Problem
from api.reporting import Jpeg
from api.rights import demand, scope
from api.routers import reading
from pilewatch.store import queries
from pilewatch.workflow.photos import BadPhoto, clean_photo

router = reading("patrols")
_PATROLS = queries.load("patrols")
_SQL = queries.load("worker")
_WORDS = {"large": 413, "broken": 422}
Id = Annotated[UUID, Path(description="The id that the phone made")]
Name = Annotated[
    str,
    Path(
        min_length=1,
        max_length=64,
        pattern=r"^[!-~]+$",
        description="The name that an answer gives",
    ),
]


class VisitPhotoAnswer(BaseModel):
    """`created` is false where it had been kept before."""

    model_config = example(created=True)

    created: bool


async def _body(request: Request) -> bytes:
    return await request.body()


@router.put(
    "/inspections/{id}/photos/{name}",
    response_model=VisitPhotoAnswer,
    summary="Hand in a picture of an inspection",
    **{
        **problems.for_staff(404, 409, 413),
        "openapi_extra": {
            **problems.for_staff()["openapi_extra"],
            "requestBody": {
                "required": True,
                "content": {
                    kind: {"schema": {"type": "string", "format": "binary"}}
                    for kind in ("image/jpeg", "image/png", "image/webp")
                },
            },
        },
    },
)
def put(id: Id, name: Name, ask: Ask, sent: Annotated[bytes, Depends(_body)]) -> Any:
    """After the inspection, whose answers name it; the picture's bytes are the body. The same again
    changes nothing, another picture of the same name is refused (409)."""
    demand(ask.caller, "inspect")
    if name not in _seen(ask, id)["photos"]:
        raise Problem(409, "no answer of this inspection names this photo")
    digest = hashlib.sha256(sent).digest()
    if _kept(ask, id, name, digest):
        return {"created": False}
    try:
        photo = clean_photo(sent)
    except BadPhoto as error:
        raise Problem(_WORDS[error.word], str(error)) from error
    values = {"id": id, "name": name, "now": ask.now, "sent": digest, **vars(photo)}
    with ask.db.transaction():
        created = ask.db.execute(_SQL["keep_photo"], values).fetchone() is not None
        if created:
            ask.record("inspection.photo", f"inspection/{id}", None, {"photo": name})
    return {"created": created or not _kept(ask, id, name, digest)}


@router.get(
    "/inspections/{id}/photos/{name}",
    response_class=Jpeg,
    summary="A picture of an inspection",
    **problems.for_staff(404),
)
def photo(id: Id, name: Name, ask: Ask) -> Any:
    """As a JPEG, made anew from what the phone sent."""
    demand(ask.caller, "read")
    _seen(ask, id)
    row = ask.db.execute(_SQL["photo"], {"id": id, "name": name}).fetchone()
    if row is None:
        raise Problem(404, "there is no such photo")
    return Jpeg(bytes(row["jpeg"]))


def _seen(ask: Asked, id: UUID) -> dict[str, Any]:
    row = ask.db.execute(_PATROLS["inspections"], {**scope(ask.caller), "id": id}).fetchone()
    if row is None:
        raise Problem(404, f"there is no inspection {id}")
    return dict(row)


def _kept(ask: Asked, id: UUID, name: str, digest: bytes) -> bool:
    """Whether the very same is there. Raises `Problem` 409 where it is another one."""
    row = ask.db.execute(_SQL["photo"], {"id": id, "name": name}).fetchone()
    if row is not None and bytes(row["sent"]) != digest:
        raise Problem(409, "another picture came under this name before")
    return row is not None
