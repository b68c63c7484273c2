"""Format: a template that can be executed. Start reading at `compile`."""

from __future__ import annotations

from pogu.cli.template.node import Frame, run
from pogu.cli.template.parser import Parser

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["compile", "render"]


def render(template: str, data: object, *, strict: bool = False) -> str:
    """Parse and execute once. Raises: TemplateError."""
    return compile(template, strict=strict)(data)


def compile(
    template: str, *, strict: bool = False, header: bool = False
) -> Callable[[object], str]:
    """Parse `template`; the function returned executes it on data.

    `strict` makes the missing field of a struct an error instead of `<no value>`. `header` is for
    a table's first line: functions that would change a column's name let it through.

    Raises: TemplateError, here for syntax and in the function for data that does not fit.
    """
    parser = Parser(template, header=header)
    body = parser.template()

    def execute(data: object) -> str:
        frame = Frame(template, [None] * parser.scope.slots, strict=strict)
        frame.slots[0] = data
        run(body, data, frame)
        return "".join(frame.out)

    return execute
