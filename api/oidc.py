"""Login at an organisation: OpenID Connect, code flow with PKCE, state and nonce.

A login that is under way is one row, used once, in the browser where it began. Only people who are
known already come in; nobody is created.
"""

import hmac
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote, urlencode

import httpx
from authlib.common.security import generate_token
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from api.attempts import STARTS, attempt, forgive
from api.people import digest
from pilewatch.settings import People
from pilewatch.store import queries
from pilewatch.store.pool import Db
from pilewatch.workflow import audit

_SQL = queries.load("people")
_LASTS = timedelta(minutes=10)
_KNOWN_FOR = timedelta(hours=1)
_TIMEOUT_S = 5.0
_LEEWAY_S = 60
_AT_ONCE = 4
"""How many requests ask the organisation at once: a slow one must not take all our threads."""
_ALGORITHMS = ("RS256", "PS256", "ES256", "EdDSA")
_UNUSABLE = (httpx.HTTPError, httpx.InvalidURL, JoseError, ValueError, KeyError, TypeError)
"""What an issuer that is away, or answers nonsense, makes of a request."""
BACK = "/login/organisation/back"
_STARTS = "\0organisation"
"""Starts are counted under this name, which nobody can type as a login."""


class NotLoggedIn(Exception):
    """It did not succeed; `word` is what the page says, `str()` what the log says."""

    def __init__(self, word: str, why: str):
        super().__init__(why)
        self.word = word


@dataclass(frozen=True)
class Begun:
    """Where the browser goes, and the cookie that it must bring back."""

    address: str
    cookie: str


@dataclass(frozen=True)
class Underway:
    """A login that came back with the right state."""

    nonce: str
    verifier: str
    next: str


@dataclass(frozen=True)
class _Provider:
    """What the issuer says of itself, and its keys."""

    authorize: str
    token: str
    keys: KeySet
    read_at: datetime


class Organisation:
    """The issuer that the settings name. One for each process; its documents are kept an hour."""

    def __init__(self, people: People, public_url: str):
        self.people = people
        self.back = public_url.rstrip("/") + BACK
        self._places = threading.BoundedSemaphore(_AT_ONCE)
        self._provider: _Provider | None = None

    @property
    def issuer(self) -> str:
        """Its name. Raises `NotLoggedIn` where there is none."""
        if self.people.oidc_issuer is None:
            raise NotLoggedIn("login.organisation-failed", "no issuer is set")
        return self.people.oidc_issuer.rstrip("/")

    def begin(self, db: Db, now: datetime, next: str, address: str) -> Begun:
        """Write down a login that begins. `known` must have been asked before.

        Raises `TooManyAttempts` where too many have begun lately, from this address or in all.
        """
        provider = self._provider
        assert provider is not None
        state, cookie, verifier = (generate_token(48) for _ in range(3))
        nonce = secrets.token_urlsafe(24)
        values = {
            **{"state": digest(state), "browser": digest(cookie), "nonce": nonce},
            **{"verifier": verifier, "next": next, "expires_at": now + _LASTS, "now": now},
        }
        db.execute(_SQL["forget_oidc"], values)
        started = attempt(db, _STARTS, STARTS, address=_counted(address), now=now)
        db.execute(_SQL["begin_oidc"], values)
        started.ended(succeeded=False)
        asked = {
            **{"response_type": "code", "client_id": self.people.oidc_client_id},
            **{"redirect_uri": self.back, "scope": "openid email", "state": state},
            **{"nonce": nonce, "code_challenge": _challenge(verifier)},
            "code_challenge_method": "S256",
        }
        glue = "&" if "?" in provider.authorize else "?"
        return Begun(f"{provider.authorize}{glue}{urlencode(asked)}", cookie)

    def known(self, now: datetime, *, anew: bool = False) -> None:
        """Know the issuer's addresses and keys. Raises `NotLoggedIn` where it cannot be asked."""
        found = self._provider
        if found is not None and not anew and now - found.read_at < _KNOWN_FOR:
            return
        with self._asking():
            document = f"{self.issuer}/.well-known/openid-configuration"
            about = _document(httpx.get(document, timeout=_TIMEOUT_S))
            if str(about.get("issuer", "")).rstrip("/") != self.issuer:
                raise NotLoggedIn("login.organisation-failed", "the issuer calls itself otherwise")
            authorize, token, keys = (
                self._address(about.get(name))
                for name in ("authorization_endpoint", "token_endpoint", "jwks_uri")
            )
            shown = _document(httpx.get(keys, timeout=_TIMEOUT_S))
            known = KeySet.import_key_set(shown)  # type: ignore[arg-type]
        self._provider = _Provider(authorize, token, known, now)

    def _address(self, given: object) -> str:
        """Never over plain HTTP, unless the issuer itself is (on this machine)."""
        here = self.issuer.startswith("http://")
        allowed = ("https://", "http://") if here else ("https://",)
        if isinstance(given, str) and given.startswith(allowed):
            return given
        raise NotLoggedIn("login.organisation-failed", "an endpoint of the issuer is not https")

    def claims(self, underway: Underway, code: str, now: datetime) -> dict[str, Any]:
        """Who it is, as the issuer has signed it. Raises `NotLoggedIn`."""
        self.known(now)
        assert self._provider is not None
        secret = self.people.oidc_client_secret
        sent = {
            **{"grant_type": "authorization_code", "code": code, "redirect_uri": self.back},
            **{"code_verifier": underway.verifier, "client_id": self.people.oidc_client_id},
        }
        basic = None
        if secret is not None:  # RFC 6749 2.3.1: each part is form-encoded first
            parts = (self.people.oidc_client_id, secret.get_secret_value())
            basic = httpx.BasicAuth(*(quote(part, safe="") for part in parts))
        with self._asking():
            answer = httpx.post(
                self._provider.token, data=sent, auth=basic, timeout=_TIMEOUT_S,
                headers={"Accept": "application/json"},
            )  # fmt: skip
            given = _document(answer)
        token = given.get("id_token")
        if not isinstance(token, str):
            raise NotLoggedIn("login.organisation-failed", "the issuer gave no id_token")
        try:
            return self._read(token, underway, now)
        except NotLoggedIn:
            self.known(now, anew=True)  # its keys may have been changed meanwhile
        return self._read(token, underway, now)

    def _read(self, token: str, underway: Underway, now: datetime) -> dict[str, Any]:
        """The token's claims, checked. Raises `NotLoggedIn`."""
        assert self._provider is not None
        me = self.people.oidc_client_id
        try:
            read = jwt.decode(token, self._provider.keys, algorithms=list(_ALGORITHMS))
            issuer = str(read.claims.get("iss", "")).rstrip("/")
            claims = CodeIDToken(
                {**read.claims, "iss": issuer},
                read.header,
                {
                    "iss": {"essential": True, "value": self.issuer},
                    "aud": {"essential": True, "value": me},
                },
                {"nonce": underway.nonce, "client_id": me},
            )
            claims.validate(int(now.timestamp()), _LEEWAY_S)
            if not isinstance(claims["sub"], str) or not 0 < len(claims["sub"]) <= 255:
                raise ValueError("sub")
        except _UNUSABLE as error:
            raise NotLoggedIn("login.organisation-failed", f"id_token: {error!r}") from error
        return dict(claims)

    @contextmanager
    def _asking(self) -> Iterator[None]:
        if not self._places.acquire(timeout=_TIMEOUT_S):
            raise NotLoggedIn("login.organisation-failed", "too many ask the issuer at once")
        try:
            yield
        except _UNUSABLE as error:
            raise NotLoggedIn("login.organisation-failed", f"issuer: {error!r}") from error
        finally:
            self._places.release()


