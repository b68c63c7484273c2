"""Format: the keys that detach a terminal (`ctrl-p,ctrl-q`), found in what is typed. Pure."""

from __future__ import annotations

from pogu.errors import InvalidParameter

__all__ = ["DetachKeys", "parse_keys"]

_DEFAULT = "ctrl-p,ctrl-q"


def parse_keys(text: str) -> bytes:
    """Return the byte sequence; empty text means the default. Raises: InvalidParameter."""
    keys = bytearray()
    for word in (text or _DEFAULT).split(","):
        if word.startswith("ctrl-") and len(word) == 6:
            letter = word[5]
            code = ord(letter.upper()) - 64
            if not (letter.isascii() and 0 <= code < 32):
                raise _invalid(word)
            keys.append(code)
        elif len(word) == 1 and word.isascii():
            keys += word.encode()
        else:
            raise _invalid(word)
    return bytes(keys)


def _invalid(word: str) -> InvalidParameter:
    return InvalidParameter(
        f"Invalid detach keys: Unknown character: '{word}'",
        hint="single letters and ctrl-<letter>, with commas between: ctrl-p,ctrl-q",
    )


class DetachKeys:
    """Holds back what may be the beginning of the sequence."""

    def __init__(self, keys: bytes) -> None:
        self._keys = keys
        self._held = 0

    def feed(self, data: bytes) -> tuple[bytes, bool]:
        """Return what goes on to the process, and whether the sequence is complete."""
        passed = bytearray()
        for byte in data:
            if self._keys and byte == self._keys[self._held]:
                self._held += 1
                if self._held == len(self._keys):
                    self._held = 0
                    return bytes(passed), True
                continue
            passed += self._keys[: self._held]
            self._held = 1 if self._keys and byte == self._keys[0] else 0
            if not self._held:
                passed.append(byte)
        return bytes(passed), False
