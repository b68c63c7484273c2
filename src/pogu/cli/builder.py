"""Edge: `builder prune`."""

from __future__ import annotations

from pogu.cli.context import Context
from pogu.cli.flags import Command, Flag, Values
from pogu.cli.listing import filters

__all__ = ["COMMANDS"]


def _prune(context: Context, values: Values) -> int:
    from pogu.cli.prune import agreed, report

    everything = values.flag("all")
    parameters: dict[str, object] = {
        "all": everything or None,
        "filters": filters(values.texts("filter"), flag="--filter"),
    }
    kind = "" if everything else "dangling "
    if not agreed(context, values, f"This will remove all {kind}build cache."):
        return 0
    answer = context.post("/build/prune", parameters)
    assert isinstance(answer, dict)
    return report(context, "Deleted build cache objects:", answer["CachesDeleted"] or [], answer)


COMMANDS = {
    "builder prune": Command(
        "builder prune",
        "[OPTIONS]",
        "Remove build cache",
        _prune,
        [
            Flag("-a, --all", "bool", "All of it, not just what no image needs"),
            Flag("--filter", "list", "Only what fits, like until=24h"),
            Flag("-f, --force", "bool", "Do not ask"),
        ],
        most=0,
    ),
}
