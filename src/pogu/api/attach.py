"""Edge: attach: a container's stdio over a hijacked connection or a websocket.

With `logs` and `stream` what was written and what comes are one: both are read from the log, so
that nothing is missed or told twice where they meet.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass

from pogu.api.call import Call
from pogu.api.container_io import wanted_streams
from pogu.api.detach import DetachKeys, parse_keys
from pogu.api.hijack import HijackedResponse, hijack
from pogu.api.http_server import StreamResponse
from pogu.api.pump import Client, pump_input
from pogu.api.route import Route
from pogu.api.stream import frame, stream_type
from pogu.containers.model import Container, Status
from pogu.errors import EngineError
from pogu.runtime.broadcast import Listener
from pogu.runtime.logformat import LogView

__all__ = ["ROUTES"]

_BOTH = frozenset((1, 2))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Attachment:
    """What one client asked for; `framed` = each piece of output says which stream it is of."""

    call: Call
    container: Container
    client: Client
    joining: asyncio.Future[Listener]
    keys: DetachKeys | None
    framed: bool

    async def serve(self) -> None:
        """Replay (`logs`), then live in both directions (`stream`); errors go in-band."""
        try:
            if self.call.flag("stream"):
                await self._live()
            elif self.call.flag("logs"):
                await _write_all(self._log(), self.client)
        except EngineError as err:
            text = (err.message + "\n").encode()
            with contextlib.suppress(ConnectionError):
                await self.client.write(frame(2, text) if self.framed else text)

    async def _live(self) -> None:
        """End when the output ends, when the client leaves, or at the detach keys."""
        runs = self.joining.done()
        try:
            if self.call.flag("logs") and not runs:
                await asyncio.sleep(0)  # it waits for the start before the log is read
                await _write_all(self._log(until_ns=time.time_ns()), self.client)
            listener = await self.joining
        except EngineError:
            if self.container.state.status is Status.RUNNING:
                raise
            return  # it was never started: whoever starts it is told why
        await self._pump(listener, from_log=self.call.flag("logs") and runs)

    async def _pump(self, listener: Listener, *, from_log: bool) -> None:
        feeds = self.call.flag("stdin") and self.container.record.config.open_stdin
        stdin = listener if feeds else None
        pieces = self._log(follow=True) if from_log else self._heard(listener)
        output = asyncio.ensure_future(_write_all(pieces, self.client))
        typed = asyncio.ensure_future(pump_input(stdin, self.client, self.keys))
        tasks = {output, typed} | ({asyncio.ensure_future(_drop(listener))} if from_log else set())
        try:
            await asyncio.wait({output, typed}, return_when=asyncio.FIRST_COMPLETED)
            if typed.done() and typed.result() != "closed":
                if typed.result() == "detached":
                    self.call.engine.containers.detached(self.container.id)
                return
            if not self.client.gone:
                await output
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _log(self, *, follow: bool = False, until_ns: int = 0) -> AsyncGenerator[bytes]:
        terminal = self.container.record.config.tty
        view = LogView(
            streams=_BOTH if terminal else wanted_streams(self.call),
            framed=self.framed,
            joined=True,
            at_once=True,
            until_ns=until_ns,
        )
        return self.call.engine.containers.logs(self.container.id, view, follow=follow)

    async def _heard(self, listener: Listener) -> AsyncIterator[bytes]:
        terminal, wanted = self.container.record.config.tty, wanted_streams(self.call)
        async for number, data in listener:
            if terminal or number in wanted:
                yield frame(number, data) if self.framed else data


async def _write_all(pieces: AsyncIterator[bytes], client: Client) -> None:
    """Until the pieces or the client end."""
    with contextlib.suppress(ConnectionError):
        async for piece in pieces:
            await client.write(piece)


async def _drop(listener: Listener) -> None:
    """Its output is read elsewhere."""
    with contextlib.suppress(EngineError):
        async for _ in listener:
            pass


def _asked(call: Call) -> tuple[Container, DetachKeys | None]:
    """Raises: NotFound; Conflict when it is paused or restarting; InvalidParameter."""
    container = call.engine.containers.resolve(call.name)
    call.engine.containers.check_attachable(call.name)
    keys = parse_keys(call.text("detachKeys"))
    return container, DetachKeys(keys) if container.record.config.tty else None


@contextlib.asynccontextmanager
async def _joining(call: Call, container: Container) -> AsyncIterator[asyncio.Future[Listener]]:
    """Begin to listen. To one that runs before the client has its answer: it hears of all that it
    causes then.
    """
    containers = call.engine.containers
    runs = containers.resolve(container.id).state.status in (Status.RUNNING, Status.PAUSED)
    joining = asyncio.ensure_future(containers.attach(container.id))
    try:
        if runs:
            await asyncio.wait({joining})
        yield joining
    finally:
        joining.cancel()
        for listener in await asyncio.gather(joining, return_exceptions=True):
            if isinstance(listener, Listener):
                await listener.aclose()


async def attach(call: Call) -> StreamResponse:
    """Hijack; both sides may end alone."""
    container, keys = _asked(call)
    terminal = container.record.config.tty
    async with _joining(call, container) as joining:
        connection = hijack(call, stream_type(call, terminal=terminal))
        try:
            await _Attachment(
                call=call,
                container=container,
                client=connection,
                joining=joining,
                keys=keys,
                framed=not terminal,
            ).serve()
        finally:
            connection.close()
    return HijackedResponse()


async def attach_websocket(call: Call) -> StreamResponse:
    """As `attach`, the outputs as they are. Binary messages, text for clients before 1.28; the
    client's close is the end of its input.
    """
    from pogu.api.websocket import WebSocket  # most engines never meet one

    container, keys = _asked(call)
    async with _joining(call, container) as joining:
        socket = await WebSocket.accept(call)
        try:
            await _Attachment(
                call=call,
                container=container,
                client=socket,
                joining=joining,
                keys=keys,
                framed=False,
            ).serve()
        finally:
            await socket.close()
    return socket.response


ROUTES = [
    Route("POST", "/containers/{name}/attach", attach),
    Route("GET", "/containers/{name}/attach/ws", attach_websocket),
]
