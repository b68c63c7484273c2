"""Endpoints on the real kernel: reachable by every way in, and gone without a trace."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from tests.engine_process import PATIENCE

from pogu.config import Config, Paths
from pogu.db import Database
from pogu.errors import Conflict, InvalidParameter, SystemFailure
from pogu.events import EventBus
from pogu.linux.mount import mounts_below
from pogu.network.bridge import link_index
from pogu.network.service import Endpoint, Networks, PublishedPort

pytestmark = pytest.mark.root

SERVER = """
import socket, threading
def udp():
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(("0.0.0.0", 80))
    while True:
        data, origin = s.recvfrom(1000); s.sendto(data.upper(), origin)
threading.Thread(target=udp, daemon=True).start()
s = socket.create_server(("0.0.0.0", 80))
while True:
    c, peer = s.accept()
    with c:
        data = c.makefile("rb").read()
        c.sendall(data.upper() + b" " + peer[0].encode())
"""
CLIENT = """
import socket, sys
c = socket.create_connection((sys.argv[1], int(sys.argv[2])), 5)
c.sendall(b"hello"); c.shutdown(socket.SHUT_WR)
print(c.makefile("rb").read().decode())
"""


class Place:
    """The directories of one engine; `networks()` is what an engine's start would have."""

    def __init__(self, path: Path) -> None:
        self.paths = Paths(root=path / "root", run_root=path / "run")
        self.paths.create()
        self.bridge = f"pogu-{self.paths.suffix}"

    def networks(self) -> Networks:
        config = Config(paths=self.paths)
        return Networks(config=config, db=Database(self.paths.database), events=EventBus())

    def traces(self) -> list[str]:
        """Return what is left on the host."""
        tables = subprocess.run(["nft", "list", "tables"], capture_output=True, text=True).stdout
        found = [line for line in tables.splitlines() if self.paths.suffix in line]
        found += [self.bridge] if link_index(self.bridge) else []
        found += [str(path) for path in self.paths.netns.iterdir()]
        return found + [str(path) for path in mounts_below(self.paths.netns)]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.fixture
async def networks(place: Place) -> AsyncIterator[Networks]:
    running = place.networks()
    await running.start()
    yield running
    await running.retain(set())
    await running.close()
    assert place.traces() == []


def a_port(host_port: int = 0, *, host_ip: str = "", protocol: str = "tcp") -> PublishedPort:
    return PublishedPort(protocol=protocol, container_port=80, host_ip=host_ip, host_port=host_port)


async def eventually(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 10 * PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"not in time: {what}"
        await asyncio.sleep(0.01)


@contextlib.contextmanager
def a_server(endpoint: Endpoint) -> Iterator[None]:
    command = ["nsenter", f"--net={endpoint.netns}", sys.executable, "-c", SERVER]
    with subprocess.Popen(command) as process:
        try:
            yield
        finally:
            process.kill()


def in_netns(endpoint: Endpoint, *argv: str) -> str:
    command = ["nsenter", f"--net={endpoint.netns}", *argv]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20)
    return done.stdout + done.stderr


async def ask(address: str, port: int) -> str:
    """Send `hello` and close that half; return the answer, empty when there is none."""
    try:
        async with asyncio.timeout(5 * PATIENCE):
            reader, writer = await asyncio.open_connection(address, port)
            writer.write(b"hello")
            writer.write_eof()
            answer = await reader.read()
            writer.close()
            await writer.wait_closed()
            return answer.decode()
    except (OSError, TimeoutError):
        return ""


async def ask_until_answered(address: str, port: int) -> str:
    deadline = time.monotonic() + 10 * PATIENCE
    while not (answer := await ask(address, port)):
        assert time.monotonic() < deadline, f"no answer from {address}:{port}"
        await asyncio.sleep(0.01)
    return answer


def host_address() -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.99", 9))
        name: str = probe.getsockname()[0]
        return name


