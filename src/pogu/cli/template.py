"""Format: Go's text/template over JSON data, as `--format` uses it. Start reading at `compile`.

A template becomes closures once and runs for each row. Imports nothing but `re`, for start-up.
Differs from Go where JSON has lost the types: a missing key counts as a missing struct field when
the object looks like a struct (every key starts with a capital), and conditions of `if` and `with`
never complain, because Docker leaves empty fields out of its JSON but not out of its structs.
"""

from __future__ import annotations

import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    Value = Callable[[object, "_Frame"], object]
    Node = Callable[[object, "_Frame"], None]
    Function = Callable[..., object]
    Arity = tuple[Function, int, int | None]

__all__ = ["Row", "TemplateError", "compile", "render"]

_SPACE = " \t\r\n"
_TOKEN = re.compile(
    r"""(?P<close>[ \t\r\n]+-\}\}|\}\})
    |(?P<space>[ \t\r\n]+)
    |(?P<string>"(?:\\.|[^"\\\n])*"|`[^`]*`)
    |(?P<char>'(?:\\.|[^'\\\n])+')
    |(?P<number>[+-]?\.?[0-9][\w.]*(?:(?<=[eE])[+-][0-9]+)?)
    |(?P<field>\.[^\W\d]\w*)
    |(?P<variable>\$\w*)
    |(?P<word>[^\W\d]\w*)
    |(?P<mark>:=|[=|(),.])""",
    re.VERBOSE,
)
_OPEN = re.compile(r"\{\{(?:-(?=[ \t\r\n]))?")
# Compiled at their first use, which most templates never reach.
_COMMENT = r"(?s:\s*/\*.*?\*/(\s+-)?\}\})"
_VERB = r"(?s:%([-+# 0]*)(\d+|\*)?(?:\.(\d*))?(.)?)"
_ESCAPE = r"\\(?:u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|x([0-9a-fA-F]{2})|([0-7]{3})|(.))"
_MAX_WIDTH = 1_000_000
_ESCAPED = dict(zip("abfnrtv\\'\"", "\a\b\f\n\r\t\v\\'\"", strict=True))


class TemplateError(Exception):
    """The template cannot be parsed or does not fit the data; worded as Docker words it."""


class Row(dict[str, object]):
    """One row of a list command: a missing field is an error, `json` sorts its keys.

    A value that is callable is a method of the row: `{{.Label "name"}}`.
    """


class _CallError(Exception):
    """What a template function objects to."""


class _Break(Exception):
    pass


class _Continue(Exception):
    pass


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
    parser = _Parser(template, header=header)
    body = parser.template()

    def execute(data: object) -> str:
        frame = _Frame(template, [None] * parser.slots, strict=strict)
        frame.slots[0] = data
        _run(body, data, frame)
        return "".join(frame.out)

    return execute


class _Frame:
    """What one execution knows: its output and its variables (slot 0 is `$`)."""

    __slots__ = ("out", "slots", "strict", "template")

    def __init__(self, template: str, slots: list[object], *, strict: bool) -> None:
        self.out: list[str] = []
        self.template = template
        self.slots = slots
        self.strict = strict

    def error(self, position: int, shown: str, message: str) -> TemplateError:
        before = self.template[:position]
        column = len(before[before.rfind("\n") + 1 :].encode())
        line = before.count("\n") + 1
        where = f'template: :{line}:{column}: executing "" at <{shown}>'
        return TemplateError(f"template parsing error: {where}: {message}")


def _run(body: list[Node], dot: object, frame: _Frame) -> None:
    for node in body:
        node(dot, frame)


# ---- lexer ------------------------------------------------------------------------------


class _Token:
    __slots__ = ("kind", "position", "spaced", "text")

    def __init__(self, kind: str, text: str, position: int, *, spaced: bool = False) -> None:
        self.kind = kind
        self.text = text
        self.position = position
        self.spaced = spaced


def _syntax_error(template: str, position: int, message: str) -> TemplateError:
    line = template.count("\n", 0, position) + 1
    return TemplateError(f"template parsing error: template: :{line}: {message}")


