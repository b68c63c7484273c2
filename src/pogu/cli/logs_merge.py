"""Edge: the logs of several containers at once: by time, each line with its container's name."""

from __future__ import annotations

import os
import select

from pogu.cli.context import Context
from pogu.cli.http import quote
from pogu.cli.streams import write_all
from pogu.cli.terminal import is_terminal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pogu.cli.http import Http

__all__ = ["Lines", "Merge", "merge"]

_STAMP = len("2026-01-02T03:04:05.000000000Z ")
_WINDOW_S = 0.1
"""While they are followed, lines that come within this are put in order."""
_COLOURS = (36, 33, 32, 35, 34, 96, 93, 92, 95, 94)


class Lines:
    """One container's answer → (stream, stamped line with its end)."""

    def __init__(self, *, terminal: bool) -> None:
        self._terminal = terminal
        self._buffer = b""
        self._rest = {1: b"", 2: b""}

    def feed(self, piece: bytes) -> Iterator[tuple[int, bytes]]:
        """Yield the lines that are whole."""
        if self._terminal:
            yield from self._lines(1, piece)
            return
        data, at = self._buffer + piece, 0
        while len(data) - at >= 8:
            end = at + 8 + int.from_bytes(data[at + 4 : at + 8], "big")
            if len(data) < end:
                break
            yield from self._lines(2 if data[at] == 2 else 1, data[at + 8 : end])
            at = end
        self._buffer = data[at:]

    def _lines(self, stream: int, text: bytes) -> Iterator[tuple[int, bytes]]:
        *lines, self._rest[stream] = (self._rest[stream] + text).split(b"\n")
        for line in lines:
            yield stream, line + b"\n"

    def finish(self) -> Iterator[tuple[int, bytes]]:
        """Yield what has no line end; on a screen of many it gets one."""
        for stream, rest in self._rest.items():
            if rest:
                yield stream, rest + b"\n"


class Merge:
    """Queues of lines, one a container; gives them back in the order of their times."""

    def __init__(self, count: int) -> None:
        self._queues: list[list[tuple[int, bytes]]] = [[] for _ in range(count)]
        self._taken = [0] * count
        self.open = set(range(count))
        """Who may still say something."""

    def add(self, index: int, lines: Iterator[tuple[int, bytes]]) -> None:
        self._queues[index] += lines

    def silent(self) -> list[int]:
        """Who has to be heard before it is known which line is next."""
        return [index for index in self.open if self._waiting(index) == 0]

    def _waiting(self, index: int) -> int:
        return len(self._queues[index]) - self._taken[index]

    def ready(self, *, all_of_them: bool = False) -> Iterator[tuple[int, int, bytes]]:
        """Yield (container, stream, line) while the next is known, or all that is there."""
        while all_of_them or not self.silent():
            having = [index for index in range(len(self._queues)) if self._waiting(index)]
            if not having:
                return
            index = min(having, key=lambda one: self._queues[one][self._taken[one]][1][:_STAMP])
            stream, line = self._queues[index][self._taken[index]]
            self._taken[index] += 1
            if self._taken[index] == len(self._queues[index]):
                self._queues[index], self._taken[index] = [], 0
            yield index, stream, line


def merge(
    context: Context,
    names: Sequence[str],
    terminals: Sequence[bool],
    parameters: dict[str, object],
) -> None:
    """Print until all have ended."""
    replies = []
    for name in names:
        http = context.connection()
        path = f"/containers/{quote(name)}/logs"
        reply = http.request(
            "GET", path, parameters | {"timestamps": True}, headers={"User-Agent": "pogu"}
        )
        replies.append((http, reply.pieces()))
    sources = [Lines(terminal=terminal) for terminal in terminals]
    merged = Merge(len(names))
    show = _printer(names, stamped=bool(parameters["timestamps"]))
    window = _WINDOW_S if parameters["follow"] else None
    while merged.open:
        heard = _heard([(index, replies[index][0]) for index in merged.silent()], window)
        for index in heard:
            piece = next(replies[index][1], None)
            if piece is None:
                merged.open.discard(index)
                merged.add(index, sources[index].finish())
            else:
                merged.add(index, sources[index].feed(piece))
        show(merged.ready(all_of_them=not heard))
    show(merged.ready(all_of_them=True))


def _heard(waiting: list[tuple[int, Http]], window: float | None) -> list[int]:
    """Who of them has said something, or ended."""
    ready = [index for index, http in waiting if http.has_buffered()]
    if ready:
        return ready
    by_fd = {http.fileno(): index for index, http in waiting}
    readable, _, _ = select.select(list(by_fd), [], [], window)
    return [by_fd[fd] for fd in readable]


def _printer(
    names: Sequence[str], *, stamped: bool
) -> Callable[[Iterator[tuple[int, int, bytes]]], None]:
    width = max(map(len, names))
    coloured = is_terminal(1) and not os.environ.get("NO_COLOR")
    heads = []
    for number, name in enumerate(names):
        head = f"{name:<{width}} | "
        colour = _COLOURS[number % len(_COLOURS)]
        heads.append((f"\x1b[{colour}m{head}\x1b[0m" if coloured else head).encode())

    def show(lines: Iterator[tuple[int, int, bytes]]) -> None:
        run: list[bytes] = []
        last = 0
        for index, stream, line in lines:
            if stream != last and run:
                write_all(last, b"".join(run))
                run.clear()
            last = stream
            run.append(heads[index] + (line if stamped else line[_STAMP:]))
        if run:
            write_all(last, b"".join(run))

    return show