async def test_a_published_port_is_reached_from_everywhere(networks: Networks) -> None:
    web = await networks.connect("web", network="bridge", ports=[a_port()])
    other = await networks.connect("other", network="bridge")
    port = web.ports[0].host_port
    with a_server(web):
        assert await ask_until_answered(web.address, 80) == f"HELLO {web.gateway}"
        assert await ask("127.0.0.1", port) == f"HELLO {web.gateway}"
        assert await ask("::1", port) == f"HELLO {web.gateway}"
        assert await ask(host_address(), port) == f"HELLO {host_address()}"
        for client in (other, web):
            target = [sys.executable, "-c", CLIENT, host_address(), str(port)]
            said = await asyncio.to_thread(in_netns, client, *target)
            assert said == f"HELLO {web.gateway}\n"
        direct = [sys.executable, "-c", CLIENT, web.address, "80"]
        said = await asyncio.to_thread(in_netns, other, *direct)
        assert said == f"HELLO {other.address}\n"


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
async def test_udp_is_published_too(networks: Networks, address: str) -> None:
    web = await networks.connect("web", network="bridge", ports=[a_port(protocol="udp")])
    loop = asyncio.get_running_loop()
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with a_server(web), socket.socket(family, socket.SOCK_DGRAM) as client:
        await ask_until_answered(web.address, 80)  # it listens
        client.setblocking(False)
        client.connect((address, web.ports[0].host_port))
        await loop.sock_sendall(client, b"hello")
        async with asyncio.timeout(5 * PATIENCE):
            assert await loop.sock_recv(client, 100) == b"HELLO"


async def test_a_udp_client_that_goes_on_sending_reaches_the_next_container(
    networks: Networks,
) -> None:
    first = await networks.connect("first", network="bridge", ports=[a_port(protocol="udp")])
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.setblocking(False)
        client.connect((host_address(), first.ports[0].host_port))
        await loop.sock_sendall(client, b"to nobody")
        await networks.disconnect("first")
        second = await networks.connect("second", network="bridge", ports=first.ports)
        with a_server(second):
            await ask_until_answered(second.address, 80)
            client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            await loop.sock_sendall(client, b"hello")
            async with asyncio.timeout(5 * PATIENCE):
                assert await loop.sock_recv(client, 100) == b"HELLO"


async def test_without_nftables_the_engine_serves_published_ports(networks: Networks) -> None:
    networks._firewall._nft._missing = True
    web = await networks.connect("web", network="bridge", ports=[a_port()])
    with a_server(web):
        await ask_until_answered(web.address, 80)
        for address in ("127.0.0.1", "::1", host_address()):
            assert await ask(address, web.ports[0].host_port) == f"HELLO {web.gateway}"


async def test_a_port_on_loopback_only_is_not_reached_by_the_hosts_address(
    networks: Networks,
) -> None:
    web = await networks.connect("web", network="bridge", ports=[a_port(host_ip="127.0.0.1")])
    with a_server(web):
        await ask_until_answered("127.0.0.1", web.ports[0].host_port)
        assert await ask(host_address(), web.ports[0].host_port) == ""


async def test_a_container_cannot_reach_the_hosts_loopback(networks: Networks) -> None:
    inside = await networks.connect("inside", network="bridge")
    in_netns(inside, "sysctl", "-qw", "net.ipv4.conf.all.route_localnet=1")
    in_netns(inside, "ip", "address", "del", "127.0.0.1/8", "dev", "lo")
    assert in_netns(inside, "ip", "route", "add", "127.0.0.9/32", "via", inside.gateway) == ""
    with socket.create_server(("127.0.0.9", 0)) as server:
        server.settimeout(0.3)
        hasty = CLIENT.replace(", 5)", ", 0.5)")
        target = [sys.executable, "-c", hasty, "127.0.0.9", str(server.getsockname()[1])]
        said = await asyncio.to_thread(in_netns, inside, *target)
        assert "Error" in said
        with pytest.raises(TimeoutError):
            server.accept()


async def test_a_port_taken_by_a_container_is_refused_with_its_id(networks: Networks) -> None:
    first = await networks.connect("a" * 64, network="bridge", ports=[a_port()])
    port = first.ports[0].host_port
    with pytest.raises(Conflict) as caught:
        await networks.connect("second", network="bridge", ports=[a_port(), a_port(port)])
    assert str(caught.value) == f"Bind for 0.0.0.0:{port} failed: port is already allocated"
    assert f"container {'a' * 12}" in str(caught.value.hint)
    assert networks.endpoint("second") is None
    await networks.disconnect("a" * 64)
    await networks.connect("second", network="bridge", ports=[a_port(port)])


async def test_a_port_taken_by_a_process_is_refused_with_its_pid(networks: Networks) -> None:
    script = "import socket; s = socket.create_server(('', 0)); print(s.getsockname()[1]); input()"
    command = [sys.executable, "-uc", script]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.PIPE) as process:
        assert process.stdout
        port = int(process.stdout.readline())
        with pytest.raises(Conflict) as caught:
            await networks.connect("web", network="bridge", ports=[a_port(port)])
        assert f"(pid {process.pid})" in str(caught.value.hint)
        process.kill()


