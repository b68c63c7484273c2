"""Edge: `/images/load`, `/images/get`, `/images/{name}/get`, and ours: `/pogu/save` and
`/pogu/inventory`."""

from __future__ import annotations

import asyncio
import os
import threading
from typing import BinaryIO

import msgspec

from pogu.api.call import Call
from pogu.api.host_file import client_file, host_file, opened
from pogu.api.http_server import StreamResponse
from pogu.api.platform import platform_text
from pogu.api.reply import json_reply
from pogu.api.route import Route, finish
from pogu.api.stream import JsonLines
from pogu.api.tar_reply import Gone, send_tar
from pogu.api.transfer import progress_line
from pogu.api.upload import body_file
from pogu.errors import InvalidParameter
from pogu.images.archive_drawing import Archive, SaveRequest
from pogu.images.archive_writer import FileSink
from pogu.images.load import Loaded
from pogu.images.progress import TransferEvent
from pogu.linux.blocking import in_own_thread
from pogu.storage.failure import write_failure

__all__ = ["ROUTES"]


# ---- load ------------------------------------------------------------------------------------


async def load(call: Call) -> StreamResponse:
    """The archive is the body; or, for our own CLI, a file of this host."""
    lines = JsonLines(call)
    quiet = call.flag("quiet")

    async def emit(event: TransferEvent) -> None:
        if not quiet:
            await lines.send(progress_line(event))

    async def work(file: BinaryIO) -> list[Loaded]:
        return await finish(call.engine.loader.load(file, platform=platform_text(call), emit=emit))

    try:
        path = host_file(call)
        if path is not None:
            with opened(path) as file:
                loaded = await work(file)
        else:
            async with body_file(call) as file:
                loaded = await work(file)
        for line in _said(loaded):
            await lines.send({"stream": f"{line}\n"})
    except Exception as err:
        return await lines.fail(err)
    return await lines.end()


def _said(loaded: list[Loaded]) -> list[str]:
    """What Docker says, and tools read."""
    lines = []
    for one in loaded:
        lines += [
            f"The image {tag.familiar} already exists, renaming the old one with ID {old} to"
            " empty string"
            for tag, old in one.replaced
        ]
        lines += [f"Loaded image: {tag.familiar}" for tag in one.tags]
        if not one.tags:
            lines.append(f"Loaded image ID: {one.image.id}")
    return lines


# ---- save ------------------------------------------------------------------------------------


class _Save(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    names: tuple[str, ...]
    format: str = "docker-archive"
    platform: str = ""
    since: tuple[str, ...] = ()
    inventory: tuple[str, ...] = ()
    compression: str = ""


async def get(call: Call) -> StreamResponse:
    """Docker's `save`: one image by its path, several by `names`."""
    names = (call.name,) if "name" in call.path else tuple(call.texts("names"))
    request = SaveRequest(names=names, platform=platform_text(call))
    async with call.engine.images.hold():
        return await send_tar(call, (await call.engine.saver.plan(request)).write)


async def save(call: Call) -> StreamResponse:
    """Ours: with every option; X-Pogu-Fd names an open file of the caller, written directly."""
    body = await call.body_as(_Save)
    request = SaveRequest(**msgspec.structs.asdict(body))
    async with call.engine.images.hold():
        archive = await call.engine.saver.plan(request)
        fd = client_file(call)
        if fd is None:
            return await send_tar(call, archive.write)
        with os.fdopen(fd, "wb", buffering=0):
            await _write_file(archive, fd)
    return json_reply({"Size": archive.size_bytes, "LeftOut": archive.left_out})


async def inventory(call: Call) -> StreamResponse:
    """Ours: diff IDs of the layers that are here."""
    return json_reply(call.engine.saver.inventory())


class _StoppableFile(FileSink):
    """A file whose writing ends when the client goes away."""

    def __init__(self, fd: int, gone: threading.Event) -> None:
        super().__init__(fd)
        self._gone = gone

    def write(self, data: bytes) -> None:
        if self._gone.is_set():
            raise Gone
        super().write(data)


async def _write_file(archive: Archive, fd: int) -> None:
    """Raises: SystemFailure on a full disk, InvalidParameter when nobody reads the pipe."""
    gone = threading.Event()
    writing = asyncio.ensure_future(in_own_thread(archive.write, _StoppableFile(fd, gone)))
    try:
        await asyncio.shield(writing)
    except asyncio.CancelledError:
        gone.set()
        await asyncio.gather(writing, return_exceptions=True)
        raise
    except BrokenPipeError as err:
        raise InvalidParameter("write: broken pipe", hint="who reads it has ended") from err
    except OSError as err:
        raise write_failure(err) from err


ROUTES = [
    Route("POST", "/images/load", load),
    Route("GET", "/images/get", get),
    Route("GET", "/images/{name}/get", get),
    Route("POST", "/pogu/save", save),
    Route("GET", "/pogu/inventory", inventory),
]
