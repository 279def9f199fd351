"""Setting up a second factor: a QR to scan, a first code, and recovery codes to keep."""

import segno
from fastapi import Request, Response
from fastapi.responses import RedirectResponse

from api import second_factor
from api.attempts import TooManyAttempts
from api.context import Asked
from api.limits import address_of
from api.pages.render import show, speech
from pilewatch.workflow import audit


def show_secret(
    request: Request,
    ask: Asked,
    person_id: int,
    login: str,
    csrf: str | None,
    *,
    status: int = 200,
    problem: str = "",
) -> Response:
    """The page with the QR; whoever has a second factor already is led to the account."""
    secret = second_factor.offer(ask.db, person_id, ask.context.settings.sealing.seal())
    if secret is None:
        return RedirectResponse("/account", 303)
    picture = segno.make(second_factor.address_of(secret, login), error="m")
    return show(
        request, speech(request, ask.now), "second_factor.html", status=status, private=True,
        caller=ask.caller, csrf=csrf, problem=problem,
        qr=picture.svg_inline(scale=6, border=4, light="#fff", svgclass="qr", lineclass=None),
        secret=" ".join(secret[at : at + 4] for at in range(0, len(secret), 4)),
    )  # fmt: skip


def set_up(
    request: Request,
    ask: Asked,
    person_id: int,
    login: str,
    csrf: str | None,
    code: str,
    next: str,
) -> tuple[Response, bool]:
    """The page with the recovery codes, or the QR again; and whether it was the right code."""
    seal, address = ask.context.settings.sealing.seal(), address_of(request, ask.context)
    try:
        codes = second_factor.begin(ask.db, person_id, code, seal, address=address, now=ask.now)
    except TooManyAttempts:
        problem, status = "login.too-many-codes", 429
    else:
        if codes is not None:
            about = f"person/{person_id}"
            audit.record(ask.db, ask.now, person_id, "person.second-factor.begin", about)
            page = show(
                request, speech(request, ask.now), "recovery_codes.html", private=True,
                caller=ask.caller, csrf=csrf, codes=codes, next=next,
            )  # fmt: skip
            return page, True
        problem, status = "login.wrong-code", 401
    again = show_secret(request, ask, person_id, login, csrf, status=status, problem=problem)
    return again, False
