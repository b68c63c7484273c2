"""Edge: `save`: images as one archive; `image inventory`: which layers are here.

The engine writes into the file (or pipe) that is open here, where it can; else the bytes come as
the answer.
"""

from __future__ import annotations

import fcntl
import os
import stat

from pogu.cli.context import Context
from pogu.cli.failure import ApiError, CliError
from pogu.cli.flags import Command, Flag, Values
from pogu.cli.host_file import FORBIDDEN, open_file, write_archive

__all__ = ["COMMANDS"]


def _save(context: Context, values: Values) -> int:
    request: dict[str, object] = {
        "names": values.args,
        "format": values.text("format") or "docker-archive",
        "platform": values.text("platform"),
        "since": values.texts("since"),
        "inventory": _inventory_of(values.text("inventory")),
        "compression": values.text("compress"),
    }
    return write_archive(values.text("output"), lambda fd: _write(context, request, fd))


def _inventory_of(path: str) -> list[str]:
    """Diff IDs, one a line, as `image inventory` prints them."""
    if not path:
        return []
    fd = 0 if path == "-" else open_file(path)
    with open(fd, "rb", closefd=fd != 0) as file:
        lines = file.read().decode(errors="replace").split()
    for line in lines:
        if not line.startswith("sha256:") or len(line) != 71:
            raise CliError(
                f"invalid inventory: {line[:80]!r}",
                hint="what `pogu image inventory` prints on the other side",
            )
    return lines


def _write(context: Context, request: dict[str, object], fd: int) -> None:
    """Raises: ApiError, CliError; BrokenPipeError when nobody reads any more."""
    if _can_be_opened_again(fd):
        info = os.fstat(fd)
        headers = {"X-Pogu-Fd": f"{fd} {info.st_dev} {info.st_ino}"}
        try:
            context.request("POST", "/pogu/save", body=request, headers=headers).read()
        except ApiError as err:
            if err.engine_message == "write: broken pipe":
                raise BrokenPipeError from err
            if err.status != FORBIDDEN:
                raise
        else:
            if stat.S_ISREG(info.st_mode):
                os.lseek(fd, 0, os.SEEK_END)
            return
    for piece in context.request("POST", "/pogu/save", body=request).pieces():
        view = memoryview(piece)
        while view:
            view = view[os.write(fd, view) :]


def _can_be_opened_again(fd: int) -> bool:
    """True for a pipe, and for a file that is empty so far: who opens it again writes at 0."""
    mode = os.fstat(fd).st_mode
    if stat.S_ISREG(mode):
        appends = fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_APPEND
        return not appends and os.fstat(fd).st_size == 0
    return stat.S_ISFIFO(mode)


def _inventory(context: Context, values: Values) -> int:
    found = context.get("/pogu/inventory")
    for diff_id in found if isinstance(found, list) else ():
        context.out(str(diff_id))
    return 0


COMMANDS = {
    "save": Command(
        "save",
        "[OPTIONS] IMAGE [IMAGE...]",
        "Save images as one archive that docker, podman, skopeo and umoci read",
        _save,
        [
            Flag("--compress", "text", "Compress the archive: gzip or zstd"),
            Flag("--format", "text", "docker-archive (an OCI layout too) or oci-archive"),
            Flag("--inventory", "text", "Leave out the layers of this list of `image inventory`"),
            Flag("-o, --output", "text", "Write to a file instead of standard output"),
            Flag("--platform", "text", "Save this platform only"),
            Flag("--since", "list", "Leave out the layers of an image that the other side has"),
        ],
        least=1,
    ),
    "image inventory": Command(
        "image inventory",
        "",
        "List the layers that are here, for `save --inventory` elsewhere",
        _inventory,
        most=0,
    ),
}
