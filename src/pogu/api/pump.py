"""Edge: what a client types, on its way to a process."""

from __future__ import annotations

from typing import Protocol

from pogu.api.detach import DetachKeys
from pogu.api.hijack import Hijacked

__all__ = ["Stdin", "pump_input"]


class Stdin(Protocol):
    """The input of a container's or an exec's process."""

    async def write(self, data: bytes) -> None: ...

    async def close_stdin(self) -> None: ...


async def pump_input(stdin: Stdin | None, connection: Hijacked, keys: DetachKeys | None) -> str:
    """Feed the process until the client ends: "closed" its input, "detached" by its keys, or
    "gone" altogether (then the process sees no end of file). Without `stdin` what is typed is
    dropped, but for the keys.
    """
    while data := await connection.read():
        detached = False
        if keys is not None:
            data, detached = keys.feed(data)
        if data and stdin is not None:
            await stdin.write(data)
        if detached:
            return "detached"
    if connection.vanished:
        return "gone"
    if stdin is not None:
        await stdin.close_stdin()
    return "closed"
