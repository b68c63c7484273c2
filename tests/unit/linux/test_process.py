"""Running programs."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from pogu.errors import CommandFailed, SystemFailure
from pogu.linux.process import run


async def test_output_and_input_pass_through() -> None:
    done = await run(["cat"], stdin=b"in")
    assert (done.exit_code, done.stdout, done.stderr) == (0, b"in", b"")


async def test_a_failure_holds_argv_exit_code_and_last_words() -> None:
    with pytest.raises(CommandFailed, match="sh failed with exit code 3: oh no") as caught:
        await run(["sh", "-c", "echo oh no >&2; exit 3"])
    assert caught.value.exit_code == 3
    assert caught.value.argv[0] == "sh"


async def test_a_failure_is_only_returned_when_it_is_not_checked() -> None:
    assert (await run(["false"], check=False)).exit_code == 1


async def test_a_missing_program_names_itself_and_the_doctor() -> None:
    with pytest.raises(SystemFailure, match="program not found") as caught:
        await run(["no-such-program"])
    assert "pogu doctor" in (caught.value.hint or "")


async def test_a_program_does_not_outlive_its_time(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    with pytest.raises(SystemFailure, match="did not end"):
        await run(["sh", "-c", f"echo $$ > {pid_file}; exec sleep 100"], timeout_s=0.5)
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid_file.read_text()), 0)


async def test_a_program_does_not_outlive_its_task(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    task = asyncio.create_task(run(["sh", "-c", f"echo $$ > {pid_file}; exec sleep 100"]))
    async with asyncio.timeout(5):
        while not (pid_file.exists() and pid_file.read_text().strip()):
            await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid_file.read_text()), 0)
