"""What clients see of the API without any client library: statuses, error bodies, streams."""

from __future__ import annotations

import json
import struct
import time
import urllib.parse
from collections.abc import Iterator
from typing import Any

import pytest
from tests.conformance.clients import Wire
from tests.engine_process import eventually

pytestmark = pytest.mark.root


def frames(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Split Docker's frames: stream number, three zeros, length."""
    while data:
        number, size = struct.unpack(">BxxxL", data[:8])
        yield number, data[8 : 8 + size]
        data = data[8 + size :]


def started(wire: Wire, script: str, **config: Any) -> str:
    container = wire.create(Cmd=["sh", "-c", script], **config)
    assert wire.ask("POST", f"/containers/{container}/start").status == 204
    return container


def ended(wire: Wire, script: str, **config: Any) -> str:
    container = started(wire, script, **config)
    assert wire.ask("POST", f"/containers/{container}/wait").status == 200
    return container


# ---- ping, versions, errors ------------------------------------------------------------------


def test_ping_tells_the_version_in_headers(wire: Wire) -> None:
    answer = wire.ask("GET", "/_ping")
    assert (answer.status, answer.body) == (200, b"OK")
    assert answer.headers["Api-Version"] == "1.51"
    assert answer.headers["Ostype"] == "linux"
    assert answer.headers["Server"].startswith("Docker/")
    assert answer.headers["Cache-Control"].startswith("no-cache")
    head = wire.ask("HEAD", "/_ping")
    assert (head.status, head.body, head.headers["Api-Version"]) == (200, b"", "1.51")


def test_every_path_exists_with_and_without_a_version(wire: Wire) -> None:
    for prefix in ("", "/v1.24", "/v1.51"):
        assert wire.ask("GET", f"{prefix}/version").json["ApiVersion"] == "1.51"


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("/v1.20/version", 400, "client version 1.20 is too old"),
        ("/v1.99/version", 400, "client version 1.99 is too new"),
        ("/v9/version", 404, "page not found"),
        ("/nothing/here", 404, "page not found"),
        ("/v1.51/nothing", 404, "page not found"),
        ("/containers/nope/json", 404, "No such container: nope"),
        ("/images/nope/json", 404, "No such image: nope"),
        ("/volumes/nope", 404, "no such volume"),
        ("/networks/nope", 404, "network nope not found"),
        ("/containers/json?filters=nonsense", 400, "invalid"),
        ("/containers/json?limit=many", 400, "limit"),
        ("/containers/json?filters=%7B%22nope%22%3A%5B%221%22%5D%7D", 400, "invalid filter 'nope'"),
        ("/nodes", 503, "This node is not a swarm manager"),
    ],
)
def test_errors_are_json_with_a_message(wire: Wire, path: str, status: int, words: str) -> None:
    answer = wire.ask("GET", path)
    assert answer.status == status
    assert answer.headers["Content-Type"] == "application/json"
    assert words in answer.message


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"{", "invalid JSON"),
        (b"[]", "invalid JSON"),
        (b'"text"', "invalid JSON"),
        (b"\xff\xfe", "invalid JSON"),
        (b"", "config cannot be empty"),
        (b"{}", "config cannot be empty"),
        (b'{"Image": 5}', "invalid JSON"),
        (b'{"Image": "busybox", "Env": "A=b"}', "invalid JSON"),
        (b'{"Image": "busybox", "HostConfig": {"Memory": "64m"}}', "invalid JSON"),
        (b'{"Image": "busybox", "HostConfig": {"Memory": 1}}', "Minimum memory limit"),
        (b'{"Image": "bad name"}', "invalid reference format"),
    ],
)
def test_bad_create_bodies_are_refused_with_400(wire: Wire, body: bytes, words: str) -> None:
    answer = wire.ask("POST", "/containers/create", body)
    assert answer.status == 400
    assert words in answer.message


