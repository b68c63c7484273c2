"""The CLI's HTTP client: chunked bodies both ways, errors, streams that break off."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pogu.cli.failure import ApiError, CliError
from pogu.cli.http import Http, quote

Connected = tuple[Http, socket.socket]


@pytest.fixture
def connected(tmp_path: Path) -> Iterator[Connected]:
    """Our client, and the engine's end of its connection."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        listener.listen()
        http = Http(str(tmp_path / "s"))
        engine, _ = listener.accept()
    with engine:
        yield http, engine
    http.close()


def chunks(*pieces: bytes) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in (*pieces, b""))


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def test_a_chunked_answer_is_joined_and_the_connection_used_again(connected: Connected) -> None:
    http, engine = connected
    engine.sendall(CHUNKED + chunks(b'{"a"', b": 1}"))
    engine.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]")
    assert http.request("GET", "/x").json() == {"a": 1}
    assert http.request("GET", "/y").json() == []


def test_json_lines_come_as_they_end_however_chunks_are_cut(connected: Connected) -> None:
    http, engine = connected
    engine.sendall(CHUNKED + chunks(b'{"n": 1}\r\n{"n"', b": 2}\r", b'\n{"n": 3}'))
    assert [line["n"] for line in http.request("GET", "/x").objects()] == [1, 2, 3]


def test_answers_without_a_body_leave_nothing_behind(connected: Connected) -> None:
    http, engine = connected
    engine.sendall(b"HTTP/1.1 304 Not Modified\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n")
    assert http.request("POST", "/x").read() == b""
    assert http.request("POST", "/x").status == 204


def test_an_answer_without_a_length_ends_with_the_connection(connected: Connected) -> None:
    http, engine = connected
    engine.sendall(b"HTTP/1.1 200 OK\r\n\r\nall of it")
    engine.shutdown(socket.SHUT_WR)
    assert http.request("GET", "/x").read() == b"all of it"


def test_what_is_sent(connected: Connected) -> None:
    http, engine = connected
    engine.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnull")
    parameters: dict[str, object] = {"all": True, "n": None, "t": ["a b", "ü"]}
    assert http.request("POST", "/x", parameters, body={"k": "é"}).json() is None
    assert engine.recv(4096) == (
        b"POST /x?all=1&t=a%20b&t=%C3%BC HTTP/1.1\r\nHost: pogu\r\n"
        b'Content-Type: application/json\r\nContent-Length: 14\r\n\r\n{"k":"\\u00e9"}'
    )


def test_a_stream_is_sent_in_chunks(connected: Connected) -> None:
    http, engine = connected
    engine.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    http.request("POST", "/x", stream=[b"abc", b"", b"d" * 20]).read()
    assert engine.recv(4096).endswith(b"\r\n\r\n3\r\nabc\r\n14\r\n" + b"d" * 20 + b"\r\n0\r\n\r\n")


def test_errors_keep_message_and_hint_apart(connected: Connected) -> None:
    http, engine = connected
    body = b'{"message": "m\\nh", "docker_message": "m", "hint": "h"}'
    engine.sendall(b"HTTP/1.1 409 Conflict\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    with pytest.raises(ApiError) as caught:
        http.request("POST", "/x")
    error = caught.value
    assert (error.status, error.message, error.hint) == (409, "Error response from daemon: m", "h")


def test_a_refusal_in_the_middle_of_a_body_is_read(connected: Connected) -> None:
    http, engine = connected

    def refuse() -> None:
        engine.recv(100)
        body = b'{"message": "too much"}'
        engine.sendall(b"HTTP/1.1 400 Bad\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        engine.shutdown(socket.SHUT_RDWR)

    thread = threading.Thread(target=refuse)
    thread.start()
    with pytest.raises(ApiError, match="too much"):
        http.request("POST", "/x", stream=(b"x" * 65536 for _ in range(1000)))
    thread.join()


@pytest.mark.parametrize(
    "said",
    [b"", b"HTTP/1.1 200 OK\r\nContent", CHUNKED + b"5\r\nab", CHUNKED + chunks(b"ab")[:-5]],
)
def test_an_engine_that_ends_in_the_middle_is_said_so(connected: Connected, said: bytes) -> None:
    http, engine = connected
    engine.sendall(said)
    engine.shutdown(socket.SHUT_WR)
    with pytest.raises(CliError, match="the engine ended while this command ran"):
        http.request("GET", "/x").read()


def test_requests_begun_together_are_answered_one_by_one(connected: Connected) -> None:
    http, engine = connected
    waiting: list[Callable[[], object]] = [http.begin("POST", "/a"), http.begin("DELETE", "/b")]
    sent = engine.recv(4096)
    assert sent.startswith(b"POST /a HTTP/1.1\r\nHost: pogu\r\nContent-Length: 0\r\n\r\nDELETE /b ")
    engine.sendall(b"HTTP/1.1 204 x\r\n\r\nHTTP/1.1 404 x\r\nContent-Length: 2\r\n\r\n{}")
    waiting[0]()
    with pytest.raises(ApiError):
        waiting[1]()


def test_a_socket_may_lie_deeper_than_107_bytes(tmp_path: Path) -> None:
    directory = tmp_path / ("d" * 100) / ("e" * 100)
    directory.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        listener.listen()
        (tmp_path / "s").rename(directory / "s")
        Http(str(directory / "s")).close()


def test_names_are_quoted_for_paths() -> None:
    assert quote("docker.io/a:1") == "docker.io/a:1"
    assert quote("a b?c%d@é") == "a%20b%3Fc%25d%40%C3%A9"
