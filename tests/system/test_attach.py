"""Several clients at one container's stdio, with the real conmon."""

from __future__ import annotations

import asyncio
import hashlib
import os
import select
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import aiohttp
import pytest
from tests.engine_process import EngineProcess, an_engine, eventually

pytestmark = pytest.mark.root

LINES = 1_000_000
"""7 MB: more than sockets and memory hold."""


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineProcess]:
    with an_engine(tmp_path_factory.mktemp("pogu")) as running:
        running.ok("images")
        yield running


@pytest.fixture(autouse=True)
def _clean(engine: EngineProcess) -> Iterator[None]:
    yield
    engine.clean()


@contextmanager
def asking(
    engine: EngineProcess, name: str, *, stdin: bool = False, logs: bool = False
) -> Iterator[socket.socket]:
    """A client that wants to attach and has no answer yet."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(60)
        client.connect(str(engine.socket))
        query = f"stream=1&stdout=1&stderr=1&stdin={int(stdin)}&logs={int(logs)}"
        client.sendall(
            f"POST /v1.43/containers/{name}/attach?{query} HTTP/1.1\r\nHost: x\r\n"
            "Connection: Upgrade\r\nUpgrade: tcp\r\n\r\n".encode()
        )
        yield client


def read_head(client: socket.socket) -> None:
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += client.recv(1)
    assert head.startswith(b"HTTP/1.1 101")


@contextmanager
def attached(
    engine: EngineProcess, name: str, *, stdin: bool = False, logs: bool = False
) -> Iterator[socket.socket]:
    """A client that has attached and does not read."""
    with asking(engine, name, stdin=stdin, logs=logs) as client:
        read_head(client)
        yield client


def frames(client: socket.socket) -> bytes:
    """All output until the end."""
    data = bytearray()
    while piece := client.recv(1 << 20):
        data += piece
    view, at = memoryview(data), 0
    pieces = []
    while at < len(view):
        size = int.from_bytes(view[at + 4 : at + 8], "big")
        pieces.append(view[at + 8 : at + 8 + size])
        at += 8 + size
    return b"".join(pieces)


def counting(lines: int) -> list[str]:
    """A program that writes lines that differ, once it is told to."""
    return ["sh", "-c", f"read go; seq 1 {lines}"]


def expected(lines: int) -> str:
    return hashlib.sha256(b"".join(b"%d\n" % at for at in range(1, lines + 1))).hexdigest()


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@contextmanager
def standing_still(engine: EngineProcess, name: str) -> Iterator[None]:
    """The container's monitor, as on a busy host."""
    directory = engine.run_root / "containers" / engine.ok("inspect", "-f", "{{.Id}}", name)
    conmon = int((directory / "conmon.pid").read_text())
    os.kill(conmon, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(conmon, signal.SIGCONT)


@pytest.mark.parametrize("kind", ["-d", "-di", "-dt"])
def test_who_has_the_answer_hears_all_that_it_causes(engine: EngineProcess, kind: str) -> None:
    script = "until test -e /go; do sleep 0.02; done; echo first; sleep 0.1; echo second"
    engine.ok("run", kind, "--name", "loud", "busybox", "sh", "-c", script)
    with ExitStack() as stack:
        with standing_still(engine, "loud"):
            with asking(engine, "loud"):
                pass
            engine.kill()  # the next one's connection waits behind this one's
            engine.ok("ps", "-q")
            client = stack.enter_context(asking(engine, "loud"))
            assert not select.select([client], [], [], 0.3)[0]
        read_head(client)
        engine.ok("exec", "loud", "touch", "/go")
        assert b"first" in client.makefile("rb").read()


def test_a_client_that_does_not_read_stalls_neither_the_others_nor_the_log(
    engine: EngineProcess,
) -> None:
    log = ["--log-opt", "max-size=200m"]
    engine.ok("run", "-di", "--name", "loud", *log, "busybox", *counting(LINES))
    with attached(engine, "loud"), attached(engine, "loud", stdin=True) as reader:
        reader.sendall(b"go\n")
        assert digest(frames(reader)) == expected(LINES)
        eventually(lambda: engine.status("loud") == "exited")
    assert digest(engine.call("logs", "loud").stdout.encode()) == expected(LINES)


def test_one_that_reads_late_gets_everything_after_the_end(engine: EngineProcess) -> None:
    engine.ok("run", "-di", "--name", "loud", "busybox", *counting(LINES))
    with attached(engine, "loud", stdin=True) as client:
        client.sendall(b"go\n")
        eventually(lambda: engine.status("loud") == "exited", within_s=30)
        assert digest(frames(client)) == expected(LINES)


def test_what_a_pipe_takes_slowly_arrives_whole(engine: EngineProcess) -> None:
    words = ["run", "--rm", "--log-driver", "none", "busybox", "seq", "1", str(LINES)]
    with engine.popen(*words) as client:
        assert client.stdout is not None
        data = client.stdout.read(1000)
        time.sleep(2)  # a consumer that pauses
        data += client.stdout.read()
    assert client.returncode == 0
    assert digest(data) == expected(LINES)


def test_memory_is_bounded_while_nobody_reads(engine: EngineProcess) -> None:
    script = "read go; dd if=/dev/zero bs=1M count=100 2>/dev/null; touch /over; sleep 1000"
    engine.ok("run", "-di", "--log-driver", "none", "--name", "loud", "busybox", "sh", "-c", script)
    with attached(engine, "loud", stdin=True) as client:
        before = resident_kb(engine.pid)
        client.sendall(b"go\n")
        engine.ok("exec", "loud", "sh", "-c", "until test -e /over; do sleep 0.1; done")
        assert resident_kb(engine.pid) - before < 20_000


def resident_kb(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0])


