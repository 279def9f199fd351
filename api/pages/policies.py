"""The policy: what is in force, drafts, and what each would have changed on real history."""

from typing import Annotated

from fastapi import APIRouter, Form, Path, Request, Response
from fastapi.responses import RedirectResponse

from api import policies
from api.context import Ask, Asked, check_csrf
from api.models import Big
from api.pages import staff
from api.problems import Problem
from pilewatch.store.policies import drafts, text_in_force

router = APIRouter(prefix="/console/policy", include_in_schema=False)
DAYS = (1, 3, 7, 14)
"""How much history a draft may be tried on."""
Csrf = Annotated[str, Form(max_length=100)]
Id = Annotated[int, Path(ge=1, le=Big)]


@router.get("")
def policy(request: Request, ask: Ask) -> Response:
    """What is in force, and the latest drafts."""
    policies.decides(ask)
    return _show(request, ask, _text(ask))


def _show(
    request: Request, ask: Asked, text: str, *, status: int = 200, problem: str = ""
) -> Response:
    return staff.page(
        request, ask, "console/policy.html", status=status, text=text, problem=problem,
        drafts=drafts(ask.db), days=DAYS,
    )  # fmt: skip


def _text(ask: Asked) -> str:
    """What was saved last, or the settings' file."""
    saved = text_in_force(ask.db)
    file = ask.context.settings.alerts.policy_file
    if saved is not None or file is None:
        return saved or ""
    return file.read_text(encoding="utf-8")


@router.post("")
def write(
    request: Request,
    ask: Ask,
    csrf: Csrf = "",
    text: Annotated[str, Form(max_length=policies.LONGEST)] = "",
    days: Annotated[str, Form(max_length=3)] = "",
) -> Response:
    """A draft to be tried; nothing changes yet."""
    policies.decides(ask)
    check_csrf(ask.csrf, csrf)
    text = text.replace("\r\n", "\n").replace("\0", "")
    wanted = policies.PolicyRequest(text=text, days=int(days) if days in map(str, DAYS) else 1)
    try:
        id = policies.write(wanted, ask)["id"]
    except Problem as problem:
        return _show(request, ask, text, status=problem.status, problem=problem.detail)
    return RedirectResponse(f"/console/policy/{id}", 303)


@router.get("/{id}")
def draft(id: Id, request: Request, ask: Ask) -> Response:
    """How far its trial has come, or what it would have changed."""
    policies.decides(ask)
    return _draft(request, ask, id)


def _draft(request: Request, ask: Asked, id: int, *, status: int = 200) -> Response:
    return staff.page(
        request, ask, "console/draft.html", status=status, draft=policies.one(ask, id),
        refused=status == 409,
    )  # fmt: skip


@router.post("/{id}/save")
def save(id: Id, request: Request, ask: Ask, csrf: Csrf = "") -> Response:
    """From now on it is in force, for the engine within a second."""
    policies.decides(ask)
    check_csrf(ask.csrf, csrf)
    try:
        policies.put_in_force(id, ask)
    except Problem as problem:
        if problem.status != 409:
            raise
        return _draft(request, ask, id, status=409)
    return RedirectResponse(f"/console/policy/{id}", 303)
