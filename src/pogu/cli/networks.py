"""Edge: `network ls|inspect`."""

from __future__ import annotations

from pogu.cli.context import Context
from pogu.cli.flags import Command, Flag, Values
from pogu.cli.inspect import FORMAT as INSPECT_FORMAT
from pogu.cli.inspect import of_kind
from pogu.cli.listing import (
    FILTER,
    FORMAT,
    filters,
    label_reader,
    labels_text,
    natural,
    print_lines,
    print_rows,
    short_id,
)
from pogu.cli.prune import DRY_RUN, prune

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Json = dict[str, Any]

__all__ = ["COMMANDS", "HEADERS", "network_row"]

HEADERS = {
    "ID": "NETWORK ID",
    "Name": "NAME",
    "Driver": "DRIVER",
    "Scope": "SCOPE",
    "IPv4": "IPV4",
    "IPv6": "IPV6",
    "Internal": "INTERNAL",
    "Labels": "LABELS",
    "CreatedAt": "CREATED AT",
}


def _ls(context: Context, values: Values) -> int:
    found = context.get("/networks", {"filters": filters(values.texts("filter"))})
    assert isinstance(found, list)
    found.sort(key=lambda network: natural(network["Name"]))
    template, full = values.text("format"), values.flag("no-trunc")
    rows = [network_row(network, full=full) for network in found]
    if values.flag("quiet") and template in ("", "table"):
        print_lines(context, [row["ID"] for row in rows])
        return 0
    columns = ("ID", "Name", "Driver", "Scope")
    print_rows(context, rows, headers=HEADERS, columns=columns, template=template)
    return 0


def _prune(context: Context, values: Values) -> int:
    return prune(
        context,
        values,
        "/networks/prune",
        {"filters": filters(values.texts("filter"), flag="--filter")},
        warning="This will remove all custom networks not used by at least one container.",
        what="Networks",
        key="NetworksDeleted",
    )


def network_row(network: Json, *, full: bool) -> dict[str, object]:
    """Return the fields of a network's row."""
    return {
        "ID": network["Id"] if full else short_id(network["Id"]),
        "Name": network["Name"],
        "Driver": network["Driver"],
        "Scope": network["Scope"],
        "IPv4": "true" if network.get("EnableIPv4") else "false",
        "IPv6": "true" if network.get("EnableIPv6") else "false",
        "Internal": "true" if network.get("Internal") else "false",
        "Labels": labels_text(network.get("Labels")),
        "Label": label_reader(network.get("Labels")),
        "CreatedAt": _go_time(network["Created"]),
    }


def _go_time(text: str) -> str:
    """`2026-01-02T03:04:05.120Z` as Go prints it: `2026-01-02 03:04:05.12 +0000 UTC`."""
    day, _, rest = text.partition("T")
    for mark in "Z+-":
        clock, found, offset = rest.partition(mark)
        if found:
            break
    if "." in clock:
        clock = clock.rstrip("0").rstrip(".")
    zone = "+0000 UTC" if mark == "Z" else " ".join([mark + offset.replace(":", "")] * 2)
    return f"{day} {clock} {zone}"


COMMANDS = {
    "network ls": Command(
        "network ls",
        "[OPTIONS]",
        "List networks",
        _ls,
        [
            FILTER,
            FORMAT,
            Flag("--no-trunc", "bool", "Cut nothing short"),
            Flag("-q, --quiet", "bool", "Print IDs only"),
        ],
        most=0,
    ),
    "network inspect": Command(
        "network inspect",
        "[OPTIONS] NETWORK [NETWORK...]",
        "Display detailed information on one or more networks",
        of_kind("network"),
        [INSPECT_FORMAT, Flag("-v, --verbose", "bool", "Nothing more to say: no swarm")],
        least=1,
    ),
    "network prune": Command(
        "network prune",
        "[OPTIONS]",
        "Remove all unused networks",
        _prune,
        [
            DRY_RUN,
            Flag("--filter", "list", "Only what fits, like until=24h or label=key=value"),
            Flag("-f, --force", "bool", "Do not ask"),
        ],
        most=0,
    ),
}
