"""Edge: `/networks`: what there is, and who is in it."""

from __future__ import annotations

from collections.abc import Callable

from pogu.api.call import Call, check_until
from pogu.api.event_view import label_matches
from pogu.api.http_server import StreamResponse
from pogu.api.reply import json_reply
from pogu.api.route import Route
from pogu.containers.model import Container
from pogu.network.service import Network

__all__ = ["ROUTES", "network_view"]

_BUILT_IN = ("bridge", "host", "none")


def network_view(network: Network, containers: list[Container] | None = None) -> dict[str, object]:
    """Return a network as inspect shows it; without `containers` as the list does."""
    ipam = [{"Subnet": network.subnet, "Gateway": network.gateway}] if network.subnet else []
    members = {
        container.id: _member(container)
        for container in containers or ()
        if container.endpoint is not None and container.endpoint.network_id == network.id
    }
    return {
        "Name": network.name,
        "Id": network.id,
        "Created": network.created,
        "Scope": "local",
        "Driver": network.driver,
        "EnableIPv4": True,
        "EnableIPv6": False,
        "IPAM": {"Driver": "default", "Options": None, "Config": ipam},
        "Internal": network.internal,
        "Attachable": False,
        "Ingress": False,
        "ConfigFrom": {"Network": ""},
        "ConfigOnly": False,
        "Containers": members,
        "Options": dict(network.options),
        "Labels": dict(network.labels),
    }


def _member(container: Container) -> dict[str, str]:
    endpoint = container.endpoint
    assert endpoint is not None
    address = f"{endpoint.address}/{endpoint.prefix_length}" if endpoint.address else ""
    return {
        "Name": container.name,
        "EndpointID": endpoint.id,
        "MacAddress": endpoint.mac_address,
        "IPv4Address": address,
        "IPv6Address": "",
    }


async def list_networks(call: Call) -> StreamResponse:
    filters = call.filters("dangling", "driver", "id", "label", "name", "scope", "type")
    networks = [network for network in call.engine.networks.all() if _fits(network, filters)]
    return json_reply([network_view(network) for network in networks])


def _fits(network: Network, filters: dict[str, list[str]]) -> bool:
    kind = "builtin" if network.name in _BUILT_IN else "custom"
    labels = dict(network.labels)
    asked: dict[str, Callable[[str], bool]] = {
        "name": lambda value: value in network.name,
        "id": lambda value: network.id.startswith(value),
        "driver": lambda value: network.driver == value,
        "scope": lambda value: value == "local",
        "type": lambda value: value == kind,
        "dangling": lambda value: value.lower() in ("0", "false"),
    }
    if not all(label_matches(value, labels) for value in filters.get("label", ())):
        return False
    return all(
        any(fits(value) for value in filters[name])
        for name, fits in asked.items()
        if name in filters
    )


async def inspect(call: Call) -> StreamResponse:
    network = call.engine.networks.resolve(call.name)
    return json_reply(network_view(network, call.engine.containers.all()))


async def prune(call: Call) -> StreamResponse:
    """Remove nothing: the built-in networks stay, and there are no others yet."""
    check_until(call.filters("until", "label", "label!"))
    return json_reply({"NetworksDeleted": []})


ROUTES = [
    Route("GET", "/networks", list_networks),
    Route("POST", "/networks/prune", prune),
    Route("GET", "/networks/{name}", inspect),
]
