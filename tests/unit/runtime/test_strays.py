"""Processes that no file names: who they are, and what becomes of them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.engine_process import eventually

from pogu.config import Paths
from pogu.runtime.conmon import conmon_argv
from pogu.runtime.oci_runtime import OciRuntime
from pogu.runtime.strays import end_unfinished, find_strays, stray_of

ID = "c" * 64


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths(root=tmp_path / "root", run_root=tmp_path / "run")


@pytest.fixture
def started() -> Iterator[list[subprocess.Popen[bytes]]]:
    processes: list[subprocess.Popen[bytes]] = []
    yield processes
    for process in processes:
        process.kill()
        process.wait()


def monitor_words(paths: Paths) -> list[str]:
    return conmon_argv(
        "conmon",
        OciRuntime(Path("/usr/bin/crun"), paths.runtime_state),
        ID,
        paths.run_containers / ID,
        paths.exits,
        terminal=False,
        stdin=False,
        stdin_once=False,
        log_path=None,
        log_max_bytes=0,
    )


def pretend(words: list[str]) -> subprocess.Popen[bytes]:
    """A process with that command line that does nothing."""
    nothing = Path(__file__).parents[2] / "fakes" / "nothing.py"
    process = subprocess.Popen([words[0], str(nothing), *words[1:]], executable=sys.executable)
    line = Path(f"/proc/{process.pid}/cmdline")
    eventually(line.read_bytes)  # the kernel shows it some time after Popen knows of the exec
    return process


def test_a_monitor_is_known_by_its_exit_directory(paths: Paths) -> None:
    found = stray_of(7, monitor_words(paths), paths)
    assert found is not None
    assert (found.pid, found.container_id, found.word) == (7, ID, "")


@pytest.mark.parametrize(
    ("words", "word"),
    [
        (("--log-format=json", "create", "--bundle", "/b", "--pid-file", "/p", ID), "create"),
        (("kill", ID, "9"), "kill"),
        (("delete", "--force", ID), "delete"),
        (("run", "--bundle", "/b", ID), "run"),
    ],
)
def test_a_call_of_the_runtime_is_known_by_its_state_directory(
    paths: Paths, words: tuple[str, ...], word: str
) -> None:
    for root in (("--root", str(paths.runtime_state)), (f"--root={paths.runtime_state}",)):
        found = stray_of(7, ["crun", *root, *words], paths)
        assert found is not None
        assert (found.container_id, found.word) == (ID, word)


def test_an_exec_and_what_belongs_to_another_engine_are_no_strays(paths: Paths) -> None:
    other = Paths(root=paths.root, run_root=paths.run_root.with_name("other"))
    assert (
        stray_of(7, ["crun", "--root", str(paths.runtime_state), "exec", ID, "run"], paths) is None
    )
    assert stray_of(7, ["crun", "--root", str(other.runtime_state), "create", ID], paths) is None
    assert stray_of(7, monitor_words(other), paths) is None
    assert stray_of(7, ["sh"], paths) is None


async def test_a_call_that_hangs_is_killed_and_a_monitor_on_record_stays(
    paths: Paths, started: list[subprocess.Popen[bytes]]
) -> None:
    words = ["crun", "--root", str(paths.runtime_state)]
    started += [pretend([*words, "create", "a" * 64]), pretend([*words, "run", "build-1"])]
    started.append(pretend(["conmon", "--exit-dir", str(paths.exits), "-c", "b" * 64]))
    os.kill(started[0].pid, signal.SIGSTOP)
    assert len(find_strays(paths)) == 3
    await end_unfinished(paths, lambda container_id: container_id, patience_s=0.1)
    assert [process.poll() for process in started] == [-9, -9, None]


async def test_a_monitor_that_never_says_who_it_is_is_killed(
    paths: Paths, started: list[subprocess.Popen[bytes]]
) -> None:
    started.append(pretend(["conmon", "--exit-dir", str(paths.exits), "-c", ID]))
    assert await end_unfinished(paths, lambda _: False, patience_s=0.1) == {}
    assert started[0].wait(5) == -9


async def test_what_comes_to_its_end_is_left_to_do_so(
    paths: Paths, started: list[subprocess.Popen[bytes]]
) -> None:
    started.append(pretend(["conmon", "--exit-dir", str(paths.exits), "-c", ID]))
    looks = iter([False, False, True])
    monitors = await end_unfinished(paths, lambda _: next(looks), patience_s=5)
    assert monitors == {ID: started[0].pid}
    assert started[0].poll() is None


async def test_what_hangs_is_killed_though_one_look_takes_longer_than_the_patience(
    paths: Paths, started: list[subprocess.Popen[bytes]]
) -> None:
    started.append(pretend(["conmon", "--exit-dir", str(paths.exits), "-c", ID]))
    assert await end_unfinished(paths, lambda _: False, patience_s=0.0001) == {}
    assert started[0].wait(5) == -9