def _lex(template: str) -> Iterator[_Token | list[_Token]]:
    """Yield text as tokens and actions as lists of them; trim markers and comments applied."""
    at, trim = 0, False
    while at <= len(template):
        start = _OPEN.search(template, at)
        text = template[at : start.start()] if start else template[at:]
        text = text.lstrip(_SPACE) if trim else text
        if start and start[0].endswith("-"):
            text = text.rstrip(_SPACE)
        if text:
            yield _Token("text", text, at)
        if not start:
            return
        if template[start.end() :].lstrip(_SPACE).startswith("/*"):
            comment = re.compile(_COMMENT).match(template, start.end())
            if not comment:
                raise _syntax_error(template, start.start(), "unclosed comment")
            at, trim = comment.end(), bool(comment[1])
        else:
            tokens, at, trim = _lex_action(template, start.end())
            yield tokens


def _lex_action(template: str, at: int) -> tuple[list[_Token], int, bool]:
    tokens: list[_Token] = []
    spaced, depth = True, 0
    while match := _TOKEN.match(template, at):
        kind, text = str(match.lastgroup), match[0]
        if kind == "close":
            if depth:
                raise _syntax_error(template, at, "unclosed left paren")
            tokens.append(_Token("close", "", at))
            return tokens, match.end(), len(text) > 2
        if kind != "space":
            depth += (text == "(") - (text == ")")
            if depth < 0:
                raise _syntax_error(template, at, "unexpected right paren")
            tokens.append(_Token(kind, text, at, spaced=spaced))
        spaced = kind == "space"
        at = match.end()
    if at >= len(template):
        raise _syntax_error(template, at, "unclosed action")
    char = template[at]
    if char in "\"`'":
        what = {'"': "quoted string", "`": "raw quoted string", "'": "character constant"}[char]
        raise _syntax_error(template, at, f"unterminated {what}")
    raise _syntax_error(template, at, f"bad character U+{ord(char):04X} {char!r}")


# ---- parser -----------------------------------------------------------------------------


class _Operand:
    """One word of a command: a function's name, or a value with fields to follow."""

    __slots__ = ("base", "fields", "function", "position", "shown")

    def __init__(self, base: Value | None, position: int, shown: str, function: str = "") -> None:
        self.base = base
        self.function = function
        self.fields: list[str] = []
        self.position = position
        self.shown = shown


