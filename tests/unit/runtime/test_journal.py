"""Reading the journal by journalctl: what it is asked, and what becomes of its failures."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.fakes.program import a_program, calls_of

from pogu.errors import SystemFailure
from pogu.runtime.journal import check_readable, journalctl_argv, read_journal
from pogu.runtime.logformat import LogView


def a_journalctl(directory: Path, script: str = "") -> Path:
    return a_program(directory / "journalctl", body=f"PATH=/usr/bin:/bin\n{script}")


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only place that programs are looked for in."""
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


async def read(view: LogView, ended: asyncio.Event | None = None) -> bytes:
    pieces = read_journal("c1", view, follow=ended is not None, ended=ended)
    return b"".join([piece async for piece in pieces])


def test_the_entries_of_one_container_are_asked_for_whole() -> None:
    argv = journalctl_argv("c1", "--reverse")
    assert argv[0] == "journalctl"
    assert {"--all", "--reverse", "CONTAINER_ID_FULL=c1"} < set(argv)


def test_without_a_reader_logs_are_refused_at_once(directory: Path) -> None:
    with pytest.raises(SystemFailure, match="journalctl: program not found"):
        check_readable()
    a_journalctl(directory)
    check_readable()


async def test_what_journalctl_says_of_a_failure_is_told(directory: Path) -> None:
    a_journalctl(directory, "case $* in *--sync*) ;; *) echo no access >&2; exit 1;; esac")
    with pytest.raises(SystemFailure, match="cannot read the journal: no access"):
        await read(LogView())


async def test_a_follower_s_last_words_are_read_after_the_end(directory: Path) -> None:
    line = r"printf '__CURSOR=c%s\n__REALTIME_TIMESTAMP=%s\nMESSAGE=line %s\n\n'"
    program = a_journalctl(
        directory,
        f"case $* in *--sync*) ;; *--follow*) {line} 1 1 1; exec sleep 60;;"
        f" *--after-cursor=c1*) {line} 2 2 2;; esac",
    )
    ended = asyncio.Event()
    asyncio.get_running_loop().call_later(0.2, ended.set)
    assert await read(LogView(), ended) == b"line 1\nline 2\n"
    assert ["--sync" in words for words in calls_of(program)] == [True, False, True, False]


async def test_a_time_that_no_clock_will_show_is_the_last_one(directory: Path) -> None:
    program = a_journalctl(directory)
    assert await read(LogView(since_ns=10**30)) == b""
    assert "--since=@253402300799" in calls_of(program)[-1]
