"""An organisation's own login: a small OpenID provider over HTTP, which can also misbehave."""

import base64
import hashlib
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any
from urllib.parse import urlencode

import uvicorn
from fastapi import FastAPI, Form, HTTPException, Request
from fastapi.responses import RedirectResponse
from joserfc import jwt
from joserfc.jwk import KeySet, RSAKey

CLIENT, SECRET = "pilewatch", "s:cret/ß"


class Provider:
    """Everyone who comes is `user`. `wrong` are claims of the id_token that are not as asked."""

    def __init__(self) -> None:
        self.door = socket.create_server(("127.0.0.1", 0))
        self.issuer = f"http://127.0.0.1:{self.door.getsockname()[1]}"
        self.user: dict[str, Any] = {"sub": "u-1"}
        self.wrong: dict[str, Any] = {}
        self.forge: Callable[[dict[str, Any]], str] | None = None
        self.refuses = False
        self.key = self.shown = RSAKey.generate_key(2048, {"kid": "one"})
        self.codes: dict[str, dict[str, str]] = {}
        self.app = self._app()

    def change_key(self, *, shown: bool = True) -> None:
        """Sign with another key from now on; where it is not shown, it is a thief's."""
        self.key = RSAKey.generate_key(2048, {"kid": "two" if shown else "one"})
        self.shown = self.key if shown else self.shown

    def _app(self) -> FastAPI:
        app = FastAPI()

        @app.get("/.well-known/openid-configuration")
        def about() -> dict[str, Any]:
            return {
                "issuer": self.issuer,
                "authorization_endpoint": f"{self.issuer}/authorize",
                "token_endpoint": f"{self.issuer}/token",
                "jwks_uri": f"{self.issuer}/keys",
            }

        @app.get("/keys")
        def keys() -> dict[str, Any]:
            return dict(KeySet([self.shown]).as_dict(private=False))

        @app.get("/authorize")
        def authorize(request: Request) -> RedirectResponse:
            asked = dict(request.query_params)
            assert asked["response_type"] == "code" and asked["client_id"] == CLIENT
            assert asked["code_challenge_method"] == "S256" and "openid" in asked["scope"]
            back = {"state": asked["state"]}
            if self.refuses:
                back["error"] = "access_denied"
            else:
                back["code"] = secrets.token_urlsafe(16)
                self.codes[back["code"]] = asked
            return RedirectResponse(f"{asked['redirect_uri']}?{urlencode(back)}", 303)

        @app.post("/token")
        def token(
            request: Request,
            code: Annotated[str, Form()],
            redirect_uri: Annotated[str, Form()],
            code_verifier: Annotated[str, Form()],
            grant_type: Annotated[str, Form()],
        ) -> dict[str, Any]:
            asked = self.codes.pop(code, None)
            hashed = hashlib.sha256(code_verifier.encode()).digest()
            challenge = base64.urlsafe_b64encode(hashed).decode().rstrip("=")
            basic = base64.b64encode(f"{CLIENT}:s%3Acret%2F%C3%9F".encode()).decode()
            if (
                asked is None
                or grant_type != "authorization_code"
                or asked["code_challenge"] != challenge
                or asked["redirect_uri"] != redirect_uri
                or request.headers.get("authorization") != f"Basic {basic}"
            ):
                raise HTTPException(400, "invalid_grant")
            now = int(time.time())
            claims = {
                **{"iss": self.issuer, "aud": CLIENT, "iat": now, "exp": now + 300},
                **{"nonce": asked["nonce"], **self.user, **self.wrong},
            }
            told = {name: value for name, value in claims.items() if value is not None}
            header = {"alg": "RS256", "kid": self.key.kid}
            signed = self.forge(told) if self.forge else jwt.encode(header, told, self.key)
            return {"access_token": "x", "token_type": "Bearer", "id_token": signed}

        return app

    @contextmanager
    def served(self) -> Iterator["Provider"]:
        """Answering on its port."""
        server = uvicorn.Server(uvicorn.Config(self.app, log_level="error"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [self.door]}, daemon=True)
        thread.start()
        yield self
        server.should_exit = True
        thread.join(10)