class _Parser:
    def __init__(self, template: str, *, header: bool) -> None:
        self._template = template
        self._items = iter(list(_lex(template)))
        self._functions = _FUNCTIONS | _HEADER_FUNCTIONS if header else _FUNCTIONS
        self._tokens: list[_Token] = []
        self._at = 0
        self._names: list[tuple[str, int]] = [("$", 0)]
        self._loops = 0
        self._lenient = False
        self.slots = 1

    def template(self) -> list[Node]:
        body, closing = self._list()
        if closing:
            raise self._error(f"unexpected {{{{{closing}}}}}")
        return body

    def _error(self, message: str) -> TemplateError:
        position = self._tokens[0].position if self._tokens else 0
        return _syntax_error(self._template, position, message)

    def _peek(self) -> _Token:
        return self._tokens[self._at]

    def _next(self) -> _Token:
        token = self._tokens[self._at]
        self._at += token.kind != "close"
        return token

    def _accept(self, text: str) -> bool:
        found = self._peek().text == text and self._peek().kind in ("mark", "word")
        self._at += found
        return found

    def _end_action(self, context: str) -> None:
        if self._peek().kind != "close":
            raise self._error(f'unexpected "{self._peek().text}" in {context}')

    def _list(self) -> tuple[list[Node], str]:
        """Parse up to `else` or `end` (returned, its action still being read) or the end ("")."""
        body: list[Node] = []
        for item in self._items:
            if isinstance(item, _Token):
                body.append(_text(item.text))
                continue
            self._tokens, self._at = item, 0
            if item[0].kind == "word" and item[0].text in ("else", "end"):
                self._next()
                return body, item[0].text
            body.append(self._action())
        return body, ""

    def _action(self) -> Node:
        for keyword in ("if", "with", "range"):
            if self._accept(keyword):
                return self._control(keyword)
        for keyword, signal in (("break", _Break), ("continue", _Continue)):
            if self._accept(keyword):
                if not self._loops:
                    raise self._error(f"{{{{{keyword}}}}} outside {{{{range}}}}")
                self._end_action(f"{{{{{keyword}}}}}")
                return _raise(signal)
        names, declares = self._assigned("command")
        value = self._pipeline("command")
        self._end_action("operand")
        return _assign(value, self._targets(names, declares)[0]) if names else _print(value)

    def _control(self, keyword: str) -> Node:
        visible = len(self._names)
        names, declares = self._assigned(keyword)
        self._lenient = keyword != "range"
        position = self._peek().position
        value = self._pipeline(keyword)
        shown = self._template[position : self._peek().position].strip()
        self._lenient = False
        self._end_action(keyword)
        targets = self._targets(names, declares)
        self._loops += keyword == "range"
        body, closing = self._list()
        self._loops -= keyword == "range"
        otherwise = self._otherwise(keyword, closing)
        del self._names[visible:]
        if keyword == "range":
            return _range(value, targets, body, otherwise, position, shown)
        return _if(value, targets, body, otherwise, rebind=keyword == "with")

    def _otherwise(self, keyword: str, closing: str) -> list[Node]:
        if closing == "else":
            if keyword != "range" and self._accept(keyword):
                return [self._control(keyword)]
            self._end_action("{{else}}")
            body, closing = self._list()
            if closing == "else":
                raise self._error("expected end; found {{else}}")
        else:
            body = []
        if closing != "end":
            raise self._error("unexpected EOF")
        self._end_action("{{end}}")
        return body

    def _assigned(self, context: str) -> tuple[list[str], bool]:
        """Read `$x :=`, `$x =` or, in range, `$k, $v :=`; nothing when there is none."""
        start, names = self._at, []
        while self._peek().kind == "variable":
            names.append(self._next().text)
            if not self._accept(","):
                break
        declares = self._accept(":=")
        if not names or not (declares or self._accept("=")):
            self._at = start
            return [], False
        if len(names) > (2 if context == "range" else 1):
            raise self._error(f"too many declarations in {context}")
        return names, declares

    def _targets(self, names: list[str], declares: bool) -> list[int]:
        if not declares:
            return [self._slot(name) for name in names]
        for name in names:
            self._names.append((name, self.slots))
            self.slots += 1
        return [slot for _, slot in self._names[len(self._names) - len(names) :]]

    def _slot(self, name: str) -> int:
        for known, slot in reversed(self._names):
            if known == name:
                return slot
        raise self._error(f'undefined variable "{name}"')

    def _pipeline(self, context: str) -> Value:
        value: Value | None = None
        while True:
            if self._peek().kind == "close" or self._peek().text == ")":
                if value is None:
                    raise self._error(f"missing value for {context}")
                return value
            value = self._command(value)
            if not self._accept("|"):
                return value

    def _command(self, piped: Value | None) -> Value:
        start = self._peek()
        operands = [self._operand()]
        while self._peek().kind != "close" and self._peek().text not in ("|", ")", "=", ":="):
            if not self._peek().spaced:
                text = self._peek().text
                shown = "<.>" if text == "." else f'"{text}"'
                raise self._error(f"unexpected {shown} in operand")
            operands.append(self._operand())
        shown = self._template[start.position : self._peek().position].strip()
        head, arguments = operands[0], [self._argument(operand) for operand in operands[1:]]
        if piped is not None:
            arguments.append(piped)
        if head.function and not head.fields:
            return self._call(head.function, arguments, start.position, shown)
        if head.fields:
            return _field(self._base(head), head, arguments, lenient=self._lenient)
        if piped is not None:
            raise self._error("non executable command in pipeline stage 2")
        if arguments:
            return _fails(start.position, head.shown, "can't give argument to non-function")
        if head.shown == "nil":
            return _fails(start.position, "nil", "nil is not a command")
        return self._base(head)

    def _base(self, operand: _Operand) -> Value:
        if operand.base is not None:
            return operand.base
        return self._call(operand.function, [], operand.position, operand.shown)

    def _argument(self, operand: _Operand) -> Value:
        base = self._base(operand)
        return _field(base, operand, [], lenient=self._lenient) if operand.fields else base

    def _call(self, name: str, arguments: list[Value], position: int, shown: str) -> Value:
        if name in ("and", "or") and arguments:
            return _short_circuit(arguments, stop_at=name == "or")
        function, least, most = self._functions[name]
        count = len(arguments)
        if count < least or (most is not None and count > most):
            want = f"{least}" if most == least else f"at least {least}"
            message = f"wrong number of args for {name}: want {want} got {count}"
            return _fails(position, shown, message)
        return _call(function, arguments, position, shown, name)

    def _operand(self) -> _Operand:
        token = self._next()
        operand = self._term(token)
        while self._peek().kind == "field" and not self._peek().spaced:
            if token.kind in ("string", "number", "char") or token.text in ("true", "false", "nil"):
                raise self._error(f'unexpected . after term "{token.text}"')
            field = self._next()
            first = len(operand.fields) == (token.kind == "field")
            operand.position = field.position if first else operand.position
            operand.fields.append(field.text[1:])
            operand.shown += field.text
        return operand

    def _term(self, token: _Token) -> _Operand:
        text, at = token.text, token.position
        if token.kind == "field":
            operand = _Operand(lambda dot, _frame: dot, at, text)
            operand.fields.append(text[1:])
            return operand
        if token.kind == "variable":
            slot = self._slot(text)
            return _Operand(lambda _dot, frame: frame.slots[slot], at, text)
        if text == "(" and token.kind == "mark":
            value = self._pipeline("parenthesized pipeline")
            if not self._accept(")"):
                raise self._error("unclosed left paren")
            return _Operand(value, at, self._template[at : self._peek().position].strip())
        if text == "." and token.kind == "mark":
            if self._peek().text == "." and not self._peek().spaced:
                raise self._error("unexpected <.> in operand")
            return _Operand(lambda dot, _frame: dot, at, text)
        if token.kind in ("string", "number", "char") or text in ("true", "false", "nil"):
            literal = self._literal(token)
            return _Operand(lambda _dot, _frame: literal, at, text)
        if token.kind == "word":
            if text not in self._functions:
                raise self._error(f'function "{text}" not defined')
            return _Operand(None, at, text, function=text)
        raise self._error(
            f'unexpected "{text}" in operand' if text else "missing value for command"
        )

    def _literal(self, token: _Token) -> object:
        text = token.text
        if token.kind == "word":
            return {"true": True, "false": False}.get(text)
        if text[0] == "`":
            return text[1:-1]
        if token.kind == "string":
            return self._unquoted(text)
        if token.kind == "char":
            return ord(self._unquoted(text)[:1] or "\0")
        for convert in (lambda: int(text, 0), lambda: float(text)):
            try:
                return convert()
            except ValueError:
                continue
        raise self._error(f'bad number syntax: "{text}"')

    def _unquoted(self, text: str) -> str:
        def replace(match: re.Match[str]) -> str:
            code = match[1] or match[2] or match[3]
            number = int(code, 16) if code else int(match[4] or "0", 8)
            if number > 0x10FFFF or (match[5] and match[5] not in _ESCAPED):
                raise self._error("invalid syntax")
            return _ESCAPED[match[5]] if match[5] else chr(number)

        return re.sub(_ESCAPE, replace, text[1:-1])


