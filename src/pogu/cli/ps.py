"""Edge: `ps`."""

from __future__ import annotations

from pogu.cli.context import Context
from pogu.cli.flags import Command, Flag, Values
from pogu.cli.listing import (
    FILTER,
    FORMAT,
    ago,
    cut,
    filters,
    join_address,
    label_reader,
    labels_text,
    local_time,
    print_lines,
    print_rows,
    quoted,
    short_id,
)
from pogu.cli.table import human_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Json = dict[str, Any]

__all__ = ["COLUMNS", "COMMANDS", "HEADERS", "container_row", "image_text", "ports_text"]

HEADERS = {
    "ID": "CONTAINER ID",
    "Image": "IMAGE",
    "Command": "COMMAND",
    "CreatedAt": "CREATED AT",
    "RunningFor": "CREATED",
    "Ports": "PORTS",
    "State": "STATE",
    "Status": "STATUS",
    "Size": "SIZE",
    "Names": "NAMES",
    "Labels": "LABELS",
    "Mounts": "MOUNTS",
    "LocalVolumes": "LOCAL VOLUMES",
    "Networks": "NETWORKS",
    "Platform": "PLATFORM",
}
COLUMNS = ("ID", "Image", "Command", "RunningFor", "Status", "Ports", "Names")
_COMMAND_WIDTH = 20
_MOUNT_WIDTH = 15


def _ps(context: Context, values: Values) -> int:
    template, quiet = values.text("format"), values.flag("quiet")
    if template and quiet:
        context.error("WARNING: Ignoring custom format, because both --format and --quiet are set.")
    size = values.flag("size")
    if not quiet and "size" not in values.given:
        size = ".Size" in template or "{{json .}}" in template
    last = values.number("last") or -1
    if values.flag("latest") and last == -1:
        last = 1
    parameters: dict[str, object] = {
        "all": values.flag("all") or None,
        "limit": last if last > 0 else None,
        "size": size or None,
        "filters": filters(values.texts("filter")),
    }
    found = context.get("/containers/json", parameters)
    assert isinstance(found, list)
    full = values.flag("no-trunc")
    if quiet:
        print_lines(context, [one["Id"] if full else short_id(one["Id"]) for one in found])
        return 0
    rows = [container_row(one, full=full) for one in found]
    columns = (*COLUMNS, "Size") if size else COLUMNS
    print_rows(context, rows, headers=HEADERS, columns=columns, template=template)
    return 0


def container_row(container: Json, *, full: bool) -> dict[str, object]:
    """Return the fields of a container's row; `full` cuts nothing."""
    names = [name.removeprefix("/") for name in container["Names"]]
    command = container["Command"]
    labels = container["Labels"]
    mounts = container.get("Mounts") or []
    places = [mount.get("Name") or mount.get("Source") or "" for mount in mounts]
    return {
        "ID": container["Id"] if full else short_id(container["Id"]),
        "Image": image_text(container, full=full),
        "Command": quoted(command if full else cut(command, _COMMAND_WIDTH)),
        "CreatedAt": local_time(container["Created"]),
        "RunningFor": ago(container["Created"]),
        "Ports": ports_text(container["Ports"] or []),
        "State": container["State"],
        "Status": container["Status"],
        "Size": _size_text(container),
        "Names": ",".join(name for name in names if full or "/" not in name),
        "Labels": labels_text(labels),
        "Label": label_reader(labels),
        "Mounts": ",".join(place if full else cut(place, _MOUNT_WIDTH) for place in places),
        "LocalVolumes": str(sum(mount.get("Driver") == "local" for mount in mounts)),
        "Networks": ",".join((container.get("NetworkSettings") or {}).get("Networks") or {}),
        "Platform": None,
    }


def image_text(container: Json, *, full: bool) -> str:
    """Return the familiar name, or a short ID when the name has moved on to another image."""
    name = str(container["Image"])
    if not name:
        return "<no image>"
    if full:
        return name
    if short_id(name) == short_id(container["ImageID"]) and name.startswith("sha256:"):
        return short_id(name)
    for domain in ("docker.io/", "index.docker.io/"):
        if name.startswith(domain):
            name = name.removeprefix(domain).removeprefix("library/")
    return name.partition("@")[0]


def _size_text(container: Json) -> str:
    written = human_size(container.get("SizeRw") or 0)
    whole = container.get("SizeRootFs") or 0
    return f"{written} (virtual {human_size(whole)})" if whole else written


def ports_text(ports: list[Json]) -> str:
    """Collapse runs of ports: `90-92/tcp, 0.0.0.0:8080->80/tcp`.

    Runs are those whose host port is the same number; the others stand alone, behind them.
    """
    texts: list[str] = []
    alone: list[str] = []
    runs: dict[tuple[str, str], tuple[int, int]] = {}
    for port in sorted(ports, key=_port_order):
        number, kind, address = port["PrivatePort"], port["Type"], port.get("IP") or ""
        if address and port["PublicPort"] != number:
            host = join_address(address, port["PublicPort"])
            alone.append(f"{host}->{number}/{kind}")
            continue
        first, last = runs.get((address, kind), (number, number))
        if number > last + 1:
            texts.append(_run_text(address, kind, first, last))
            first = number
        runs[address, kind] = first, number
    texts += [_run_text(address, kind, *run) for (address, kind), run in runs.items()]
    return ", ".join(texts + alone)


def _port_order(port: Json) -> tuple[int, str, int, str]:
    return port["PrivatePort"], port.get("IP") or "", port.get("PublicPort") or 0, port["Type"]


def _run_text(address: str, kind: str, first: int, last: int) -> str:
    numbers = str(first) if first == last else f"{first}-{last}"
    return f"{join_address(address, numbers)}->{numbers}/{kind}" if address else f"{numbers}/{kind}"


COMMANDS = {
    "ps": Command(
        "ps",
        "[OPTIONS]",
        "List containers",
        _ps,
        [
            Flag("-a, --all", "bool", "Show all containers (default: those that run)"),
            FILTER,
            FORMAT,
            Flag("-n, --last", "int", "Show the n last created containers, in any state", -1),
            Flag("-l, --latest", "bool", "Show the last created container, in any state"),
            Flag("--no-trunc", "bool", "Cut nothing short"),
            Flag("-q, --quiet", "bool", "Print IDs only"),
            Flag("-s, --size", "bool", "Show sizes"),
        ],
        most=0,
    )
}
