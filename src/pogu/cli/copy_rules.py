"""Format: where `cp` puts what, by the rules that `docker cp` documents. Pure."""

from __future__ import annotations

import posixpath

from pogu.cli.failure import CliError

__all__ = ["asserts_directory", "base_of", "clean", "place", "split_argument"]


def split_argument(word: str) -> tuple[str, str]:
    """`CONTAINER:PATH` → both; a local path (it begins with `/` or a dot) has no container."""
    container, colon, path = word.partition(":")
    if word.startswith("/") or not colon or container.startswith("."):
        return "", word
    return container, path


def asserts_directory(path: str) -> bool:
    """True for `dir/` and `dir/.`, which can be nothing but a directory."""
    return path.endswith("/") or posixpath.basename(path) == "."


def clean(path: str) -> str:
    """Shorten a path, keeping a `/` or `/.` at its end."""
    short = posixpath.normpath(path)
    if posixpath.basename(path) == ".":
        return posixpath.join(short, ".")
    return short + "/" if path.endswith("/") and short != "/" else short


def base_of(path: str) -> str:
    """The name that a source's archive begins with: `.` for `dir/.`, `/` for the root."""
    if posixpath.basename(path) == ".":
        return "."
    return posixpath.basename(posixpath.normpath(path)) or "/"


def place(
    source: str, *, source_is_directory: bool, target: str, target_kind: str
) -> tuple[str, str]:
    """Return the directory to copy into and the name there; empty: into the directory itself.

    `source` is the name that the archive begins with, `target_kind` is `directory`, `file` or
    empty. Raises: CliError in Docker's words.
    """
    if target_kind == "directory":
        return target, "" if source in (".", "/") else source
    if target_kind and source_is_directory:
        raise CliError("cannot copy directory", hint=f"{target} is there and is no directory")
    if not target_kind and not source_is_directory and asserts_directory(target):
        raise CliError("no such directory", hint=f"make {target} first, or leave the / out")
    directory, name = posixpath.split(posixpath.normpath(target))
    return directory or ".", name