# ---- nodes ------------------------------------------------------------------------------


def _text(text: str) -> Node:
    return lambda _dot, frame: frame.out.append(text)


def _print(value: Value) -> Node:
    def node(dot: object, frame: _Frame) -> None:
        found = value(dot, frame)
        frame.out.append("<no value>" if found is None else _shown(found))

    return node


def _assign(value: Value, slot: int) -> Node:
    def node(dot: object, frame: _Frame) -> None:
        frame.slots[slot] = value(dot, frame)

    return node


def _raise(signal: type[Exception]) -> Node:
    def node(_dot: object, _frame: _Frame) -> None:
        raise signal

    return node


def _if(
    value: Value, targets: list[int], body: list[Node], otherwise: list[Node], *, rebind: bool
) -> Node:
    def node(dot: object, frame: _Frame) -> None:
        found = value(dot, frame)
        for slot in targets:
            frame.slots[slot] = found
        if found:
            _run(body, found if rebind else dot, frame)
        else:
            _run(otherwise, dot, frame)

    return node


def _range(
    value: Value,
    targets: list[int],
    body: list[Node],
    otherwise: list[Node],
    position: int,
    shown: str,
) -> Node:
    def node(dot: object, frame: _Frame) -> None:
        found = value(dot, frame)
        pairs = _pairs(found)
        if pairs is None:
            raise frame.error(position, shown, f"range can't iterate over {_shown(found)}")
        if not found:
            _run(otherwise, dot, frame)
        for key, item in pairs:
            for slot, what in zip(reversed(targets), (item, key), strict=False):
                frame.slots[slot] = what
            try:
                _run(body, item, frame)
            except _Continue:
                continue
            except _Break:
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


