"""Format: what is between `{{` and `}}`: tokens → one pipeline. Start reading at `pipeline`.

pipeline   command | command …
command    operand operand …
operand    term.field.field …
"""

from __future__ import annotations

from pogu.cli.template.error import syntax_error
from pogu.cli.template.expression import Operand, call, failing, field, short_circuit
from pogu.cli.template.lexer import LITERALS, literal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pogu.cli.template.error import TemplateError
    from pogu.cli.template.expression import Value
    from pogu.cli.template.function import Arity
    from pogu.cli.template.lexer import Token

__all__ = ["Action", "Scope"]


class Scope:
    """Which variables are visible, and the frame's slot of each; slot 0 is `$`."""

    def __init__(self) -> None:
        self._names: list[tuple[str, int]] = [("$", 0)]
        self.slots = 1

    @property
    def visible(self) -> int:
        """How many are visible, for `leave`."""
        return len(self._names)

    def leave(self, visible: int) -> None:
        """Forget all but the first `visible`."""
        del self._names[visible:]

    def declare(self, name: str) -> int:
        """Return the slot of a new variable, which hides one of the same name."""
        self._names.append((name, self.slots))
        self.slots += 1
        return self.slots - 1

    def slot(self, name: str) -> int | None:
        """Return the slot of a visible variable; None when there is none of that name."""
        for known, slot in reversed(self._names):
            if known == name:
                return slot
        return None


class Action:
    """A cursor over the tokens of one action. Every method may raise TemplateError."""

    def __init__(
        self, template: str, tokens: list[Token], scope: Scope, functions: dict[str, Arity]
    ) -> None:
        self._template = template
        self._tokens = tokens
        self._scope = scope
        self._functions = functions
        self._at = 0
        self._lenient = False

    def error(self, message: str) -> TemplateError:
        """Return a syntax error at this action."""
        position = self._tokens[0].position if self._tokens else 0
        return syntax_error(self._template, position, message)

    def peek(self) -> Token:
        """Return the token that is read next."""
        return self._tokens[self._at]

    def _next(self) -> Token:
        token = self._tokens[self._at]
        self._at += token.kind != "close"
        return token

    def accept(self, text: str) -> bool:
        """Read the next token if it is this word or mark."""
        found = self.peek().text == text and self.peek().kind in ("mark", "word")
        self._at += found
        return found

    def end(self, context: str) -> None:
        """Refuse anything that follows."""
        if self.peek().kind != "close":
            raise self.error(f'unexpected "{self.peek().text}" in {context}')

    def assigned(self, context: str) -> tuple[list[str], bool]:
        """Read `$x :=`, `$x =` or, in range, `$k, $v :=`; nothing when there is none.

        Returns the names, and whether they are declared.
        """
        start, names = self._at, []
        while self.peek().kind == "variable":
            names.append(self._next().text)
            if not self.accept(","):
                break
        declares = self.accept(":=")
        if not names or not (declares or self.accept("=")):
            self._at = start
            return [], False
        if len(names) > (2 if context == "range" else 1):
            raise self.error(f"too many declarations in {context}")
        return names, declares

    def targets(self, names: list[str], *, declares: bool) -> list[int]:
        """Return the slots that an assignment to `names` sets."""
        return [self._scope.declare(name) if declares else self._slot(name) for name in names]

    def _slot(self, name: str) -> int:
        slot = self._scope.slot(name)
        if slot is None:
            raise self.error(f'undefined variable "{name}"')
        return slot

    def pipeline(self, context: str, *, lenient: bool = False) -> Value:
        """Parse up to the end or `)`; `lenient`: a missing field is never an error."""
        self._lenient = self._lenient or lenient
        value: Value | None = None
        while True:
            if self.peek().kind == "close" or self.peek().text == ")":
                if value is None:
                    raise self.error(f"missing value for {context}")
                return value
            value = self._command(value)
            if not self.accept("|"):
                return value

    def _command(self, piped: Value | None) -> Value:
        start = self.peek()
        operands = [self._operand()]
        while self.peek().kind != "close" and self.peek().text not in ("|", ")", "=", ":="):
            if not self.peek().spaced:
                text = self.peek().text
                shown = "<.>" if text == "." else f'"{text}"'
                raise self.error(f"unexpected {shown} in operand")
            operands.append(self._operand())
        shown = self._template[start.position : self.peek().position].strip()
        head, arguments = operands[0], [self._argument(operand) for operand in operands[1:]]
        if piped is not None:
            arguments.append(piped)
        if head.function and not head.fields:
            return self._call(head.function, arguments, start.position, shown)
        if head.fields:
            return field(self._base(head), head, arguments, lenient=self._lenient)
        if piped is not None:
            raise self.error("non executable command in pipeline stage 2")
        if arguments:
            return failing(start.position, head.shown, "can't give argument to non-function")
        if head.shown == "nil":
            return failing(start.position, "nil", "nil is not a command")
        return self._base(head)

    def _base(self, operand: Operand) -> Value:
        if operand.base is not None:
            return operand.base
        return self._call(operand.function, [], operand.position, operand.shown)

    def _argument(self, operand: Operand) -> Value:
        base = self._base(operand)
        return field(base, operand, [], lenient=self._lenient) if operand.fields else base

    def _call(self, name: str, arguments: list[Value], position: int, shown: str) -> Value:
        if name in ("and", "or") and arguments:
            return short_circuit(arguments, stop_at=name == "or")
        function, least, most = self._functions[name]
        count = len(arguments)
        if count < least or (most is not None and count > most):
            want = f"{least}" if most == least else f"at least {least}"
            message = f"wrong number of args for {name}: want {want} got {count}"
            return failing(position, shown, message)
        return call(function, arguments, position, shown, name)

    def _operand(self) -> Operand:
        token = self._next()
        operand = self._term(token)
        while self.peek().kind == "field" and not self.peek().spaced:
            if token.kind in LITERALS or token.text in ("true", "false", "nil"):
                raise self.error(f'unexpected . after term "{token.text}"')
            part = self._next()
            first = len(operand.fields) == (token.kind == "field")
            operand.position = part.position if first else operand.position
            operand.fields.append(part.text[1:])
            operand.shown += part.text
        return operand

    def _term(self, token: Token) -> Operand:
        text, at = token.text, token.position
        if token.kind == "field":
            operand = Operand(lambda dot, _frame: dot, at, text)
            operand.fields.append(text[1:])
            return operand
        if token.kind == "variable":
            slot = self._slot(text)
            return Operand(lambda _dot, frame: frame.slots[slot], at, text)
        if text == "(" and token.kind == "mark":
            value = self.pipeline("parenthesized pipeline")
            if not self.accept(")"):
                raise self.error("unclosed left paren")
            return Operand(value, at, self._template[at : self.peek().position].strip())
        if text == "." and token.kind == "mark":
            if self.peek().text == "." and not self.peek().spaced:
                raise self.error("unexpected <.> in operand")
            return Operand(lambda dot, _frame: dot, at, text)
        if token.kind in LITERALS or text in ("true", "false", "nil"):
            constant = self._literal(token)
            return Operand(lambda _dot, _frame: constant, at, text)
        if token.kind == "word":
            if text not in self._functions:
                raise self.error(f'function "{text}" not defined')
            return Operand(None, at, text, function=text)
        raise self.error(f'unexpected "{text}" in operand' if text else "missing value for command")

    def _literal(self, token: Token) -> object:
        try:
            return literal(token)
        except ValueError as err:
            raise self.error(str(err)) from None
