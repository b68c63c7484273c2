"""Edge: `volume create|ls|inspect|rm|prune`."""

from __future__ import annotations

from pogu.cli.context import Context
from pogu.cli.failure import CliError
from pogu.cli.flags import Command, Flag, Values
from pogu.cli.http import quote
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
)
from pogu.cli.prune import DRY_RUN, prune
from pogu.cli.table import human_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    Json = dict[str, Any]

__all__ = ["COMMANDS", "HEADERS", "volume_row"]

HEADERS = {
    "Name": "VOLUME NAME",
    "Driver": "DRIVER",
    "Scope": "SCOPE",
    "Mountpoint": "MOUNTPOINT",
    "Labels": "LABELS",
    "Links": "LINKS",
    "Size": "SIZE",
    "Group": "GROUP",
    "Availability": "AVAILABILITY",
    "Status": "STATUS",
}


def _pairs(texts: Sequence[str]) -> dict[str, str]:
    return {key: value for key, _, value in (text.partition("=") for text in texts)}


def _create(context: Context, values: Values) -> int:
    name = "".join(values.args) or values.text("name")
    body = {
        "Name": name,
        "Driver": values.text("driver"),
        "DriverOpts": _pairs(values.texts("opt")),
        "Labels": _pairs(values.texts("label")),
    }
    created = context.post("/volumes/create", body=body)
    assert isinstance(created, dict)
    context.out(created["Name"])
    return 0


def _ls(context: Context, values: Values) -> int:
    found = context.get("/volumes", {"filters": filters(values.texts("filter"))})
    assert isinstance(found, dict)
    volumes = sorted(found["Volumes"] or (), key=lambda volume: natural(volume["Name"]))
    template = values.text("format")
    if values.flag("quiet") and template in ("", "table"):
        print_lines(context, [volume["Name"] for volume in volumes])
        return 0
    rows = [volume_row(volume) for volume in volumes]
    print_rows(context, rows, headers=HEADERS, columns=("Driver", "Name"), template=template)
    return 0


def volume_row(volume: Json) -> dict[str, object]:
    """Return the fields of a volume's row; links and size where the engine measured them."""
    usage = volume.get("UsageData")
    return {
        "Name": volume["Name"],
        "Driver": volume["Driver"],
        "Scope": volume["Scope"],
        "Mountpoint": volume["Mountpoint"],
        "Labels": labels_text(volume.get("Labels")),
        "Label": label_reader(volume.get("Labels")),
        "Links": str(usage["RefCount"]) if usage else "N/A",
        "Size": human_size(usage["Size"], digits=4) if usage else "N/A",
        "Group": "N/A",
        "Availability": "N/A",
        "Status": "N/A",
    }


def _rm(context: Context, values: Values) -> int:
    parameters: dict[str, object] = {"force": values.flag("force") or None}
    return context.each(
        values.args, lambda name: context.delete(f"/volumes/{quote(name)}", parameters)
    )


def _prune(context: Context, values: Values) -> int:
    wanted, everything = values.texts("filter"), values.flag("all")
    if everything and any(text.startswith("all=") for text in wanted):
        raise CliError("conflicting options: cannot specify both --all and --filter all=1")
    chosen = filters([*wanted, *(["all=true"] if everything else [])], flag="--filter")
    kind = "all " if everything else "anonymous "
    return prune(
        context,
        values,
        "/volumes/prune",
        {"filters": chosen},
        warning=f"This will remove {kind}local volumes not used by at least one container.",
        what="Volumes",
        key="VolumesDeleted",
    )


COMMANDS = {
    "volume create": Command(
        "volume create",
        "[OPTIONS] [VOLUME]",
        "Create a volume",
        _create,
        [
            Flag("-d, --driver", "text", "Driver of the volume", "local"),
            Flag("--label", "list", "Label, key=value"),
            Flag("--name", "text", "The same as the argument"),
            Flag("-o, --opt", "list", "Option of the driver, key=value"),
        ],
        most=1,
    ),
    "volume ls": Command(
        "volume ls",
        "[OPTIONS]",
        "List volumes",
        _ls,
        [FILTER, FORMAT, Flag("-q, --quiet", "bool", "Print names only")],
        most=0,
    ),
    "volume inspect": Command(
        "volume inspect",
        "[OPTIONS] VOLUME [VOLUME...]",
        "Display detailed information on one or more volumes",
        of_kind("volume"),
        [INSPECT_FORMAT],
        least=1,
    ),
    "volume rm": Command(
        "volume rm",
        "[OPTIONS] VOLUME [VOLUME...]",
        "Remove one or more volumes that no container uses",
        _rm,
        [Flag("-f, --force", "bool", "A volume that does not exist is no error")],
        least=1,
    ),
    "volume prune": Command(
        "volume prune",
        "[OPTIONS]",
        "Remove unused local volumes",
        _prune,
        [
            DRY_RUN,
            Flag("-a, --all", "bool", "Named volumes too, not just anonymous ones"),
            Flag("--filter", "list", "Only what fits, like label=key=value"),
            Flag("-f, --force", "bool", "Do not ask"),
        ],
        most=0,
    ),
}
