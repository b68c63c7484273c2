"""Edge: `stats`: what containers use, drawn anew every second in a terminal."""

from __future__ import annotations

from pogu.cli.context import Context, write
from pogu.cli.flags import Command, Flag, Values
from pogu.cli.listing import FORMAT, rows_text, short_id
from pogu.cli.table import binary_size, human_size
from pogu.cli.terminal import is_terminal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Json = dict[str, Any]

__all__ = ["COMMANDS", "HEADERS", "stats_row"]

HEADERS = {
    "Container": "CONTAINER",
    "ID": "CONTAINER ID",
    "Name": "NAME",
    "CPUPerc": "CPU %",
    "MemUsage": "MEM USAGE / LIMIT",
    "MemPerc": "MEM %",
    "NetIO": "NET I/O",
    "BlockIO": "BLOCK I/O",
    "PIDs": "PIDS",
}
_COLUMNS = ("ID", "Name", "CPUPerc", "MemUsage", "MemPerc", "NetIO", "BlockIO", "PIDs")
_CLEAR, _HOME, _REST_OF_LINE, _BELOW = "\033[2J", "\033[H", "\033[K", "\033[J"


def _stats(context: Context, values: Values) -> int:
    parameters: dict[str, object] = {
        "all": values.flag("all") or None,
        "name": list(values.args) or None,
    }
    reply = context.request("GET", "/pogu/stats", parameters)
    template, full = values.text("format"), values.flag("no-trunc")
    once = values.flag("no-stream")
    redraws = is_terminal(1) and not once and template in ("", "table")
    for number, moment in enumerate(reply.objects()):
        if once and number == 0:
            continue  # percentages need two readings
        listed = moment["Stats"]
        assert isinstance(listed, list)
        rows = [stats_row(one, full=full) for one in sorted(listed, key=_name)]
        text = rows_text(rows, headers=HEADERS, columns=_COLUMNS, template=template)
        write(1, _drawn(text, first=number == 0) if redraws else text)
        if once:
            break
    return 0


def _name(one: Json) -> str:
    return str(one["name"])


def _drawn(text: str, *, first: bool) -> str:
    """Over what stood there before, line by line, so that nothing flickers."""
    lines = text.replace("\n", f"{_REST_OF_LINE}\n")
    return (_CLEAR if first else "") + _HOME + lines + _BELOW


def stats_row(one: Json, *, full: bool) -> dict[str, object]:
    """Return the fields of one container's row."""
    usage, limit = _memory(one["memory_stats"])
    received, sent = _network(one.get("networks") or {})
    read, written = _blocks(one["blkio_stats"])
    name = one["name"].removeprefix("/")
    return {
        "Container": one["id"] if full else short_id(one["id"]),
        "ID": one["id"] if full else short_id(one["id"]),
        "Name": name,
        "CPUPerc": f"{_cpu_percent(one):.2f}%",
        "MemUsage": f"{binary_size(usage)} / {binary_size(limit)}",
        "MemPerc": f"{100 * usage / limit if limit else 0:.2f}%",
        "NetIO": f"{human_size(received)} / {human_size(sent)}",
        "BlockIO": f"{human_size(read)} / {human_size(written)}",
        "PIDs": str((one.get("pids_stats") or {}).get("current", 0)),
    }


def _cpu_percent(one: Json) -> float:
    """Of one processor, as Docker counts: two busy processors are 200 %."""
    now, before = one["cpu_stats"], one["precpu_stats"]
    if "system_cpu_usage" not in now or "system_cpu_usage" not in before:
        return 0.0
    used = now["cpu_usage"]["total_usage"] - before["cpu_usage"]["total_usage"]
    host = now["system_cpu_usage"] - before["system_cpu_usage"]
    if used <= 0 or host <= 0:
        return 0.0
    return float(100.0 * used / host * (now.get("online_cpus") or 1))


def _memory(memory: Json) -> tuple[int, int]:
    """(used less what the kernel gives back at once, limit)."""
    stats, usage = memory.get("stats") or {}, int(memory.get("usage", 0))
    cache = stats.get("total_inactive_file", stats.get("inactive_file", 0))
    return (usage - cache if cache < usage else usage), int(memory.get("limit", 0))


def _network(networks: Json) -> tuple[int, int]:
    links = networks.values()
    return sum(one["rx_bytes"] for one in links), sum(one["tx_bytes"] for one in links)


def _blocks(blocks: Json) -> tuple[int, int]:
    totals = {"r": 0, "w": 0}
    for entry in blocks.get("io_service_bytes_recursive") or ():
        kind = entry["op"][:1].lower()
        if kind in totals:
            totals[kind] += entry["value"]
    return totals["r"], totals["w"]


COMMANDS = {
    "stats": Command(
        "stats",
        "[OPTIONS] [CONTAINER...]",
        "Display a live stream of what containers use",
        _stats,
        [
            Flag("-a, --all", "bool", "Show all containers, not only those that run"),
            FORMAT,
            Flag("--no-stream", "bool", "Print once and end"),
            Flag("--no-trunc", "bool", "Cut nothing short"),
        ],
    )
}
