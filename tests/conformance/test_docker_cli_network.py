"""Published ports and networks with the docker CLI."""

from __future__ import annotations

import urllib.request

import pytest
from tests.conformance.clients import DockerCli, needs_docker_cli
from tests.engine_process import eventually

pytestmark = [pytest.mark.root, needs_docker_cli]


def fetch(address: str) -> str:
    """Return the page; empty while nobody answers."""
    try:
        with urllib.request.urlopen(f"http://{address}/", timeout=5) as reply:
            return str(reply.read().decode())
    except OSError:
        return ""


def serves(address: str) -> None:
    eventually(lambda: fetch(address) == "hello\n", what=f"{address} answers")


def test_published_port_answers_on_both_loopbacks(docker: DockerCli) -> None:
    docker.serve("web", "-p", "80")
    ports = docker.ok("port", "web", "80").splitlines()
    number = ports[0].rpartition(":")[2]
    assert sorted(ports) == sorted([f"0.0.0.0:{number}", f"[::]:{number}"])
    serves(f"127.0.0.1:{number}")
    serves(f"[::1]:{number}")


def test_published_port_answers_to_another_container(docker: DockerCli) -> None:
    docker.serve("web", "-p", "80")
    number = docker.ok("port", "web", "80").splitlines()[0].rpartition(":")[2]
    gateway = docker.show("{{.NetworkSettings.Gateway}}", "web")
    address = docker.show("{{.NetworkSettings.IPAddress}}", "web")
    serves(f"127.0.0.1:{number}")
    assert docker.run("busybox", "wget", "-qO-", f"http://{gateway}:{number}/") == "hello"
    assert docker.run("busybox", "wget", "-qO-", f"http://{address}/") == "hello"


def test_port_bound_to_one_address_is_shown_so(docker: DockerCli) -> None:
    docker.serve("web", "-p", "127.0.0.1:0:80")
    address = docker.ok("port", "web", "80/tcp")
    assert address.startswith("127.0.0.1:")
    serves(address)
    assert f"{address}->80/tcp" in docker.ok("ps", "--format", "{{.Ports}}")


def test_publish_all_takes_the_exposed_ports(docker: DockerCli) -> None:
    docker.serve("web", "-P", "--expose", "80", "--expose", "90-91")
    lines = docker.ok("port", "web").splitlines()
    assert {line.split()[0] for line in lines} == {"80/tcp", "90/tcp", "91/tcp"}
    serves(docker.ok("port", "web", "80").splitlines()[0].replace("0.0.0.0", "127.0.0.1"))


def test_port_range_is_published_one_to_one(docker: DockerCli) -> None:
    docker.serve("web", "-p", "127.0.0.1:28080-28082:80-82")
    assert docker.ok("port", "web", "81") == "127.0.0.1:28081"
    serves("127.0.0.1:28080")


def test_udp_port_is_published(docker: DockerCli) -> None:
    docker.ok("run", "-d", "--name", "udp", "-p", "127.0.0.1::53/udp", "busybox", "sleep", "1000")
    assert docker.ok("port", "udp").startswith("53/udp -> 127.0.0.1:")


def test_port_that_is_taken_is_refused_in_dockers_words(docker: DockerCli) -> None:
    docker.serve("web", "-p", "127.0.0.1:28085:80")
    said = docker.refused("run", "-p", "127.0.0.1:28085:80", "busybox", code=125)
    assert "port is already allocated" in said


def test_port_is_free_again_after_the_end(docker: DockerCli) -> None:
    for _ in range(2):
        docker.serve("web", "-p", "127.0.0.1:28086:80")
        serves("127.0.0.1:28086")
        docker.ok("rm", "-f", "web")
    assert fetch("127.0.0.1:28086") == ""


def test_port_without_a_mapping_is_refused(docker: DockerCli) -> None:
    docker.serve("web")
    assert docker.ok("port", "web") == ""
    said = docker.refused("port", "web", "80")
    assert "No public port '80' published for web" in said


def test_ports_in_inspect_are_those_that_tools_read(docker: DockerCli) -> None:
    docker.serve("web", "-p", "127.0.0.1:28087:80", "--expose", "81")
    container = docker.inspect("web")
    published = [{"HostIp": "127.0.0.1", "HostPort": "28087"}]
    assert container["NetworkSettings"]["Ports"] == {"80/tcp": published, "81/tcp": None}
    assert container["HostConfig"]["PortBindings"] == {"80/tcp": published}
    assert container["Config"]["ExposedPorts"] == {"80/tcp": {}, "81/tcp": {}}


def test_networks_are_listed_and_inspected(docker: DockerCli) -> None:
    names = docker.ok("network", "ls", "--format", "{{.Name}} {{.Driver}} {{.Scope}}").splitlines()
    assert sorted(names) == ["bridge bridge local", "host host local", "none null local"]
    container = docker.ok("run", "-d", "--name", "member", "busybox", "sleep", "1000")
    network = docker.inspect("bridge", "network")
    member = network["Containers"][container]
    own = docker.inspect("member")["NetworkSettings"]["Networks"]["bridge"]
    assert member["Name"] == "member"
    assert member["IPv4Address"] == f"{own['IPAddress']}/{own['IPPrefixLen']}"
    assert network["IPAM"]["Config"][0]["Gateway"] == own["Gateway"]
    assert own["NetworkID"] == network["Id"]


def test_joined_container_may_be_renamed(docker: DockerCli) -> None:
    docker.serve("web")
    options = ["--network", "container:web", "--pid", "container:web"]
    docker.ok("create", "--name", "joins", *options, "busybox", "wget", "-qO-", "127.0.0.1")
    docker.ok("rename", "web", "moved")
    assert docker.ok("start", "-a", "joins") == "hello"


def test_mac_address_is_that_of_the_option(docker: DockerCli) -> None:
    mac = "02:42:0a:01:02:03"
    words = ["--mac-address", mac, "busybox", "cat", "/sys/class/net/eth0/address"]
    assert docker.run(*words) == mac


def test_unknown_network_is_refused(docker: DockerCli) -> None:
    said = docker.refused("run", "--network", "nope", "busybox", code=125)
    assert "network nope not found" in said
    assert "network nope not found" in docker.refused("network", "inspect", "nope")


def test_network_cannot_be_joined_of_a_container_that_does_not_run(docker: DockerCli) -> None:
    docker.ok("create", "--name", "still", "busybox")
    said = docker.refused("run", "--network", "container:still", "busybox", code=125)
    assert "cannot join network of a non running container" in said
