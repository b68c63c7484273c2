"""Edge: `builder prune`."""

from __future__ import annotations

from pogu.cli.context import Context
from pogu.cli.flags import Command, Flag, Values
from pogu.cli.listing import filters
from pogu.cli.prune import DRY_RUN, prune

__all__ = ["COMMANDS"]


def _prune(context: Context, values: Values) -> int:
    everything = values.flag("all")
    parameters: dict[str, object] = {
        "all": everything or None,
        "filters": filters(values.texts("filter"), flag="--filter"),
    }
    kind = "" if everything else "dangling "
    return prune(
        context,
        values,
        "/build/prune",
        parameters,
        warning=f"This will remove all {kind}build cache.",
        what="build cache objects",
        key="CachesDeleted",
    )


COMMANDS = {
    "builder prune": Command(
        "builder prune",
        "[OPTIONS]",
        "Remove build cache",
        _prune,
        [
            DRY_RUN,
            Flag("-a, --all", "bool", "All of it, not just what no image needs"),
            Flag("--filter", "list", "Only what fits, like until=24h"),
            Flag("-f, --force", "bool", "Do not ask"),
        ],
        most=0,
    ),
}
