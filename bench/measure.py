"""What a case is, and how it is timed."""

from __future__ import annotations

import itertools
import os
import statistics
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass

from bench.engines import Engine
from bench.workspace import Workspace

__all__ = ["Case", "fresh", "measure", "timed"]

_NUMBERS = itertools.count()


def fresh(prefix: str) -> str:
    """Return a name that no earlier call returned."""
    return f"{prefix}-{os.getpid()}-{next(_NUMBERS)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """`once` returns what counts, in `unit`; `goal` is told beside the figures."""

    name: str
    what: str
    goal: str
    once: Callable[[Engine, Workspace], float]
    unit: str = "ms"
    """What is shown of it: ms (of seconds), or % of one core (of a share)."""
    rounds: int = 10
    builds: bool = False
    """A build case also runs on engines that only build; the others never do."""
    stage: Callable[[Engine, Workspace], AbstractContextManager[object]] | None = None
    """What stands around all rounds, once per storage: two clients of an engine share it."""
    before: Callable[[Engine, Workspace], None] | None = None
    """Done by every engine before a round, not timed."""
    settle_s: float = 0
    """After that, so long nothing happens, and all that was written is on disk."""
    by_any_client: bool = True
    """False where a second client would find on the engine what the first has just brought."""
    by_socket: bool = False
    """No client at all: the bench speaks with the engine's socket itself."""
    warm: bool = True
    """One more round comes first, which does not count."""

    def fits(self, engine: Engine) -> bool:
        if engine.build_only:
            return self.builds
        if self.by_socket:
            return bool(engine.socket) and not engine.second_client
        return self.by_any_client or not engine.second_client


def timed(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def measure(
    case: Case, engines: list[Engine], workspace: Workspace, *, rounds: int, settle: bool
) -> dict[str, float]:
    """Return the median of each engine. In a round every engine has its turn.

    Another begins each time: what one leaves to be done afterwards falls upon the next.
    """
    fit = [engine for engine in engines if case.fits(engine)]
    figures: dict[str, list[float]] = {engine.name: [] for engine in fit}
    with ExitStack() as stack:
        if case.stage is not None:
            for engine in fit:
                if not engine.second_client:
                    stack.enter_context(case.stage(engine, workspace))
        for number in range((rounds or case.rounds) + case.warm):
            if case.before is not None:
                for engine in fit:
                    case.before(engine, workspace)
            if case.settle_s and settle:
                os.sync()
                time.sleep(case.settle_s)
            turn = number % len(fit)
            for engine in fit[turn:] + fit[:turn]:
                figure = case.once(engine, workspace)
                if number or not case.warm:
                    figures[engine.name].append(figure)
    return {name: statistics.median(values) for name, values in figures.items()}
