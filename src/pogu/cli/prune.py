"""Edge: what the prune commands share: the question, and what was removed."""

from __future__ import annotations

import os

from pogu.cli.table import human_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from pogu.cli.context import Context
    from pogu.cli.flags import Values

__all__ = ["agreed", "report"]


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


def report(context: Context, title: str, lines: Sequence[str], answer: object) -> int:
    """Print the lines under their title, then the space won."""
    assert isinstance(answer, dict)
    if lines:
        context.out("\n".join([title, *lines, ""]))
    freed = human_size(answer.get("SpaceReclaimed") or 0, digits=4)
    context.out(f"Total reclaimed space: {freed}")
    return 0
