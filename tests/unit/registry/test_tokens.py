"""What a token server is asked, and what its answers mean."""

from __future__ import annotations

import urllib.parse

import pytest

from pogu.errors import Unauthorized, Unavailable
from pogu.registry.challenge import Challenge
from pogu.registry.credentials import Credentials
from pogu.registry.tokens import Token, fetch_token, merged_scopes

REALM = "https://auth.example/token"
ANN = Credentials(username="ann", password="word")


class Server:
    """Answers in turn and keeps what was asked."""

    def __init__(self, *answers: tuple[int, bytes]) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, str, dict[str, str], bytes | None]] = []

    async def __call__(
        self, method: str, url: str, headers: dict[str, str], body: bytes | None
    ) -> tuple[int, bytes]:
        self.asked.append((method, url, headers, body))
        return self.answers.pop(0)


async def fetch(server: Server, own: Credentials, *, offline: bool = False) -> Token:
    challenge = Challenge(
        scheme="bearer",
        parameters={"realm": REALM, "service": "reg", "scope": "repository:a:pull"},
    )
    scope = "repository:a:pull,push repository:b:pull"
    return await fetch_token(server, challenge, own, scope, domain="reg.example", offline=offline)


def test_scopes_of_one_resource_become_one() -> None:
    assert merged_scopes("repository:a:pull", "repository:b:pull repository:a:pull,push") == [
        "repository:a:pull,push",
        "repository:b:pull",
    ]


async def test_a_password_is_sent_as_basic_with_each_scope_by_itself() -> None:
    server = Server((200, b'{"token":"t"}'))
    assert (await fetch(server, ANN)).header == "Bearer t"
    method, url, headers, _ = server.asked[0]
    asked = urllib.parse.parse_qs(urllib.parse.urlsplit(url).query)
    assert method == "GET"
    assert asked["scope"] == ["repository:a:pull,push", "repository:b:pull"]
    assert asked["account"] == ["ann"]
    assert headers["Authorization"].startswith("Basic ")
    assert "offline_token" not in asked


async def test_anonymous_says_nothing_of_anybody() -> None:
    server = Server((200, b'{"access_token":"t"}'))
    await fetch(server, Credentials())
    assert "account" not in server.asked[0][1]
    assert server.asked[0][2] == {}


async def test_a_login_asks_for_an_identity_token() -> None:
    server = Server((200, b'{"token":"t","refresh_token":"r"}'))
    assert (await fetch(server, ANN, offline=True)).identity_token == "r"
    assert "offline_token=true" in server.asked[0][1]


async def test_an_identity_token_is_refreshed_and_get_is_the_fall_back() -> None:
    server = Server((405, b""), (200, b'{"token":"t"}'))
    await fetch(server, Credentials(username="ann", identity_token="r"))
    form = urllib.parse.parse_qs((server.asked[0][3] or b"").decode())
    assert [one[0] for one in server.asked] == ["POST", "GET"]
    assert form["grant_type"] == ["refresh_token"]
    assert form["refresh_token"] == ["r"]
    assert form["scope"] == ["repository:a:pull,push repository:b:pull"]


async def test_a_token_is_stale_before_it_runs_out() -> None:
    assert (await fetch(Server((200, b'{"token":"t","expires_in":1e-9}')), ANN)).is_stale
    assert not (await fetch(Server((200, b'{"token":"t","expires_in":300}')), ANN)).is_stale


async def test_refusals() -> None:
    with pytest.raises(Unauthorized, match="incorrect username or password"):
        await fetch(Server((401, b"")), ANN)
    with pytest.raises(Unauthorized, match="authentication required"):
        await fetch(Server((401, b"")), Credentials())
    for raw in (b"[]", b"{}", b"<html>", b'{"token":"t","expires_in":"soon"}'):
        with pytest.raises(Unavailable, match="sent no token"):
            await fetch(Server((200, raw)), ANN)


def test_no_secret_is_in_a_printed_form() -> None:
    token = Token(header="Bearer secret", identity_token="secret")
    assert "secret" not in repr(token) + repr(Credentials(password="secret"))
