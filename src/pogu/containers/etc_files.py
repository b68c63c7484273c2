"""Service: what a container finds as /etc/hosts, /etc/hostname and /etc/resolv.conf."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence

from pogu.config import Config
from pogu.containers.bundles import Bundles
from pogu.containers.entry import Entry
from pogu.containers.linking import Link
from pogu.containers.validate import network_mode
from pogu.model.container import HostConfig
from pogu.network.etc_files import (
    Resolver,
    copy_etc_files,
    hosts_of,
    own_text,
    write_etc_files,
)
from pogu.network.service import Endpoint, Networks

__all__ = ["EtcFiles"]


class EtcFiles:
    """They are written anew at each start; `find` raises NotFound."""

    def __init__(
        self,
        *,
        config: Config,
        networks: Networks,
        bundles: Bundles,
        find: Callable[[str], Entry],
    ) -> None:
        self._config = config
        self._networks = networks
        self._bundles = bundles
        self._find = find

    def write(
        self,
        entry: Entry,
        endpoint: Endpoint | None,
        links: Sequence[Link],
        *,
        owner: tuple[int, int],
    ) -> str:
        """Write them for `owner`, the container's root; return the hostname."""
        directory = self._bundles.directory(entry.id)
        host, mode = entry.record.host_config, network_mode(entry.record.host_config)
        if mode.startswith("container:"):
            other = self._find(mode.removeprefix("container:"))
            copy_etc_files(self._bundles.directory(other.id), directory, owner=owner)
            return other.record.config.hostname
        hostname = entry.record.config.hostname
        if mode == "host" or host.uts_mode == "host":
            hostname = hostname or socket.gethostname()
        hosts = hosts_of(
            endpoint,
            hostname=hostname,
            domainname=entry.record.config.domainname,
            extra_hosts=[*(host.extra_hosts or ()), *(link.as_extra_host() for link in links)],
        )
        write_etc_files(
            directory,
            hosts=(own_text("hosts") or hosts) if mode == "host" else hosts,
            hostname=hostname,
            resolver=self._resolver(host) if mode != "host" else None,
            owner=owner,
        )
        return hostname

    def _resolver(self, host: HostConfig) -> Resolver:
        return Resolver(
            dns=host.dns or self._config.dns,
            search=host.dns_search or (),
            options=host.dns_options or (),
            default_dns=self._networks.nameservers(),
        )
