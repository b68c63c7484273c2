"""Format: signals as Docker's clients spell them: `TERM`, `SIGTERM`, `15`, `RTMIN+3`."""

from __future__ import annotations

import difflib
import signal

from pogu.errors import InvalidParameter

__all__ = ["parse_signal"]

_RTMIN, _RTMAX = 34, 64
_NAMES = {name.removeprefix("SIG"): int(one) for name, one in signal.Signals.__members__.items()}
_NAMES |= {"RTMIN": _RTMIN, "RTMAX": _RTMAX}
_NAMES |= {f"RTMIN+{n}": _RTMIN + n for n in range(1, 16)}
_NAMES |= {f"RTMAX-{n}": _RTMAX - n for n in range(1, 15)}


def parse_signal(text: str) -> int:
    """Return the signal's number. Raises: InvalidParameter("Invalid signal: …")."""
    word = text.strip().upper()
    if word.isdecimal():
        if 1 <= int(word) <= _RTMAX:
            return int(word)
        raise InvalidParameter(f"Invalid signal: {text}", hint=f"numbers are 1 to {_RTMAX}")
    name = word.removeprefix("SIG")
    if name in _NAMES:
        return _NAMES[name]
    near = difflib.get_close_matches(name, _NAMES, n=1)
    hint = f"did you mean {near[0]}?" if near else "`kill -l` lists the names"
    raise InvalidParameter(f"Invalid signal: {text}", hint=hint)
