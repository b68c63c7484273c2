"""A container's input outlives the engine. `cat` stands for the container and for conmon."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from pogu.runtime.held_stdin import HeldStdin, Hold

Cat = subprocess.Popen[bytes]


def a_cat(*inherited: int, stdin: int = subprocess.PIPE) -> Cat:
    return subprocess.Popen(["cat"], stdin=stdin, stdout=subprocess.PIPE, pass_fds=inherited)


@pytest.fixture
def cat(tmp_path: Path) -> Iterator[Cat]:
    """Its input is held: whoever started it has none of it any more, like conmon at the end."""
    with Hold.made() as hold:
        process = a_cat(hold.number)
        hold.put(tmp_path, conmon_pid=process.pid, pid=process.pid)
    assert process.stdin is not None
    process.stdin.close()
    yield process
    with process:
        process.kill()


def held(run_dir: Path, cat: Cat) -> HeldStdin:
    found = HeldStdin.of(run_dir, cat.pid)
    assert found is not None
    return found


def line_of(cat: Cat) -> bytes:
    assert cat.stdout is not None
    return cat.stdout.readline()


async def test_each_engine_writes_and_none_ends_it(tmp_path: Path, cat: Cat) -> None:
    for engine in (b"one\n", b"two\n"):
        with closing(held(tmp_path, cat)) as stdin:
            await stdin.write(engine)
        assert line_of(cat) == engine
    assert cat.poll() is None


async def test_the_end_is_one_for_all_who_have_looked(tmp_path: Path, cat: Cat) -> None:
    with closing(held(tmp_path, cat)) as stdin:
        stdin.end()
        stdin.end()
        await stdin.write(b"late")
    assert line_of(cat) == b""
    assert cat.wait(10) == 0


async def test_an_engine_after_the_end_writes_nothing(tmp_path: Path) -> None:
    with Hold.made() as hold:
        process = subprocess.Popen(["sleep", "100"], stdin=-1, pass_fds=(hold.number,))
        hold.put(tmp_path, conmon_pid=process.pid, pid=process.pid)
    with process:
        for ended in (False, True):
            with closing(held(tmp_path, process)) as stdin:
                assert stdin.ended == ended
                await stdin.write(b"x")
                stdin.end()
        process.kill()


async def test_a_write_waits_for_the_reader(tmp_path: Path, cat: Cat) -> None:
    data = os.urandom(1 << 20)
    with closing(held(tmp_path, cat)) as stdin:
        writing = asyncio.ensure_future(stdin.write(data))
        assert cat.stdout is not None
        reading = asyncio.to_thread(cat.stdout.read)
        _, heard = await asyncio.gather(_then_end(writing, stdin), reading)
    assert heard == data


async def _then_end(writing: asyncio.Future[None], stdin: HeldStdin) -> None:
    await writing
    stdin.end()


async def test_who_waits_to_write_is_woken(tmp_path: Path, cat: Cat) -> None:
    with closing(held(tmp_path, cat)) as stdin:
        writing = asyncio.ensure_future(stdin.write(bytes(1 << 20)))  # nobody reads cat's output
        await asyncio.sleep(0.05)
        assert not writing.done()
        stdin.give_up()
        await asyncio.wait_for(writing, 10)


def test_what_is_looked_at_is_passed_on_to_no_program(tmp_path: Path, cat: Cat) -> None:
    words = ["ls", "/proc/self/fd"]
    before = subprocess.check_output(words, close_fds=False)
    with closing(held(tmp_path, cat)):
        assert subprocess.check_output(words, close_fds=False) == before


@pytest.mark.parametrize("case", ["no pipe", "conmon closes it"])
def test_what_cannot_be_held_stays_with_conmon(tmp_path: Path, case: str) -> None:
    with Hold.made() as hold:
        inherited = (hold.number,) if case == "no pipe" else ()
        stdin = subprocess.DEVNULL if case == "no pipe" else subprocess.PIPE
        with a_cat(*inherited, stdin=stdin) as process:
            hold.put(tmp_path, conmon_pid=process.pid, pid=process.pid)
            assert HeldStdin.of(tmp_path, process.pid) is None
            process.kill()
