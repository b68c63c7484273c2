"""Service: the published ports of all endpoints: their sockets, their proxies."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Sequence

from pogu.linux.blocking import in_thread
from pogu.network.model import Endpoint, PublishedPort
from pogu.network.ports import HeldPort, PortTaken, hold_port, hold_ports, refusal
from pogu.network.proxy import TcpProxy, UdpProxy

__all__ = ["Publisher"]

log = logging.getLogger(__name__)


class Publisher:
    """Owns the listening sockets of the engine, by owner."""

    def __init__(self) -> None:
        self._proxies: dict[str, list[TcpProxy | UdpProxy]] = {}

    async def hold(
        self, ports: Sequence[PublishedPort], endpoints: Iterable[Endpoint]
    ) -> list[HeldPort]:
        """Bind every port or none; does not wait when it succeeds.

        Raises: Conflict, naming who has the port.
        """
        try:
            return hold_ports(ports)
        except PortTaken as taken:
            raise await in_thread(refusal, taken, list(endpoints)) from taken

    def serve(self, endpoint: Endpoint, held: Sequence[HeldPort]) -> None:
        """Lead what the sockets get to the endpoint; they belong to it from now on."""
        proxies = self._proxies.setdefault(endpoint.owner, [])
        for one in held:
            kind = TcpProxy if one.port.protocol == "tcp" else UdpProxy
            target = (endpoint.address, one.port.container_port)
            proxies.extend(kind(listener, target) for listener in one.sockets)

    def serve_again(self, endpoint: Endpoint) -> None:
        """After a restart of the engine: hold what can be held of the endpoint's ports.

        A port that another process has taken meanwhile still works over IPv4, by its rule.
        """
        if endpoint.owner in self._proxies:
            return
        for port in endpoint.ports:
            try:
                self.serve(endpoint, [hold_port(port)])
            except PortTaken as err:
                log.warning("port not held owner=%s error=%s", endpoint.owner, err)

    async def release(self, owner: str) -> None:
        """Stop listening for one owner. Idempotent."""
        await asyncio.gather(*(proxy.close() for proxy in self._proxies.pop(owner, ())))

    async def close(self) -> None:
        """Stop listening."""
        for owner in list(self._proxies):
            await self.release(owner)