def test_missing_image_gives_404(wire: Wire) -> None:
    answer = wire.ask("POST", "/containers/create", {"Image": "nope"})
    assert (answer.status, answer.message.splitlines()[0]) == (404, "No such image: nope:latest")


def test_missing_things_other_than_the_image_do_not_give_404_at_create(wire: Wire) -> None:
    for host in (
        {"NetworkMode": "nope"},
        {"NetworkMode": "container:nope"},
        {"VolumesFrom": ["nope"]},
        {"Mounts": [{"Type": "bind", "Source": "/no/such", "Target": "/x"}]},
    ):
        answer = wire.ask("POST", "/containers/create", {"Image": "busybox", "HostConfig": host})
        assert answer.status == 400, host
        assert "no" in answer.message.lower()


def test_taken_name_gives_409(wire: Wire) -> None:
    wire.create(name="taken")
    answer = wire.ask("POST", "/containers/create?name=taken", {"Image": "busybox"})
    assert answer.status == 409
    assert 'The container name "/taken" is already in use by container' in answer.message


def test_bad_name_gives_400(wire: Wire) -> None:
    answer = wire.ask("POST", "/containers/create?name=a%20b", {"Image": "busybox"})
    assert answer.status == 400
    assert "only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed" in answer.message


def test_create_answers_with_id_and_a_list_of_warnings(wire: Wire) -> None:
    answer = wire.ask("POST", "/containers/create", {"Image": "busybox"})
    assert (answer.status, answer.json["Warnings"]) == (201, [])
    assert len(answer.json["Id"]) == 64


def test_unknown_fields_and_nulls_are_let_through(wire: Wire) -> None:
    body: dict[str, Any] = {"Image": "busybox", "FromTheFuture": {"a": 1}, "Env": None}
    body |= {
        "HostConfig": {"Binds": None, "PortBindings": None, "New": 1},
        "Cmd": "true",
        "Labels": None,
    }
    assert wire.ask("POST", "/containers/create", body).status == 201


def test_second_start_and_stop_give_304_without_a_body(wire: Wire) -> None:
    container = started(wire, "sleep 1000")
    again = wire.ask("POST", f"/containers/{container}/start")
    assert (again.status, again.body) == (304, b"")
    assert wire.ask("POST", f"/containers/{container}/stop?t=0").status == 204
    again = wire.ask("POST", f"/containers/{container}/stop")
    assert (again.status, again.body) == (304, b"")


def test_start_with_a_body_is_refused(wire: Wire) -> None:
    container = wire.create()
    answer = wire.ask("POST", f"/containers/{container}/start", {"Binds": []})
    assert answer.status == 400
    assert "non-empty request body" in answer.message


def test_kill_of_a_stopped_container_gives_409(wire: Wire) -> None:
    answer = wire.ask("POST", f"/containers/{wire.create()}/kill")
    assert answer.status == 409
    assert "is not running" in answer.message


def test_rm_of_a_running_container_gives_409(wire: Wire) -> None:
    answer = wire.ask("DELETE", f"/containers/{started(wire, 'sleep 1000')}")
    assert answer.status == 409
    assert "container is running" in answer.message


def test_wait_refuses_an_unknown_condition(wire: Wire) -> None:
    answer = wire.ask("POST", f"/containers/{wire.create()}/wait?condition=someday")
    assert answer.status == 400


def test_many_requests_go_over_one_connection(wire: Wire) -> None:
    ask = b"GET /_ping HTTP/1.1\r\nHost: x\r\n\r\n"
    last = b"GET /_ping HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    assert wire.talk(ask * 5 + last, half_close=False).count(b"HTTP/1.1 200 OK") == 6


def test_client_that_ends_its_side_gets_the_answer(wire: Wire) -> None:
    answer = wire.talk(b"GET /_ping HTTP/1.1\r\nHost: x\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 OK")
    assert answer.endswith(b"\r\n\r\nOK")