async def test_none_gives_only_loopback(networks: Networks) -> None:
    endpoint = await networks.connect("alone", network="none")
    assert endpoint.address == endpoint.interface == ""
    links = in_netns(endpoint, "ip", "-br", "address").splitlines()
    up = [line.split()[0] for line in links if "127.0.0.1/8" in line]
    assert up == ["lo"]
    assert "eth0" not in in_netns(endpoint, "ip", "link")


async def test_a_given_mac_address_is_used(networks: Networks) -> None:
    given = await networks.connect("given", network="bridge", mac_address="02:11:22:33:44:55")
    assert "02:11:22:33:44:55" in in_netns(given, "ip", "link", "show", "eth0")
    assert f"default via {given.gateway}" in in_netns(given, "ip", "route")


async def test_disconnect_leaves_nothing(networks: Networks, place: Place) -> None:
    web = await networks.connect("web", network="bridge", ports=[a_port(), a_port(protocol="udp")])
    await networks.disconnect("web")
    await networks.disconnect("web")
    assert networks.endpoint("web") is None
    await eventually(lambda: link_index(web.veth) == 0, "the veth is gone")
    await eventually(lambda: place.traces() == [], "bridge and table are gone")


async def test_a_failing_connect_leaves_nothing(networks: Networks, place: Place) -> None:
    multicast = "01:00:5e:00:00:01"  # which the kernel refuses, half-way
    with pytest.raises(SystemFailure):
        await networks.connect("web", network="bridge", ports=[a_port()], mac_address=multicast)
    with pytest.raises(InvalidParameter):
        await networks.connect("web", network="bridge", mac_address="zz")
    with pytest.raises(SystemFailure):
        await networks.connect("nested/owner", network="bridge", ports=[a_port()])
    assert networks.endpoint("web") is None
    await eventually(lambda: place.traces() == [], "nothing left")


async def test_a_cancelled_connect_leaves_nothing(networks: Networks, place: Place) -> None:
    await networks.connect("first", network="bridge")
    task = asyncio.create_task(networks.connect("second", network="bridge", ports=[a_port()]))
    while networks.endpoint("second") is None:
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert networks.endpoint("second") is None
    assert [path.name for path in place.paths.netns.iterdir()] == ["first"]


async def test_many_at_once_get_different_addresses(networks: Networks) -> None:
    names = [f"owner{number}" for number in range(20)]
    made = await asyncio.gather(
        *(networks.connect(name, network="bridge", ports=[a_port()]) for name in names)
    )
    assert len({endpoint.address for endpoint in made}) == 20
    await asyncio.gather(*(networks.disconnect(name) for name in names))


async def test_a_flushed_ruleset_comes_back_with_the_next_connect(
    networks: Networks, place: Place
) -> None:
    web = await networks.connect("web", network="bridge", ports=[a_port()])
    subprocess.run(["nft", "delete", "table", "ip", f"pogu_{place.paths.suffix}"], check=True)
    await networks.connect("other", network="bridge")
    with a_server(web):
        said = await ask_until_answered(host_address(), web.ports[0].host_port)
    assert said == f"HELLO {host_address()}"


async def test_a_killed_engine_finds_its_endpoints_again(place: Place) -> None:
    killed = place.networks()
    await killed.start()
    kept = await killed.connect("kept", network="bridge", ports=[a_port()])
    dropped = await killed.connect("dropped", network="bridge", ports=[a_port()])
    await killed._publisher.close()  # what the kernel does when the process dies
    subprocess.run(["nft", "delete", "table", "ip", f"pogu_{place.paths.suffix}"], check=True)
    (place.paths.netns / "stray").touch()

    again = place.networks()
    await again.start()
    await again.retain({"kept"})
    assert again.endpoint("kept") == kept
    assert again.endpoint("dropped") is None
    assert [path.name for path in place.paths.netns.iterdir()] == ["kept"]
    port = kept.ports[0].host_port
    with a_server(kept):
        assert await ask_until_answered("127.0.0.1", port) == f"HELLO {kept.gateway}"
        assert await ask("::1", port) == f"HELLO {kept.gateway}"
    await again.connect("new", network="bridge", ports=[a_port(dropped.ports[0].host_port)])
    await again.retain(set())
    await again.close()
    assert place.traces() == []
