"""Edge: `cp`: files between a container and here, by the rules of `copy_rules.py`."""

from __future__ import annotations

import os
import stat

from pogu.cli.context import Context
from pogu.cli.copy_rules import base_of, clean, place, split_argument
from pogu.cli.failure import ApiError, CliError
from pogu.cli.flags import Command, Flag, Values
from pogu.cli.http import quote
from pogu.cli.table import human_size
from pogu.cli.wire import decode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from pogu.cli.http import Reply

__all__ = ["COMMANDS"]

_GO_DIRECTORY = 1 << 31
_GO_LINK = 1 << 27
_GO_SPECIAL = 1 << 26 | 1 << 25 | 1 << 24 | 1 << 21
_BLOCK = 1 << 20


def _cp(context: Context, values: Values) -> int:
    for word, what in zip(values.args, ("source", "destination"), strict=True):
        if not word:
            raise CliError(f"{what} can not be empty")
    source, source_path = split_argument(values.args[0])
    target, target_path = split_argument(values.args[1])
    if source and target:
        raise CliError(
            "copying between containers is not supported",
            hint=f"pogu cp {values.args[0]} - | pogu cp - {values.args[1]}",
        )
    if not source and not target:
        raise CliError(
            "must specify at least one container source", hint="pogu cp CONTAINER:PATH PATH"
        )
    try:
        if source:
            return _out(context, values, source, source_path, target_path)
        return _in(context, values, source_path, target, target_path)
    except OSError as err:
        raise CliError(f"{err.filename or 'cp'}: {(err.strerror or str(err)).lower()}") from err


def _archive(container: str) -> str:
    return f"/containers/{quote(container)}/archive"


def _is_shown(values: Values) -> bool:
    return not values.flag("quiet") if "quiet" in values.given else os.isatty(1)


def _stat(reply: Reply) -> dict[str, object]:
    import binascii

    found = decode(binascii.a2b_base64(reply.headers["x-docker-container-path-stat"]))
    assert isinstance(found, dict)
    return found


def _path_stat(context: Context, container: str, path: str) -> dict[str, object] | None:
    """What is at a path; None when nothing is, or when it cannot be told."""
    try:
        reply = context.request("HEAD", _archive(container), {"path": path})
    except ApiError:
        return None
    return _stat(reply)


# ---- from a container --------------------------------------------------------------------------


def _out(context: Context, values: Values, container: str, path: str, target: str) -> int:
    base = base_of(path)
    if values.flag("follow-link"):
        found = _path_stat(context, container, path)
        if found and int(str(found["mode"])) & _GO_LINK:
            path = str(found["linkTarget"])
    if target != "-":
        _check_parent(target)
    reply = context.request("GET", _archive(container), {"path": path})
    if target == "-":
        return _stream(reply)
    is_directory = bool(int(str(_stat(reply)["mode"])) & _GO_DIRECTORY)
    real = _followed(target)
    directory, name = place(
        base, source_is_directory=is_directory, target=real, target_kind=_local_kind(real)
    )
    from pogu.cli.copy_tar import unpack

    keep = values.flag("archive")
    size = unpack(reply.pieces(), base_of(path), directory, name, keep_owner=keep)
    if _is_shown(values):
        context.error(f"Successfully copied {human_size(size)} to {os.path.abspath(target)}")
    return 0


def _stream(reply: Reply) -> int:
    if os.isatty(1):
        raise CliError("refusing to write a tar archive to a terminal", hint="redirect it")
    try:
        for piece in reply.pieces():
            view = memoryview(piece)
            while view:
                view = view[os.write(1, view) :]
    except BrokenPipeError:
        return 141
    return 0


def _check_parent(target: str) -> None:
    directory = os.path.dirname(os.path.abspath(target))
    if not os.path.isdir(directory):
        raise CliError(f'invalid output path: directory "{directory}" does not exist')


def _followed(path: str) -> str:
    """A link is where it leads, also when nothing is there yet."""
    end = clean(os.path.join(os.getcwd(), path))
    return os.path.realpath(path) if os.path.islink(path.rstrip("/")) else end


def _local_kind(path: str) -> str:
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        return ""
    if stat.S_ISDIR(mode):
        return "directory"
    if not stat.S_ISREG(mode):
        raise CliError(f'invalid output path: "{path}" must be a directory or a regular file')
    return "file"


# ---- to a container ----------------------------------------------------------------------------


def _in(context: Context, values: Values, path: str, container: str, target: str) -> int:
    real, kind = _container_kind(context, container, target)
    if path == "-":
        if kind != "directory":
            raise CliError(f'destination "{container}:{target}" must be a directory')
        return _send(context, values, container, real, _stdin(), shown=real)
    base = base_of(path)
    full = os.path.realpath(path) if values.flag("follow-link") else path
    info = os.stat(full) if path.endswith(("/", "/.")) or path == "." else os.lstat(full)
    if path.endswith("/") and not stat.S_ISDIR(info.st_mode):
        raise CliError(f"lstat {path}: not a directory")
    directory, name = place(
        base, source_is_directory=stat.S_ISDIR(info.st_mode), target=real, target_kind=kind
    )
    from pogu.cli.copy_tar import pack

    full = os.path.realpath(full) if stat.S_ISDIR(info.st_mode) else full
    pieces = pack(full, name, keep_owner=values.flag("archive"))
    return _send(context, values, container, directory, pieces, shown=real)


def _stdin() -> Iterator[bytes]:
    while data := os.read(0, _BLOCK):
        yield data


def _container_kind(context: Context, container: str, path: str) -> tuple[str, str]:
    """Where the destination really is, and what is there."""
    found = _path_stat(context, container, path)
    if found and int(str(found["mode"])) & _GO_LINK:
        link = str(found["linkTarget"])
        found, path = _path_stat(context, container, link), link
    if found is None:
        return path, ""
    mode = int(str(found["mode"]))
    if mode & _GO_SPECIAL:
        raise CliError(f'destination "{container}:{path}" must be a directory or a regular file')
    return path, "directory" if mode & _GO_DIRECTORY else "file"


def _send(
    context: Context,
    values: Values,
    container: str,
    directory: str,
    pieces: Iterator[bytes],
    *,
    shown: str,
) -> int:
    size = 0

    def counting() -> Iterator[bytes]:
        nonlocal size
        for piece in pieces:
            size += len(piece)
            yield piece

    parameters: dict[str, object] = {"path": directory, "noOverwriteDirNonDir": True}
    context.request("PUT", _archive(container), parameters, stream=counting()).read()
    if _is_shown(values):
        context.error(f"Successfully copied {human_size(size)} to {container}:{shown}")
    return 0


COMMANDS = {
    "cp": Command(
        "cp",
        "[OPTIONS] CONTAINER:SRC_PATH DEST_PATH|-  or  SRC_PATH|- CONTAINER:DEST_PATH",
        "Copy files/folders between a container and the local filesystem",
        _cp,
        [
            Flag("-a, --archive", "bool", "Archive mode (copy all uid/gid information)"),
            Flag("-L, --follow-link", "bool", "Always follow symbol link in SRC_PATH"),
            Flag("-q, --quiet", "bool", "Suppress progress output during copy"),
        ],
        least=2,
        most=2,
    )
}
