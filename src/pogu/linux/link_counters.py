"""Edge: what the network links of a process's namespace have carried, from /proc/<pid>/net/dev."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = ["LinkCounters", "link_counters", "parse_net_dev"]

_RECEIVED, _SENT = 0, 8


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkCounters:
    """Since the link was made, seen from inside."""

    rx_bytes: int
    rx_packets: int
    rx_errors: int
    rx_dropped: int
    tx_bytes: int
    tx_packets: int
    tx_errors: int
    tx_dropped: int


def parse_net_dev(text: str) -> dict[str, LinkCounters]:
    """By name; the loopback link is nobody's traffic and left out."""
    found: dict[str, LinkCounters] = {}
    for line in text.splitlines()[2:]:
        name, colon, rest = line.partition(":")
        fields = rest.split()
        if not colon or len(fields) < 16 or name.strip() == "lo":
            continue
        received = [int(field) for field in fields[_RECEIVED : _RECEIVED + 4]]
        sent = [int(field) for field in fields[_SENT : _SENT + 4]]
        found[name.strip()] = LinkCounters(
            rx_bytes=received[0],
            rx_packets=received[1],
            rx_errors=received[2],
            rx_dropped=received[3],
            tx_bytes=sent[0],
            tx_packets=sent[1],
            tx_errors=sent[2],
            tx_dropped=sent[3],
        )
    return found


def link_counters(pid: int) -> dict[str, LinkCounters]:
    """Empty when the process has ended."""
    try:
        return parse_net_dev(Path(f"/proc/{pid}/net/dev").read_text())
    except OSError:
        return {}
