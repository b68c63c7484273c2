"""Format: the bodies of create and update → our types, as leniently as Docker reads them.

Clients send null for what they leave out and a string where Docker takes a list of words.
"""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from pogu.api.call import as_type
from pogu.errors import InvalidParameter
from pogu.model.container import CreateRequest, UpdateRequest

__all__ = ["create_request", "update_request", "without_nulls"]

_KEEP_NULLS = ("PortBindings", "EndpointsConfig")
_EMPTY_OBJECTS = ("ExposedPorts", "Volumes")
_EMPTY_TEXTS = ("Labels", "Sysctls", "Annotations", "Tmpfs", "DriverOpts")


def create_request(body: dict[str, Any]) -> CreateRequest:
    """Parse a decoded body. Raises: InvalidParameter, naming the place."""
    tree = without_nulls(body)
    for key in ("Cmd", "Entrypoint"):
        if isinstance(tree.get(key), str):
            tree[key] = [tree[key]]
    if not (tree.get("Image") or tree.get("Cmd") or tree.get("Entrypoint")):
        raise InvalidParameter(
            "config cannot be empty in order to create a container",
            hint="the body needs at least Image",
        )
    if not tree.get("Image"):
        raise InvalidParameter("no command specified", hint="Image is missing: what should run?")
    return _with_bridge(as_type(tree, CreateRequest))


def update_request(body: dict[str, Any]) -> UpdateRequest:
    """Parse the body of an update. Raises: InvalidParameter, naming the place."""
    return as_type(without_nulls(body), UpdateRequest)


def _with_bridge(request: CreateRequest) -> CreateRequest:
    """The network `default` is `bridge`, and inspect shows it so."""
    host, networking = request.host_config, request.networking_config
    if host.network_mode not in ("", "default"):
        return request
    endpoints = dict(networking.endpoints_config or {})
    if "default" in endpoints:
        endpoints.setdefault("bridge", endpoints.pop("default"))
    return replace(
        request,
        host_config=replace(host, network_mode="bridge"),
        networking_config=replace(networking, endpoints_config=endpoints or None),
    )


def without_nulls(value: Any, key: str = "") -> Any:
    """Drop null fields; a null inside a map of the user's own keys becomes what Go makes of it."""
    if isinstance(value, list):
        return [without_nulls(one, key) for one in value]
    if not isinstance(value, dict):
        return value
    if key in _KEEP_NULLS:
        return {name: without_nulls(one) for name, one in value.items()}
    if key in _EMPTY_OBJECTS:
        return {name: one or {} for name, one in value.items()}
    if key in _EMPTY_TEXTS:
        return {name: "" if one is None else one for name, one in value.items()}
    return {name: without_nulls(one, name) for name, one in value.items() if one is not None}