# ---- values -----------------------------------------------------------------------------


def _fails(position: int, shown: str, message: str) -> Value:
    message = f"{message} {shown}" if message.endswith("non-function") else message

    def value(_dot: object, frame: _Frame) -> object:
        raise frame.error(position, shown, message)

    return value


def _short_circuit(arguments: list[Value], *, stop_at: bool) -> Value:
    def value(dot: object, frame: _Frame) -> object:
        found: object = None
        for argument in arguments:
            found = argument(dot, frame)
            if bool(found) == stop_at:
                break
        return found

    return value


def _call(
    function: Function, arguments: list[Value], position: int, shown: str, name: str
) -> Value:
    def value(dot: object, frame: _Frame) -> object:
        given = [argument(dot, frame) for argument in arguments]
        try:
            return function(*given)
        except _CallError as err:
            raise frame.error(position, shown, f"error calling {name}: {err}") from None

    return value


def _field(base: Value, operand: _Operand, arguments: list[Value], *, lenient: bool) -> Value:
    fields, position, shown = operand.fields, operand.position, operand.shown

    def value(dot: object, frame: _Frame) -> object:
        found = base(dot, frame)
        strict = frame.strict and not lenient
        method: object = None
        for depth, name in enumerate(fields):
            message, found, method = _member(found, name, strict=strict, nested=depth > 0)
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


def _member(value: object, name: str, *, strict: bool, nested: bool) -> tuple[str, object, object]:
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
    kind = "interface {}" if nested else _type(value)
    return f"can't evaluate field {name} in type {kind}", None, None


def _is_struct(value: dict[str, object]) -> bool:
    return bool(value) and all(key[:1].isupper() for key in value)


def _type(value: object) -> str:
    if isinstance(value, dict):
        return "map[string]interface {}"
    if isinstance(value, list | tuple):
        return "[]interface {}"
    names = {str: "string", bool: "bool", int: "int", float: "float64"}
    return "<nil>" if value is None else names.get(type(value), "func")


def _shown(value: object) -> str:
    """Print as Go's %v does."""
    if isinstance(value, str):
        return value
    if value is None or isinstance(value, bool):
        return {None: "<nil>", True: "true", False: "false"}[value]
    if isinstance(value, list | tuple):
        return f"[{' '.join(map(_shown, value))}]"
    if isinstance(value, dict):
        return f"map[{' '.join(f'{key}:{_shown(item)}' for key, item in sorted(value.items()))}]"
    return _float(value) if isinstance(value, float) else str(value)


def _float(value: float) -> str:
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


# ---- functions --------------------------------------------------------------------------


def _string(value: object) -> str:
    if not isinstance(value, str):
        raise _CallError(f"wrong type for value; expected string; got {_type(value)}")
    return value


def _integer(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise _CallError(f"wrong type for value; expected int; got {_type(value)}")
    return value


def _json(value: object) -> str:
    import json

    row = isinstance(value, Row)
    if isinstance(value, Row):
        value = {key: item for key, item in value.items() if not callable(item)}
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=row)
    for char in "\u2028\u2029<>&" if row else "\u2028\u2029":
        text = text.replace(char, f"\\u{ord(char):04x}")
    return text


