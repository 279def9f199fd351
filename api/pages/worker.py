"""The grid worker's app: a shell that every phone keeps, and what installs it.

The shell holds nothing of a person: who works on the phone, and what there is to do, come from
the API and stay in the phone's own database (`static/worker-*.js`), so that a day without a net
is a day like any other.
"""

import hashlib
from functools import lru_cache
from io import BytesIO
from typing import Any

import msgspec
from fastapi import APIRouter, Path, Request, Response
from PIL import Image, ImageDraw

from api.context import Ask
from api.fieldwork.words import phrases
from api.pages.render import STATIC, show, speech, static_url
from api.pages.shield import policy
from api.pages.views import SAYINGS
from api.pages.words import catalogue, language_of
from api.rights import may, scope
from pilewatch.store import queries

router = APIRouter(include_in_schema=False)
_SQL = queries.load("worker")
SHELL = "/worker"
_FAMILIES = ("worker.", "fault.", "say.", "severity.", "state.", "matter.", "time.")
"""Words that the app shows, by the beginning of their keys."""
_POLICY = policy("blob:")
"""Photos that are not sent yet are shown from the phone's memory."""
_PERMISSIONS = "camera=(self), microphone=(), geolocation=()"
_ICON_SIZES = (192, 512)
_BOLT = ((18, 4), (8, 18), (15, 18), (13, 28), (24, 14), (17, 14))
"""The same bolt as in icon.svg, on a field of 32."""


@router.get(SHELL)
def shell(request: Request, ask: Ask) -> Response:
    """The app itself; the phone's service worker keeps it."""
    t = speech(request, ask.now)
    page = show(request, t, "worker.html", words=words(t.language))
    page.headers["Content-Security-Policy"] = _POLICY
    page.headers["Permissions-Policy"] = _PERMISSIONS
    return page


def words(language: str) -> dict[str, str]:
    """Every word of the app in this language."""
    own = {k: v for k, v in catalogue(language).items() if k.startswith(_FAMILIES)}
    return {**own, **{f"field.{k}": v for k, v in phrases(language).items()}}


@router.get("/worker/session")
def session(ask: Ask) -> Response:
    """Who works here, the token that orders must carry, and where; `login` null: nobody."""
    told: dict[str, Any] = {"login": None}
    if ask.caller.id is not None:
        values = {"grids": scope(ask.caller)["grids"]}
        told = {
            "login": ask.caller.login,
            "csrf": ask.csrf,
            "inspects": may(ask.caller, "inspect"),
            "grids": ask.db.execute(_SQL["grids"], values).fetchall(),
            "sayings": SAYINGS,
        }
    return Response(
        msgspec.json.encode(told),
        media_type="application/json",
        headers={"Cache-Control": "no-store"},
    )


@router.get("/worker/app.webmanifest")
def manifest(request: Request) -> Response:
    """What the phone needs to install it."""
    language = language_of(request)
    t = catalogue(language)
    icons = [
        {"src": f"{SHELL}/icon-{size}.png", "sizes": f"{size}x{size}", "purpose": purpose,
         "type": "image/png"}
        for size in _ICON_SIZES for purpose in ("any", "maskable")
    ]  # fmt: skip
    told = {
        "id": SHELL,
        "name": t["worker.title"],
        "short_name": t["worker.title"],
        "start_url": SHELL,
        "scope": SHELL,
        "display": "standalone",
        "background_color": "#f2f4f3",
        "theme_color": "#0b5a3c",
        "icons": icons,
    }
    headers = {"Cache-Control": "no-cache", "Vary": "Cookie, Accept-Language"}
    body = msgspec.json.encode(told)
    return Response(body, media_type="application/manifest+json", headers=headers)


@router.get("/worker/icon-{size}.png")
def icon(size: int = Path(ge=192, le=512)) -> Response:
    """The app's sign, whole in a round mask too."""
    headers = {"Cache-Control": "public, max-age=86400"}
    return Response(_icon(min(_ICON_SIZES, key=lambda s: abs(s - size))), media_type="image/png",
                    headers=headers)  # fmt: skip


@lru_cache(maxsize=len(_ICON_SIZES))
def _icon(size: int) -> bytes:
    fine, inner = size * 4, 0.72  # drawn large, then smoothed
    picture = Image.new("RGB", (fine, fine), "#0b5a3c")
    at = [tuple((0.5 + (c / 32 - 0.5) * inner) * fine for c in point) for point in _BOLT]
    ImageDraw.Draw(picture).polygon([c for point in at for c in point], fill="white")
    made = BytesIO()
    picture.resize((size, size)).save(made, "PNG", optimize=True)
    return made.getvalue()


@router.get("/worker/sw.js")
def service_worker() -> Response:
    """Keeps the app on the phone; another content of its files makes it another one."""
    body = _service_worker()
    headers = {"Cache-Control": "no-cache", "Service-Worker-Allowed": SHELL}
    return Response(body, media_type="text/javascript", headers=headers)


@lru_cache(maxsize=1)
def _service_worker() -> bytes:
    names = sorted(name for name in STATIC if name.startswith("worker") and name != "worker-sw.js")
    files = [f"/static/{name}" for name in names if name.endswith(".js")]
    files += [static_url("worker.css"), static_url("icon.svg"), f"{SHELL}/app.webmanifest"]
    version = hashlib.sha256("".join(file.version for file in STATIC.values()).encode())
    told = {"version": version.hexdigest()[:12], "files": files}
    return b"const KEPT = " + msgspec.json.encode(told) + b";\n" + STATIC["worker-sw.js"].body