def test_body_that_is_cut_short_is_not_taken(wire: Wire) -> None:
    head = b"POST /containers/create?name=cut HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n"
    assert b"201" not in wire.talk(head + b'{"Image": "busybox"}')
    assert wire.ask("GET", "/containers/cut/json").status == 404


def test_nonsense_on_the_socket_is_answered_with_400(wire: Wire) -> None:
    assert b" 400 " in wire.talk(b"this is not HTTP\r\n\r\n", half_close=False)
    assert wire.ask("GET", "/_ping").status == 200


# ---- logs, attach, wait ----------------------------------------------------------------------


def test_logs_come_in_chunks_and_frames(wire: Wire) -> None:
    container = ended(wire, "echo out; echo err >&2")
    answer = wire.ask("GET", f"/containers/{container}/logs?stdout=1&stderr=1")
    assert answer.headers["Transfer-Encoding"] == "chunked"
    assert answer.headers["Content-Type"] == "application/vnd.docker.multiplexed-stream"
    assert sorted(frames(answer.body)) == [(1, b"out\n"), (2, b"err\n")]
    only = wire.ask("GET", f"/containers/{container}/logs?stderr=true")
    assert list(frames(only.body)) == [(2, b"err\n")]


def test_logs_of_old_versions_are_called_raw(wire: Wire) -> None:
    container = ended(wire, "echo out")
    answer = wire.ask("GET", f"/v1.41/containers/{container}/logs?stdout=1")
    assert answer.headers["Content-Type"] == "application/vnd.docker.raw-stream"
    assert list(frames(answer.body)) == [(1, b"out\n")]


def test_logs_of_a_terminal_have_no_frames(wire: Wire) -> None:
    container = ended(wire, "echo out", Tty=True)
    answer = wire.ask("GET", f"/containers/{container}/logs?stdout=1")
    assert answer.headers["Content-Type"] == "application/vnd.docker.raw-stream"
    assert answer.body == b"out\r\n"


def test_logs_need_a_stream(wire: Wire) -> None:
    answer = wire.ask("GET", f"/containers/{wire.create()}/logs")
    assert answer.status == 400
    assert "you must choose at least one stream" in answer.message


def test_logs_refuse_a_tail_that_is_no_number(wire: Wire) -> None:
    answer = wire.ask("GET", f"/containers/{wire.create()}/logs?stdout=1&tail=few")
    assert answer.status == 400


def test_wait_sends_its_headers_before_the_end(wire: Wire) -> None:
    container = wire.create(Cmd=["sh", "-c", "exit 3"])
    request = f"POST /containers/{container}/wait?condition=next-exit HTTP/1.1\r\nHost: x\r\n\r\n"
    with wire.connect() as waiting:
        waiting.sendall(request.encode())
        assert waiting.recv(65536).startswith(b"HTTP/1.1 200 OK")
        assert wire.ask("POST", f"/containers/{container}/start").status == 204
        assert b'{"StatusCode":3}' in waiting.recv(65536)


def test_detach_keys_leave_and_are_told(wire: Wire) -> None:
    container = started(wire, "sleep 1000", Tty=True, OpenStdin=True)
    with wire.connect() as typing:
        typing.sendall(attach(container, "Connection: Upgrade", "Upgrade: tcp"))
        assert typing.recv(65536).startswith(b"HTTP/1.1 101")
        typing.sendall(b"\x10\x11")
        eventually(lambda: typing.recv(65536) == b"")
    eventually(lambda: told(wire, container, "detach"))
    assert wire.ask("GET", f"/containers/{container}/json").json["State"]["Running"]


def attach(container: str, *headers: str) -> bytes:
    path = f"/containers/{container}/attach?stream=1&stdin=1&stdout=1&stderr=1"
    return "\r\n".join([f"POST {path} HTTP/1.1", "Host: x", *headers, "", ""]).encode()