def test_one_that_leaves_does_not_end_the_input_of_another(engine: EngineProcess) -> None:
    with engine.popen("run", "-i", "--name", "two", "busybox", "cat") as typing:
        assert typing.stdin is not None
        assert typing.stdout is not None
        eventually(lambda: engine.ok("ps", "-q", "--filter", "name=two"))
        with attached(engine, "two"):
            pass
        typing.stdin.write(b"still here\n")
        typing.stdin.close()
        assert typing.stdout.read() == b"still here\n"
    assert typing.returncode == 0


def test_an_engine_that_is_killed_lets_the_container_go_on(engine: EngineProcess) -> None:
    script = "echo before; read x; echo $x"
    engine.ok("run", "-di", "--name", "stays", "busybox", "sh", "-c", script)
    with attached(engine, "stays") as client:
        engine.kill()
        assert client.recv(100) in (b"", b"\x01\0\0\0\0\0\0\x07before\n")
    assert engine.status("stays") == "running"
    with attached(engine, "stays", stdin=True) as client:
        client.sendall(b"after\n")
        assert frames(client) == b"after\n"


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("pause", "cannot attach to a paused container, unpause it first"),
        ("kill", "cannot attach to a stopped container, start it first"),
    ],
)
def test_what_cannot_be_attached_is_said(engine: EngineProcess, command: str, said: str) -> None:
    engine.ok("run", "-d", "--name", "box", "busybox", "sleep", "1000")
    engine.ok(command, "box")
    assert said in engine.refused("attach", "box", code=1)


def test_a_restarting_container_is_not_attached(engine: EngineProcess) -> None:
    engine.ok("run", "-d", "--name", "loop", "--restart", "always", "busybox", "false")
    eventually(lambda: engine.status("loop") == "restarting")
    said = "cannot attach to a restarting container, wait until it is running"

    def is_said() -> bool:
        return said in engine.call("attach", "loop").stderr

    eventually(is_said)


def test_attach_gives_the_exit_code_and_passes_signals_on(engine: EngineProcess) -> None:
    script = "trap 'exit 7' USR1; while :; do sleep 0.05; done"
    engine.ok("run", "-d", "--name", "traps", "busybox", "sh", "-c", script)
    with engine.popen("attach", "traps") as client:
        eventually(lambda: is_proxying(client))
        client.send_signal(signal.SIGUSR1)
        assert client.wait(20) == 7


def is_proxying(client: subprocess.Popen[bytes]) -> bool:
    status = Path(f"/proc/{client.pid}/status").read_text()
    return bool(int(status.partition("SigCgt:")[2].split()[0], 16) & (1 << (signal.SIGUSR1 - 1)))


def test_without_a_proxy_the_signal_is_the_clients(engine: EngineProcess) -> None:
    engine.ok("run", "-d", "--name", "box", "busybox", "sleep", "1000")
    with engine.popen("attach", "--sig-proxy=false", "box") as client:
        eventually(lambda: "attach" in attach_events(engine))
        client.terminate()
        assert client.wait(20) != 0
    assert engine.status("box") == "running"


def attach_events(engine: EngineProcess) -> str:
    return engine.ok("events", "--since", "10s", "--until", "0s", "--filter", "event=attach")


def test_between_the_log_and_the_stream_nothing_is_missed_or_told_twice(
    engine: EngineProcess,
) -> None:
    script = "i=0; while test $i -lt 20000; do i=$((i+1)); echo $i; done; read go"
    engine.ok("run", "-di", "--name", "loud", "busybox", "sh", "-c", script)
    with ExitStack() as stack:
        # Each comes at another moment.
        clients = [stack.enter_context(attached(engine, "loud", logs=True)) for _ in range(10)]
        with attached(engine, "loud", stdin=True) as last:
            last.sendall(b"go\n")
            frames(last)
        assert {digest(frames(client)) for client in clients} == {expected(20000)}


