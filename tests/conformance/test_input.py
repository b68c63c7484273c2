"""`run -i` of docker's CLI outlives the engine; other clients go on where it stopped."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest
from tests.conformance.clients import DockerCli, needs_docker_cli
from tests.engine_process import EngineProcess, eventually

docker_py: Any = pytest.importorskip("docker", reason="needs the docker package of PyPI")

# docker-py leaves its streams' sockets to the garbage collector.
pytestmark = [
    pytest.mark.root,
    needs_docker_cli,
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def by_docker(docker: DockerCli) -> str:
    return docker.ok("attach", "copy", stdin=b"second\n")


def by_docker_py(docker: DockerCli) -> str:
    client = docker_py.DockerClient(base_url=f"unix://{docker.engine.socket}")
    wanted = {"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1}
    stream = client.containers.get("copy").attach_socket(params=wanted)
    stream._sock.sendall(b"second\n")
    stream._sock.shutdown(socket.SHUT_WR)
    said = b"".join(data for _, data in docker_py.utils.socket.frames_iter(stream, tty=False))
    stream._sock.close()
    stream.close()
    client.close()
    return said.decode().rstrip("\n")


def by_websocket(docker: DockerCli) -> str:
    async def talk() -> bytes:
        connector = aiohttp.UnixConnector(str(docker.engine.socket))
        path = "http://pogu/v1.43/containers/copy/attach/ws?stream=1&stdin=1&stdout=1"
        async with (
            aiohttp.ClientSession(connector=connector) as session,
            session.ws_connect(path) as ws,
        ):
            await ws.send_bytes(b"second\n")
            return bytes(await ws.receive_bytes())

    return asyncio.run(talk()).decode().rstrip("\n")


@pytest.mark.parametrize("client", [by_docker, by_docker_py, by_websocket])
def test_the_next_client_writes_on_and_ends_the_input(
    docker: DockerCli, engine: EngineProcess, client: Callable[[DockerCli], str]
) -> None:
    with docker.running("run", "-i", "--name", "copy", "busybox", "cat") as first:
        assert first.stdin is not None
        assert first.stdout is not None
        first.stdin.write(b"first\n")
        first.stdin.flush()
        assert first.stdout.readline() == b"first\n"
        engine.kill()
        first.wait(20)
    assert engine.status("copy") == "running"  # our CLI starts the next engine
    assert client(docker) == "second"
    assert docker.ok("wait", "copy") == "0"
    assert docker.ok("logs", "copy") == "first\nsecond"


def test_a_client_that_is_killed_does_not_end_the_input(docker: DockerCli) -> None:
    with docker.running("run", "-i", "--name", "copy", "busybox", "cat") as first:
        assert first.stdin is not None
        first.stdin.write(b"first\n")
        first.stdin.flush()
        eventually(lambda: docker.call("logs", "copy").stdout == "first\n")
        first.kill()
        first.wait(20)
    assert docker.status("copy") == "running"
    assert by_docker(docker) == "second"
    assert docker.ok("wait", "copy") == "0"