@pytest.mark.parametrize(
    ("headers", "status"),
    [(("Connection: Upgrade", "Upgrade: tcp"), b"HTTP/1.1 101 UPGRADED"), ((), b"HTTP/1.1 200 OK")],
)
def test_attach_is_hijacked_and_half_closed(
    wire: Wire, headers: tuple[str, ...], status: bytes
) -> None:
    container = started(wire, "cat; echo ended >&2", OpenStdin=True, StdinOnce=True)
    head, _, stream = wire.talk(attach(container, *headers) + b"typed\n").partition(b"\r\n\r\n")
    assert head.startswith(status)
    assert list(frames(stream)) == [(1, b"typed\n"), (2, b"ended\n")]


def test_attach_to_nothing_is_an_ordinary_error(wire: Wire) -> None:
    answer = wire.talk(attach("nope", "Connection: Upgrade", "Upgrade: tcp"))
    assert answer.startswith(b"HTTP/1.1 404")
    assert b"No such container: nope" in answer


def test_attach_with_logs_replays_what_was_written(wire: Wire) -> None:
    container = ended(wire, "echo before")
    path = f"/containers/{container}/attach?logs=1&stdout=1"
    answer = wire.talk(f"POST {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    assert list(frames(answer.partition(b"\r\n\r\n")[2])) == [(1, b"before\n")]


def test_resize_needs_a_running_container_and_numbers(wire: Wire) -> None:
    container = wire.create(Tty=True)
    assert wire.ask("POST", f"/containers/{container}/resize?h=10&w=20").status == 409
    assert wire.ask("POST", f"/containers/{container}/resize?h=ten&w=20").status == 400


# ---- lists, events ---------------------------------------------------------------------------


@pytest.mark.parametrize("filters", [{"label": ["a=b"]}, {"label": {"a=b": True}}])
def test_filters_come_in_two_shapes(wire: Wire, filters: dict[str, Any]) -> None:
    wanted = wire.create(Labels={"a": "b"})
    wire.create()
    query = urllib.parse.quote(json.dumps(filters))
    found = wire.ask("GET", f"/containers/json?all=1&filters={query}").json
    assert [one["Id"] for one in found] == [wanted]


def test_events_are_json_lines_with_the_old_fields(wire: Wire) -> None:
    since = time.time()
    container = ended(wire, "exit 3", Labels={"a": "b"})
    answer = wire.ask("GET", f"/events?since={since}&until={time.time()}")
    events = [json.loads(line) for line in answer.body.splitlines()]
    die = next(event for event in events if event["Action"] == "die")
    assert (die["status"], die["id"], die["from"]) == ("die", container, "busybox")
    assert die["Actor"]["Attributes"].items() >= {"exitCode": "3", "a": "b"}.items()
    assert die["timeNano"] // 10**9 == die["time"]


def test_events_send_their_headers_at_once(wire: Wire) -> None:
    with wire.connect() as listening:
        listening.sendall(b"GET /events HTTP/1.1\r\nHost: x\r\n\r\n")
        assert listening.recv(65536).startswith(b"HTTP/1.1 200 OK")
        wire.create(name="told")
        assert b'"Action":"create"' in listening.recv(65536)


def test_client_that_leaves_does_not_end_what_it_began(wire: Wire) -> None:
    container = started(wire, "trap 'sleep 0.3; exit 4' TERM; while :; do sleep 0.05; done")
    with wire.connect() as leaving:
        path = f"/containers/{container}/stop?t=10"
        leaving.sendall(f"POST {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        eventually(lambda: told(wire, container, "kill"))
    eventually(lambda: told(wire, container, "stop"))


def told(wire: Wire, container: str, action: str) -> bool:
    """True when that event of the container was published."""
    answer = wire.ask("GET", f"/events?since=1&until={time.time()}")
    events = [json.loads(line) for line in answer.body.splitlines()]
    return any(one["Actor"]["ID"] == container and one["Action"] == action for one in events)
