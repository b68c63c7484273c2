"""Edge: hosts whose iptables drop what is forwarded (Docker sets that up).

An accept in our own nft table does not overrule a drop in another one, so two rules go where
Docker leaves room for them (DOCKER-USER), else into FORWARD itself.
"""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

from pogu.errors import CommandFailed
from pogu.linux.blocking import in_thread
from pogu.linux.nftables import Nftables
from pogu.linux.process import run

__all__ = ["allow_forwarding", "forbid_forwarding", "rules_to_add", "rules_to_delete"]

log = logging.getLogger(__name__)

_LEGACY_TABLES = Path("/proc/net/ip_tables_names")


def _rules(chain: str, bridge: str) -> list[list[str]]:
    return [[chain, way, bridge, "-j", "ACCEPT"] for way in ("-i", "-o")]


def rules_to_add(listing: str, bridge: str) -> list[list[str]]:
    """Read `iptables -S`; return the commands that let the bridge's packets through."""
    lines = listing.splitlines()
    if "-P FORWARD DROP" not in lines:
        return []
    chain = "DOCKER-USER" if "-N DOCKER-USER" in lines else "FORWARD"
    missing = [rule for rule in _rules(chain, bridge) if f"-A {' '.join(rule)}" not in lines]
    return [["iptables", "-w", "-I", *rule] for rule in missing]


def rules_to_delete(listing: str, bridge: str) -> list[list[str]]:
    """Read `iptables -S`; return the commands that take these rules away."""
    lines = listing.splitlines()
    both = [*_rules("DOCKER-USER", bridge), *_rules("FORWARD", bridge)]
    return [["iptables", "-w", "-D", *rule] for rule in both if f"-A {' '.join(rule)}" in lines]


async def allow_forwarding(nft: Nftables, bridge: str) -> None:
    """Add the rules where they are needed. Idempotent; a failure is logged."""
    if listing := await _listing(nft):
        await _run_all(rules_to_add(listing, bridge))


async def forbid_forwarding(nft: Nftables, bridge: str) -> None:
    """Take the rules away. Idempotent; a failure is logged."""
    if listing := await _listing(nft):
        await _run_all(rules_to_delete(listing, bridge))


async def _listing(nft: Nftables) -> str:
    """Return `iptables -S`; empty where iptables is not in use (asking would load its tables)."""
    if shutil.which("iptables") is None or not await in_thread(_in_use, nft):
        return ""
    done = await run(["iptables", "-w", "-S"], check=False)
    return done.stdout.decode(errors="replace")


def _in_use(nft: Nftables) -> bool:
    if _LEGACY_TABLES.exists() and "filter" in _LEGACY_TABLES.read_text().split():
        return True
    try:
        return nft.open() and bool(nft.run("list chain ip filter FORWARD"))
    except CommandFailed:
        return False


async def _run_all(commands: list[list[str]]) -> None:
    for argv in commands:
        done = await run(argv, check=False)
        if done.exit_code:
            log.warning("cannot change forwarding command=%s error=%s", argv, done.stderr)
