"""Format: Go's fmt.Sprintf."""

from __future__ import annotations

import re

from pogu.cli.template.value import go_float, go_text, go_type

__all__ = ["printf"]

_VERB = r"(?s:%([-+# 0]*)(\d+|\*)?(?:\.(\d*))?(.)?)"
_MAX_WIDTH = 1_000_000


def printf(template: str, *values: object) -> str:
    """Print as fmt.Sprintf does, its notes on what does not fit (`%!d(string=x)`) included."""
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

    text = re.sub(_VERB, replace, template)
    extra = ", ".join(f"{go_type(value)}={go_text(value)}" for value in given)
    return f"{text}%!(EXTRA {extra})" if extra else text


def _padded(text: str, flags: str, width: int, *, number: bool) -> str:
    if "-" in flags:
        return text.ljust(width)
    return text.zfill(width) if "0" in flags and number else text.rjust(width)


def _formatted(verb: str, value: object, precision: str | None, flags: str) -> str:
    if verb == "T":
        return go_type(value)
    if verb == "v" and not ("#" in flags and isinstance(value, str)):
        return go_text(value)
    if isinstance(value, list | tuple):
        return f"[{' '.join(_formatted(verb, item, precision, flags) for item in value)}]"
    if isinstance(value, bool) or value is None:
        bad = "<nil>" if value is None else f"bool={go_text(value)}"
        return go_text(value) if verb == "t" and value is not None else f"%!{verb}({bad})"
    if isinstance(value, str):
        return _formatted_string(verb, value, precision)
    if isinstance(value, int | float):
        return _formatted_number(verb, value, precision, "+" if "+" in flags else "")
    return go_text(value)


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
        return go_float(value)
    elif verb in "eEfFgG":
        return format(value, f"{sign}.{6 if precision is None else int(precision or 0)}{verb}")
    return f"%!{verb}({go_type(value)}={go_text(value)})"
