"""Service: the engine's nft table: `pogu`, or `pogu_<suffix>` of another root."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

from pogu.crash_point import crash_point
from pogu.errors import CommandFailed
from pogu.linux.blocking import in_thread
from pogu.linux.conntrack import forget_connections
from pogu.linux.nftables import Nftables
from pogu.network.forward import allow_forwarding, forbid_forwarding
from pogu.network.model import Endpoint
from pogu.network.rules import add_elements, delete_elements, delete_table

__all__ = ["Firewall"]

log = logging.getLogger(__name__)


class Firewall:
    """Changes one after the other, so that a rebuild never loses a port published meanwhile."""

    def __init__(self, table: str, *, whole_table: Callable[[], str]) -> None:
        self._table = table
        self._whole_table = whole_table
        self._lock = asyncio.Lock()
        self._nft = Nftables()

    async def rebuild(self) -> None:
        """Replace the table by what the rows say, in one transaction."""
        if self._nft.open():
            async with self._lock:
                await self._run_whole()

    async def _run_whole(self) -> None:
        await in_thread(self._nft.run, self._whole_table())

    async def publish(self, endpoint: Endpoint) -> None:
        """Add an endpoint's ports; a table that somebody flushed comes back."""
        check = f"list chain ip {self._table} published\n"
        await self._change(add_elements(self._table, endpoint) or check)

    async def withdraw(self, endpoint: Endpoint) -> None:
        """Take an endpoint's ports away. Idempotent."""
        if text := delete_elements(self._table, endpoint):
            await self._change(text)
        if any(port.protocol == "udp" for port in endpoint.ports):
            await in_thread(forget_connections, endpoint.address)

    async def open_bridge(self, bridge: str) -> None:
        """After a rebuild: see to it that the host's iptables let the bridge's packets through."""
        await allow_forwarding(self._nft, bridge)

    async def _change(self, text: str) -> None:
        if not self._nft.open():
            return
        crash_point()
        async with self._lock:
            try:
                await in_thread(self._nft.run, text)
            except CommandFailed as err:
                log.info("table rebuilt table=%s reason=%s", self._table, err)
                await self._run_whole()

    async def remove(self, bridges: Sequence[str]) -> None:
        """Remove the table and whatever the bridges have elsewhere."""
        for bridge in bridges:
            await forbid_forwarding(self._nft, bridge)
        if self._nft.open():
            async with self._lock:
                await in_thread(self._nft.run, delete_table(self._table))
