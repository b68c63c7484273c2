"""Service: processes executed in running containers. Records live in memory, with their container;
of those that ended only the last ones are kept.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable

import msgspec

from pogu.config import Paths
from pogu.containers.entry import Entry
from pogu.containers.execution import Exec, ExecRequest
from pogu.containers.merge import effective_env
from pogu.containers.registry import Registry
from pogu.containers.running_ids import owner_of_streams
from pogu.errors import Conflict, EngineError, InvalidParameter, NotFound, SystemFailure
from pogu.host_failure import host_failure
from pogu.linux.blocking import in_thread
from pogu.linux.cgroup_move import GroupMoves
from pogu.linux.descriptors import check_descriptors
from pogu.runtime.exec import ExecProcess, Sink
from pogu.runtime.exec_process import Execution, exec_process, hostname_of, user_of
from pogu.runtime.failure import start_exit_code
from pogu.runtime.oci_runtime import OciRuntime, bounding_capabilities, resolve_user

__all__ = ["Exec", "ExecRequest", "Execs"]

log = logging.getLogger(__name__)

_KEPT = 64
_SPARE_DESCRIPTORS = 24
"""Execs of one container that are remembered though nothing of them runs."""
_READY_S = 10.0


class Execs:
    """create → start → its end; each exec is started once."""

    def __init__(
        self,
        *,
        paths: Paths,
        registry: Registry,
        runtime: OciRuntime,
        moves: GroupMoves,
        publish: Callable[..., None],
    ) -> None:
        self._paths = paths
        self._registry = registry
        self._runtime = runtime
        self._moves = moves
        self._publish = publish

    def create(self, name: str, request: ExecRequest) -> Exec:
        """Raises: NotFound; Conflict when the container does not run; InvalidParameter."""
        entry = self._registry.find(name)
        _check_runs(entry)
        if not request.cmd:
            raise InvalidParameter("No exec command specified", hint="Cmd is a list of words")
        self._moves.expect()  # the start follows at once
        execution = Exec(secrets.token_hex(32), entry.id, request)
        _forget_oldest(entry)
        entry.execs[execution.id] = execution
        self._tell(entry, "exec_create", execution)
        return execution

    def find(self, exec_id: str) -> Exec:
        """Raises: NotFound in Docker's words."""
        for entry in self._registry:
            if exec_id in entry.execs:
                return entry.execs[exec_id]
        raise NotFound(
            f"No such exec instance: {exec_id}",
            hint="an exec is forgotten with its container, and when the engine restarts",
        )

    def of_container(self, container_id: str) -> list[str]:
        """IDs of the execs that have not ended."""
        execs = self._registry.find(container_id).execs.values()
        return [execution.id for execution in execs if execution.exit_code is None]

    def check_startable(self, execution: Exec) -> None:
        """Raises: Conflict when it was started before, or its container does not run."""
        if execution.exit_code is not None:
            raise Conflict(f"Error: Exec command {execution.id} has already run")
        if execution.begun:
            raise Conflict(f"Error: Exec command {execution.id} is already running")
        _check_runs(self._registry.find(execution.container_id))

    async def start(
        self,
        execution: Exec,
        *,
        sink: Sink | None = None,
        console_size: tuple[int, int] = (0, 0),
    ) -> ExecProcess:
        """Start it and return its process, whose output goes to `sink`.

        Raises: Conflict; InvalidParameter (no such user). That the program cannot be executed is
        said by `end`.
        """
        self.check_startable(execution)
        check_descriptors(_SPARE_DESCRIPTORS)
        entry = self._registry.find(execution.container_id)
        execution.begun = True
        self._tell(entry, "exec_start", execution)
        request = execution.request
        try:
            spec = await in_thread(self.spec, entry, request, console_size)
            process = await self.run(
                entry, spec, terminal=request.tty, stdin=request.attach_stdin, sink=sink
            )
        except BaseException as err:
            failure = host_failure(err) or err
            self._end(entry, execution, start_exit_code(str(failure)), failure=failure)
            raise failure from err
        execution.process = process
        execution.ready.set()
        execution.watcher = asyncio.create_task(self._watch(entry, execution, process))
        return process

    async def run(
        self,
        entry: Entry,
        spec: bytes,
        *,
        terminal: bool = False,
        stdin: bool = False,
        sink: Sink | None = None,
    ) -> ExecProcess:
        """Begin a process without a record of it; `spec` says what it is."""
        process = ExecProcess(
            self._runtime,
            entry.id,
            self._paths.run_containers / entry.id,
            owner=owner_of_streams(entry.state.pid, *user_of(spec)),
        )
        await process.begin(spec, terminal=terminal, stdin=stdin, sink=sink)
        return process

    def spec(
        self, entry: Entry, request: ExecRequest, console_size: tuple[int, int] = (0, 0)
    ) -> bytes:
        """The process for the runtime. Reads files. Raises: InvalidParameter (no such user)."""
        directory = self._paths.containers / entry.id
        try:
            config_json = (directory / "config.json").read_bytes()
        except FileNotFoundError as err:
            raise SystemFailure(
                f"open {directory}/config.json: no such file or directory",
                hint=f"it runs on; a start writes it anew: pogu restart {entry.name}",
            ) from err
        config, host = entry.record.config, entry.record.host_config
        named = request.user or config.user
        user = resolve_user(directory / "rootfs", named, group_add=host.group_add or ())
        env = effective_env(
            msgspec.structs.replace(
                config, tty=request.tty, env=(*(config.env or ()), *request.env)
            ),
            hostname=hostname_of(config_json),
            home=user.home,
        )
        execution = Execution(
            args=request.cmd,
            env=env,
            user=user,
            cwd=request.working_dir,
            terminal=request.tty,
            console_size=console_size if all(console_size) else request.console_size,
            privileged=request.privileged,
        )
        return exec_process(config_json, execution, bounding=bounding_capabilities())

    async def _watch(self, entry: Entry, execution: Exec, process: ExecProcess) -> None:
        try:
            code = await process.wait()
        except EngineError as err:
            self._end(entry, execution, start_exit_code(err.message), failure=err)
        else:
            self._end(entry, execution, code)

    def _end(
        self, entry: Entry, execution: Exec, code: int, failure: BaseException | None = None
    ) -> None:
        execution.exit_code = 126 if failure is not None and code == 128 else code
        execution.failure = failure
        execution.process = None
        execution.ready.set()
        execution.ended.set()
        attributes = {"execID": execution.id, "exitCode": str(execution.exit_code)}
        self._publish(entry, "exec_die", **attributes)

    async def end(self, execution: Exec) -> int:
        """Wait for its end and return the exit code; all its output was taken by then.

        Raises: EngineError in Docker's words when it could not be executed.
        """
        await execution.ended.wait()
        if execution.failure is not None:
            raise execution.failure
        assert execution.exit_code is not None
        return execution.exit_code

    async def resize(self, execution: Exec, *, height: int, width: int) -> None:
        """Raises: Conflict when it does not run; one that is just being started is waited for."""
        try:
            await asyncio.wait_for(execution.ready.wait(), _READY_S if execution.begun else 0.5)
        except TimeoutError:
            raise Conflict(f"exec {execution.id} is not running", hint="start it first") from None
        if execution.process is None:
            raise Conflict(f"exec {execution.id} has ended")
        execution.process.resize(height=height, width=width)

    def detached(self, execution: Exec) -> None:
        """Publish that a client left with its detach keys; the process goes on."""
        entry = self._registry.find(execution.container_id)
        self._publish(entry, "exec_detach", execID=execution.id)

    def _tell(self, entry: Entry, action: str, execution: Exec) -> None:
        words = " ".join(execution.request.cmd)
        self._publish(entry, f"{action}: {words}", execID=execution.id)


def _check_runs(entry: Entry) -> None:
    """Raises: Conflict in Docker's words."""
    entry.check_steady(f"Container {entry.id}", before="exec")
    if not entry.active:
        raise Conflict(f"container {entry.id} is not running", hint=f"pogu start {entry.name}")


def _forget_oldest(entry: Entry) -> None:
    idle = [execution.id for execution in entry.execs.values() if not execution.running]
    for exec_id in idle[: max(0, len(idle) - _KEPT + 1)]:
        del entry.execs[exec_id]
