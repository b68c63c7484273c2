"""Edge: conmon, one per container: keeps stdio, log and exit code; outlives the engine.

<run_root>/containers/<id>/   attach (unix seqpacket), ctl (fifo), pidfile, conmon.pid, stdin
<run_root>/exits/<id>         exit code, written after everything was logged
<root>/containers/<id>/ctr.log   k8s-file format: time, stream, P|F, text; or it goes to the journal
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import os
import shlex
import shutil
from dataclasses import dataclass
from pathlib import Path

from pogu.config import Config
from pogu.errors import SystemFailure
from pogu.linux.process import not_executed, read_some, run
from pogu.linux.spawn import spawn, spawn_in, wait_child, wait_pidfd
from pogu.runtime.attach_stream import AttachStream
from pogu.runtime.failure import runtime_failure
from pogu.runtime.held_stdin import Hold
from pogu.runtime.journal_entries import JournalFields
from pogu.runtime.oci_runtime import OciRuntime

__all__ = ["Conmon", "Monitored", "conmon_argv"]

_CREATE_S = 120
"""A host that is very busy takes seconds; longer is a program that hangs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Monitored:
    """A created (not yet started) process under a conmon."""

    container_id: str
    pid: int
    conmon_pid: int


def conmon_argv(
    binary: str,
    runtime: OciRuntime,
    container_id: str,
    run_dir: Path,
    exits: Path,
    *,
    terminal: bool,
    stdin: bool,
    stdin_once: bool,
    log_path: Path | None,
    log_max_bytes: int,
    journal: JournalFields | None = None,
    systemd_cgroup: bool = False,
) -> list[str]:
    """The command line of one monitor."""
    argv = [
        *(binary, "--api-version", "1", "-c", container_id, "-u", container_id),
        *("-n", journal.name if journal else container_id),
        *("-r", str(runtime.program), "-b", str(run_dir)),
        *("-p", str(run_dir / "pidfile"), "-P", str(run_dir / "conmon.pid")),
        *("--exit-dir", str(exits), "--persist-dir", str(run_dir), "--full-attach"),
        *_log_words(log_path, log_max_bytes, journal),
        *("--runtime-arg", f"--root={runtime.state_root}"),
        *("--runtime-arg", "--log-format=json"),
        *("--runtime-arg", f"--log={run_dir / 'runtime.log'}"),
    ]
    if systemd_cgroup:
        argv.append("-s")
    if terminal:
        argv.append("-t")
    if stdin:
        argv.append("-i")
        if not stdin_once:
            argv.append("--leave-stdin-open")
    return argv


def _log_words(path: Path | None, max_bytes: int, journal: JournalFields | None) -> list[str]:
    if journal is not None:
        extra = [word for field in journal.extra for word in ("--log-label", "=".join(field))]
        return ["-l", "journald:", "--log-tag", journal.tag, *extra]
    if path is None:
        return ["-l", "none"]
    return ["-l", f"k8s-file:{path}", *(("--log-size-max", str(max_bytes)) if max_bytes else ())]


