"""`/setup`: from an empty database to the first message of the first charger."""

import base64
import binascii
import tempfile
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, File, Form, Query, Request, Response, UploadFile
from fastapi.responses import RedirectResponse

from api.context import Ask, Asked, check_csrf
from api.pages import staff
from api.pages.login import begin_session, set_session
from api.pages.render import show, speech
from api.people import SHORTEST_PASSWORD, add_person, person_named
from api.problems import Problem
from api.rights import demand
from pilewatch.store import queries
from pilewatch.store.registry import BadRegistry, write_registry
from pilewatch.store.registry_file import Registry, read_registry
from pilewatch.store.registry_stored import changes, stored_registry
from pilewatch.workflow import audit, firststeps

router = APIRouter(prefix="/setup", include_in_schema=False)
_SQL = queries.load("setup")
_LARGEST = 500_000
_SHOWN = 200
_ENDINGS = (".yaml", ".yml", ".csv", ".xlsx")
Code = Annotated[str, Query(max_length=100)]
Csrf = Annotated[str, Form(max_length=100)]
Word = Annotated[str, Form(max_length=200)]


@router.get("")
def steps(request: Request, ask: Ask, code: Code = "", charger: Code = "") -> Response:
    """What is done and what comes next; before anybody can log in, the first admin."""
    if not firststeps.admin_can_log_in(ask.db):
        return _first(request, ask, code)
    if ask.caller.id is None:
        return RedirectResponse("/login?next=/setup", 303)
    return _steps(request, ask, charger=charger)


def _first(
    request: Request, ask: Asked, code: str, *, status: int = 200, problem: str = "", **said: str
) -> Response:
    """The form, for whoever has the code; else where it is to be had."""
    known = firststeps.is_code(ask.db, code, ask.now)
    return show(
        request, speech(request, ask.now), "setup_first.html", status=status, private=True,
        code=code if known else "", wrong=bool(code) and not known, problem=problem,
        least=SHORTEST_PASSWORD, said=said,
    )  # fmt: skip


@router.post("/admin")
def first_admin(
    request: Request, ask: Ask, code: Word = "", name: Word = "", login: Word = "",
    password: Annotated[str, Form(max_length=1000)] = "",
) -> Response:  # fmt: skip
    """The first admin, who is logged in at once. The code ends."""
    if request.headers.get("sec-fetch-site") == "cross-site":
        raise Problem(403, "begin from the page of this site")
    login, name = login.strip(), name.strip()
    problem = _wrong(ask, login, name, password)
    if problem:
        said = {"name": name, "login": login}
        return _first(request, ask, code, status=422, problem=problem, **said)
    with ask.db.transaction():
        if firststeps.admin_can_log_in(ask.db) or not firststeps.use_code(ask.db, code, ask.now):
            return RedirectResponse("/setup", 303)
        id = add_person(ask.db, login, name, "admin", password=password)
        audit.record(ask.db, ask.now, id, "person.add", f"person/{id}", None, {"role": "admin"})
    person = {"id": id, "role": "admin", "totp_since": None}
    token, step = begin_session(ask.db, ask.context, person, "/setup")
    answer = RedirectResponse(step, 303)
    set_session(answer, ask.context.settings.api, token)
    return answer


def _wrong(ask: Asked, login: str, name: str, password: str) -> str:
    if not name or not login.isascii() or not login.replace("-", "").replace("_", "").isalnum():
        return "setup.bad-login"
    if "\0" in name + password or len(password) < SHORTEST_PASSWORD:
        return "setup.bad-password"
    try:
        person_named(ask.db, login)
    except ValueError:
        return ""
    return "setup.taken"


def _steps(
    request: Request, ask: Asked, *, status: int = 200, charger: str = "", **more: Any
) -> Response:
    demand(ask.caller, "people")
    settings = ask.context.settings
    rows = ask.db.execute(_SQL["chargers_by_word"], {"code": charger or None, "limit": 5})
    chargers = rows.fetchall()
    test = ask.db.execute(_SQL["last_test"]).fetchone()
    return staff.page(
        request, ask, "setup.html", status=status, chargers=chargers, test=test,
        registered=ask.db.execute(_SQL["registered"]).fetchone(),
        chosen=charger or (chargers[0]["code"] if chargers else "C1"),
        heard=[c for c in chargers if c["last_seen_at"] is not None],
        broker=settings.mqtt, ebike=settings.ebike, ocpp=settings.ocpp,
        waits=test is not None and test["done_at"] is None, shown=_SHOWN,
        **{"problems": (), "loaded": "", "found": None, **more},
    )  # fmt: skip


@router.post("/registry")
def registry(
    request: Request,
    ask: Ask,
    csrf: Csrf = "",
    file: Annotated[UploadFile | None, File()] = None,
    content: Annotated[str, Form(max_length=2 * _LARGEST)] = "",
    ending: Annotated[str, Form(max_length=10)] = "",
) -> Response:
    """Shows what a file would change; with what was shown (`content`), does it."""
    demand(ask.caller, "people")
    check_csrf(ask.csrf, csrf)
    try:
        if file is not None and file.filename:
            data = file.file.read(_LARGEST + 1)
            ending = Path(file.filename).suffix.lower()
            wanted = _read(data, ending)
            found = list(changes(stored_registry(ask.db), wanted))
            kept = base64.b64encode(data).decode()
            return _steps(request, ask, found=found, content=kept, ending=ending)
        wanted = _read(base64.b64decode(content, validate=True), ending)
        with ask.db.transaction():
            loaded = write_registry(ask.db, wanted)
            told = {"chargers": len(wanted.chargers), "sites": len(wanted.sites)}
            audit.record(ask.db, ask.now, ask.caller.id, "registry.load", "registry", None, told)
    except (BadRegistry, binascii.Error) as error:
        problems = getattr(error, "problems", [str(error)])[:_SHOWN]
        return _steps(request, ask, status=422, problems=problems)
    return _steps(request, ask, loaded=str(loaded))


def _read(data: bytes, ending: str) -> Registry:
    """Raises `BadRegistry`; its lines name no path of this machine."""
    if ending not in _ENDINGS:
        raise BadRegistry([f"{ending or 'no ending'}: right would be {', '.join(_ENDINGS)}"])
    if len(data) > _LARGEST:
        raise BadRegistry(["larger than 500 kB: `pilewatch registry load` takes it"])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"registry{ending}"
        path.write_bytes(data)
        try:
            return read_registry(path)
        except BadRegistry as error:
            raise BadRegistry([p.replace(f"{folder}/", "") for p in error.problems]) from None


@router.post("/message")
def message(ask: Ask, csrf: Csrf = "") -> Response:
    """A test message to every receiver, sent by the alert engine."""
    demand(ask.caller, "people")
    check_csrf(ask.csrf, csrf)
    assert ask.caller.id is not None
    firststeps.ask_test(ask.db, ask.caller.id, ask.now)
    return RedirectResponse("/setup#message", 303)
