"""A registry of one blob that cuts connections, throttles and answers 429, as it is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

__all__ = ["Answer", "CuttingRegistry", "a_cutting_registry"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the next request gets: a status, or the blob cut after so many bytes (None = whole)."""

    status: int = 200
    cut_after: int | None = None
    headers: tuple[str, ...] = ()


@dataclass(slots=True)
class CuttingRegistry:
    """Answers in turn; when they are used up, the whole blob."""

    blob: bytes
    answers: list[Answer] = field(default_factory=list)
    offsets: list[int] = field(default_factory=list)
    """Where each request for the blob wanted to begin."""
    url: str = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                if not await self._answer(head.decode(), writer):
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _answer(self, head: str, writer: asyncio.StreamWriter) -> bool:
        """Return whether the connection goes on."""
        offset = 0
        for line in head.split("\r\n"):
            if line.lower().startswith("range: bytes="):
                offset = int(line.partition("=")[2].rstrip("-"))
        self.offsets.append(offset)
        answer = self.answers.pop(0) if self.answers else Answer()
        body = self.blob[offset:] if answer.status == 200 else b"{}"
        status = 206 if offset and answer.status == 200 else answer.status
        lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}", *answer.headers]
        writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())
        writer.write(body if answer.cut_after is None else body[: answer.cut_after])
        await writer.drain()
        return answer.cut_after is None


@asynccontextmanager
async def a_cutting_registry(blob: bytes, answers: list[Answer]) -> AsyncIterator[CuttingRegistry]:
    """Serve on loopback."""
    registry = CuttingRegistry(blob=blob, answers=answers)
    server = await asyncio.start_server(registry.serve, "127.0.0.1", 0)
    registry.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield registry
    finally:
        server.close()
