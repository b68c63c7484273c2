"""A token server that a real docker-registry believes: JWTs signed with RS256 (token spec)."""

from __future__ import annotations

import base64
import json
import threading
import time
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from tests.certificates import Certificate, an_authority

__all__ = ["Asked", "TokenServer", "a_token_server"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One request as it came."""

    method: str
    parameters: dict[str, list[str]]
    user: str

    @property
    def scopes(self) -> list[str]:
        return " ".join(self.parameters.get("scope", [])).split()


@dataclass(slots=True, kw_only=True)
class TokenServer:
    """Users may do everything; anybody may pull what lies under `public/`."""

    users: dict[str, str] = field(default_factory=dict)
    knows_post: bool = True
    stale: int = 0
    """So many of the next tokens have run out already when they are given."""
    busy: int = 0
    """So many of the next requests are answered with 503."""
    asked: list[Asked] = field(default_factory=list)
    signer: Certificate = field(default_factory=an_authority)
    url: str = ""
    issuer: str = "test-issuer"
    service: str = "test-service"

    def answer(self, asked: Asked, authorization: str) -> tuple[int, dict[str, object]]:
        self.asked.append(asked)
        if self.busy:
            self.busy -= 1
            return 503, {}
        if asked.method == "POST":
            return self._refresh(asked)
        user = asked.user
        if authorization and not self._knows(authorization):
            return 401, {"errors": [{"code": "UNAUTHORIZED", "message": "no such user"}]}
        answer = self._grant(user, asked.scopes)
        if asked.parameters.get("offline_token") == ["true"] and user:
            answer["refresh_token"] = f"identity-of-{user}"
        return 200, answer

    def _knows(self, authorization: str) -> bool:
        user, _, secret = basic_pair(authorization)
        return bool(user) and (self.users.get(user) == secret or secret == f"identity-of-{user}")

    def _refresh(self, asked: Asked) -> tuple[int, dict[str, object]]:
        if not self.knows_post:
            return 404, {}
        token = asked.parameters.get("refresh_token", [""])[0]
        user = token.removeprefix("identity-of-")
        if asked.parameters.get("grant_type") != ["refresh_token"] or user not in self.users:
            return 401, {}
        granted = self._grant(user, asked.scopes)
        return 200, {"access_token": granted["token"], "expires_in": 300}

    def _grant(self, user: str, scopes: list[str]) -> dict[str, object]:
        access: list[dict[str, object]] = []
        for scope in scopes:
            kind, _, rest = scope.partition(":")
            name, _, actions = rest.rpartition(":")
            allowed = actions.split(",") if user else []
            if not user and name.startswith("public/"):
                allowed = ["pull"]
            access.append({"type": kind, "name": name, "actions": allowed})
        late = self.stale > 0
        self.stale -= late
        return {"token": self._signed(user, access, late=late), "expires_in": 300}

    def _signed(self, user: str, access: list[dict[str, object]], *, late: bool) -> str:
        now = int(time.time()) - (1000 if late else 0)
        chain = base64.b64encode(self.signer.der).decode()
        head = {"typ": "JWT", "alg": "RS256", "x5c": [chain]}
        claims = {
            "iss": self.issuer,
            "sub": user,
            "aud": self.service,
            "exp": now + 300,
            "nbf": now - 10,
            "iat": now,
            "jti": str(time.monotonic_ns()),
            "access": access,
        }
        text = b".".join(_packed(json.dumps(part).encode()) for part in (head, claims))
        signature = self.signer.key.sign(text, padding.PKCS1v15(), hashes.SHA256())
        return (text + b"." + _packed(signature)).decode()


def _packed(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def basic_pair(authorization: str) -> tuple[str, str, str]:
    text = base64.b64decode(authorization.removeprefix("Basic ")).decode()
    return text.partition(":")


@contextmanager
def a_token_server(**users: str) -> Iterator[TokenServer]:
    """Serve on loopback; each keyword is a user with a password."""
    server = TokenServer(users=users)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer("GET", urllib.parse.urlsplit(self.path).query)

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            self._answer("POST", body.decode())

        def _answer(self, method: str, form: str) -> None:
            authorization = self.headers.get("Authorization", "")
            asked = Asked(
                method=method,
                parameters=urllib.parse.parse_qs(form),
                user=basic_pair(authorization)[0] if authorization else "",
            )
            status, body = server.answer(asked, authorization)
            raw = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        def log_message(self, *_words: object) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        server.url = f"http://127.0.0.1:{listening.server_address[1]}/token"
        thread = threading.Thread(target=listening.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            listening.shutdown()
            thread.join()