class Conmon:
    """Starts monitors and talks to them."""

    def __init__(self, config: Config, runtime: OciRuntime) -> None:
        self._paths = config.paths
        self._runtime = runtime
        self._binary = _find_conmon()
        self._takes_fields: bool | None = None

    def _dir(self, container_id: str) -> Path:
        return self._paths.run_containers / container_id

    async def create(
        self,
        container_id: str,
        bundle: Path,
        *,
        terminal: bool,
        stdin: bool,
        stdin_once: bool,
        log_path: Path | None,
        log_max_bytes: int = 0,
        journal: JournalFields | None = None,
        own_stdin: bool = False,
        systemd_cgroup: bool = False,
    ) -> Monitored:
        """Run conmon and the runtime's `create`; return when the process exists, not started.

        `log_path` None = no log file; `log_max_bytes` is conmon's own last-resort bound (0 = none).
        With `journal` the log is the systemd journal.
        `own_stdin`: where there is no stdin it is an empty file. crun gives its stdin to the
        container's user, which in a user namespace must not be the host's /dev/null.

        Raises: EngineError with the runtime's cause in Docker's words (see OciRuntime.start); a
        failed create leaves nothing behind.
        """
        self.forget(container_id)
        run_dir = self._dir(container_id)
        run_dir.mkdir(mode=0o700)
        (run_dir / "config.json").symlink_to(bundle / "config.json")
        argv = conmon_argv(
            self._binary,
            self._runtime,
            container_id,
            run_dir,
            self._paths.exits,
            terminal=terminal,
            stdin=stdin,
            stdin_once=stdin_once,
            log_path=log_path,
            log_max_bytes=log_max_bytes,
            journal=journal,
            systemd_cgroup=systemd_cgroup,
        )
        if own_stdin and (terminal or not stdin):
            program = _without_null(self._runtime.program, bundle, terminal=terminal)
            argv[argv.index("-r") + 1] = str(program)
        try:
            with Hold.made() if stdin and stdin_once else contextlib.nullcontext() as hold:
                pid = await self._spawn(argv, run_dir, (hold.number,) if hold else ())
                conmon_pid = int((run_dir / "conmon.pid").read_text())
                if hold:
                    hold.put(run_dir, conmon_pid=conmon_pid, pid=pid)
        except BaseException:
            await asyncio.shield(self._abandon(container_id))
            raise
        return Monitored(container_id=container_id, pid=pid, conmon_pid=conmon_pid)

    async def _spawn(self, argv: list[str], run_dir: Path, inherited: tuple[int, ...]) -> int:
        """Start conmon and read the process's pid from its sync pipe."""
        with contextlib.ExitStack() as ours, contextlib.ExitStack() as its:
            sync, sync_child = os.pipe()
            ours.callback(os.close, sync)
            its.callback(os.close, sync_child)
            null = os.open(os.devnull, os.O_RDWR)
            its.callback(os.close, null)
            said = os.open(run_dir / "conmon.err", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            its.callback(os.close, said)
            environment = {
                **os.environ,
                "_OCI_SYNCPIPE": str(sync_child),
                "LC_ALL": "C.UTF-8",
                "TZ": "UTC",
            }
            start = functools.partial(
                spawn,
                argv,
                stdin=null,
                stdout=null,
                stderr=said,
                pass_fds=(sync_child, *inherited),
                env=environment,
                new_session=True,
            )
            try:
                child = await spawn_in(run_dir, start)  # conmon leaves a file `oom` where it works
            except FileNotFoundError as err:
                raise SystemFailure(
                    "conmon: program not found", hint="apt-get install conmon (see `pogu doctor`)"
                ) from err
            except OSError as err:
                raise not_executed("conmon", err) from err
            its.close()
            report = await self._report(child, sync)
        return self._pid_of(report, run_dir)

    async def _report(self, child: int, sync: int) -> bytes:
        """What conmon says once the runtime's create is done and it stands on its own."""
        reading = asyncio.ensure_future(_read_line(sync))
        try:
            async with asyncio.timeout(_CREATE_S):
                await wait_child(child)
                return await reading
        except TimeoutError as err:
            raise SystemFailure(
                f"conmon or the runtime did not create the container within {_CREATE_S} s",
                hint="`ps -ef | grep conmon` shows what it waits for; `dmesg` what the kernel says",
            ) from err
        finally:
            reading.cancel()

    def _pid_of(self, report: bytes, run_dir: Path) -> int:
        try:
            said = json.loads(report)
            pid = int(said.get("pid", said.get("data", -1)))
        except (ValueError, TypeError, AttributeError):
            said, pid = {}, -1
        if pid > 0:
            return pid
        log = run_dir / "runtime.log"
        text = log.read_text(errors="replace") if log.exists() else ""
        fallback = said.get("message") or (run_dir / "conmon.err").read_text(errors="replace")
        raise runtime_failure(self._runtime.name, text if '"error"' in text else fallback)

    async def _abandon(self, container_id: str) -> None:
        """Take away whatever a failed create made."""
        pid = self._recorded_pid(container_id)
        await self._runtime.delete(container_id, force=True)
        if pid and self.is_alive(pid, container_id):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, 9)
            await wait_pidfd(pid)
        self.forget(container_id)

    def _recorded_pid(self, container_id: str) -> int:
        try:
            return int((self._dir(container_id) / "conmon.pid").read_text())
        except (OSError, ValueError):
            return 0

    async def takes_fields(self) -> bool:
        """True when this conmon (2.2) writes fields of ours into the journal."""
        if self._takes_fields is None:
            said = await run([self._binary, "--help"], check=False)
            self._takes_fields = b"--log-label" in said.stdout
        return self._takes_fields

    def attach(self, container_id: str) -> AttachStream:
        """Connect to the container's stdio: nothing that it writes after its start is missed.

        Raises: SystemFailure when it has just ended.
        """
        try:
            return AttachStream.connected(self._dir(container_id), self._recorded_pid(container_id))
        except OSError as err:
            raise SystemFailure(
                f"cannot attach to container {container_id}: {err.strerror}",
                hint="it may just have ended: look at its logs",
            ) from err

    def _control(self, container_id: str, message: str) -> None:
        try:
            fd = os.open(self._dir(container_id) / "ctl", os.O_WRONLY | os.O_NONBLOCK)
        except OSError:
            return  # it has ended
        try:
            with contextlib.suppress(OSError):
                os.write(fd, message.encode())
        finally:
            os.close(fd)

    async def resize(self, container_id: str, *, height: int, width: int) -> None:
        """Set the terminal's size. Silent when the container has just ended."""
        self._control(container_id, f"1 {height} {width}\n")

    async def reopen_log(self, container_id: str) -> None:
        """Make conmon open the log path anew (after a rename by rotation)."""
        self._control(container_id, "2 0 0\n")

    def is_alive(self, conmon_pid: int, container_id: str) -> bool:
        """True when that pid is still this container's conmon (pids are reused)."""
        try:
            command = Path(f"/proc/{conmon_pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            return False
        return b"conmon" in command[0] and container_id.encode() in command

    async def wait(self, conmon_pid: int, container_id: str) -> int | None:
        """Wait for the container's end and return its exit code.

        Uses a pidfd of conmon, which works for adopted containers too; None when conmon died
        without saying. All output is in the log by then.
        """
        if self.is_alive(conmon_pid, container_id):
            await wait_pidfd(conmon_pid)
        return self.exit_code(container_id)

    def exit_code(self, container_id: str) -> int | None:
        """Return the recorded exit code, None when there is none (yet)."""
        try:
            return int((self._paths.exits / container_id).read_text())
        except (OSError, ValueError):
            return None

    def oom_killed(self, container_id: str) -> bool:
        """True when conmon saw an OOM kill; it leaves a file `oom`, also while it runs."""
        return (self._dir(container_id) / "oom").exists()

    def forget(self, container_id: str) -> None:
        """Remove the monitor's files of a container that ended. Idempotent."""
        shutil.rmtree(self._dir(container_id), ignore_errors=True)
        with contextlib.suppress(FileNotFoundError):
            (self._paths.exits / container_id).unlink()


async def _read_line(fd: int) -> bytes:
    """Read until a line end or the end."""
    read = b""
    while not read.endswith(b"\n"):
        data = await read_some(fd)
        if not data:
            break
        read += data
    return read


def _without_null(binary: Path, bundle: Path, *, terminal: bool) -> Path:
    """Return a program that runs the runtime with an empty file of the bundle for stdin, and for
    all that conmon would give it /dev/null for: crun gives its streams away.
    """
    streams, program = bundle / "runtime.streams", bundle / "runtime.sh"
    streams.unlink(missing_ok=True)
    streams.touch(mode=0o600)
    name = shlex.quote(str(streams))
    output = f" >>{name} 2>&1" if terminal else ""
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(str(binary))} "$@" <{name}{output}\n')
    program.chmod(0o700)
    return program


def _find_conmon() -> str:
    for path in ("/usr/libexec/podman/conmon", "/usr/local/bin/conmon", "/usr/bin/conmon"):
        if os.access(path, os.X_OK):
            return path
    return shutil.which("conmon") or "conmon"
