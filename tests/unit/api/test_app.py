"""Version and route of a request, and what an error becomes."""

from __future__ import annotations

import asyncio
import struct

import msgspec
import pytest

from pogu.api import app
from pogu.api.app import split_version
from pogu.api.call import Version
from pogu.api.reply import error_body, error_reply, status_of, unexpected
from pogu.api.route import Route, finish
from pogu.api.stream import frame
from pogu.errors import (
    CommandFailed,
    Conflict,
    DataLoss,
    EngineError,
    InvalidParameter,
    NotFound,
    NotImplementedByEngine,
    NotModified,
    SystemFailure,
)
from pogu.storage.tarstream import BadArchive


@pytest.mark.parametrize(
    ("path", "version", "rest"),
    [
        ("/v1.43/info", (1, 43), "/info"),
        ("/v1.24/info", (1, 24), "/info"),
        ("/v1.51/containers/a/b/json", (1, 51), "/containers/a/b/json"),
        ("/info", (1, 51), "/info"),
        ("/volumes", (1, 51), "/volumes"),
        ("/images/v1.43/json", (1, 51), "/images/v1.43/json"),
    ],
)
def test_the_version_stands_before_the_path(path: str, version: Version, rest: str) -> None:
    assert split_version(path) == (version, rest)


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/v1.99/info", "client version 1.99 is too new. Maximum supported API version is 1.51"),
        ("/v2.0/info", "client version 2.0 is too new"),
        ("/v1.23/info", "client version 1.23 is too old. Minimum supported API version is 1.24"),
    ],
)
def test_another_version_is_refused_in_dockers_words(path: str, said: str) -> None:
    with pytest.raises(InvalidParameter) as caught:
        split_version(path)
    assert caught.value.message.startswith(said)


@pytest.mark.parametrize("path", ["/v1/info", "/v1.x/info", "/v1.2.3/info"])
def test_what_only_looks_like_a_version_is_no_page(path: str) -> None:
    with pytest.raises(NotFound, match="page not found"):
        split_version(path)


# ---- routes -----------------------------------------------------------------------------

ROUTES = [route for module in app._MODULES for route in module.ROUTES]


def route_of(method: str, path: str) -> tuple[str, dict[str, str]] | None:
    """Return the handler's module and name, and the path's parameters."""
    for route in ROUTES:
        match = route.pattern.fullmatch(path)
        if match and method in route.methods:
            handler = route.handler
            name = f"{handler.__module__.rpartition('.')[2]}.{getattr(handler, '__name__', '')}"
            return name, match.groupdict()
    return None


@pytest.mark.parametrize(
    ("method", "path", "handler", "parameters"),
    [
        ("GET", "/_ping", "system.ping", {}),
        ("HEAD", "/_ping", "system.ping", {}),
        ("GET", "/_ping/", "system.ping", {}),
        ("GET", "/containers/json", "containers.list_containers", {}),
        ("GET", "/containers/web/json", "containers.inspect", {"name": "web"}),
        ("DELETE", "/containers/web", "containers.remove", {"name": "web"}),
        ("GET", "/images/json", "images.list_images", {}),
        ("GET", "/images/a/b/c:1/json", "images.inspect", {"name": "a/b/c:1"}),
        ("GET", "/images/json/json", "images.inspect", {"name": "json"}),
        ("GET", "/images/a/history/history", "images.history", {"name": "a/history"}),
        (
            "DELETE",
            "/images/host:5000/a@sha256:1",
            "images.remove",
            {"name": "host:5000/a@sha256:1"},
        ),
        ("POST", "/images/a/tag", "images.tag", {"name": "a"}),
        ("POST", "/build", "build.build", {}),
        ("POST", "/build/prune", "prune.caches", {}),
        ("GET", "/volumes/v", "volumes.inspect", {"name": "v"}),
        ("GET", "/swarm", "absent._swarm", {}),
        ("GET", "/containers/web/checkpoints", "absent._no_checkpoints", {"name": "web"}),
    ],
)
def test_a_request_finds_its_handler(
    method: str, path: str, handler: str, parameters: dict[str, str]
) -> None:
    assert route_of(method, path) == (handler, parameters)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("GET", "/nonsense"),
        ("POST", "/_ping"),
        ("PATCH", "/containers/json"),
        ("GET", "/containers//json"),
        ("GET", "/containersx/json"),
    ],
)
def test_what_is_no_page_has_no_handler(method: str, path: str) -> None:
    assert route_of(method, path) is None


def test_the_index_by_first_word_knows_every_route() -> None:
    index = app._by_first_word(ROUTES)
    assert sum(map(len, index.values())) == len(ROUTES)
    assert all(route.first_word == word for word, routes in index.items() for route in routes)


def test_no_two_routes_have_the_same_method_and_path() -> None:
    keys = [(route.pattern.pattern, method) for route in ROUTES for method in route.methods]
    assert len(keys) == len(set(keys))


def test_a_parameter_needs_at_least_one_character() -> None:
    async def never(_call: object) -> None: ...

    route = Route("GET", "/a/{name}", never)  # type: ignore[arg-type]
    assert route.pattern.fullmatch("/a/") is None
    assert route.pattern.fullmatch("/a/b/")


# ---- errors -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (NotFound("x"), 404),
        (InvalidParameter("x"), 400),
        (BadArchive("x"), 400),
        (Conflict("x"), 409),
        (NotImplementedByEngine("x"), 501),
        (SystemFailure("x"), 500),
        (DataLoss("x"), 500),
        (CommandFailed(["crun"], 1, "bad"), 500),
        (EngineError("x"), 500),
    ],
)
def test_every_kind_of_error_has_its_status(error: EngineError, status: int) -> None:
    assert status_of(error) == error_reply(error).status == status


def test_an_error_has_a_message_for_all_and_a_hint_for_us() -> None:
    assert error_body(NotFound("No such image: x", hint="pull it")) == {
        "message": "No such image: x\npull it",
        "docker_message": "No such image: x",
        "hint": "pull it",
    }
    assert "hint" not in error_body(NotFound("x"))


def test_not_modified_has_no_body() -> None:
    answer = error_reply(NotModified("already"))
    assert (answer.status, answer.body) == (304, None)


def test_a_defect_is_told_without_a_traceback(caplog: pytest.LogCaptureFixture) -> None:
    told = unexpected(KeyError("secret"), "GET /x")
    assert told.message == "unexpected error: KeyError: 'secret'"
    assert told.hint
    assert caplog.records[0].exc_info
    body = error_reply(told).body
    assert isinstance(body, bytes)
    assert "Traceback" not in msgspec.json.decode(body)["message"]


# ---- streams ----------------------------------------------------------------------------


def test_a_frame_is_stream_length_data() -> None:
    assert frame(1, b"hello") == b"\x01\0\0\0\0\0\0\x05hello"
    assert struct.unpack(">BxxxL", frame(2, b"x" * 70_000)[:8]) == (2, 70_000)
    assert frame(1, b"") == b"\x01" + bytes(7)


async def test_work_goes_on_to_its_end_when_the_client_leaves() -> None:
    go_on, done = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        await go_on.wait()
        done.set()

    client = asyncio.ensure_future(finish(work()))
    await asyncio.sleep(0)
    client.cancel()
    with pytest.raises(asyncio.CancelledError):
        await client
    go_on.set()
    await asyncio.wait_for(done.wait(), 5)
