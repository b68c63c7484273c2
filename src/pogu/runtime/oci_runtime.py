"""Edge: crun or runc, whichever works on this host (crun first). Pure argv builders, async calls.

Probing runs a real container once per boot and remembers the answer under `<run_root>`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import resource
import signal
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path

from pogu.errors import CommandFailed, NotFound, SystemFailure
from pogu.linux.process import Completed, not_executed, read_some, run
from pogu.linux.spawn import reap, spawn, wait_child
from pogu.runtime.capabilities import ALL_CAPABILITIES
from pogu.runtime.control_group import CgroupDriver, scope_properties
from pogu.runtime.device import device_node, stat_device
from pogu.runtime.exec_fifo import let_go
from pogu.runtime.failure import runtime_failure
from pogu.runtime.filter_cache import FilterCache
from pogu.runtime.maker import find_program, forget_by_hand, living_process, maker_of
from pogu.runtime.sealed_program import SealedProgram, seal_program
from pogu.runtime.spec import limits_config, runtime_config
from pogu.runtime.user import resolve_user
from pogu.runtime.workload import Resources, Rlimit, Workload

__all__ = ["OciRuntime", "RuntimeState", "possible_rlimits", "resolve_user", "write_bundle"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeState:
    """runtime-spec "State": `created`, `running`, `stopped` (`paused` is the runtimes' own)."""

    id: str
    status: str
    pid: int


def write_bundle(bundle: Path, workload: Workload) -> list[str]:
    """Write `bundle/config.json`; return warnings (a clamped rlimit)."""
    rlimits, warnings = possible_rlimits(workload.rlimits, remapped=workload.id_mapping is not None)
    config = runtime_config(
        replace(workload, rlimits=rlimits),
        bounding=bounding_capabilities(),
        host_devices=_host_devices() if workload.privileged else (),
    )
    (bundle / "config.json").write_bytes(config)
    return warnings


def bounding_capabilities(status: Path = Path("/proc/self/status")) -> frozenset[str]:
    """What this process may hand on at all."""
    for line in status.read_text().splitlines():
        if line.startswith("CapBnd:"):
            bits = int(line.split()[1], 16)
            return frozenset(
                name for number, name in enumerate(ALL_CAPABILITIES) if bits >> number & 1
            )
    return frozenset(ALL_CAPABILITIES)


def possible_rlimits(
    limits: tuple[Rlimit, ...], *, remapped: bool = False
) -> tuple[tuple[Rlimit, ...], list[str]]:
    """Without CAP_SYS_RESOURCE on the host, which nobody has in a user namespace, a hard limit
    cannot be raised: lower it and say so.
    """
    if not remapped and "CAP_SYS_RESOURCE" in bounding_capabilities():
        return limits, []
    kept, warnings = [], []
    for limit in limits:
        hard = resource.getrlimit(getattr(resource, limit.type))[1]
        highest = 2**64 - 1 if hard == resource.RLIM_INFINITY else hard
        if limit.hard > highest:
            name = limit.type.removeprefix("RLIMIT_").lower()
            warnings.append(
                f"ulimit {name}: the host allows no more than {highest}; {limit.hard} was lowered"
            )
        kept.append(replace(limit, soft=min(limit.soft, highest), hard=min(limit.hard, highest)))
    return tuple(kept), warnings


def _host_devices() -> list[dict[str, object]]:
    """The nodes of /dev that a privileged container gets."""
    own = ("pts", "shm", "fd", "mqueue", "console", "stdin", "stdout", "stderr", "ptmx")
    found = []
    for directory, names, files in os.walk("/dev"):
        if directory == "/dev":
            names[:] = [name for name in names if name not in own]
        for name in files:
            path = os.path.join(directory, name)
            info = os.lstat(path)
            if name in own or not (
                info.st_rdev and info.st_mode & 0o170000 in (0o020000, 0o060000)
            ):
                continue
            found.append(device_node(path, path, stat_device(path)))
    return found


class OciRuntime:
    """One runtime binary with its state directory `<run_root>/runtime`."""

    def __init__(
        self,
        binary: Path,
        state_root: Path,
        cgroup_driver: CgroupDriver = CgroupDriver.CGROUPFS,
    ) -> None:
        self.binary = binary
        self.state_root = state_root
        self.cgroup_driver = cgroup_driver
        self._filters = FilterCache(enabled=self.name == "crun")
        self._sealed: SealedProgram | None = None
        self._others: dict[str, OciRuntime] = {}

    def maker(self, container_id: str) -> OciRuntime:
        """The runtime that made it: only that one can be asked about it. Else this one."""
        name = maker_of(self.state_root / container_id)
        if name in ("", self.name):
            return self
        if name not in self._others:
            binary = Path(find_program(name) or name)
            self._others[name] = OciRuntime(binary, self.state_root, self.cgroup_driver)
        return self._others[name]

    async def seal(self, directory: Path) -> None:
        """Execute a copy in memory from now on, where the host lets us: see `sealed_program`."""
        self._sealed = await seal_program(self.binary, directory)

    @property
    def program(self) -> Path:
        """What is executed: `binary` or a copy of it."""
        return self._sealed.path if self._sealed else self.binary

    def prepared(self, workload: Workload) -> Workload:
        """Return the workload with what this runtime need not compute anew."""
        if workload.control_group is not None:
            properties = scope_properties(
                workload.control_group,
                pids_limit=workload.resources.pids_limit,
                has_subgroup=self.name == "crun",
            )
            workload = replace(workload, annotations={**properties, **workload.annotations})
        return self._filters.apply(workload)

    def learn(self, workload: Workload) -> None:
        """Keep what the runtime computed for a container that it has just created."""
        self._filters.learn(workload, self.state_root / workload.id)

    @property
    def name(self) -> str:
        return self.binary.name

    def argv(self, *words: str) -> list[str]:
        """The command line of one call."""
        return [str(self.program), "--root", str(self.state_root), *words]

    async def version(self) -> str:
        """`1.8.1` of `crun version 1.8.1`."""
        said = (await run([str(self.binary), "--version"])).stdout.decode(errors="replace")
        words = said.split()
        return words[2] if len(words) > 2 else said.strip()

    async def described(self) -> str:
        """Say which it is, and who makes its control groups."""
        return f"{self.name} {await self.version()}, control groups by {self.cgroup_driver}"

    async def _call(self, *words: str) -> Completed:
        return await run(self.argv(*words), check=False, timeout_s=60)

    async def start(self, container_id: str, pid: int = 0) -> None:
        """Start what `create` (by conmon) made. With the pid of its process no program is run where
        that can be: only a container with hooks needs the runtime for it.

        Raises: EngineError in Docker's words: 126/127 causes keep "permission denied" /
        "executable file not found in $PATH".
        """
        if pid and await let_go(self.name, self.state_root / container_id, pid):
            return
        done = await self._call("start", container_id)
        if done.exit_code != 0:
            raise runtime_failure(self.name, done.stderr.decode(errors="replace"))

    async def kill(self, container_id: str, signal_number: signal.Signals | int) -> None:
        """Raises: NotFound when it does not run any more."""
        done = await self.maker(container_id)._call("kill", container_id, str(int(signal_number)))
        if done.exit_code == 0:
            return
        said = done.stderr.decode(errors="replace").lower()
        if any(words in said for words in ("not running", "does not exist", "no such process")):
            raise NotFound(f"Container {container_id} is not running")
        raise CommandFailed([self.name, "kill", container_id], done.exit_code, said)

    async def pause(self, container_id: str) -> None:
        """Freeze every process of the container (cgroup freezer). Idempotent."""
        await self._freeze("pause", container_id, done_when=("paused",))

    async def resume(self, container_id: str) -> None:
        """Let a frozen container go on. Idempotent; one that ended meanwhile is no error."""
        await self._freeze("resume", container_id, done_when=("running", "stopped", ""))

    async def _freeze(self, word: str, container_id: str, *, done_when: tuple[str, ...]) -> None:
        done = await self.maker(container_id)._call(word, container_id)
        if done.exit_code == 0 or await self._status(container_id) in done_when:
            return
        raise runtime_failure(self.name, done.stderr.decode(errors="replace"))

    async def _status(self, container_id: str) -> str:
        found = await self.maker(container_id)._state_of(container_id)
        return found.status if found else ""

    async def _state_of(self, container_id: str) -> RuntimeState | None:
        """One that lives is never taken for dead because its runtime is gone or broken."""
        with contextlib.suppress(SystemFailure, OSError, ValueError):
            done = await self._call("state", container_id)
            if done.exit_code == 0:
                return _state(json.loads(done.stdout))
        pid = living_process(self.state_root / container_id)
        return RuntimeState(id=container_id, status="running", pid=pid) if pid else None

    async def update(self, container_id: str, limits: Resources) -> None:
        """Set other limits for a container that runs. Raises: EngineError, nothing is changed."""
        path = self.state_root.with_name(f"update-{container_id}.json")
        path.write_text(json.dumps(limits_config(limits)))
        try:
            words = ("update", "--resources", str(path), container_id)
            done = await self.maker(container_id)._call(*words)
        finally:
            path.unlink()
        if done.exit_code != 0:
            raise runtime_failure(self.name, done.stderr.decode(errors="replace"))

    async def delete(self, container_id: str, *, force: bool = False) -> None:
        """Idempotent. What has ended is forgotten without the program that made it, too."""
        state = self.state_root / container_id
        if not state.exists():
            return
        words = ("delete", "--force", container_id) if force else ("delete", container_id)
        maker = self.maker(container_id)
        try:
            done = await maker._call(*words)
        except (SystemFailure, OSError):
            if living_process(state):
                raise
            forget_by_hand(state)
            return
        said = done.stderr.decode(errors="replace")
        gone = "does not exist" in said.lower() or not state.exists()
        if done.exit_code != 0 and not gone:
            if not force:
                await self.delete(container_id, force=True)
            elif living_process(state) or not maker_of(state):
                raise CommandFailed([maker.name, *words], done.exit_code, said)
            else:
                forget_by_hand(state)

    async def list(self) -> list[RuntimeState]:
        """Everything below the state directory; empty without a call when there is nothing.

        Each of another runtime is asked for alone; so is everything when one that ended meanwhile
        makes the whole list fail.
        """
        present = [entry.name for entry in self.state_root.iterdir()]
        alone = [name for name in present if self.maker(name) is not self]
        states: list[RuntimeState] = []
        if len(alone) < len(present):
            done = None
            with contextlib.suppress(SystemFailure, OSError):
                done = await self._call("list", "--format", "json")
            if done is not None and done.exit_code == 0:
                states = [_state(entry) for entry in json.loads(done.stdout or b"[]") or []]
            else:
                alone = present
        asked = [await self.maker(name)._state_of(name) for name in alone]
        return [*states, *(one for one in asked if one is not None)]

    async def run_attached(
        self,
        container_id: str,
        bundle: Path,
        output: Callable[[int, bytes], Awaitable[None]],
    ) -> int:
        """Run a bundle to its end without conmon; hand over output live (1 out, 2 err).

        For RUN steps; their group is by this runtime's driver. Cancelling kills it and deletes it.
        Returns the exit code (128+n for a signal). The container is gone afterwards.
        Raises: SystemFailure when it cannot start.
        """
        log_path = bundle / "runtime.log"
        words = ["--log", str(log_path), "--log-format", "json", "run", "--bundle", str(bundle)]
        if self.cgroup_driver is CgroupDriver.SYSTEMD:
            words.insert(0, "--systemd-cgroup")
        with contextlib.ExitStack() as its, contextlib.ExitStack() as ours:
            out, out_child = os.pipe()
            ours.callback(os.close, out)
            its.callback(os.close, out_child)
            err, err_child = os.pipe()
            ours.callback(os.close, err)
            its.callback(os.close, err_child)
            null = os.open(os.devnull, os.O_RDONLY)
            its.callback(os.close, null)
            argv = self.argv(*words, container_id)
            try:
                pid = spawn(argv, stdin=null, stdout=out_child, stderr=err_child, new_session=True)
            except OSError as refusal:
                raise not_executed(self.name, refusal) from refusal
            ours.pop_all()
        said: list[bytes] = []

        async def pump(stream: int, fd: int) -> None:
            try:
                while data := await read_some(fd):
                    if stream == 2 and len(said) < 8:
                        said.append(data)
                    await output(stream, data)
            finally:
                os.close(fd)

        pumps = asyncio.gather(pump(1, out), pump(2, err))
        try:
            await pumps
            exit_code = await wait_child(pid)
        except BaseException:
            pumps.cancel()
            await asyncio.shield(self._end(container_id, pid))
            raise
        failed = log_path.read_text(errors="replace") if log_path.exists() else ""
        if exit_code != 0 and '"error"' in failed:
            await self.delete(container_id, force=True)
            raise runtime_failure(self.name, failed)
        return exit_code if exit_code >= 0 else 128 - exit_code

    async def _end(self, container_id: str, pid: int) -> None:
        await self.delete(container_id, force=True)
        try:
            os.kill(pid, signal.SIGKILL)
            reap(pid)
        except (ProcessLookupError, ChildProcessError):
            pass
        await self.delete(container_id, force=True)


def _state(entry: dict[str, object]) -> RuntimeState:
    return RuntimeState(
        id=str(entry["id"]), status=str(entry["status"]), pid=int(str(entry.get("pid", 0)))
    )


def probe_id() -> str:
    return f"pogu-probe-{uuid.uuid4().hex[:12]}"


def first_line(text: str) -> str:
    """For messages."""
    lines = text.strip().splitlines()
    return lines[0] if lines else ""


def no_runtime(tried: dict[str, str]) -> SystemFailure:
    """The error when nothing works: what was tried and how it failed."""
    if not tried:
        return SystemFailure(
            "no OCI runtime found: neither crun nor runc is installed",
            hint="apt-get install crun runc (or your system's packages of that name)",
        )
    said = "; ".join(f"{name}: {text}" for name, text in tried.items())
    return SystemFailure(f"no OCI runtime works on this host: {said}", hint="see `pogu doctor`")
