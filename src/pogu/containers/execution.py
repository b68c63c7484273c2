"""Service: one exec in the engine's memory: what was asked, and how it went."""

from __future__ import annotations

import asyncio

import msgspec

from pogu.runtime.exec import ExecProcess

__all__ = ["Exec", "ExecRequest"]


class ExecRequest(msgspec.Struct, frozen=True, kw_only=True, rename="pascal"):
    """What a client asked for, as it asked: the body of the request."""

    cmd: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    user: str = ""
    working_dir: str = ""
    tty: bool = False
    privileged: bool = False
    attach_stdin: bool = False
    attach_stdout: bool = False
    attach_stderr: bool = False
    detach_keys: str = ""
    console_size: tuple[int, int] = (0, 0)


class Exec:
    """Mutable; only `execs.py` changes it. Lives as long as its container, or less."""

    def __init__(self, exec_id: str, container_id: str, request: ExecRequest) -> None:
        self.id = exec_id
        self.container_id = container_id
        self.request = request
        self.process: ExecProcess | None = None
        self.begun = False
        self.exit_code: int | None = None
        self.ready = asyncio.Event()
        """Its process was made, or could not be."""
        self.ended = asyncio.Event()
        """Its exit code is known; all its output was taken."""
        self.failure: BaseException | None = None
        self.watcher: asyncio.Task[None] | None = None

    @property
    def running(self) -> bool:
        return self.begun and self.exit_code is None

    @property
    def pid(self) -> int:
        return self.process.pid if self.process is not None else 0
