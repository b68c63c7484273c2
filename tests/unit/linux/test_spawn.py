"""Programs that the engine starts."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from pogu.linux.spawn import is_awaited, spawn, spawn_in, wait_child


@pytest.mark.parametrize("ignored", [signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGUSR1])
async def test_a_program_does_not_inherit_what_its_parent_ignores(
    ignored: signal.Signals, tmp_path: Path
) -> None:
    said = os.open(tmp_path / "said", os.O_RDWR | os.O_CREAT)
    null = os.open(os.devnull, os.O_RDWR)
    before = signal.signal(ignored, signal.SIG_IGN)
    try:
        child = spawn(["grep", "SigIgn", "/proc/self/status"], stdin=null, stdout=said, stderr=null)
        await wait_child(child)
    finally:
        signal.signal(ignored, before)
        os.close(said)
        os.close(null)
    found = int((tmp_path / "said").read_text().split()[1], 16)
    assert not found & (1 << (ignored - 1))


@pytest.fixture
def null() -> Iterator[int]:
    fd = os.open(os.devnull, os.O_RDWR)
    yield fd
    os.close(fd)


async def test_a_program_works_in_its_directory_and_we_stay_where_we_are(
    tmp_path: Path, null: int
) -> None:
    before = os.getcwd()
    words = ["touch", "here"]
    start = functools.partial(spawn, words, stdin=null, stdout=null, stderr=null)
    assert await wait_child(await spawn_in(tmp_path, start)) == 0
    assert (tmp_path / "here").exists()
    assert os.getcwd() == before


async def test_a_program_whose_start_is_called_off_is_ended(tmp_path: Path, null: int) -> None:
    pids = []

    def start() -> int:
        pids.append(spawn(["sleep", "100"], stdin=null, stdout=null, stderr=null))
        return pids[0]

    starting = asyncio.create_task(spawn_in(tmp_path, start))
    await asyncio.sleep(0)
    starting.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await starting
    assert len(pids) == 1
    assert not is_awaited(pids[0])
    with pytest.raises(ProcessLookupError):
        os.kill(pids[0], 0)


async def test_a_directory_that_is_missing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        await spawn_in(tmp_path / "nowhere", lambda: 0)
