"""Format: `--network` and what belongs to one network → NetworkMode and EndpointsConfig. Pure.

`--network NAME` or `--network name=NAME,alias=…,ip=…`; imported only when one of these flags is
given. A network of the user's own is every name but Docker's words for the others.
"""

from __future__ import annotations

from pogu.cli.environment import pair
from pogu.cli.failure import UsageError
from pogu.cli.flags import Values

__all__ = ["is_user_defined", "link", "network_mode", "networking"]

Json = dict[str, object]

_PREDEFINED = frozenset(("default", "bridge", "host", "none", ""))
_LISTS = ("alias", "link-local-ip", "driver-opt")
_TEXTS = ("name", "ip", "ip6", "mac-address", "gw-priority")
_DOUBLES = (
    ("network-alias", "alias", "--network-alias and per-network alias"),
    ("ip", "ip", "--ip and per-network IPv4 address"),
    ("ip6", "ip6", "--ip6 and per-network IPv6 address"),
    ("link-local-ip", "link-local-ip", "--link-local-ip and per-network link-local IP addresses"),
    ("mac-address", "mac-address", "--mac-address and per-network MAC address"),
)


def is_user_defined(mode: str) -> bool:
    """False for bridge, host, none and another container's network."""
    return mode not in _PREDEFINED and not mode.startswith("container:")


def link(text: str) -> str:
    """Return `NAME[:ALIAS]` as it was given. Raises: UsageError in Docker's words."""
    bad = f'invalid argument "{text}" for "--link" flag'
    if not text:
        raise UsageError(f"{bad}: empty string specified for links", hint="--link NAME:ALIAS")
    if text.count(":") > 1:
        raise UsageError(f"{bad}: bad format for links: {text}", hint="--link NAME:ALIAS")
    return text


def _parsed(text: str) -> dict[str, list[str]]:
    """One `--network`. Raises: UsageError in Docker's words."""
    if "=" not in text:
        return {"name": [text]}
    from pogu.cli.mounts import csv_fields

    found: dict[str, list[str]] = {}
    for field in csv_fields(text):
        key, equals, value = field.partition("=")
        key = key.strip().lower()
        bad = f'invalid argument "{text}" for "--network" flag'
        if not equals:
            raise UsageError(f"{bad}: invalid field {field}", hint="--network name=NAME,ip=…")
        if key not in _LISTS + _TEXTS:
            raise UsageError(
                f"{bad}: invalid field key {key}", hint=f"one of {', '.join(_TEXTS + _LISTS)}"
            )
        if key == "gw-priority" and not value.lstrip("-").isdecimal():
            raise UsageError(f"{bad}: invalid gw-priority ({value}): invalid syntax")
        if key == "driver-opt" and "=" not in value:
            raise UsageError(f"{bad}: invalid key value pair format in driver options")
        found[key] = [*found.get(key, ()), value] if key in _LISTS else [value]
    return found


def _first_with_flags(first: dict[str, list[str]], values: Values) -> dict[str, list[str]]:
    """The flags beside `--network` are about the first one. Raises: UsageError."""
    for flag, key, words in _DOUBLES:
        if key in first and flag in values.given:
            raise UsageError(f"conflicting options: cannot specify both {words}")
    both = dict(first)
    aliases = values.texts("network-alias") + values.texts("net-alias")
    if aliases:
        both["alias"] = aliases
    if values.texts("link-local-ip"):
        both["link-local-ip"] = values.texts("link-local-ip")
    for flag in ("ip", "ip6"):
        if values.text(flag):
            both[flag] = [values.text(flag)]
    return both


def _networks(values: Values) -> list[dict[str, list[str]]]:
    given = [_parsed(text) for text in values.texts("network") + values.texts("net")]
    given = given or [{"name": ["default"]}]
    given[0] = _first_with_flags(given[0], values)
    for one in given:
        if not one.get("name", [""])[0].strip():
            raise UsageError("no name set for network", hint="--network name=NAME")
    return given


def _endpoint(asked: dict[str, list[str]], links: list[str]) -> Json:
    """Return an EndpointSettings; empty when nothing but the name was given."""
    texts = {key: asked[key][0] for key in _TEXTS if key in asked}
    addresses: Json = {
        "IPv4Address": texts.get("ip", ""),
        "IPv6Address": texts.get("ip6", ""),
        "LinkLocalIPs": asked.get("link-local-ip"),
    }
    found: Json = {
        "IPAMConfig": {key: value for key, value in addresses.items() if value},
        "Aliases": asked.get("alias"),
        "Links": links,
        "MacAddress": texts.get("mac-address"),
        "DriverOpts": dict(pair(one) for one in asked.get("driver-opt", ())),
        "GwPriority": int(texts.get("gw-priority", 0)),
    }
    return {key: value for key, value in found.items() if value}


def network_mode(values: Values) -> str:
    """Return the name of the first network. Raises: UsageError."""
    return _networks(values)[0]["name"][0]


def networking(values: Values) -> Json:
    """Return EndpointsConfig. Raises: UsageError in Docker's words."""
    given = _networks(values)
    found: Json = {}
    for number, asked in enumerate(given):
        name = asked["name"][0]
        links = values.texts("link") if number == 0 and is_user_defined(name) else []
        if asked.get("alias") and not is_user_defined(name):
            raise UsageError(
                "network-scoped aliases are only supported for user-defined networks",
                hint=f"the network {name} knows containers by address only",
            )
        if name in found:
            raise UsageError(f'network "{name}" is specified multiple times')
        endpoint = _endpoint(asked, links)
        if endpoint or len(given) > 1:
            found[name] = endpoint
    if len({is_user_defined(name) for name in found}) > 1:
        raise UsageError(
            "conflicting options: cannot attach both user-defined and non-user-defined"
            " network-modes"
        )
    return found
