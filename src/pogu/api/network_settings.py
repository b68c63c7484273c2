"""Format: a container's networks and ports as Docker shows them. Pure."""

from __future__ import annotations

from typing import Any

import msgspec

from pogu.containers.model import Container
from pogu.network.service import Endpoint, PublishedPort

__all__ = ["endpoint_settings", "listed_ports", "network_settings"]


def network_settings(container: Container) -> dict[str, object]:
    """Return inspect's NetworkSettings; addresses are empty while the container does not run."""
    endpoint = container.endpoint
    return {
        "Bridge": "",
        "SandboxID": container.id if endpoint else "",
        "SandboxKey": str(endpoint.netns) if endpoint else "",
        "Ports": port_map(container) if endpoint else {},
        "HairpinMode": False,
        "LinkLocalIPv6Address": "",
        "LinkLocalIPv6PrefixLen": 0,
        "SecondaryIPAddresses": None,
        "SecondaryIPv6Addresses": None,
        **_addresses(endpoint),
        "Networks": endpoint_settings(container),
    }


def _addresses(endpoint: Endpoint | None) -> dict[str, object]:
    return {
        "EndpointID": endpoint.id if endpoint else "",
        "Gateway": endpoint.gateway if endpoint else "",
        "GlobalIPv6Address": "",
        "GlobalIPv6PrefixLen": 0,
        "IPAddress": endpoint.address if endpoint else "",
        "IPPrefixLen": endpoint.prefix_length if endpoint else 0,
        "IPv6Gateway": "",
        "MacAddress": endpoint.mac_address if endpoint else "",
    }


def endpoint_settings(container: Container) -> dict[str, dict[str, object]]:
    """Return the map of networks; what the client asked for is echoed."""
    record = container.record
    mode = record.host_config.network_mode
    if mode.startswith("container:"):
        return {}
    name = "bridge" if mode in ("default", "") else mode
    endpoint = container.endpoint
    if endpoint is not None:
        name = endpoint.network_name
    asked: dict[str, Any] = {}
    given = record.networking.endpoints_config or {}
    settings = given.get(name) or given.get(mode)
    if settings is not None:
        asked = msgspec.to_builtins(settings)
    found = _addresses(endpoint)
    return {
        name: {
            "IPAMConfig": asked.get("IPAMConfig"),
            "Links": asked.get("Links"),
            "Aliases": asked.get("Aliases"),
            "DriverOpts": asked.get("DriverOpts"),
            "GwPriority": 0,
            "NetworkID": endpoint.network_id if endpoint else "",
            **found,
            "MacAddress": found["MacAddress"] or asked.get("MacAddress", ""),
            "DNSNames": None,
        }
    }


def _host_ips(port: PublishedPort) -> tuple[str, ...]:
    return (port.host_ip,) if port.host_ip else ("0.0.0.0", "::")


def port_map(container: Container) -> dict[str, list[dict[str, str]] | None]:
    """Return `{"80/tcp": [{HostIp, HostPort}], "443/tcp": null}`: published and exposed ports."""
    found: dict[str, list[dict[str, str]] | None] = dict.fromkeys(_exposed(container))
    for port in container.endpoint.ports if container.endpoint else ():
        key = f"{port.container_port}/{port.protocol}"
        bindings = found.get(key) or []
        bindings += [
            {"HostIp": address, "HostPort": str(port.host_port)} for address in _host_ips(port)
        ]
        found[key] = bindings
    return found


def _exposed(container: Container) -> list[str]:
    named = {*(container.record.config.exposed_ports or ())}
    named |= {*(container.record.host_config.port_bindings or ())}
    return sorted(name if "/" in name else f"{name}/tcp" for name in named)


def listed_ports(container: Container) -> list[dict[str, object]]:
    """Return the list of ports of `ps`, sorted; nothing while the container does not run."""
    if container.endpoint is None:
        return []
    published = container.endpoint.ports
    listed: list[dict[str, object]] = [
        {
            "IP": address,
            "PrivatePort": port.container_port,
            "PublicPort": port.host_port,
            "Type": port.protocol,
        }
        for port in published
        for address in _host_ips(port)
    ]
    taken = {f"{port.container_port}/{port.protocol}" for port in published}
    for name in _exposed(container):
        number, _, protocol = name.partition("/")
        if name not in taken and number.isdigit():
            listed.append({"PrivatePort": int(number), "Type": protocol})
    return sorted(
        listed,
        key=lambda port: (
            port["PrivatePort"],
            port["Type"],
            port.get("PublicPort", 0),
            port.get("IP", ""),
        ),
    )
