"""Edge: work in other threads: what blocks, and what changes the thread that does it."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

__all__ = ["begin_in_thread", "in_own_thread", "in_passing_thread", "in_thread", "in_thread_to_end"]

P = ParamSpec("P")
T = TypeVar("T")

_POOL = ThreadPoolExecutor(max_workers=16, thread_name_prefix="pogu-blocking")


async def in_thread(function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Run `function` in a thread and return its result.

    For what blocks for more than about a millisecond: tar, hash, fsync, large mounts. When the
    awaiting task is cancelled the thread still runs to its end: pass it something that it can
    see closed (a file, an event) if it may run for long.
    """
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(_POOL, lambda: function(*args, **kwargs))


def begin_in_thread(function: Callable[[], None]) -> None:
    """Let a thread run `function`, which must not raise; nobody waits for it."""
    _POOL.submit(function)


async def in_own_thread(function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """As `in_thread`, for what waits for a client: some slow ones would take the whole pool."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: BaseException | None) -> None:
        if future.done():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)  # type: ignore[arg-type]

    def work() -> None:
        result, failure = None, None
        try:
            result = function(*args, **kwargs)
        except BaseException as err:
            failure = err
        with contextlib.suppress(RuntimeError):  # the loop has been closed meanwhile
            loop.call_soon_threadsafe(settle, result, failure)

    threading.Thread(target=work, name="pogu-own", daemon=True).start()
    return await future


async def in_thread_to_end(function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """As `in_thread`; a cancelled caller still waits for the thread before it goes on.

    For work whose files the caller cleans up after itself.
    """
    future = asyncio.ensure_future(in_thread(function, *args, **kwargs))
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        await asyncio.wait([future])
        if not future.cancelled():
            future.exception()
        raise


def in_passing_thread(function: Callable[[], T]) -> T:
    """Call `function` in a thread that ends with the call, and wait for it.

    For what changes the thread itself, its namespaces or where it works: nothing else is ever done
    in one that was changed. Raises what `function` raises.
    """
    done: list[T] = []
    failure: list[BaseException] = []

    def work() -> None:
        try:
            done.append(function())
        except BaseException as err:
            failure.append(err)

    thread = threading.Thread(target=work, name="pogu-passing")
    thread.start()
    thread.join()
    if failure:
        raise failure[0]
    return done[0]
