"""Edge: `import`: an image from a tar archive of a root file system."""

from __future__ import annotations

import os
import stat

from pogu.cli.context import Context
from pogu.cli.failure import ApiError, CliError
from pogu.cli.flags import Command, Flag, Values
from pogu.cli.images import split_tag
from pogu.cli.progress import status_lines

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from pogu.cli.http import Reply

__all__ = ["COMMANDS"]

_BLOCK = 1 << 20
_FORBIDDEN = 403


def _import(context: Context, values: Values) -> int:
    source, name = values.args[0], "".join(values.args[1:])
    if "://" in source:
        raise CliError(
            f"cannot import {source}: Pogu does not fetch URLs",
            hint=f"curl -L {source} | pogu import - {name}".rstrip(),
        )
    repository, tag = split_tag(name)
    parameters: dict[str, object] = {
        "fromSrc": "-",
        "repo": repository or None,
        "tag": tag or None,
        "message": values.text("message") or None,
        "changes": values.texts("change"),
        "platform": values.text("platform") or None,
    }
    fd = 0 if source == "-" else _opened(source)
    for line in status_lines(_send(context, parameters, fd)):
        context.out(line)
    return 0


def _opened(path: str) -> int:
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as err:
        raise CliError(f"open {path}: {(err.strerror or '').lower()}") from err


def _send(context: Context, parameters: dict[str, object], fd: int) -> Reply:
    """Name a file of this host to the engine, which reads it itself; else send what `fd` gives."""
    path = os.readlink(f"/proc/self/fd/{fd}")
    if fd and _is_same_file(path, fd):
        headers = {"X-Pogu-File": path}
        try:
            return context.request("POST", "/images/create", parameters, headers=headers)
        except ApiError as err:
            if err.status != _FORBIDDEN:
                raise
    return context.request("POST", "/images/create", parameters, stream=_pieces(fd))


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


COMMANDS = {
    "import": Command(
        "import",
        "[OPTIONS] file|URL|- [REPOSITORY[:TAG]]",
        "Import the contents of a tar archive as an image",
        _import,
        [
            Flag("-c, --change", "list", "Apply a Dockerfile instruction to the image"),
            Flag("-m, --message", "text", "Comment of the image's history"),
            Flag("--platform", "text", "Platform of the image"),
        ],
        least=1,
        most=2,
    )
}
