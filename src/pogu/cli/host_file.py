"""Edge: files of this host: handed to the engine by name where it can open them itself, else their
bytes; written so that they appear whole."""

from __future__ import annotations

import os
import stat
from contextlib import contextmanager

from pogu.cli.failure import ApiError, CliError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pogu.cli.context import Context
    from pogu.cli.http import Reply

__all__ = ["FORBIDDEN", "open_file", "send_file", "write_archive", "written_whole"]

FORBIDDEN = 403
"""The engine's answer when it cannot or may not open a file itself."""

_BLOCK = 1 << 20


def open_file(path: str) -> int:
    """Raises: CliError."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as err:
        raise CliError(f"open {path}: {(err.strerror or '').lower()}") from err
    if stat.S_ISDIR(os.fstat(fd).st_mode):
        os.close(fd)
        raise CliError(f"open {path}: is a directory", hint="an archive is a file: tar -c it first")
    return fd


def send_file(context: Context, path: str, parameters: dict[str, object], fd: int) -> Reply:
    """POST to `path` with the file that `fd` has open as the body. Raises: ApiError."""
    name = os.readlink(f"/proc/self/fd/{fd}")
    if fd and _is_same_file(name, fd):
        headers = {"X-Pogu-File": name}
        try:
            return context.request("POST", path, parameters, headers=headers)
        except ApiError as err:
            if err.status != FORBIDDEN:
                raise
    return context.request("POST", path, parameters, stream=_pieces(fd))


def _is_same_file(path: str, fd: int) -> bool:
    """True when a regular file can be named to another process, in one header line."""
    if not path.startswith("/") or not path.isprintable():
        return False
    try:
        named, opened = os.stat(path), os.fstat(fd)
    except OSError:
        return False
    return stat.S_ISREG(opened.st_mode) and os.path.samestat(named, opened)


def _pieces(fd: int) -> Iterator[bytes]:
    while data := os.read(fd, _BLOCK):
        yield data


@contextmanager
def written_whole(path: str) -> Iterator[int]:
    """Give an open file that stands at `path` after the block: written beside it and renamed.

    A pipe or a device is written itself. Raises: CliError when there can be no such file.
    """
    path = os.path.realpath(path)
    directory, name = os.path.split(path)
    if not os.path.isdir(directory):
        raise CliError(f'invalid output path: directory "{directory}" does not exist')
    if os.path.isdir(path):
        raise CliError(f"open {path}: is a directory")
    if os.path.exists(path) and not os.path.isfile(path):  # a pipe, /dev/null
        yield os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        return
    temporary = os.path.join(directory, f".{name[:100]}-{os.getpid()}")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        yield fd
        os.fsync(fd)
        os.rename(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def write_archive(target: str, write: Callable[[int], None]) -> int:
    """Let `write` fill the file `target`, which appears whole, or standard output (empty or `-`).

    Return the exit code. Raises: CliError for a terminal.
    """
    if target not in ("", "-"):
        with written_whole(target) as fd:
            write(fd)
        return 0
    if os.isatty(1):
        raise CliError("cowardly refusing to save to a terminal. Use the -o flag or redirect")
    try:
        write(1)
    except BrokenPipeError:
        return 141
    return 0
