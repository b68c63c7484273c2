"""Format: tokens → nodes: text, `if`, `with`, `range` and what they enclose."""

from __future__ import annotations

from pogu.cli.template.action import Action, Scope
from pogu.cli.template.function import FUNCTIONS, HEADER_FUNCTIONS
from pogu.cli.template.lexer import Token, lex
from pogu.cli.template.node import (
    Break,
    Continue,
    assign_node,
    if_node,
    print_node,
    range_node,
    signal_node,
    text_node,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pogu.cli.template.node import Node

__all__ = ["Parser"]


class Parser:
    """Parses one template, once. Every method may raise TemplateError."""

    def __init__(self, template: str, *, header: bool) -> None:
        self.scope = Scope()
        self._template = template
        self._items = iter(list(lex(template)))
        self._functions = FUNCTIONS | HEADER_FUNCTIONS if header else FUNCTIONS
        self._action = Action(template, [], self.scope, self._functions)
        self._loops = 0

    def template(self) -> list[Node]:
        """Return the nodes of the whole template."""
        body, closing = self._list()
        if closing:
            raise self._action.error(f"unexpected {{{{{closing}}}}}")
        return body

    def _list(self) -> tuple[list[Node], str]:
        """Parse up to `else` or `end` (returned, its action still being read) or the end ("")."""
        body: list[Node] = []
        for item in self._items:
            if isinstance(item, Token):
                body.append(text_node(item.text))
                continue
            self._action = Action(self._template, item, self.scope, self._functions)
            for keyword in ("else", "end"):
                if self._action.accept(keyword):
                    return body, keyword
            body.append(self._node())
        return body, ""

    def _node(self) -> Node:
        action = self._action
        for keyword in ("if", "with", "range"):
            if action.accept(keyword):
                return self._control(keyword)
        for keyword, signal in (("break", Break), ("continue", Continue)):
            if action.accept(keyword):
                if not self._loops:
                    raise action.error(f"{{{{{keyword}}}}} outside {{{{range}}}}")
                action.end(f"{{{{{keyword}}}}}")
                return signal_node(signal)
        names, declares = action.assigned("command")
        value = action.pipeline("command")
        action.end("operand")
        if not names:
            return print_node(value)
        return assign_node(value, action.targets(names, declares=declares)[0])

    def _control(self, keyword: str) -> Node:
        action, visible = self._action, self.scope.visible
        names, declares = action.assigned(keyword)
        position = action.peek().position
        value = action.pipeline(keyword, lenient=keyword != "range")
        shown = self._template[position : action.peek().position].strip()
        action.end(keyword)
        targets = action.targets(names, declares=declares)
        self._loops += keyword == "range"
        body, closing = self._list()
        self._loops -= keyword == "range"
        otherwise = self._otherwise(keyword, closing)
        self.scope.leave(visible)
        if keyword == "range":
            return range_node(value, targets, body, otherwise, position, shown)
        return if_node(value, targets, body, otherwise, rebind=keyword == "with")

    def _otherwise(self, keyword: str, closing: str) -> list[Node]:
        """Parse from `else`, if that is what closed the body, to `end`."""
        body: list[Node] = []
        if closing == "else":
            if keyword != "range" and self._action.accept(keyword):
                return [self._control(keyword)]
            self._action.end("{{else}}")
            body, closing = self._list()
            if closing == "else":
                raise self._action.error("expected end; found {{else}}")
        if closing != "end":
            raise self._action.error("unexpected EOF")
        self._action.end("{{end}}")
        return body
