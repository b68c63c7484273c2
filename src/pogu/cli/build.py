"""Edge: `build`."""

from __future__ import annotations

import os
import sys

from pogu.cli.build_flags import FLAGS, refuse_impossible
from pogu.cli.build_flags import parameters as build_parameters
from pogu.cli.build_output import Outputs
from pogu.cli.build_view import JsonView, PlainView, QuietView, View
from pogu.cli.context import Context
from pogu.cli.failure import ApiError, CliError, UsageError
from pogu.cli.flags import Command, Values
from pogu.cli.http import Reply

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["COMMANDS"]

_BLOCK = 1 << 18
_ARCHIVES = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00", b"\x28\xb5\x2f\xfd")
_TAR_MAGIC = slice(257, 262)


def _build(context: Context, values: Values) -> int:
    refuse_impossible(values)
    view, outputs = _view(values), Outputs(values)
    parameters = build_parameters(values) | {"t": outputs.tags}
    path = values.args[0]
    if path.startswith(("http://", "https://", "git://", "git@")):
        raise CliError(
            f"unable to prepare context: building from {path} is not possible",
            hint="fetch or clone it, then build the directory",
        )
    if path == "-":
        reply = _send_stream(context, parameters, _standard_input())
    elif os.path.isdir(path):
        reply = _send_directory(context, values, parameters, os.path.abspath(path))
    elif os.path.exists(path):
        reply = _send_stream(context, parameters, _file(path))
    else:
        raise CliError(
            f'unable to prepare context: path "{path}" not found', hint=_near_directory(path)
        )
    code = view.show(reply)
    image_file = values.text("iidfile")
    if code == 0 and image_file:
        with open(image_file, "w", encoding="ascii") as file:
            file.write(view.image_id)
    return code or outputs.give(context, view.image_id)


def _near_directory(path: str) -> str:
    from pogu.cli.failure import near

    parent = os.path.dirname(path) or "."
    try:
        close = near(os.path.basename(path), os.listdir(parent))
    except OSError:
        close = ""
    return f"did you mean {close}?" if close else "the context is a directory, a tar file or -"


def _view(values: Values) -> View:
    progress = values.text("progress")
    if values.flag("quiet"):
        return QuietView()
    if progress in ("json", "rawjson"):
        return JsonView()
    if progress not in ("auto", "plain", "tty"):
        raise UsageError(f"invalid value for --progress: {progress}", hint="auto, plain or json")
    return PlainView(colour=progress != "plain" and os.isatty(2))


# ---- sending the context -------------------------------------------------------------------


def _send_directory(
    context: Context, values: Values, parameters: dict[str, object], directory: str
) -> Reply:
    """Name the directory to the engine, which is on this machine; a stranger sends a tar."""
    dockerfile = values.text("file") or "Dockerfile"
    body = b""
    if dockerfile == "-":
        body = sys.stdin.buffer.read()
        parameters["dockerfile"] = "Dockerfile"
    else:
        full = os.path.abspath(dockerfile) if values.text("file") else ""
        inside = os.path.relpath(full or os.path.join(directory, dockerfile), directory)
        target = os.path.realpath(os.path.join(directory, inside))
        leads_out = not target.startswith(os.path.realpath(directory).rstrip("/") + "/")
        if inside.startswith("..") or (leads_out and os.path.isfile(target)):
            body = _read(full or target)
            parameters["dockerfile"] = os.path.basename(full or target)
        else:
            parameters["dockerfile"] = inside
    if os.geteuid() == 0:
        headers = {"X-Pogu-Context": directory, "Content-Type": "text/x-dockerfile"}
        headers |= _logins()
        try:
            return context.http.request("POST", "/build", parameters, body=body, headers=headers)
        except ApiError as err:
            if err.status != 403:
                raise
            context.drop()
    return _send_tar(context, parameters, directory, body)


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as err:
        raise CliError(
            f"unable to prepare context: unable to evaluate symlinks in Dockerfile path: lstat"
            f" {path}: {(err.strerror or '').lower()}",
            hint="-f names a file",
        ) from err


def _send_tar(
    context: Context, parameters: dict[str, object], directory: str, dockerfile: bytes
) -> Reply:
    from pogu.cli.context_tar import context_tar

    name = str(parameters.get("dockerfile") or "Dockerfile")
    if dockerfile:
        name = parameters["dockerfile"] = ".pogu-dockerfile"
    return _send_stream(context, parameters, context_tar(directory, name, dockerfile))


def _send_stream(context: Context, parameters: dict[str, object], stream: Iterator[bytes]) -> Reply:
    headers = {"Content-Type": "application/x-tar", **_logins()}
    return context.http.request("POST", "/build", parameters, stream=stream, headers=headers)


def _logins() -> dict[str, str]:
    """For base images of private registries."""
    from pogu.cli.credentials import CredentialStore, auth_header

    return auth_header(CredentialStore().all(), "X-Registry-Config")


def _file(path: str) -> Iterator[bytes]:
    with open(path, "rb") as file:
        yield from _archive_or_dockerfile(file.fileno())


def _standard_input() -> Iterator[bytes]:
    yield from _archive_or_dockerfile(0)


def _archive_or_dockerfile(fd: int) -> Iterator[bytes]:
    """Pass an archive on; wrap a bare Dockerfile into one."""
    head = b""
    while len(head) < 512 and (data := os.read(fd, _BLOCK)):
        head += data
    if head[_TAR_MAGIC] == b"ustar" or head.startswith(_ARCHIVES):
        yield head
        while data := os.read(fd, _BLOCK):
            yield data
        return
    while data := os.read(fd, _BLOCK):
        head += data
    from pogu.cli.context_tar import dockerfile_tar

    yield dockerfile_tar(head)


COMMANDS = {
    "build": Command(
        "build",
        "[OPTIONS] PATH | -",
        "Build an image from a Dockerfile",
        _build,
        FLAGS,
        least=1,
        most=1,
    )
}
