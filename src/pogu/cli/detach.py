"""Format: the keys that detach a terminal: the flag's, else those of docker's config.json."""

from __future__ import annotations

import os

from pogu.cli.failure import CliError
from pogu.cli.wire import decode

__all__ = ["configured_keys", "parse_detach_keys"]

_DEFAULT = "ctrl-p,ctrl-q"


def configured_keys() -> str:
    """`detachKeys` of config.json; empty when there are none, or the file cannot be read."""
    directory = os.environ.get("DOCKER_CONFIG") or os.path.expanduser("~/.docker")
    try:
        with open(os.path.join(directory, "config.json"), "rb") as file:
            found = decode(file.read())
    except (OSError, ValueError):
        return ""
    keys = found.get("detachKeys") if isinstance(found, dict) else ""
    return keys if isinstance(keys, str) else ""


def parse_detach_keys(text: str) -> bytes:
    """`ctrl-p,ctrl-q` (empty text means that) → the bytes. Raises: CliError in Docker's words."""
    keys = bytearray()
    for word in (text or _DEFAULT).split(","):
        code = ord(word[5].upper()) - 64 if word.startswith("ctrl-") and len(word) == 6 else -1
        if 0 <= code < 32:
            keys.append(code)
        elif len(word) == 1 and word.isascii():
            keys += word.encode()
        else:
            raise CliError(
                f"invalid detach keys: Unknown character: '{word}'",
                hint="single letters and ctrl-<letter>: ctrl-p,ctrl-q",
                code=125,
            )
    return bytes(keys)
