"""Edge: hosts, hostname and resolv.conf of what runs in a network, in a directory of its own."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pogu.network.files import hosts_text, resolv_conf_text
from pogu.network.model import Endpoint

__all__ = ["ETC_FILES", "Resolver", "copy_etc_files", "hosts_of", "own_text", "write_etc_files"]

ETC_FILES = ("hosts", "hostname", "resolv.conf")


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolver:
    """What is asked for; what is empty is as the host has it, nameservers else `default_dns`."""

    dns: Sequence[str]
    search: Sequence[str] = ()
    options: Sequence[str] = ()
    default_dns: Sequence[str]


def hosts_of(
    endpoint: Endpoint | None,
    *,
    hostname: str,
    domainname: str = "",
    extra_hosts: Sequence[str] = (),
) -> str:
    """Return the hosts file of what has that endpoint."""
    return hosts_text(
        hostname=hostname,
        domainname=domainname,
        address=endpoint.address if endpoint else "",
        extra_hosts=extra_hosts,
        gateway=endpoint.gateway if endpoint else "127.0.0.1",
    )


def write_etc_files(
    directory: Path,
    *,
    hosts: str,
    hostname: str,
    resolver: Resolver | None,
    owner: tuple[int, int] = (0, 0),
) -> None:
    """Without a resolver resolv.conf is the host's own, as it is."""
    resolv_conf = own_text("resolv.conf")
    if resolver is not None:
        resolv_conf = resolv_conf_text(
            resolv_conf,
            dns=resolver.dns,
            dns_search=resolver.search,
            dns_options=resolver.options,
            default_dns=resolver.default_dns,
        )
    for name, text in zip(ETC_FILES, (hosts, f"{hostname}\n", resolv_conf), strict=True):
        _write(directory / name, text, owner)


def copy_etc_files(source: Path, directory: Path, *, owner: tuple[int, int] = (0, 0)) -> None:
    """Give it those of another; one that is not there is empty."""
    for name in ETC_FILES:
        _write(directory / name, _read(source / name), owner)


def own_text(name: str) -> str:
    """Return the host's own file; empty when there is none."""
    return _read(Path("/etc") / name)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return ""


def _write(path: Path, text: str, owner: tuple[int, int]) -> None:
    path.write_text(text, encoding="utf-8", errors="surrogateescape")
    os.chown(path, *owner)
