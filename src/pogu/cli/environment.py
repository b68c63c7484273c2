"""Format: variables and labels of a container, from flags and from files."""

from __future__ import annotations

import os

from pogu.cli.failure import UsageError
from pogu.cli.flags import Values

__all__ = ["environment", "labels", "pair", "read_lines"]


def environment(values: Values) -> list[str]:
    """Return files first, then -e; a name without value takes ours, or is left out.

    Raises: UsageError.
    """
    found = []
    for path in values.texts("env-file"):
        for number, line in enumerate(read_lines(path), 1):
            text = line.strip("\r")
            if not text.strip() or text.lstrip().startswith("#"):
                continue
            name = text.partition("=")[0].lstrip()
            if not name or any(char in " \t" for char in name):
                raise UsageError(
                    f"invalid env file ({path}): line {number}: variable '{name}' contains"
                    " whitespaces"
                    if name
                    else f"invalid env file ({path}): line {number}: no variable name",
                    hint="lines are NAME=value",
                )
            found.append(text.lstrip())
    found += values.texts("env")
    ready = []
    for text in found:
        name, equals, _ = text.partition("=")
        if not name:
            raise UsageError(
                f'invalid argument "{text}" for "-e, --env" flag: invalid environment variable:'
                f" {text}",
                hint="write NAME=value",
            )
        if equals:
            ready.append(text)
        elif name in os.environ:
            ready.append(f"{name}={os.environ[name]}")
    return ready


def read_lines(path: str) -> list[str]:
    """Return the lines of a file that a flag names. Raises: UsageError."""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.read().split("\n")
    except OSError as err:
        raise UsageError(f"open {path}: {(err.strerror or '').lower()}") from err


def labels(values: Values) -> dict[str, str]:
    """Return files first, then --label. Raises: UsageError."""
    pairs = [
        line
        for path in values.texts("label-file")
        for line in read_lines(path)
        if line.strip() and not line.startswith("#")
    ]
    return dict(pair(text) for text in pairs + values.texts("label"))


def pair(text: str) -> tuple[str, str]:
    """`key=value`; without `=` the value is empty."""
    key, _, value = text.partition("=")
    return key, value
