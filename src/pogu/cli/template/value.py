"""Format: values of JSON as Go has them: their text, the name of their type, their fields."""

from __future__ import annotations

__all__ = ["Row", "go_float", "go_text", "go_type", "member"]


class Row(dict[str, object]):
    """One row of a list command: a missing field is an error, `json` sorts its keys.

    A value that is callable is a method of the row: `{{.Label "name"}}`.
    """


def member(value: object, name: str, *, strict: bool, nested: bool) -> tuple[str, object, object]:
    """Return what is wrong, the field's value, and the value again when it is a method."""
    if isinstance(value, dict):
        if name in value:
            found = value[name]
            return "", found, found if callable(found) else None
        if isinstance(value, Row):
            message = f"can't evaluate field {name}" if strict else ""
        else:
            message = f'map has no entry for key "{name}"' if strict and _is_struct(value) else ""
        return message, None, None
    if value is None:
        message = f"nil pointer evaluating interface {{}}.{name}" if strict else ""
        return message, None, None
    kind = "interface {}" if nested else go_type(value)
    return f"can't evaluate field {name} in type {kind}", None, None


def _is_struct(value: dict[str, object]) -> bool:
    return bool(value) and all(key[:1].isupper() for key in value)


def go_type(value: object) -> str:
    """Return the name of the Go type that such a value of JSON gets."""
    if isinstance(value, dict):
        return "map[string]interface {}"
    if isinstance(value, list | tuple):
        return "[]interface {}"
    names = {str: "string", bool: "bool", int: "int", float: "float64"}
    return "<nil>" if value is None else names.get(type(value), "func")


def go_text(value: object) -> str:
    """Print as Go's %v does."""
    if isinstance(value, str):
        return value
    if value is None or isinstance(value, bool):
        return {None: "<nil>", True: "true", False: "false"}[value]
    if isinstance(value, list | tuple):
        return f"[{' '.join(map(go_text, value))}]"
    if isinstance(value, dict):
        return f"map[{' '.join(f'{key}:{go_text(item)}' for key, item in sorted(value.items()))}]"
    return go_float(value) if isinstance(value, float) else str(value)


def go_float(value: float) -> str:
    """Print the shortest digits that are this number, from 1e+06 on with an exponent."""
    if value in (float("inf"), float("-inf")):
        return "+Inf" if value > 0 else "-Inf"
    for precision in range(18):
        text = f"{value:.{precision}e}"
        if float(text) == value:
            exponent = int(text.partition("e")[2])
            fixed = -4 <= exponent < 6
            return f"{value:.{max(precision - exponent, 0)}f}" if fixed else text
    return str(value)
