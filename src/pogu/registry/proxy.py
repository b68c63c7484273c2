"""Format: which proxy a URL is asked through, as Go's clients read the environment. Pure."""

from __future__ import annotations

import ipaddress
import urllib.parse
from collections.abc import Mapping

__all__ = ["proxy_for"]


def proxy_for(url: str, environ: Mapping[str, str]) -> str | None:
    """HTTPS_PROXY or HTTP_PROXY by the URL's scheme, unless NO_PROXY names the host.

    Loopback is never asked through a proxy. In NO_PROXY: `*`, a domain (and what is below it),
    `.domain` (only what is below), an address, a CIDR, each of the names also with a port.
    """
    parts = urllib.parse.urlsplit(url)
    host = (parts.hostname or "").rstrip(".")
    port = parts.port or (443 if parts.scheme == "https" else 80)
    proxy = _variable(environ, f"{parts.scheme}_proxy")
    if not proxy or _is_local(host) or _is_excluded(host, port, _variable(environ, "no_proxy")):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


def _variable(environ: Mapping[str, str], name: str) -> str:
    return environ.get(name.upper()) or environ.get(name) or ""


def _is_local(host: str) -> bool:
    address = _address(host)
    return host == "localhost" or (address is not None and address.is_loopback)


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text.strip("[]"))
    except ValueError:
        return None


def _is_excluded(host: str, port: int, rules: str) -> bool:
    return any(_matches(host, port, rule.strip().lower()) for rule in rules.split(",") if rule)


def _matches(host: str, port: int, rule: str) -> bool:
    if not rule:
        return False
    if rule == "*":
        return True
    address = _address(host)
    if "/" in rule and address is not None:
        try:
            return address in ipaddress.ip_network(rule, strict=False)
        except ValueError:
            return False
    name, colon, wanted = rule.rpartition(":")
    if colon and wanted.isdecimal() and (":" not in name or name.endswith("]")):
        if int(wanted) != port:
            return False
        rule = name
    if address is not None:
        return address == _address(rule)
    bare = rule.removeprefix("*")
    below = bare if bare.startswith(".") else f".{bare}"
    return host.endswith(below) or host == bare
