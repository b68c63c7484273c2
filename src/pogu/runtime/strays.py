"""Edge: monitors and runtime calls of an engine that was killed, found in /proc.

conmon writes its pid a moment after it was started, the runtime its state later still: whoever dies
in between leaves processes that no file names, only their command lines.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pogu.config import Paths
from pogu.linux.blocking import in_thread

__all__ = ["Stray", "end_unfinished", "find_strays", "stray_of"]

_PATIENCE_S = 3.0
_PAUSE_S = 0.02
_QUICK = frozenset({"create", "start", "delete", "kill", "pause", "resume", "update"})
"""Calls that end by themselves within milliseconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stray:
    """One process. `word` is the runtime's command; empty = a monitor."""

    pid: int
    container_id: str
    word: str


def stray_of(pid: int, words: Sequence[str], paths: Paths) -> Stray | None:
    """Read a command line; None when it is nobody of ours, or an exec, which may go on."""
    if _follows(words, "--exit-dir") == str(paths.exits):
        return Stray(pid=pid, container_id=_follows(words, "-c"), word="")
    if _follows(words, "--root") != str(paths.runtime_state) and (
        f"--root={paths.runtime_state}" not in words
    ):
        return None
    word = next((word for word in words if word in _QUICK or word in ("run", "exec")), "")
    if word in ("", "exec"):
        return None
    at = -2 if word == "kill" else -1  # a signal follows its ID
    return Stray(pid=pid, container_id=words[at], word=word)


def _follows(words: Sequence[str], flag: str) -> str:
    return next((words[at + 1] for at, word in enumerate(words[:-1]) if word == flag), "")


def find_strays(paths: Paths) -> list[Stray]:
    """Look at every process of the host. Slow: a millisecond for each hundred."""
    return [stray for pid, words in _command_lines() if (stray := stray_of(pid, words, paths))]


def _command_lines() -> Iterator[tuple[int, list[str]]]:
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                line = Path(f"/proc/{name}/cmdline").read_bytes()
            except OSError:
                continue  # it has ended
            if line:
                yield int(name), os.fsdecode(line.rstrip(b"\0")).split("\0")


async def end_unfinished(
    paths: Paths,
    is_known: Callable[[str], object],
    *,
    patience_s: float = _PATIENCE_S,
) -> dict[str, int]:
    """Let what is half done come to its end, kill what does not; return the monitors by container.

    `is_known` is true for a container that runs or whose living monitor is on record: another
    monitor may not have made its container yet. The run of a build step has nobody any more.
    """
    deadline = time.monotonic() + patience_s
    were_killed = False  # on a host that crawls one look may take longer than the patience
    while True:
        strays = await in_thread(find_strays, paths)
        _kill(stray for stray in strays if stray.word == "run")
        unfinished = list(_unfinished(strays, is_known))
        late = time.monotonic() - deadline
        if not unfinished or (were_killed and late > patience_s):
            return {stray.container_id: stray.pid for stray in strays if not stray.word}
        if late > 0:
            _kill(unfinished)
            were_killed = True
        await asyncio.sleep(_PAUSE_S)


def _unfinished(strays: Iterable[Stray], is_known: Callable[[str], object]) -> Iterator[Stray]:
    """Calls of the runtime, and the monitors that wait for one or never got so far."""
    for stray in strays:
        if stray.word in _QUICK or (not stray.word and not is_known(stray.container_id)):
            yield stray


def _kill(strays: Iterable[Stray]) -> None:
    for stray in strays:
        try:
            os.kill(stray.pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
