"""Edge: files of this host that our own CLI names instead of sending or fetching the bytes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

from pogu.api.call import Call
from pogu.errors import Forbidden, InvalidParameter, NotFound

__all__ = ["client_file", "host_file", "opened"]


def host_file(call: Call, header: str = "X-Pogu-File") -> Path | None:
    """The file that is named by its path.

    Raises: Forbidden unless the caller is root or the engine's own user.
    """
    text = call.http.headers.get(header)
    if not text:
        return None
    if not call.peer_is_trusted():
        raise Forbidden(f"{header} is only for the engine's own user", hint="send the content")
    path = Path(text)
    if not path.is_absolute():
        raise InvalidParameter(f"{header} must be an absolute path: {text}")
    return path


def opened(path: Path) -> BinaryIO:
    """Raises: NotFound."""
    try:
        return path.open("rb")
    except OSError as err:
        raise NotFound(f"open {path}: {(err.strerror or '').lower()}") from err


def client_file(call: Call, header: str = "X-Pogu-Fd") -> int | None:
    """Open for writing what the caller has open: `FD DEVICE INODE`; the result is the caller's own.

    Raises: Forbidden where that cannot be: another user, another pid namespace, a socket.
    """
    text = call.http.headers.get(header)
    if not text:
        return None
    peer = call.peer()
    if peer is None or not call.peer_is_trusted():
        raise Forbidden(f"{header} is only for the engine's own user", hint="read the answer")
    try:
        number, device, inode = map(int, text.split())
    except ValueError:
        raise InvalidParameter(f"invalid {header}: {text!r}") from None
    try:
        fd = os.open(f"/proc/{peer[0]}/fd/{number}", os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as err:
        raise Forbidden(f"{header} {number} cannot be opened: {err.strerror}") from err
    info = os.fstat(fd)
    if (info.st_dev, info.st_ino) != (device, inode):
        os.close(fd)
        raise Forbidden(f"{header} {number} is another file here")
    os.set_blocking(fd, True)
    return fd
