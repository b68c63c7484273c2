"""Format: what can be wrong with a template, in Docker's words."""

from __future__ import annotations

__all__ = ["CallError", "TemplateError", "execution_error", "syntax_error"]


class TemplateError(Exception):
    """The template cannot be parsed or does not fit the data; worded as Docker words it."""


class CallError(Exception):
    """What a template function objects to; its caller says where."""


def syntax_error(template: str, position: int, message: str) -> TemplateError:
    """Return the error for a place that cannot be parsed."""
    line = template.count("\n", 0, position) + 1
    return TemplateError(f"template parsing error: template: :{line}: {message}")


def execution_error(template: str, position: int, shown: str, message: str) -> TemplateError:
    """Return the error for data that does not fit; `shown` is the piece that met it."""
    before = template[:position]
    column = len(before[before.rfind("\n") + 1 :].encode())
    line = before.count("\n") + 1
    where = f'template: :{line}:{column}: executing "" at <{shown}>'
    return TemplateError(f"template parsing error: {where}: {message}")
