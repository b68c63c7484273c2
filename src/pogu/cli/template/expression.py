"""Format: what a pipeline means: functions that look up values while the template executes."""

from __future__ import annotations

from pogu.cli.template.error import CallError
from pogu.cli.template.value import member

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pogu.cli.template.function import Function
    from pogu.cli.template.node import Frame

    Value = Callable[[object, Frame], object]

__all__ = ["Operand", "call", "failing", "field", "short_circuit"]


class Operand:
    """One word of a command: a function's name, or a value with fields to follow."""

    __slots__ = ("base", "fields", "function", "position", "shown")

    def __init__(self, base: Value | None, position: int, shown: str, function: str = "") -> None:
        self.base = base
        self.function = function
        self.fields: list[str] = []
        self.position = position
        self.shown = shown


def failing(position: int, shown: str, message: str) -> Value:
    """Fail when the value is asked for, not before, as Go does."""
    message = f"{message} {shown}" if message.endswith("non-function") else message

    def value(_dot: object, frame: Frame) -> object:
        raise frame.error(position, shown, message)

    return value


def short_circuit(arguments: list[Value], *, stop_at: bool) -> Value:
    """Give the first argument that decides `and` or `or`; those after it are not looked up."""

    def value(dot: object, frame: Frame) -> object:
        found: object = None
        for argument in arguments:
            found = argument(dot, frame)
            if bool(found) == stop_at:
                break
        return found

    return value


def call(function: Function, arguments: list[Value], position: int, shown: str, name: str) -> Value:
    """Call a function; what it objects to names the place."""

    def value(dot: object, frame: Frame) -> object:
        given = [argument(dot, frame) for argument in arguments]
        try:
            return function(*given)
        except CallError as err:
            raise frame.error(position, shown, f"error calling {name}: {err}") from None

    return value


def field(base: Value, operand: Operand, arguments: list[Value], *, lenient: bool) -> Value:
    """Follow fields, one in the other; the last may be a row's method and takes `arguments`."""
    fields, position, shown = operand.fields, operand.position, operand.shown

    def value(dot: object, frame: Frame) -> object:
        found = base(dot, frame)
        strict = frame.strict and not lenient
        method: object = None
        for depth, name in enumerate(fields):
            message, found, method = member(found, name, strict=strict, nested=depth > 0)
            if message:
                raise frame.error(position, shown, message)
        if callable(method):
            given = [argument(dot, frame) for argument in arguments]
            if len(given) != 1:
                message = f"wrong number of args for {fields[-1]}: want 1 got {len(given)}"
                raise frame.error(position, shown, message)
            return method(*given)
        if arguments:
            message = f"{fields[-1]} has arguments but cannot be invoked as function"
            raise frame.error(position, shown, message)
        return found

    return value
