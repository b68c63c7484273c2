"""Edge: `system df`: `GET /system/df` → Docker's tables."""

from __future__ import annotations

from pogu.cli.context import Context
from pogu.cli.failure import CliError
from pogu.cli.flags import Values
from pogu.cli.go_view import template_function
from pogu.cli.images import HEADERS as IMAGE_HEADERS
from pogu.cli.images import image_rows
from pogu.cli.listing import ago, print_rows
from pogu.cli.moment import unix_time
from pogu.cli.ps import HEADERS as CONTAINER_HEADERS
from pogu.cli.ps import container_row
from pogu.cli.table import human_size, print_table
from pogu.cli.volumes import HEADERS as VOLUME_HEADERS
from pogu.cli.volumes import volume_row

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any

    Json = dict[str, Any]

__all__ = ["disk_usage", "summary_rows"]

_HEADERS = {
    "Type": "TYPE",
    "TotalCount": "TOTAL",
    "Active": "ACTIVE",
    "Size": "SIZE",
    "Reclaimable": "RECLAIMABLE",
}
_IMAGE_COLUMNS = (
    *("Repository", "Tag", "ID", "CreatedSince", "Size", "SharedSize", "UniqueSize", "Containers"),
)
_CONTAINER_COLUMNS = (
    *("ID", "Image", "Command", "LocalVolumes", "Size", "RunningFor", "Status", "Names"),
)
_CACHE_HEADERS = ["CACHE ID", "CACHE TYPE", "SIZE", "CREATED", "LAST USED", "USAGE", "SHARED"]


def disk_usage(context: Context, values: Values) -> int:
    """Print the summary, or with `-v` everything it is made of."""
    template = values.text("format")
    found = context.get("/system/df", {"storage": template in ("", "table") or None})
    assert isinstance(found, dict)
    if values.flag("verbose"):
        _print_verbose(context, found, template)
        _print_storage(context, found)
        return 0
    print_rows(
        context,
        summary_rows(found),
        headers=_HEADERS,
        columns=tuple(_HEADERS),
        template=template,
    )
    _print_storage(context, found)
    return 0


def _print_storage(context: Context, found: Json) -> None:
    """Print what the storage root holds, as `du` counts it; the docker CLI has no such table."""
    storage = found.get("Storage")
    if not storage:
        return
    rows = [
        [row["Kind"], str(row["Count"]), human_size(row["Size"], digits=4), row["Path"]]
        for row in storage["Rows"]
    ]
    rows.append(["Total", "", human_size(storage["Size"], digits=4), storage["Root"]])
    context.out("\n" + print_table(["ON DISK", "COUNT", "SIZE", "PLACE"], rows).rstrip("\n"))


def summary_rows(found: Json) -> list[dict[str, object]]:
    """Return the four lines of the summary."""
    images, containers = found.get("Images") or [], found.get("Containers") or []
    volumes, caches = found.get("Volumes") or [], found.get("BuildCache") or []
    layers = found.get("LayersSize") or 0
    in_use = sum(
        one["Size"] - max(one.get("SharedSize", 0), 0) for one in images if one["Containers"] != 0
    )
    running = [one for one in containers if one["State"] in ("running", "paused", "restarting")]
    usages = [one["UsageData"] for one in volumes if one.get("UsageData")]
    linked = [usage for usage in usages if usage["RefCount"] > 0]
    cached = [one for one in caches if not one.get("Shared")]
    return [
        _row(
            "Images",
            images,
            sum(one["Containers"] > 0 for one in images),
            layers,
            max(layers - in_use, 0),
        ),
        _row(
            "Containers",
            containers,
            len(running),
            _total(containers, "SizeRw"),
            _total(containers, "SizeRw") - _total(running, "SizeRw"),
        ),
        _row(
            "Local Volumes",
            volumes,
            len(linked),
            _total(usages, "Size"),
            _total(usages, "Size") - _total(linked, "Size"),
        ),
        _row(
            "Build Cache",
            caches,
            sum(bool(one.get("InUse")) for one in caches),
            _total(cached, "Size"),
            _total([one for one in cached if not one.get("InUse")], "Size"),
            percent=False,
        ),
    ]


def _total(items: Iterable[Json], key: str) -> int:
    return sum(max(one.get(key) or 0, 0) for one in items)


def _row(
    kind: str, items: Sequence[Json], active: int, size: int, free: int, *, percent: bool = True
) -> dict[str, object]:
    share = f" ({free * 100 // size}%)" if percent and size > 0 else ""
    return {
        "Type": kind,
        "TotalCount": str(len(items)),
        "Active": str(active),
        "Size": human_size(size, digits=4),
        "Reclaimable": human_size(free, digits=4) + share,
    }


def _print_verbose(context: Context, found: Json, template: str) -> None:
    images, containers, volumes = _verbose_rows(found, full=template not in ("", "table"))
    if template not in ("", "table"):
        if template.startswith("table"):
            raise CliError("--format 'table TEMPLATE' does not go with --verbose")
        everything = {"Images": images, "Containers": containers, "Volumes": volumes}
        context.out(template_function(template)(_without_methods(everything)))
        return
    context.out(_section("Images", images, _IMAGE_COLUMNS, IMAGE_HEADERS))
    context.out(_section("Containers", containers, _CONTAINER_COLUMNS, CONTAINER_HEADERS))
    context.out(_section("Local Volumes", volumes, ("Name", "Links", "Size"), VOLUME_HEADERS))
    caches = found.get("BuildCache") or ()
    own = [one for one in caches if not one["Shared"]]
    rows = print_table(_CACHE_HEADERS, [_cache_cells(one) for one in caches])
    size = human_size(_total(own, "Size"), digits=4)
    context.out(f"Build cache usage: {size}\n\n" + rows.rstrip("\n"))


def _cache_cells(entry: Json) -> list[str]:
    created, used = (ago(float(unix_time(entry[key], key))) for key in ("CreatedAt", "LastUsedAt"))
    return [
        entry["ID"][:12],
        entry["Type"],
        human_size(entry["Size"], digits=4),
        created,
        used,
        str(entry["UsageCount"]),
        "true" if entry["Shared"] else "false",
    ]


def _verbose_rows(found: Json, *, full: bool) -> tuple[list[Json], list[Json], list[Json]]:
    """Return rows of images (the first tag only), containers and volumes."""
    images = [
        row
        for one in found.get("Images") or ()
        for row in image_rows(
            {**one, "RepoTags": (one.get("RepoTags") or [])[:1]}, full=full, digests=True
        )
    ]
    containers = [
        container_row({**one, "SizeRootFs": 0}, full=full) for one in found.get("Containers") or ()
    ]
    return images, containers, [volume_row(one) for one in found.get("Volumes") or ()]


def _section(
    title: str, rows: Sequence[Json], columns: Sequence[str], headers: dict[str, str]
) -> str:
    cells = [[str(row[name]) for name in columns] for row in rows]
    return f"{title} space usage:\n\n" + print_table([headers[name] for name in columns], cells)


def _without_methods(rows_by_kind: dict[str, list[Json]]) -> dict[str, object]:
    lists: dict[str, object] = {
        kind: [{key: row[key] for key in row if not callable(row[key])} for row in rows]
        for kind, rows in rows_by_kind.items()
    }
    return {**lists, "BuildCache": []}