def test_the_log_of_a_run_and_the_next_run_are_one(engine: EngineProcess) -> None:
    engine.ok("run", "--name", "twice", "busybox", "sh", "-c", "echo a run; printf prompt")
    with attached(engine, "twice", logs=True) as client:
        engine.ok("start", "twice")
        assert frames(client) == b"a run\nprompt" * 2


def test_a_prompt_is_shown_before_its_line_ends(engine: EngineProcess) -> None:
    script = "echo warning >&2; printf 'name? '; read x; echo hello $x"
    engine.ok("run", "-di", "--name", "asks", "busybox", "sh", "-c", script)
    with attached(engine, "asks", stdin=True, logs=True) as client:
        seen = b""
        while b"name? " not in seen:
            seen += client.recv(1000)
        client.sendall(b"you\n")
        assert frames(client) == b"hello you\n"


async def websocket(engine: EngineProcess, path: str, *typed: bytes) -> tuple[bytes, int]:
    """Type, read until the other side closes; what came, and the close code."""
    connector = aiohttp.UnixConnector(str(engine.socket))
    async with (
        aiohttp.ClientSession(connector=connector) as session,
        session.ws_connect(f"http://pogu{path}") as ws,
    ):
        for data in typed:
            await ws.send_bytes(data)
        said = b""
        async for message in ws:
            said += message.data if isinstance(message.data, bytes) else message.data.encode()
        return said, ws.close_code or 0


@pytest.mark.parametrize("version", ["1.43", "1.24"])
def test_a_websocket_carries_input_and_output(engine: EngineProcess, version: str) -> None:
    script = "read x; echo out $x; echo err >&2"
    engine.ok("run", "-di", "--name", "socket", "busybox", "sh", "-c", script)
    path = f"/v{version}/containers/socket/attach/ws?stream=1&stdin=1&stdout=1&stderr=1"
    said, code = asyncio.run(websocket(engine, path, b"h\xc3", b"\xa9\n"))
    assert sorted(said.decode().splitlines()) == ["err", "out h\u00e9"]
    assert code == 1000


def test_a_websocket_shows_the_log_and_detaches_by_keys(engine: EngineProcess) -> None:
    engine.ok("run", "-dit", "--name", "tty", "busybox", "sh", "-c", "echo before; cat")
    eventually(lambda: "before" in engine.ok("logs", "tty"))
    path = "/containers/tty/attach/ws?logs=1&stream=1&stdin=1&stdout=1&detachKeys=ctrl-a,d"
    said, _ = asyncio.run(websocket(engine, path, b"\x01d"))
    assert said.startswith(b"before\r\n") or said == b""  # it may be gone before
    assert engine.status("tty") == "running"


def test_the_close_of_a_websocket_is_the_end_of_input(engine: EngineProcess) -> None:
    engine.ok("create", "-i", "--name", "once", "busybox", "sh", "-c", "cat; echo over")
    engine.ok("start", "once")

    async def close() -> None:
        connector = aiohttp.UnixConnector(str(engine.socket))
        path = "http://pogu/containers/once/attach/ws?stream=1&stdin=1"
        async with aiohttp.ClientSession(connector=connector) as session:
            await (await session.ws_connect(path)).close()

    asyncio.run(close())
    eventually(lambda: engine.ok("logs", "once") == "over")


@pytest.mark.parametrize(
    ("path", "status"), [("no-such/attach/ws", 404), ("box/attach/ws?detachKeys=long", 400)]
)
def test_a_websocket_that_cannot_be_is_refused(
    engine: EngineProcess, path: str, status: int
) -> None:
    engine.ok("run", "-d", "--name", "box", "busybox", "sleep", "1000")
    with pytest.raises(aiohttp.WSServerHandshakeError) as refusal:
        asyncio.run(websocket(engine, f"/v1.43/containers/{path}"))
    assert refusal.value.status == status


def test_who_is_attached_when_the_engine_is_killed_is_told_where_the_container_is(
    engine: EngineProcess,
) -> None:
    script = "while :; do echo up; sleep 0.1; done"
    engine.ok("run", "-d", "--name", "stays", "busybox", "sh", "-c", script)
    with engine.popen("attach", "stays") as client:
        assert client.stdout is not None
        assert client.stdout.readline() == b"up\n"
        engine.kill()
        assert client.wait(20) == 125
        assert client.stderr is not None
        said = client.stderr.read().decode()
    assert "does not end the container stays" in said
    assert "hint: pogu attach stays" in said
    assert engine.status("stays") == "running"
