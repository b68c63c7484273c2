"""A request's body as a file."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any, cast

from pogu.api.call import Call
from pogu.api.upload import body


def a_call(pieces: asyncio.Queue[bytes]) -> Call:
    async def iter_any() -> AsyncIterator[bytes]:
        while piece := await pieces.get():
            yield piece

    content = SimpleNamespace(iter_any=iter_any)
    return cast(Call, SimpleNamespace(http=SimpleNamespace(content=cast(Any, content))))


async def test_a_body_is_idle_while_its_client_is_waited_for() -> None:
    pieces: asyncio.Queue[bytes] = asyncio.Queue()
    pieces.put_nowait(bytes(4 << 20))  # more than the pipe holds
    async with body(a_call(pieces)) as arriving:
        await asyncio.sleep(0.05)
        assert arriving.idle_s == 0
        assert len(await asyncio.to_thread(arriving.file.read, 4 << 20)) == 4 << 20
        await asyncio.sleep(0.05)
        assert arriving.idle_s > 0.02
        pieces.put_nowait(b"")
        assert await asyncio.to_thread(arriving.file.read) == b""


async def test_a_body_that_is_cut_ends() -> None:
    pieces: asyncio.Queue[bytes] = asyncio.Queue()
    pieces.put_nowait(b"some")
    async with body(a_call(pieces)) as arriving:
        await asyncio.sleep(0.02)
        arriving.cut()
        assert await asyncio.to_thread(arriving.file.read) == b"some"


async def test_a_body_that_nobody_reads_leaves_nothing() -> None:
    async with body(a_call(asyncio.Queue())) as arriving:
        pass
    assert arriving.file.closed
