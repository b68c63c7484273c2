"""Format: what an execution does: one function per node, which prints into the frame."""

from __future__ import annotations

from pogu.cli.template.error import execution_error
from pogu.cli.template.value import go_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pogu.cli.template.error import TemplateError
    from pogu.cli.template.expression import Value

    Node = Callable[[object, "Frame"], None]

__all__ = [
    "Break",
    "Continue",
    "Frame",
    "assign_node",
    "if_node",
    "print_node",
    "range_node",
    "run",
    "signal_node",
    "text_node",
]


class Break(Exception):
    """`{{break}}`."""


class Continue(Exception):
    """`{{continue}}`."""


class Frame:
    """What one execution knows: its output and its variables (slot 0 is `$`)."""

    __slots__ = ("out", "slots", "strict", "template")

    def __init__(self, template: str, slots: list[object], *, strict: bool) -> None:
        self.out: list[str] = []
        self.template = template
        self.slots = slots
        self.strict = strict

    def error(self, position: int, shown: str, message: str) -> TemplateError:
        """Return the error for the piece of the template that is `shown`."""
        return execution_error(self.template, position, shown, message)


def run(body: list[Node], dot: object, frame: Frame) -> None:
    """Execute nodes in order; `dot` is what `.` means to them."""
    for node in body:
        node(dot, frame)


def text_node(text: str) -> Node:
    """Print text as it is."""
    return lambda _dot, frame: frame.out.append(text)


def print_node(value: Value) -> Node:
    """Print what a pipeline gives."""

    def node(dot: object, frame: Frame) -> None:
        found = value(dot, frame)
        frame.out.append("<no value>" if found is None else go_text(found))

    return node


def assign_node(value: Value, slot: int) -> Node:
    """Set a variable."""

    def node(dot: object, frame: Frame) -> None:
        frame.slots[slot] = value(dot, frame)

    return node


def signal_node(signal: type[Exception]) -> Node:
    """Leave the body of the innermost range: `Break` or `Continue`."""

    def node(_dot: object, _frame: Frame) -> None:
        raise signal

    return node


def if_node(
    value: Value, targets: list[int], body: list[Node], otherwise: list[Node], *, rebind: bool
) -> Node:
    """Run one of two bodies: `if` and, where `rebind` makes the value the dot, `with`."""

    def node(dot: object, frame: Frame) -> None:
        found = value(dot, frame)
        for slot in targets:
            frame.slots[slot] = found
        if found:
            run(body, found if rebind else dot, frame)
        else:
            run(otherwise, dot, frame)

    return node


def range_node(
    value: Value,
    targets: list[int],
    body: list[Node],
    otherwise: list[Node],
    position: int,
    shown: str,
) -> Node:
    """Run the body for each item; `targets` are the slots of `$key, $item`."""

    def node(dot: object, frame: Frame) -> None:
        found = value(dot, frame)
        pairs = _pairs(found)
        if pairs is None:
            raise frame.error(position, shown, f"range can't iterate over {go_text(found)}")
        if not found:
            run(otherwise, dot, frame)
        for key, item in pairs:
            for slot, what in zip(reversed(targets), (item, key), strict=False):
                frame.slots[slot] = what
            try:
                run(body, item, frame)
            except Continue:
                continue
            except Break:
                break

    return node


def _pairs(value: object) -> Iterable[tuple[object, object]] | None:
    if isinstance(value, dict):
        return sorted(value.items())
    if isinstance(value, list | tuple):
        return enumerate(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return ((number, number) for number in range(value))
    return () if value is None else None
