"""Service: where a registry is reached: address, mirrors, TLS; reads `certs.d`, owns nothing.

/etc/pogu/certs.d/<host[:port]>/    *.crt = authorities, *.cert + *.key = our certificate
/etc/docker/certs.d/<host[:port]>/  likewise, where the first has nothing
"""

from __future__ import annotations

import ipaddress
import ssl
from dataclasses import dataclass
from pathlib import Path

from pogu.config import Config
from pogu.errors import InvalidParameter

__all__ = ["Endpoint", "endpoints", "is_loopback"]

_CERTS = (Path("/etc/pogu/certs.d"), Path("/etc/docker/certs.d"))
_HUB = "registry-1.docker.io"


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One base address to try. `tls` None = plain http."""

    url: str
    domain: str
    tls: ssl.SSLContext | None
    is_mirror: bool = False


def is_loopback(domain: str) -> bool:
    """True for localhost and loopback addresses: plain http is allowed there."""
    host = domain.rpartition(":")[0] if _has_port(domain) else domain
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _has_port(domain: str) -> bool:
    tail = domain.rpartition(":")[2]
    return ":" in domain and tail.isdecimal() and not domain.endswith("]")


def endpoints(domain: str, config: Config) -> list[Endpoint]:
    """Return what to try in turn: mirrors first, https before http.

    http only for loopback and for the names in `registry.insecure`. Raises: InvalidParameter when
    a certificate cannot be read.
    """
    found = []
    for entry in config.registry_mirrors:
        name, _, mirror = entry.partition("=")
        if name != domain:
            continue
        scheme, _, rest = mirror.rpartition("://")
        host = rest.rstrip("/")
        found += _of_host(host, config, only=scheme, is_mirror=True)
    return found + _of_host(_HUB if domain == "docker.io" else domain, config)


def _of_host(
    host: str, config: Config, *, only: str = "", is_mirror: bool = False
) -> list[Endpoint]:
    insecure = is_loopback(host) or host in config.registry_insecure
    found = []
    if only in ("", "https"):
        tls = tls_context(host, verify=not insecure)
        found.append(Endpoint(url=f"https://{host}", domain=host, tls=tls, is_mirror=is_mirror))
    if (insecure and not only) or only == "http":
        found.append(Endpoint(url=f"http://{host}", domain=host, tls=None, is_mirror=is_mirror))
    return found


def tls_context(host: str, *, verify: bool, places: tuple[Path, ...] = _CERTS) -> ssl.SSLContext:
    """The system's authorities and those of `certs.d`; our certificate where there is one."""
    context = ssl.create_default_context()
    directory = next((path / host for path in places if (path / host).is_dir()), None)
    own_authority = False
    if directory is not None:
        try:
            for path in sorted(directory.glob("*.crt")):
                context.load_verify_locations(cafile=str(path))
                own_authority = True
            for path in sorted(directory.glob("*.cert")):
                context.load_cert_chain(str(path), str(path.with_suffix(".key")))
        except (OSError, ssl.SSLError) as err:
            raise InvalidParameter(
                f"certificates of {host} cannot be used: {err}", hint=f"see {directory}"
            ) from err
    if not verify and not own_authority:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
