"""Logs are looked at for as long as their containers run, and only worked on when they changed."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from tests.builders import a_container
from tests.fakes.host import until

from pogu.config import Config, Paths
from pogu.containers import logs
from pogu.containers.entry import Entry
from pogu.containers.logs import ContainerLogs
from pogu.containers.model import Status
from pogu.runtime.conmon import Conmon
from pogu.runtime.logfile import inode_of, numbered
from pogu.runtime.logrotation import prepare_log

BOUND = 1000


class Monitor(Conmon):
    """Remembers who was to begin a new file."""

    def __init__(self, log: Path) -> None:
        self.asked: list[str] = []
        self.looks = 0
        self._log = log

    def path(self, _: Entry) -> Path:
        self.looks += 1
        return self._log

    async def reopen_log(self, container_id: str) -> None:
        self.asked.append(container_id)


@pytest.fixture
def entry() -> Entry:
    return a_container(status=Status.RUNNING)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    prepare_log(tmp_path / "ctr.log")
    return tmp_path / "ctr.log"


@pytest_asyncio.fixture
async def monitor(
    tmp_path: Path, entry: Entry, log: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Monitor]:
    monkeypatch.setattr(logs, "_TICK_S", 0.001)
    monkeypatch.setattr(logs, "_QUIET_S", 0.001)
    found = Monitor(log)
    kept = ContainerLogs(
        config=Config(paths=Paths(root=tmp_path, run_root=tmp_path), log_max_size_bytes=BOUND),
        conmon=found,
        entries=[entry],
        log_path=found.path,
    )
    looking = asyncio.create_task(kept.keep_bounded())
    yield found
    looking.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await looking


async def test_a_log_that_was_in_order_is_ended_when_it_has_grown(
    monitor: Monitor, entry: Entry, log: Path
) -> None:
    log.write_bytes(b"x" * BOUND)
    await until(lambda: monitor.looks > 3)
    assert monitor.asked == []
    log.write_bytes(b"x" * (BOUND + 1))
    await until(lambda: monitor.asked == [entry.id])


async def test_a_file_that_conmon_begins_is_numbered(monitor: Monitor, log: Path) -> None:
    waiting = log.with_name("ctr.log.tmp")
    waiting.rename(log)
    await until(lambda: inode_of(waiting) and len(numbered(log)) == 3)
    assert inode_of(log) in [file.inode for file in numbered(log)]
