"""Container logs: what conmon wrote comes back whole, whatever rotation does meanwhile."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.builders import k8s_line

from pogu.runtime.logfile import LogChain, read_log
from pogu.runtime.logformat import LogView
from pogu.runtime.logrotation import LogBounds, prepare_log, rotate_log

START_NS = 1_767_323_040 * 10**9
"""2026-01-02 03:04:00 UTC."""


@pytest.fixture
def log_path(tmp_path: Path) -> Path:
    return tmp_path / "ctr.log"


def append(path: Path, *lines: bytes) -> None:
    """Write as conmon does: the file is opened by name and appended to."""
    with path.open("ab") as file:
        file.write(b"".join(lines))


def numbered(first: int, last: int) -> list[bytes]:
    return [k8s_line(str(number), second=number) for number in range(first, last + 1)]


def expected(first: int, last: int) -> list[bytes]:
    return [f"{number}\n".encode() for number in range(first, last + 1)]


async def text(path: Path, **options: int) -> bytes:
    view = LogView(**options)  # type: ignore[arg-type]
    return b"".join([piece async for piece in read_log(path, view)])


async def texts(path: Path, **options: int) -> list[bytes]:
    return (await text(path, **options)).splitlines(keepends=True)


class Follower:
    """Reads a log in a task of its own, as `logs -f` does."""

    def __init__(self, path: Path, *, tail: int | None = None) -> None:
        self.text = b""
        self.ended = asyncio.Event()
        self._task = asyncio.create_task(self._follow(path, tail))

    async def _follow(self, path: Path, tail: int | None) -> None:
        async for piece in read_log(path, LogView(tail=tail), follow=True, ended=self.ended):
            self.text += piece

    async def has_read(self, count: int) -> None:
        async with asyncio.timeout(5):
            while self.text.count(b"\n") < count:
                await asyncio.sleep(0.001)

    async def finish(self) -> list[bytes]:
        self.ended.set()
        await asyncio.wait_for(self._task, 5)
        return self.text.splitlines(keepends=True)


BOUNDS = LogBounds(max_bytes=10, max_files=3)


def rotate(path: Path, max_files: int = 3) -> None:
    """What engine and conmon do together when the log is full."""
    bounds = LogBounds(max_bytes=10, max_files=max_files)
    if rotate_log(path, bounds) is not None:
        begin_anew(path)
        prepare_log(path)


def begin_anew(path: Path) -> None:
    """As conmon: a new file takes the name."""
    fresh = path.with_name("ctr.log.tmp")
    fresh.touch()
    fresh.rename(path)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pogu.runtime.logfile._POLL_S", 0.001)


async def test_an_end_without_a_line_end_gets_none(log_path: Path) -> None:
    append(log_path, k8s_line("prompt> ", tag="P"))
    assert await texts(log_path) == [b"prompt> "]


async def test_a_torn_line_is_left_out(log_path: Path) -> None:
    append(log_path, b"2026-01-02T03:0\n", b"\n", k8s_line("whole"), b"2026-01-02T03:04:05 stdo")
    assert await texts(log_path) == [b"whole\n"]


async def test_no_log_is_an_empty_log(log_path: Path) -> None:
    assert await texts(log_path) == []
    assert await texts(log_path, tail=3) == []


async def test_files_are_read_oldest_first(log_path: Path) -> None:
    for number, file in enumerate(["ctr.log.1", "ctr.log.2", "ctr.log.10", "ctr.log"]):
        append(log_path.with_name(file), k8s_line(str(number)))
    append(log_path.with_name("ctr.log.tmp"), k8s_line("conmon's own"))
    assert await texts(log_path) == expected(0, 3)


@pytest.mark.parametrize("tail", [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 100])
async def test_the_tail_reaches_over_files(log_path: Path, tail: int) -> None:
    append(log_path.with_name("ctr.log.1"), *numbered(1, 4))
    append(log_path.with_name("ctr.log.2"), *numbered(5, 6))
    append(log_path, *numbered(7, 8))
    assert await texts(log_path, tail=tail) == expected(1, 8)[8 - min(tail, 8) :]


@pytest.mark.parametrize("tail", [1, 10, 2000])
async def test_the_tail_of_a_long_file_is_exact(log_path: Path, tail: int) -> None:
    filler = "x" * 100
    append(log_path, *(k8s_line(f"{number} {filler}") for number in range(3000)))
    assert [line.split()[0] for line in await texts(log_path, tail=tail)] == [
        str(number).encode() for number in range(3000 - tail, 3000)
    ]


async def test_the_first_line_of_a_tail_is_whole(log_path: Path) -> None:
    append(log_path, k8s_line("first"), k8s_line("a" * 50_000, tag="P"), k8s_line("b" * 50_000))
    append(log_path, k8s_line("last"))
    assert await texts(log_path, tail=2) == [b"a" * 50_000 + b"b" * 50_000 + b"\n", b"last\n"]


async def test_an_unfinished_line_counts_in_the_tail(log_path: Path) -> None:
    append(log_path, *numbered(1, 3), k8s_line("prompt> ", tag="P"))
    assert await texts(log_path, tail=1) == [b"prompt> "]
    assert await texts(log_path, tail=2) == [b"3\n", b"prompt> "]
    assert await texts(log_path, tail=0) == []


async def test_since_and_until_bound_the_lines(log_path: Path) -> None:
    append(log_path, *numbered(1, 9))
    since, until = START_NS + 3 * 10**9, START_NS + 5 * 10**9
    assert await texts(log_path, since_ns=since, until_ns=until) == expected(3, 5)


async def test_until_holds_for_an_unfinished_line(log_path: Path) -> None:
    append(log_path, k8s_line("1", second=1), k8s_line("late", second=9, tag="P"))
    assert await texts(log_path, until_ns=START_NS + 5 * 10**9) == expected(1, 1)


async def test_since_holds_within_the_tail(log_path: Path) -> None:
    append(log_path, *numbered(1, 9))
    assert await texts(log_path, since_ns=START_NS + 8 * 10**9, tail=5) == expected(8, 9)


async def test_following_ends_with_the_container_after_its_last_line(log_path: Path) -> None:
    append(log_path, *numbered(1, 2))
    follower = Follower(log_path)
    await follower.has_read(2)
    append(log_path, *numbered(3, 4))
    assert await follower.finish() == expected(1, 4)


async def test_following_begins_before_there_is_a_log(log_path: Path) -> None:
    follower = Follower(log_path)
    await asyncio.sleep(0)
    append(log_path, *numbered(1, 1))
    await follower.has_read(1)
    assert await follower.finish() == expected(1, 1)


async def test_no_line_is_lost_when_a_followed_log_is_rotated(log_path: Path) -> None:
    append(log_path, *numbered(1, 5))
    rotate_log(log_path, LogBounds(max_bytes=10_000, max_files=3))
    follower = Follower(log_path)
    await follower.has_read(5)
    with log_path.open("ab", buffering=0) as held_by_conmon:
        assert rotate_log(log_path, BOUNDS) is not None
        held_by_conmon.write(b"".join(numbered(6, 7)))
    await follower.has_read(7)
    begin_anew(log_path)
    append(log_path, *numbered(8, 9))
    await follower.has_read(9)
    assert await follower.finish() == expected(1, 9)
    assert await texts(log_path) == expected(1, 9)


async def test_no_line_is_lost_when_rotation_outruns_the_reader(log_path: Path) -> None:
    append(log_path, *numbered(1, 3))
    follower = Follower(log_path)
    await follower.has_read(3)
    for first in (4, 7, 10):
        append(log_path, *numbered(first, first + 2))
        rotate(log_path, max_files=5)
    append(log_path, *numbered(13, 15))
    await follower.has_read(15)
    assert await follower.finish() == expected(1, 15)
    assert await texts(log_path) == expected(1, 15)


def test_a_reader_whose_file_is_gone_goes_on_with_the_oldest(log_path: Path) -> None:
    append(log_path, *numbered(1, 3))
    chain = LogChain(log_path)
    assert chain.read() == b"".join(numbered(1, 3))
    for first in (4, 7, 10, 13):
        rotate(log_path)
        append(log_path, *numbered(first, first + 2))
    rotate_log(log_path, BOUNDS)
    read = [chain.read() for _ in range(4)]
    chain.close()
    assert read == [*(b"".join(numbered(first, first + 2)) for first in (7, 10, 13)), b""]


async def test_what_conmon_ends_of_its_own_accord_is_kept_and_told_once(log_path: Path) -> None:
    wide = LogBounds(max_bytes=10_000, max_files=5)
    prepare_log(log_path)
    append(log_path, *numbered(1, 3))
    follower = Follower(log_path)
    await follower.has_read(3)
    for first in (4, 7):
        begin_anew(log_path)
        append(log_path, *numbered(first, first + 2))
        assert await texts(log_path) == expected(1, first + 2)
    await follower.has_read(9)
    assert rotate_log(log_path, wide) is None
    append(log_path, *numbered(10, 12))
    await follower.has_read(12)
    assert await follower.finish() == expected(1, 12)
    assert await texts(log_path) == expected(1, 12)


async def test_a_file_that_conmon_begins_right_after_one_it_was_asked_for_is_kept(
    log_path: Path,
) -> None:
    prepare_log(log_path)
    append(log_path, *numbered(1, 3))
    assert rotate_log(log_path, BOUNDS) is not None
    begin_anew(log_path)
    append(log_path, *numbered(4, 4))
    begin_anew(log_path)
    append(log_path, *numbered(5, 6))
    assert await texts(log_path) == expected(1, 6)
    assert await texts(log_path, tail=3) == expected(4, 6)


async def test_following_ends_at_the_time_until_which_it_was_asked(log_path: Path) -> None:
    append(log_path, *numbered(1, 3))
    view = LogView(until_ns=START_NS + 2 * 10**9)
    pieces = [piece async for piece in read_log(log_path, view, follow=True)]
    assert b"".join(pieces) == b"1\n2\n"


async def test_a_line_that_never_ends_counts_as_one(log_path: Path) -> None:
    chunk = b"x" * 8191
    partial = k8s_line(chunk.decode(), second=1, tag="P")
    append(log_path, *[partial] * 400, k8s_line("end", second=2), k8s_line("next", second=3))
    assert await text(log_path, tail=1) == b"next\n"
    assert await text(log_path, tail=2) == chunk * 400 + b"end\nnext\n"
