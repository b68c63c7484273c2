"""Service: what this host offers and lacks; each finding with the command that mends it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from pogu.config import Config

__all__ = ["Finding", "examine"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """`level` is ok, warning or error; `mend` is a command to paste, empty when ok."""

    check: str
    level: str
    text: str
    mend: str = ""


async def examine(config: Config, probe_runtime: Callable[[], Awaitable[str]]) -> list[Finding]:
    """Check kernel, overlay, cgroups, runtime (by a probe container), conmon, nftables, DNS
    helper, disk. `probe_runtime` returns the chosen runtime's name and version or raises.
    """
    raise NotImplementedError
