"""Edge: `rmi`, and what it would do."""

from __future__ import annotations

from pogu.cli.context import Context, show_error
from pogu.cli.failure import ApiError, UsageError
from pogu.cli.flags import Command, Flag, Values
from pogu.cli.http import quote
from pogu.cli.prune import DRY_RUN, image_lines, print_plan

__all__ = ["COMMANDS"]


def _rmi(context: Context, values: Values) -> int:
    parameters: dict[str, object] = {
        "force": values.flag("force") or None,
        "noprune": values.flag("no-prune") or None,
    }
    platforms = [one for text in values.texts("platform") for one in text.split(",")]
    if platforms and values.flag("dry-run"):
        raise UsageError("conflicting options: --dry-run and --platform")
    parameters["platforms"] = platforms
    if values.flag("dry-run"):
        return _rmi_plan(context, values, parameters)
    code = 0
    for name in values.args:
        try:
            removed = context.delete(f"/images/{quote(name)}", parameters)
        except ApiError as err:
            show_error(err)
            if not (values.flag("force") and err.status == 404):
                code = 1
            continue
        assert isinstance(removed, list)
        for line in removed:
            deleted = line.get("Deleted")
            context.out(f"Deleted: {deleted}" if deleted else f"Untagged: {line['Untagged']}")
    return code


def _rmi_plan(context: Context, values: Values, parameters: dict[str, object]) -> int:
    """Print what removing all these would do; a name that would be refused is said, code 1."""
    outcomes = context.get("/pogu/rmi", {**parameters, "name": values.args})
    assert isinstance(outcomes, list)
    code = 0
    for one in outcomes:
        said = one["Error"]
        if said:
            show_error(ApiError(409, said["docker_message"], said.get("hint") or ""))
            code = 1
    lines = [line for one in outcomes for line in image_lines(one["Removed"])]
    freed = sum(one["SpaceReclaimed"] for one in outcomes)
    return print_plan(context, [("Images", lines)], {"SpaceReclaimed": freed}) or code


COMMANDS = {
    "rmi": Command(
        "rmi",
        "[OPTIONS] IMAGE [IMAGE...]",
        "Remove one or more images",
        _rmi,
        [
            DRY_RUN,
            Flag("-f, --force", "bool", "Remove although it has several names or is used"),
            Flag("--no-prune", "bool", "Keep untagged parents"),
            Flag("--platform", "list", "Remove only what is for this platform (os/arch[/variant])"),
        ],
        least=1,
    ),
}
