"""What a command pays before it asks the engine: the modules that it imports, and its launcher."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pogu.cli import launcher


@pytest.mark.parametrize("command", ["exec", "start", "attach"])
def test_who_only_waits_for_an_end_does_not_pay_for_the_flags_of_run(command: str) -> None:
    code = f"import sys, pogu.cli.{command}; print(*sys.modules)"
    argv = [sys.executable, "-c", code]
    loaded = subprocess.run(argv, capture_output=True, text=True, check=True).stdout.split()
    assert "pogu.cli.exit_code" in loaded
    assert "pogu.cli.create_flags" not in loaded


def test_the_launcher_leaves_site_out_and_runs_the_cli(tmp_path: Path) -> None:
    program = tmp_path / "pogu"
    launcher.main(str(program))
    assert program.read_text().splitlines()[0] == f"#!{sys.executable} -IS"
    done = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("Pogu version")


def test_a_launcher_that_is_up_to_date_is_left_alone(tmp_path: Path) -> None:
    program = tmp_path / "pogu"
    launcher.main(str(program))
    before = program.stat()
    launcher.main(str(program))
    assert program.stat().st_ino == before.st_ino
