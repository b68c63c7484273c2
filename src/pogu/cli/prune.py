"""Edge: what the prune commands share: the plan, the question, and what was removed."""

from __future__ import annotations

import os

from pogu.cli.flags import Flag
from pogu.cli.table import human_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from pogu.cli.context import Context
    from pogu.cli.flags import Values

    Json = dict[str, Any]

__all__ = ["DRY_RUN", "agreed", "image_lines", "print_plan", "prune", "report"]

DRY_RUN = Flag("--dry-run", "bool", "Show what would go and how many bytes; remove nothing")


def agreed(context: Context, values: Values, warning: str) -> bool:
    """True with --force or when standard input says y; anything else, its end too, is no."""
    if values.flag("force"):
        return True
    question = f"WARNING! {warning}\nAre you sure you want to continue? [y/N] "
    os.write(1, question.encode())
    answer = b""
    while not answer.endswith(b"\n"):
        letter = os.read(0, 1)
        if not letter:
            break
        answer += letter
    return answer.strip().lower() == b"y"


def prune(
    context: Context,
    values: Values,
    path: str,
    parameters: dict[str, object],
    *,
    warning: str,
    what: str,
    key: str,
) -> int:
    """Ask, prune and report; with --dry-run print the plan only. `key` names the answer's list."""
    if values.flag("dry-run"):
        plan = context.post(path, {**parameters, "dry-run": True})
        assert isinstance(plan, dict)
        return print_plan(context, [(what, _lines(key, plan))], plan)
    if not agreed(context, values, warning):
        return 0
    answer = context.post(path, parameters)
    assert isinstance(answer, dict)
    return report(context, f"Deleted {what}:", _lines(key, answer), answer)


def _lines(key: str, answer: Json) -> list[str]:
    found = answer.get(key) or []
    return image_lines(found) if key == "ImagesDeleted" else found


def image_lines(removed: Sequence[Json]) -> list[str]:
    """Return what went in Docker's words."""
    return [
        f"untagged: {one['Untagged']}" if one.get("Untagged") else f"deleted: {one['Deleted']}"
        for one in removed
    ]


def print_plan(context: Context, kinds: Sequence[tuple[str, Sequence[str]]], answer: Json) -> int:
    """Print what would go, kind by kind, then the space that would be won."""
    for what, lines in kinds:
        if lines:
            context.out("\n".join([f"Would delete {what}:", *lines, ""]))
    if "SpaceReclaimed" not in answer:
        return 0
    freed = human_size(answer.get("SpaceReclaimed") or 0, digits=4)
    context.out(f"Total space that would be reclaimed: {freed}")
    return 0


def report(context: Context, title: str, lines: Sequence[str], answer: object) -> int:
    """Print the lines under their title, then the space won."""
    assert isinstance(answer, dict)
    if lines:
        context.out("\n".join([title, *lines, ""]))
    if "SpaceReclaimed" not in answer:  # networks take none
        return 0
    freed = human_size(answer.get("SpaceReclaimed") or 0, digits=4)
    context.out(f"Total reclaimed space: {freed}")
    return 0
