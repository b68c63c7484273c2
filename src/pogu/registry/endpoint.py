"""Service: where a registry is reached: address, mirrors, TLS; reads `certs.d`, owns nothing.

/etc/pogu/certs.d/<host[:port]>/    *.crt = authorities, *.cert + *.key = our certificate
/etc/docker/certs.d/<host[:port]>/  likewise, where the first has nothing
"""

from __future__ import annotations

import ipaddress
import re
import socket
import ssl
import urllib.parse
from dataclasses import dataclass
from pathlib import Path

from pogu.config import Config
from pogu.errors import InvalidParameter

__all__ = ["Endpoint", "Trust", "is_loopback"]

_HUB = "registry-1.docker.io"
_ADDRESS = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9][A-Za-z0-9._-]*)(?::([0-9]{1,5}))?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One base address to try. `tls` None = plain http."""

    url: str
    domain: str
    tls: ssl.SSLContext | None
    is_mirror: bool = False


def is_loopback(domain: str) -> bool:
    """True for localhost and loopback addresses: plain http is allowed there."""
    host = _host(domain)
    if host == "localhost" or host.endswith(".localhost"):
        return True
    address = _address(host)
    return address is not None and address.is_loopback


def _host(domain: str) -> str:
    return urllib.parse.urlsplit(f"//{domain}").hostname or ""


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


class Trust:
    """Which hosts are believed how. Plain and blocking: files are read, names may be looked up."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._contexts: dict[str, ssl.SSLContext] = {}

    def endpoints(self, domain: str, *, mirrors: bool = True) -> list[Endpoint]:
        """Return what to try in turn: mirrors first, https before http.

        http only for loopback and for what `registry.insecure` names. What is written goes to the
        registry itself: `mirrors=False`. Raises: InvalidParameter when a certificate cannot be
        read, and for what is no address.
        """
        _check(domain)
        found = []
        for entry in self._config.registry_mirrors if mirrors else ():
            name, _, mirror = entry.partition("=")
            if name == domain:
                scheme, _, rest = mirror.partition("://")
                found += self._of_host(rest.rstrip("/"), only=scheme, is_mirror=True)
        return found + self._of_host(_HUB if domain == "docker.io" else domain)

    def _of_host(self, host: str, *, only: str = "", is_mirror: bool = False) -> list[Endpoint]:
        domain = host.partition("/")[0]
        found = []
        if only in ("", "https"):
            found.append(
                Endpoint(
                    url=f"https://{host}",
                    domain=domain,
                    tls=self.context(domain),
                    is_mirror=is_mirror,
                )
            )
        if only == "http" or (not only and self.allows_http(domain)):
            found.append(
                Endpoint(url=f"http://{host}", domain=domain, tls=None, is_mirror=is_mirror)
            )
        return found

    def allows_http(self, domain: str) -> bool:
        """True for loopback, the names of `registry.insecure`, and addresses in its networks."""
        if is_loopback(domain) or domain in self._config.registry_insecure:
            return True
        host = _host(domain)
        if host in self._config.registry_insecure:
            return True
        networks = [entry for entry in self._config.registry_insecure if "/" in entry]
        return bool(networks) and any(
            address in ipaddress.ip_network(network, strict=False)
            for network in networks
            for address in _addresses_of(host)
        )

    def context(self, domain: str) -> ssl.SSLContext:
        """The system's authorities and those of `certs.d`; our certificate where there is one.

        Raises: InvalidParameter.
        """
        if domain not in self._contexts:
            self._contexts[domain] = self._read(domain)
        return self._contexts[domain]

    def _read(self, domain: str) -> ssl.SSLContext:
        context = ssl.create_default_context()
        places = [Path(place) / domain for place in self._config.registry_certs]
        directory = next((path for path in places if path.is_dir()), None)
        own_authority = False
        if directory is not None:
            own_authority = _add_files(context, directory)
        if not own_authority and self.allows_http(domain):
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context


def _check(domain: str) -> None:
    match = _ADDRESS.fullmatch(domain)
    if match is None or int(match[2] or 0) > 65535:
        raise InvalidParameter(
            f"invalid registry address: {domain!r}", hint="HOST or HOST:PORT, without a path"
        )


def _addresses_of(host: str) -> list[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    own = _address(host)
    if own is not None:
        return [own]
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError:
        return []
    texts = {str(entry[4][0]).partition("%")[0] for entry in found}
    return [address for text in texts if (address := _address(text)) is not None]


def _add_files(context: ssl.SSLContext, directory: Path) -> bool:
    """Take the directory's files over; return whether one of them is an authority."""
    own_authority = False
    path = directory
    try:
        for path in sorted(directory.glob("*.crt")):
            context.load_verify_locations(cafile=str(path))
            own_authority = True
        for path in sorted(directory.glob("*.cert")):
            key = path.with_suffix(".key")
            if not key.exists():
                raise InvalidParameter(
                    f"missing key {key.name} for client certificate {path.name}",
                    hint=f"put it into {directory}",
                )
            context.load_cert_chain(str(path), str(key), password=_no_password)
    except (OSError, ssl.SSLError, ValueError) as err:
        raise InvalidParameter(
            f"{path} cannot be used: {err}", hint="it must be a PEM file without a password"
        ) from err
    return own_authority


def _no_password() -> str:
    """OpenSSL would ask at the terminal. Raises: ValueError."""
    raise ValueError("the key has a password")
