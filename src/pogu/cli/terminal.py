"""Edge: the user's terminal: raw mode, its size, and its state restored on every way out."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["RawTerminal", "is_terminal", "terminal_size"]

_SIGWINCH = 28


def is_terminal(fd: int) -> bool:
    return os.isatty(fd)


def terminal_size() -> tuple[int, int]:
    """Height and width in characters; (0, 0) when there is no terminal."""
    for fd in (1, 0, 2):
        try:
            size = os.get_terminal_size(fd)
        except OSError:
            continue
        return size.lines, size.columns
    return 0, 0


class RawTerminal:
    """Standard input in raw mode inside a `with` block; `on_resize` is called at SIGWINCH.

    `raw` false leaves the mode alone.
    """

    def __init__(self, on_resize: Callable[[], None] | None = None, *, raw: bool = True) -> None:
        self._raw = raw
        self._on_resize = on_resize
        self._saved: list[object] | None = None

    def __enter__(self) -> RawTerminal:
        import termios

        if self._raw and os.isatty(0):
            self._saved = termios.tcgetattr(0)
            raw = termios.tcgetattr(0)
            raw[0] &= ~(
                termios.IGNBRK
                | termios.BRKINT
                | termios.PARMRK
                | termios.ISTRIP
                | termios.INLCR
                | termios.IGNCR
                | termios.ICRNL
                | termios.IXON
            )
            raw[3] &= ~(
                termios.ECHO | termios.ECHONL | termios.ICANON | termios.ISIG | termios.IEXTEN
            )
            raw[1] &= ~termios.OPOST
            raw[2] = raw[2] & ~(termios.CSIZE | termios.PARENB) | termios.CS8
            raw[6][termios.VMIN] = 1
            raw[6][termios.VTIME] = 0
            termios.tcsetattr(0, termios.TCSANOW, raw)
        if self._on_resize is not None:
            import _signal  # type: ignore[import-not-found]

            resize = self._on_resize
            _signal.signal(_SIGWINCH, lambda _number, _frame: resize())
        return self

    def __exit__(self, *_exception: object) -> None:
        self.restore()

    def restore(self) -> None:
        """Idempotent."""
        if self._saved is not None:
            import termios

            termios.tcsetattr(0, termios.TCSADRAIN, self._saved)  # type: ignore[arg-type]
            self._saved = None
            sys.stdout.flush()
