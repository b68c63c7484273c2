"""A container as `ps` and `inspect` show it."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from pogu.api import container_filter
from pogu.api.container_view import command_line, inspected, status_text, summary
from pogu.api.network_settings import endpoint_settings, listed_ports, network_settings, port_map
from pogu.config import Paths
from pogu.containers.model import Container, ContainerRecord, ContainerState, MountPoint, Status
from pogu.errors import InvalidParameter
from pogu.model.container import (
    ContainerConfig,
    EndpointSettings,
    HostConfig,
    MountSpec,
    NetworkingConfig,
    PortBinding,
)
from pogu.network.model import Endpoint, PublishedPort
from pogu.oci.digest import Digest

START = "2001-09-09T01:46:40.5Z"
NOW = 1_000_000_000 + 300
ID = "c0ffee" + "0" * 58


def a_state(status: Status, **fields: object) -> ContainerState:
    return msgspec.structs.replace(
        ContainerState(status=status, started_at=START, finished_at=START), **fields
    )


def an_endpoint(*ports: PublishedPort) -> Endpoint:
    return Endpoint(
        id="e1",
        owner=ID,
        network_id="n1",
        network_name="bridge",
        netns=Path("/run/netns/x"),
        address="10.88.0.2",
        prefix_length=16,
        gateway="10.88.0.1",
        mac_address="02:42:0a:58:00:02",
        interface="eth0",
        ports=ports,
    )


def a_port(host: int, container: int, *, ip: str = "", protocol: str = "tcp") -> PublishedPort:
    return PublishedPort(protocol=protocol, container_port=container, host_ip=ip, host_port=host)


def a_container(
    *,
    status: Status = Status.RUNNING,
    endpoint: Endpoint | None = None,
    config: ContainerConfig | None = None,
    host_config: HostConfig | None = None,
    networking: NetworkingConfig | None = None,
    mounts: tuple[MountPoint, ...] = (),
    args: tuple[str, ...] = ("sh", "-c", "sleep 1"),
    exit_code: int = 0,
) -> Container:
    record = ContainerRecord(
        id=ID,
        created=START,
        image_id=Digest("sha256:1"),
        image_name="busybox",
        top_layer=None,
        args=args,
        config=config or ContainerConfig(),
        host_config=host_config or HostConfig(),
        networking=networking or NetworkingConfig(),
        mounts=mounts,
    )
    return Container(
        name="web", record=record, state=a_state(status, exit_code=exit_code), endpoint=endpoint
    )


@pytest.mark.parametrize(
    ("state", "text"),
    [
        (a_state(Status.RUNNING), "Up 5 minutes"),
        (a_state(Status.PAUSED), "Up 5 minutes (Paused)"),
        (a_state(Status.RESTARTING, exit_code=2), "Restarting (2) 5 minutes ago"),
        (a_state(Status.EXITED, exit_code=137), "Exited (137) 5 minutes ago"),
        (ContainerState(status=Status.EXITED), ""),
        (ContainerState(), "Created"),
        (a_state(Status.REMOVING), "Removal In Progress"),
        (a_state(Status.DEAD), "Dead"),
    ],
)
def test_the_status_column_is_dockers(state: ContainerState, text: str) -> None:
    assert status_text(state, NOW) == text


@pytest.mark.parametrize(
    ("args", "line"),
    [
        ((), ""),
        (("sh",), "sh"),
        (("sh", "-c", "echo a b"), "sh -c 'echo a b'"),
        (("/my app", "x"), "/my app x"),
    ],
)
def test_the_command_column_quotes_words_with_spaces(args: tuple[str, ...], line: str) -> None:
    assert command_line(args) == line


def test_a_summary_has_what_ps_shows() -> None:
    shown = summary(a_container(config=ContainerConfig(labels={"a": "b"})), now=NOW)
    expected = {
        "Id": ID,
        "Names": ["/web"],
        "Image": "busybox",
        "Command": "sh -c 'sleep 1'",
        "Created": 1_000_000_000,
        "Labels": {"a": "b"},
        "State": "running",
        "Status": "Up 5 minutes",
    }
    assert shown.items() >= expected.items()
    assert "SizeRw" not in shown


def test_sizes_are_there_when_asked_for() -> None:
    shown = summary(a_container(), now=NOW, sizes=(1, 2), image_name="sha256:1")
    assert (shown["SizeRw"], shown["SizeRootFs"], shown["Image"]) == (1, 2, "sha256:1")


def an_inspection(container: Container) -> dict[str, object]:
    return inspected(container, paths=Paths(root=Path("/r"), run_root=Path("/x")))


def test_inspect_has_paths_and_arguments() -> None:
    shown = an_inspection(a_container())
    assert (shown["Name"], shown["Path"], shown["Args"]) == ("/web", "sh", ("-c", "sleep 1"))
    assert shown["LogPath"] == f"/r/containers/{ID}/ctr.log"
    assert an_inspection(a_container(args=()))["Path"] == ""


@pytest.mark.parametrize(
    ("status", "true"),
    [
        (Status.RUNNING, {"Running"}),
        (Status.PAUSED, {"Running", "Paused"}),
        (Status.RESTARTING, {"Running", "Restarting"}),
        (Status.EXITED, set()),
        (Status.DEAD, {"Dead"}),
    ],
)
def test_the_booleans_are_derived_from_the_one_state(status: Status, true: set[str]) -> None:
    state = an_inspection(a_container(status=status))["State"]
    assert isinstance(state, dict)
    assert {key for key, value in state.items() if value is True} == true
    assert state["Status"] == status


def test_empty_fields_are_left_out_or_empty_as_docker_has_them() -> None:
    shown = an_inspection(a_container())
    config, host = shown["Config"], shown["HostConfig"]
    assert isinstance(config, dict)
    assert isinstance(host, dict)
    assert config["Labels"] == {}
    assert config["Cmd"] is None
    assert not {"ExposedPorts", "Healthcheck", "Shell", "HostConfig", "StopSignal"} & config.keys()
    assert host["PortBindings"] == {}
    assert host["LogConfig"] == {"Type": "json-file", "Config": {}}
    assert not {"Mounts", "Init", "Tmpfs", "Sysctls"} & host.keys()


def test_mounts_of_the_request_are_echoed_with_their_type() -> None:
    given = HostConfig(mounts=(MountSpec(target="/t", source="/s"),))
    host = an_inspection(a_container(host_config=given))["HostConfig"]
    assert isinstance(host, dict)
    assert host["Mounts"] == [{"Type": "bind", "Target": "/t", "Source": "/s"}]


def test_a_mount_has_a_name_and_a_driver_only_when_it_is_a_volume() -> None:
    bind = MountPoint(type="bind", source="/s", destination="/d", rw=False)
    volume = MountPoint(type="volume", source="/v", destination="/e", name="v", driver="local")
    shown = an_inspection(a_container(mounts=(bind, volume)))["Mounts"]
    assert isinstance(shown, list)
    assert [sorted({"Name", "Driver"} & one.keys()) for one in shown] == [[], ["Driver", "Name"]]
    assert shown[0]["RW"] is False


# ---- networks and ports -----------------------------------------------------------------


def test_a_running_container_has_its_addresses_twice() -> None:
    settings = network_settings(a_container(endpoint=an_endpoint()))
    networks = settings["Networks"]
    assert isinstance(networks, dict)
    assert settings["IPAddress"] == networks["bridge"]["IPAddress"] == "10.88.0.2"
    assert (settings["SandboxKey"], networks["bridge"]["NetworkID"]) == ("/run/netns/x", "n1")


def test_a_stopped_container_keeps_its_network_without_addresses() -> None:
    settings = network_settings(a_container())
    networks = settings["Networks"]
    assert isinstance(networks, dict)
    assert (settings["IPAddress"], settings["Ports"]) == ("", {})
    assert list(networks) == ["bridge"]


@pytest.mark.parametrize(
    ("mode", "networks"),
    [("default", ["bridge"]), ("bridge", ["bridge"]), ("none", ["none"]), ("container:x", [])],
)
def test_the_mode_names_the_network(mode: str, networks: list[str]) -> None:
    container = a_container(host_config=HostConfig(network_mode=mode))
    assert list(endpoint_settings(container)) == networks


def test_what_was_asked_of_a_network_is_echoed() -> None:
    asked = NetworkingConfig(endpoints_config={"bridge": EndpointSettings(aliases=("db",))})
    shown = endpoint_settings(a_container(networking=asked))["bridge"]
    assert shown["Aliases"] == ("db",)


def test_published_and_exposed_ports_are_mapped() -> None:
    container = a_container(
        endpoint=an_endpoint(a_port(8080, 80), a_port(9090, 80, ip="127.0.0.1")),
        config=ContainerConfig(exposed_ports={"80/tcp": {}, "443": {}}),
        host_config=HostConfig(port_bindings={"80/tcp": (PortBinding(host_port="8080"),)}),
    )
    assert port_map(container) == {
        "443/tcp": None,
        "80/tcp": [
            {"HostIp": "0.0.0.0", "HostPort": "8080"},
            {"HostIp": "::", "HostPort": "8080"},
            {"HostIp": "127.0.0.1", "HostPort": "9090"},
        ],
    }


def test_ps_lists_ports_sorted() -> None:
    container = a_container(
        endpoint=an_endpoint(a_port(5353, 53, ip="1.2.3.4", protocol="udp"), a_port(8080, 80)),
        config=ContainerConfig(exposed_ports={"80/tcp": {}, "22/tcp": {}}),
    )
    assert [tuple(port.values()) for port in listed_ports(container)] == [
        (22, "tcp"),
        ("1.2.3.4", 53, 5353, "udp"),
        ("0.0.0.0", 80, 8080, "tcp"),
        ("::", 80, 8080, "tcp"),
    ]
    assert listed_ports(a_container(config=container.record.config)) == []


# ---- filters ----------------------------------------------------------------------------

FILTERED = a_container(
    status=Status.EXITED,
    exit_code=3,
    endpoint=an_endpoint(a_port(8080, 80)),
    config=ContainerConfig(labels={"a": "1", "b": ""}),
    mounts=(MountPoint(type="volume", source="/v", destination="/data", name="vol"),),
)


@pytest.mark.parametrize(
    ("filters", "fits"),
    [
        ({}, True),
        ({"name": ["we"]}, True),
        ({"name": ["^/web$"]}, True),
        ({"name": ["^eb"]}, False),
        ({"name": ["nope", "web"]}, True),
        ({"id": ["c0ffee"]}, True),
        ({"label": ["a"]}, True),
        ({"label": ["a=1", "b"]}, True),
        ({"label": ["a=1", "c"]}, False),
        ({"label": ["a="]}, False),
        ({"status": ["running"]}, False),
        ({"status": ["running", "exited"]}, True),
        ({"exited": ["3"]}, True),
        ({"exited": ["0"]}, False),
        ({"network": ["bridge"]}, True),
        ({"network": ["n1"]}, True),
        ({"network": ["host"]}, False),
        ({"volume": ["vol"]}, True),
        ({"volume": ["/data"]}, True),
        ({"publish": ["8080"]}, True),
        ({"publish": ["8000-9000/tcp"]}, True),
        ({"publish": ["8080/udp"]}, False),
        ({"expose": ["80"]}, True),
        ({"status": ["exited"], "name": ["x"]}, False),
    ],
)
def test_filters_choose_containers(filters: dict[str, list[str]], fits: bool) -> None:
    container_filter.check(filters)
    assert container_filter.matches(FILTERED, filters) == fits


@pytest.mark.parametrize(
    "filters", [{"status": ["up"]}, {"exited": ["x"]}, {"name": ["["]}, {"id": ["("]}]
)
def test_filter_values_that_cannot_be_are_refused(filters: dict[str, list[str]]) -> None:
    with pytest.raises(InvalidParameter, match="invalid filter"):
        container_filter.check(filters)


@pytest.mark.parametrize(
    ("status", "filters", "goes"),
    [
        (Status.EXITED, {}, True),
        (Status.CREATED, {}, True),
        (Status.RUNNING, {}, False),
        (Status.PAUSED, {}, False),
        (Status.EXITED, {"until": ["1000000001"]}, True),
        (Status.EXITED, {"until": ["999999999"]}, False),
        (Status.EXITED, {"label": ["x"]}, False),
        (Status.EXITED, {"label!": ["x"]}, True),
    ],
)
def test_prune_takes_stopped_containers_that_nothing_protects(
    status: Status, filters: dict[str, list[str]], goes: bool
) -> None:
    assert container_filter.prunable(a_container(status=status), filters) == goes