def come_back(db: Db, state: str, cookie: str | None, now: datetime) -> Underway:
    """The login with this state, which ends here. Raises `NotLoggedIn` where it is unknown, old, or
    began in another browser."""
    row = db.execute(_SQL["end_oidc"], {"state": digest(state)}).fetchone()
    if row is None or row["expires_at"] <= now:
        raise NotLoggedIn("login.organisation-late", "the state is unknown or too old")
    if cookie is None or not hmac.compare_digest(bytes(row["browser"]), digest(cookie)):
        raise NotLoggedIn("login.organisation-late", "it began in another browser")
    return Underway(row["nonce"], row["verifier"], row["next"])


def person_of(
    db: Db, issuer: str, claims: dict[str, Any], *, by_email: bool, address: str, now: datetime
) -> dict[str, Any]:
    """The linked person; a verified e-mail address may link now. Raises `NotLoggedIn`.

    The starts from their address are forgotten: a whole office may stand behind it.
    """
    values = {"issuer": issuer, "subject": claims["sub"], "now": now}
    with db.transaction():
        row = db.execute(_SQL["identity"], values).fetchone()
        email = claims.get("email")
        if row is None and by_email and isinstance(email, str) and "\0" not in email:
            # Only `true` itself: some issuers tell "false" as a text.
            if claims.get("email_verified") is True:
                row = db.execute(_SQL["person_by_email"], {**values, "email": email}).fetchone()
            if row is not None:
                values["person_id"] = row["id"]
                if db.execute(_SQL["link"], values).fetchone() is None:
                    row = None
                else:
                    about = f"person/{row['id']}"
                    audit.record(db, now, row["id"], "person.link", about, None, {"issuer": issuer})
    if row is None:
        raise NotLoggedIn("login.organisation-unknown", "this identity is linked to nobody")
    forgive(db, _STARTS, address=_counted(address), now=now)
    return row


def _counted(address: str) -> str:
    """Apart from the same address's passwords."""
    return f"organisation {address}"


def _challenge(verifier: str) -> str:
    return str(create_s256_code_challenge(verifier))  # type: ignore[no-untyped-call]


def _document(answer: httpx.Response) -> dict[str, Any]:
    """The JSON object of an answer. Raises `httpx.HTTPError` or `ValueError`."""
    answer.raise_for_status()
    found = answer.json()
    if not isinstance(found, dict):
        raise ValueError("no JSON object")
    return found
