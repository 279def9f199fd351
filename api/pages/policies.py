"""The policy: what is in force, drafts, and what each would have changed on real history."""

from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Form, Path, Request, Response
from fastapi.responses import RedirectResponse

from api.context import Ask, Asked, check_csrf
from api.models import Big
from api.pages import staff
from api.problems import Problem
from api.rights import demand, scope
from pilewatch.policy import BadPolicy
from pilewatch.store import policies

router = APIRouter(prefix="/console/policy", include_in_schema=False)
DAYS = (1, 3, 7, 14)
"""How much history a draft may be tried on."""
_LONGEST = 50_000
Csrf = Annotated[str, Form(max_length=100)]
Id = Annotated[int, Path(ge=1, le=Big)]


@router.get("")
def policy(request: Request, ask: Ask) -> Response:
    """What is in force, and the latest drafts."""
    _decides(ask)
    return _show(request, ask)


def _decides(ask: Asked) -> None:
    """A policy holds for everybody: whoever sees only a part does not decide about the whole."""
    demand(ask.caller, "policy")
    narrowed = scope(ask.caller)
    if narrowed["company_id"] is not None or narrowed["grids"] is not None:
        raise Problem(403, "only whoever answers for the whole installation may change its policy")


def _show(
    request: Request, ask: Asked, *, status: int = 200, problem: str = "", text: str | None = None
) -> Response:
    return staff.page(
        request,
        ask,
        "console/policy.html",
        status=status,
        text=_text(ask) if text is None else text,
        problem=problem,
        drafts=policies.drafts(ask.db),
        days=DAYS,
    )


def _text(ask: Asked) -> str:
    """What was saved last, or the policy file; a file that names a calendar keeps it for itself."""
    saved = policies.text_in_force(ask.db)
    file = ask.context.settings.alerts.policy_file
    if saved is not None or file is None:
        return saved or ""
    return file.read_text(encoding="utf-8")


@router.post("")
def write(
    request: Request,
    ask: Ask,
    csrf: Csrf = "",
    text: Annotated[str, Form(max_length=_LONGEST)] = "",
    days: Annotated[str, Form(max_length=3)] = "",
) -> Response:
    """A draft to be tried; nothing changes yet."""
    _decides(ask)
    check_csrf(ask.csrf, csrf)
    text = text.replace("\r\n", "\n")
    if "\0" in text:
        raise Problem(422, "the character NUL cannot be kept")
    length = timedelta(days=int(days) if days in map(str, DAYS) else 1)
    try:
        with ask.db.transaction():
            id = policies.add_draft(ask.db, ask.now, text, ask.person_id, ask.now - length, ask.now)
            ask.record("policy.write", f"policy/{id}")
    except BadPolicy as error:
        return _show(request, ask, status=422, problem=str(error), text=text)
    return RedirectResponse(f"/console/policy/{id}", 303)


@router.get("/{id}")
def draft(id: Id, request: Request, ask: Ask) -> Response:
    """How far its trial has come, or what it would have changed."""
    _decides(ask)
    return _draft(request, ask, id)


def _draft(request: Request, ask: Asked, id: int, *, status: int = 200) -> Response:
    found = policies.drafts(ask.db, id=id, limit=1)
    if not found:
        raise Problem(404, f"there is no policy {id}")
    return staff.page(
        request, ask, "console/draft.html", status=status, draft=found[0], refused=status == 409
    )


@router.post("/{id}/save")
def save(id: Id, request: Request, ask: Ask, csrf: Csrf = "") -> Response:
    """From now on it is in force, for the engine within a second."""
    _decides(ask)
    check_csrf(ask.csrf, csrf)
    with ask.db.transaction():
        done = policies.save(ask.db, ask.now, id, ask.person_id)
        if done:
            ask.record("policy.save", f"policy/{id}")
    if not done:
        return _draft(request, ask, id, status=409)
    return RedirectResponse(f"/console/policy/{id}", 303)
