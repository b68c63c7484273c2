"""A test may choose the step at which a process dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

PROGRAM = """
from pogu.crash_point import crash_point
for step in range(1, 4):
    print(step, flush=True)
    crash_point()
"""


def run(file: Path | None) -> subprocess.CompletedProcess[str]:
    environ = {name: value for name, value in os.environ.items() if name != "POGU_CRASH_FILE"}
    environ |= {"POGU_CRASH_FILE": str(file)} if file else {}
    return subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environ, capture_output=True, text=True, check=False
    )


def test_it_dies_at_the_step_that_the_file_names(tmp_path: Path) -> None:
    (tmp_path / "crash").write_text("2")
    done = run(tmp_path / "crash")
    assert (done.returncode, done.stdout) == (-signal.SIGKILL, "1\n2\n")
    assert not (tmp_path / "crash").exists()


def test_without_the_file_or_the_variable_it_lives(tmp_path: Path) -> None:
    assert run(tmp_path / "crash").returncode == 0
    assert run(None).stdout == "1\n2\n3\n"


def test_the_count_goes_on_where_the_process_ends_before_it(tmp_path: Path) -> None:
    (tmp_path / "crash").write_text("9")
    assert run(tmp_path / "crash").returncode == 0
    assert int((tmp_path / "crash").read_text()) == 6
