"""Edge: the one way to run a program.

A pure function builds the argv, so that tests read `assert create_argv(…) == ["crun", …]`.
"""

from __future__ import annotations

import asyncio
import logging
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pogu.errors import CommandFailed, SystemFailure

__all__ = ["Completed", "run"]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Completed:
    """What a finished program left: its exit code and everything it wrote."""

    exit_code: int
    stdout: bytes
    stderr: bytes


async def run(
    argv: Sequence[str],
    *,
    stdin: bytes | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    pass_fds: Sequence[int] = (),
    timeout_s: float | None = None,
    check: bool = True,
) -> Completed:
    """Run `argv` to its end and return what it wrote.

    The program is killed when the awaiting task is cancelled or `timeout_s` has passed.

    Raises: CommandFailed on a non-zero exit when `check`; SystemFailure when the program is
    missing or the time is over.
    """
    log.debug("run command=%s", shlex.join(argv))
    try:
        process = await asyncio.create_subprocess_exec(
            *argv,
            stdin=asyncio.subprocess.DEVNULL if stdin is None else asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=env,
            cwd=cwd,
            pass_fds=tuple(pass_fds),
        )
    except FileNotFoundError as err:
        raise SystemFailure(
            f"{argv[0]}: program not found",
            hint=f"install it; `pogu doctor` says how ({argv[0]})",
        ) from err
    try:
        async with asyncio.timeout(timeout_s):
            stdout, stderr = await process.communicate(stdin)
    except TimeoutError as err:
        raise SystemFailure(f"{argv[0]} did not end within {timeout_s} s") from err
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    exit_code = process.returncode if process.returncode is not None else -1
    if check and exit_code != 0:
        raise CommandFailed(argv, exit_code, stderr.decode(errors="replace"))
    return Completed(exit_code=exit_code, stdout=stdout, stderr=stderr)
