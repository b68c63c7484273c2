"""A created process is let go as crun and runc would do it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pogu.runtime.exec_fifo import let_go

CRUN = "import os,sys; f=os.open(sys.argv[1],os.O_RDWR); print(flush=True); os.read(f,1)"
"""The process of crun: it has the fifo open, says so here, and reads."""
RUNC = "import os,sys; os.write(os.open(sys.argv[1],os.O_WRONLY),b'0')"


@pytest.fixture
def state(tmp_path: Path) -> Path:
    os.mkfifo(tmp_path / "exec.fifo")
    return tmp_path


@pytest.fixture
def sleeper() -> Iterator[int]:
    with subprocess.Popen(["sleep", "100"]) as process:
        yield process.pid
        process.kill()


def a_process(code: str, state: Path) -> subprocess.Popen[bytes]:
    words = [sys.executable, "-IS", "-c", code, str(state / "exec.fifo")]
    return subprocess.Popen(words, stdout=subprocess.PIPE)


async def test_the_process_of_crun_is_told(state: Path) -> None:
    with a_process(CRUN, state) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert await let_go("crun", state, process.pid)
        assert process.wait(10) == 0
    assert not (state / "exec.fifo").exists()


async def test_the_process_of_runc_is_heard_whenever_it_comes(state: Path) -> None:
    with a_process(f"import time; time.sleep(0.05); {RUNC}", state) as process:
        assert await let_go("runc", state, process.pid)
        assert process.wait(10) == 0
    assert not (state / "exec.fifo").exists()


async def test_a_process_of_crun_that_has_ended_is_left_to_the_runtime(state: Path) -> None:
    assert not await let_go("crun", state, 1)
    assert (state / "exec.fifo").exists()


async def test_a_process_of_runc_that_ends_without_a_word_is_left_to_the_runtime(
    state: Path,
) -> None:
    with a_process("import time; time.sleep(0.05)", state) as process:
        assert not await let_go("runc", state, process.pid)
    assert (state / "exec.fifo").exists()


@pytest.mark.parametrize("runtime", ["crun", "runc", "youki"])
async def test_a_runtime_that_knows_another_way_is_asked(
    tmp_path: Path, runtime: str, sleeper: int
) -> None:
    assert not await let_go(runtime, tmp_path, sleeper)
