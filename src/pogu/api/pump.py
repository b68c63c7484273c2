"""Edge: what a client types, on its way to a process."""

from __future__ import annotations

from typing import Protocol

from pogu.api.detach import DetachKeys

__all__ = ["Client", "Stdin", "pump_input"]


class Stdin(Protocol):
    """The input of a container's or an exec's process."""

    async def write(self, data: bytes) -> None: ...

    async def close_stdin(self) -> None: ...


class Client(Protocol):
    """Who is attached: by a hijacked connection or a websocket."""

    @property
    def vanished(self) -> bool:
        """It is gone, rather than done with its input."""
        ...

    @property
    def gone(self) -> bool:
        """Nothing can be sent to it any more."""
        ...

    async def read(self) -> bytes:
        """What it sent; empty at its end."""
        ...

    async def write(self, data: bytes) -> None:
        """Raises: ConnectionError when it is gone."""
        ...


async def pump_input(stdin: Stdin | None, connection: Client, keys: DetachKeys | None) -> str:
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