def _join(values: object, separator: object) -> str:
    if not isinstance(values, list | tuple) and values is not None:
        raise _CallError(f"wrong type for value; expected []string; got {_type(values)}")
    return _string(separator).join(map(_shown, values or ()))


def _title(value: object) -> str:
    return re.sub(r"(?<!\w)[^\W\d_]", lambda match: match[0].upper(), _string(value))


def _pad(value: object, before: object, after: object) -> str:
    text = _string(value)
    return " " * _integer(before) + text + " " * _integer(after) if text else text


def _print_words(*values: object) -> str:
    """Print as fmt.Sprint: a space between two values that are not strings."""
    out: list[str] = []
    for index, value in enumerate(values):
        if index and not isinstance(value, str) and not isinstance(values[index - 1], str):
            out.append(" ")
        out.append(_shown(value))
    return "".join(out)


def _length(value: object) -> int:
    if isinstance(value, str):
        return len(value.encode())
    if isinstance(value, list | tuple | dict):
        return len(value)
    raise _CallError("len of nil pointer" if value is None else f"len of type {_type(value)}")


def _bound(value: object, limit: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        kind = "nil" if value is None else f"type {_type(value)}"
        raise _CallError(f"cannot index slice/array with {kind}")
    if not 0 <= value <= limit:
        raise _CallError(f"index out of range: {value}")
    return value


def _index(value: object, *keys: object) -> object:
    for key in keys:
        if isinstance(value, dict):
            if not isinstance(key, str):
                raise _CallError(f"value has type {_type(key)}; should be string")
            value = value.get(key)
        elif isinstance(value, list | tuple):
            value = value[_bound(key, len(value) - 1)]
        elif isinstance(value, str):
            encoded = value.encode()
            value = encoded[_bound(key, len(encoded) - 1)]
        else:
            kind = "untyped nil" if value is None else f"item of type {_type(value)}"
            raise _CallError(f"index of {kind}" if value is None else f"can't index {kind}")
    return value


def _slice(value: object, *bounds: object) -> object:
    if not isinstance(value, str | list | tuple):
        raise _CallError(f"can't slice item of type {_type(value)}")
    whole = value.encode() if isinstance(value, str) else list(value)
    limits = [_bound(bound, len(whole)) for bound in bounds]
    first, last = [*limits, *(0, len(whole))[len(limits) :]][:2]
    if first > last:
        raise _CallError(f"invalid slice index: {first} > {last}")
    part = whole[first:last]
    return part.decode(errors="replace") if isinstance(part, bytes) else part


def _kind(value: object) -> str:
    kind = _type(value)
    return "number" if kind in ("int", "float64") else kind


def _equal(first: object, *others: object) -> bool:
    if not others:
        raise _CallError("missing argument for comparison")
    for other in others:
        if None not in (first, other) and _kind(first) != _kind(other):
            raise _CallError("incompatible types for comparison")
        if first == other:
            return True
    return False


def _less(first: object, second: object) -> bool:
    if _kind(first) != _kind(second):
        raise _CallError("incompatible types for comparison")
    if isinstance(first, str) and isinstance(second, str):
        return first < second
    if _kind(first) != "number":
        raise _CallError("invalid type for comparison")
    return float(str(first)) < float(str(second))


def _html(*values: object) -> str:
    text = _print_words(*values)
    for char, name in (("&", "amp"), ("<", "lt"), (">", "gt"), ("'", "#39"), ('"', "#34")):
        text = text.replace(char, f"&{name};")
    return text


def _url_query(*values: object) -> str:
    text = _print_words(*values).encode()
    encoded = re.sub(rb"[^A-Za-z0-9_.~ -]", lambda match: b"%%%02X" % match[0][0], text)
    return encoded.replace(b" ", b"+").decode("ascii")


def _printf(template: object, *values: object) -> str:
    given = list(values)

    def replace(match: re.Match[str]) -> str:
        flags, width, precision, verb = match[1], match[2], match[3], match[4]
        if verb is None:
            return "%!(NOVERB)"
        if verb == "%":
            return "%"
        if width == "*":
            given_width = given.pop(0) if given else None
            width = str(given_width) if isinstance(given_width, int) else "0"
        if not given:
            return f"%!{verb}(MISSING)"
        text = _formatted(verb, given.pop(0), precision, flags)
        return _padded(text, flags, min(int(width or 0), _MAX_WIDTH), number=verb in "dxXobfFeEgG")

    text = re.sub(_VERB, replace, _string(template))
    extra = ", ".join(f"{_type(value)}={_shown(value)}" for value in given)
    return f"{text}%!(EXTRA {extra})" if extra else text


def _padded(text: str, flags: str, width: int, *, number: bool) -> str:
    if "-" in flags:
        return text.ljust(width)
    return text.zfill(width) if "0" in flags and number else text.rjust(width)


def _formatted(verb: str, value: object, precision: str | None, flags: str) -> str:
    if verb == "T":
        return _type(value)
    if verb == "v" and not ("#" in flags and isinstance(value, str)):
        return _shown(value)
    if isinstance(value, list | tuple):
        return f"[{' '.join(_formatted(verb, item, precision, flags) for item in value)}]"
    if isinstance(value, bool) or value is None:
        bad = "<nil>" if value is None else f"bool={_shown(value)}"
        return _shown(value) if verb == "t" and value is not None else f"%!{verb}({bad})"
    if isinstance(value, str):
        return _formatted_string(verb, value, precision)
    if isinstance(value, int | float):
        return _formatted_number(verb, value, precision, "+" if "+" in flags else "")
    return _shown(value)


def _formatted_string(verb: str, value: str, precision: str | None) -> str:
    value = value if precision is None else value[: int(precision or 0)]
    if verb == "s":
        return value
    if verb in ("q", "v"):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
    if verb in ("x", "X"):
        return value.encode().hex() if verb == "x" else value.encode().hex().upper()
    return f"%!{verb}(string={value})"


def _formatted_number(verb: str, value: float, precision: str | None, sign: str) -> str:
    if isinstance(value, int):
        if verb == "d" or verb in "xXob":
            return format(value, f"{sign}{verb}")
        if verb in "cqU":
            char = chr(value if 0 <= value <= 0x10FFFF else 0xFFFD)
            return {"c": char, "q": f"'{char}'", "U": f"U+{value:04X}"}[verb]
    elif verb in "gG" and precision is None:
        return _float(value)
    elif verb in "eEfFgG":
        return format(value, f"{sign}.{6 if precision is None else int(precision or 0)}{verb}")
    return f"%!{verb}({_type(value)}={_shown(value)})"


def _first(value: object, *_others: object) -> object:
    return value


_FUNCTIONS: dict[str, Arity] = {
    "and": (_first, 1, None),
    "eq": (_equal, 1, None),
    "ge": (lambda a, b: not _less(a, b), 2, 2),
    "gt": (lambda a, b: _less(b, a), 2, 2),
    "html": (_html, 0, None),
    "index": (_index, 1, None),
    "join": (_join, 2, 2),
    "json": (_json, 1, 1),
    "le": (lambda a, b: not _less(b, a), 2, 2),
    "len": (_length, 1, 1),
    "lower": (lambda value: _string(value).lower(), 1, 1),
    "lt": (_less, 2, 2),
    "ne": (lambda a, b: not _equal(a, b), 2, 2),
    "not": (lambda value: not value, 1, 1),
    "or": (_first, 1, None),
    "pad": (_pad, 3, 3),
    "print": (_print_words, 0, None),
    "printf": (_printf, 1, None),
    "println": (lambda *values: " ".join(map(_shown, values)) + "\n", 0, None),
    "slice": (_slice, 1, 4),
    "split": (lambda text, by: _string(text).split(_string(by)) if by else list(text), 2, 2),
    "title": (_title, 1, 1),
    "truncate": (lambda text, size: _string(text)[: _integer(size)], 2, 2),
    "upper": (lambda value: _string(value).upper(), 1, 1),
    "urlquery": (_url_query, 0, None),
}
_HEADER_FUNCTIONS: dict[str, Arity] = {
    name: (_first, *_FUNCTIONS[name][1:])
    for name in ("join", "json", "lower", "split", "title", "truncate", "upper")
}
