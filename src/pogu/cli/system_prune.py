"""Edge: `system prune`: the prunes of every kind, one after the other, as Docker's CLI does it."""

from __future__ import annotations

from pogu.cli.context import Context
from pogu.cli.failure import CliError
from pogu.cli.flags import Command, Flag, Values
from pogu.cli.listing import filters
from pogu.cli.prune import DRY_RUN, agreed, image_lines, print_plan, report

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    Json = dict[str, Any]

__all__ = ["COMMANDS", "warning"]

_KINDS = (
    ("Containers", "ContainersDeleted", "/containers/prune"),
    ("Networks", "NetworksDeleted", "/networks/prune"),
    ("Volumes", "VolumesDeleted", "/volumes/prune"),
    ("Images", "ImagesDeleted", "/images/prune"),
    ("build cache objects", "CachesDeleted", "/build/prune"),
)


def _prune(context: Context, values: Values) -> int:
    wanted = values.texts("filter")
    everything, volumes = values.flag("all"), values.flag("volumes")
    if volumes and any(text.startswith("until=") for text in wanted):
        raise CliError('ERROR: The "until" filter is not supported with "--volumes"')
    chosen = filters(wanted, flag="--filter")
    if values.flag("dry-run"):
        parameters: dict[str, object] = {
            "all": everything or None,
            "volumes": volumes or None,
            "filters": chosen,
        }
        plan = context.get("/pogu/prune", parameters)
        assert isinstance(plan, dict)
        kinds = [(what, _lines(key, plan)) for what, key, _ in _KINDS]
        return print_plan(context, kinds, plan)
    if not agreed(context, values, warning(wanted, everything=everything, volumes=volumes)):
        return 0
    return _prune_all(context, wanted, everything=everything, volumes=volumes)


def _prune_all(context: Context, wanted: Sequence[str], *, everything: bool, volumes: bool) -> int:
    freed = 0
    for what, key, path in _KINDS:
        if key == "VolumesDeleted" and not volumes:
            continue
        answer = context.post(path, _parameters(key, wanted, everything=everything))
        assert isinstance(answer, dict)
        freed += answer.get("SpaceReclaimed") or 0
        lines = _lines(key, answer)
        if lines:
            context.out("\n".join([f"Deleted {what}:", *lines, ""]))
    return report(context, "", (), {"SpaceReclaimed": freed})


def _lines(key: str, answer: Json) -> list[str]:
    found = answer.get(key) or []
    return image_lines(found) if key == "ImagesDeleted" else found


def _parameters(key: str, wanted: Sequence[str], *, everything: bool) -> dict[str, object]:
    if key == "ImagesDeleted":
        wanted = [*wanted, f"dangling={'false' if everything else 'true'}"]
    if key == "CachesDeleted":
        until = [text for text in wanted if text.startswith("until=")]
        return {"all": everything or None, "filters": filters(until, flag="--filter")}
    return {"filters": filters(wanted, flag="--filter")}


def warning(wanted: Sequence[str], *, everything: bool, volumes: bool) -> str:
    """Return Docker's warning of what `system prune` removes."""
    kinds = ["all stopped containers", "all networks not used by at least one container"]
    if volumes:
        kinds.append("all anonymous volumes not used by at least one container")
    if everything:
        kinds.append("all images without at least one container associated to them")
        kinds.append("all build cache")
    else:
        kinds += ["all dangling images", "unused build cache"]
    lines = ["This will remove:", *(f"  - {kind}" for kind in kinds)]
    if wanted:
        lines += ["", "  Items to be pruned will be filtered with:"]
        lines += [f"  - {text}" for text in sorted(wanted)]
    return "\n".join([*lines, ""])


COMMANDS = {
    "system prune": Command(
        "system prune",
        "[OPTIONS]",
        "Remove unused data",
        _prune,
        [
            Flag("-a, --all", "bool", "Remove all unused images and build cache"),
            DRY_RUN,
            Flag("--filter", "list", "Only what fits, like until=24h or label=key=value"),
            Flag("-f, --force", "bool", "Do not ask"),
            Flag("--volumes", "bool", "Anonymous volumes that no container uses too"),
        ],
        most=0,
    )
}
