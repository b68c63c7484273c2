"""A host whose containers are plain children: no root, no mounts, no runtime, no monitor.

What the next containers run (or how their start fails) is put into `FakeHost.next`.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import cast

from tests.builders import a_cgroup_setup, an_image

from pogu.config import Config, Paths
from pogu.containers.entry import Entry, ExitStatus
from pogu.containers.launch import Launcher
from pogu.containers.parts import Parts
from pogu.containers.removal import AnonymousVolumes
from pogu.db import Database
from pogu.errors import EngineError, NotFound
from pogu.events import Event, EventBus
from pogu.images.image import Image
from pogu.images.store import ImageStore
from pogu.linux.cgroup import CgroupSetup
from pogu.linux.cgroup_move import GroupMoves
from pogu.linux.spawn import wait_child
from pogu.network.model import Endpoint, Network
from pogu.network.service import Networks
from pogu.runtime.attach_stream import AttachStream
from pogu.runtime.broadcast import Listener
from pogu.runtime.conmon import Conmon, Monitored
from pogu.runtime.oci_runtime import OciRuntime, RuntimeState
from pogu.storage.layers import LayerStore
from pogu.volumes.service import Volumes

__all__ = [
    "SLEEP",
    "FakeHost",
    "a_removal_waiter",
    "an_attacher",
    "an_exit_waiter",
    "sh",
    "soon",
    "until",
]

SLEEP = ("sleep", "1000")


def sh(script: str) -> tuple[str, ...]:
    return ("sh", "-c", script)


async def until(condition: Callable[[], object]) -> None:
    """Wait for a condition, with a deadline."""
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.001)


async def soon(awaitable: Awaitable[ExitStatus]) -> ExitStatus:
    return await asyncio.wait_for(awaitable, 5)


def an_exit_waiter(entry: Entry) -> asyncio.Future[ExitStatus]:
    entry.exit_waiters.append(asyncio.get_running_loop().create_future())
    return entry.exit_waiters[-1]


def a_removal_waiter(entry: Entry) -> asyncio.Future[ExitStatus]:
    entry.removal_waiters.append(asyncio.get_running_loop().create_future())
    return entry.removal_waiters[-1]


def an_attacher(entry: Entry) -> asyncio.Future[Listener]:
    future: asyncio.Future[Listener] = asyncio.get_running_loop().create_future()
    entry.attachers.append(future)
    return future


class FakeRuntime(OciRuntime):
    """Containers start when asked, unless `start_error` is set."""

    def __init__(self, host: FakeHost) -> None:
        super().__init__(Path("/usr/bin/crun"), host.paths.runtime_state)
        self.start_error: EngineError | None = None
        self.states: list[RuntimeState] = []
        self._host = host

    async def pause(self, container_id: str) -> None:
        os.kill(self._host.children[container_id], signal.SIGSTOP)

    async def resume(self, container_id: str) -> None:
        if container_id in self._host.children:
            os.kill(self._host.children[container_id], signal.SIGCONT)

    async def start(self, container_id: str, pid: int = 0) -> None:
        if self.start_error:
            raise self.start_error

    async def delete(self, container_id: str, *, force: bool = False) -> None:
        self.states = [state for state in self.states if state.id != container_id]

    async def list(self) -> list[RuntimeState]:
        return self.states


class FakeConmon(Conmon):
    """The child is its own monitor; files in the run directories are real."""

    def __init__(self, host: FakeHost) -> None:
        super().__init__(host.config, host.runtime)
        self._host = host
        self.dies_silently = False
        self.attached: list[socket.socket] = []

    def attach(self, container_id: str) -> AttachStream:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        self.attached.append(theirs)
        return AttachStream(ours)

    def is_alive(self, conmon_pid: int, container_id: str) -> bool:
        return self._host.children.get(container_id) == conmon_pid

    async def wait(self, conmon_pid: int, container_id: str) -> int | None:
        code = await wait_child(self._host.children[container_id])
        self._host.children.pop(container_id)
        if self.dies_silently:
            return None
        return code if code >= 0 else 128 - code


class FakeLauncher(Launcher):
    """Directories are real; launching starts a child, releasing ends it."""

    def __init__(self, host: FakeHost) -> None:
        self._host = host
        self.may_launch = asyncio.Event()
        """Cleared by a test that looks at a launch under way."""
        self.may_launch.set()

    async def launch(self, entry: Entry) -> tuple[Monitored, list[str]]:
        self._host.launches += 1
        await self.may_launch.wait()
        pid = self._host.start_next(entry.id)
        return Monitored(container_id=entry.id, pid=pid, conmon_pid=pid), []

    async def release(self, container_id: str) -> None:
        self._host.released.append(container_id)
        self._host.end_child(container_id)
        await self._host.runtime.delete(container_id, force=True)
        self._host.conmon.forget(container_id)
        if self._host.release_error:
            raise self._host.release_error


class FakeImages(ImageStore):
    """Images by name, nothing on disk."""

    def __init__(self, images: dict[str, Image]) -> None:
        self.by_name = images

    def resolve(self, name: str) -> Image:
        if name not in self.by_name:
            raise NotFound(f"No such image: {name}")
        return self.by_name[name]


class FakeNetworks(Networks):
    """Only `bridge` exists; nobody is connected."""

    def __init__(self) -> None:
        self.retained: set[str] = set()

    def resolve(self, name: str) -> Network:
        if name != "bridge":
            raise NotFound(f"network {name} not found")
        return cast(Network, None)

    def endpoint(self, owner: str) -> Endpoint | None:
        return None

    async def retain(self, owners: set[str]) -> None:
        self.retained = owners


class RecordedVolumes(AnonymousVolumes):
    """Remembers which volumes were to be removed."""

    removed: list[str]

    def remove_unused(self, name: str) -> None:
        self.removed.append(name)
        super().remove_unused(name)


@dataclass(frozen=True, kw_only=True, eq=False)
class FakeParts(Parts):
    """The services of containers, of which only those differ that reach below."""

    host: FakeHost

    @cached_property
    def cgroup(self) -> CgroupSetup:
        return a_cgroup_setup()

    @cached_property
    def moves(self) -> GroupMoves:
        return GroupMoves(self.cgroup, begin=lambda wait: None)

    @cached_property
    def launcher(self) -> FakeLauncher:
        return FakeLauncher(self.host)

    @cached_property
    def anonymous_volumes(self) -> RecordedVolumes:
        volumes = RecordedVolumes(
            volumes=self.volumes, registry=self.registry, background=self.background
        )
        volumes.removed = self.host.removed_volumes
        return volumes


class FakeHost:
    """Everything below the containers' services, and these services on top of it."""

    def __init__(self, root: Path) -> None:
        self.paths = Paths(root=root / "root", run_root=root / "run")
        self.paths.create()
        self.config = Config(paths=self.paths)
        self.db = Database(self.paths.database)
        self.events = EventBus()
        self.now_ns = 1_800_000_000 * 10**9
        self.steady_s = 1000.0
        self.next: list[tuple[str, ...] | Exception] = []
        """What the next launches do; when it is empty, containers sleep."""
        self.ignores_term = False
        self.release_error: Exception | None = None
        self.children: dict[str, int] = {}
        self.launches = 0
        self.released: list[str] = []
        self.removed_volumes: list[str] = []
        self.pauses: list[float] = []
        """Before restarts; nothing waits for them here."""
        self.entries: list[Entry] = []
        self.runtime = FakeRuntime(self)
        self.conmon = FakeConmon(self)
        self.parts = FakeParts(
            host=self,
            config=self.config,
            db=self.db,
            events=self.events,
            layers=cast(LayerStore, None),
            images=FakeImages({"web": an_image()}),
            networks=FakeNetworks(),
            volumes=Volumes(paths=self.paths, db=self.db, events=self.events),
            runtime=self.runtime,
            conmon=self.conmon,
            clock_ns=lambda: self.now_ns,
            steady_s=lambda: self.steady_s,
            sleep=self._pause,
        )
        self.rows = self.parts.rows
        self.registry = self.parts.registry
        self.bundles = self.parts.bundles
        self.background = self.parts.background
        self.states = self.parts.states
        self.launcher = self.parts.launcher
        self.freezer = self.parts.freezer
        self.stopper = self.parts.stopper
        self.removal = self.parts.removal
        self.lifecycle = self.parts.lifecycle
        self.recovery = self.parts.recovery

    async def _pause(self, pause_s: float) -> None:
        self.pauses.append(pause_s)

    def add(self, entry: Entry) -> Entry:
        """Give a container its row and its directory."""
        self.rows.insert(entry.name, entry.record, entry.state)
        self.bundles.make(entry.id)
        self.registry.add(entry)
        self.entries.append(entry)
        return entry

    def start_next(self, container_id: str) -> int:
        """Start the next program as the container's process."""
        program = self.next.pop(0) if self.next else SLEEP
        if isinstance(program, Exception):
            raise program
        before = signal.getsignal(signal.SIGTERM)
        if self.ignores_term:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)  # children inherit it
        try:
            pid = os.posix_spawnp(program[0], program, os.environ, setsigdef=[signal.SIGINT])
        finally:
            signal.signal(signal.SIGTERM, before)
        self.children[container_id] = pid
        return pid

    def end_child(self, container_id: str) -> None:
        """Kill a container's process that nobody waits for. Idempotent."""
        pid = self.children.pop(container_id, 0)
        if pid:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)

    def happened(self) -> list[str]:
        """The actions of all events so far."""
        return [event.action for event in self.past()]

    def past(self) -> list[Event]:
        return self.events.past(since_ns=0)

    async def close(self) -> None:
        """End everything that was started."""
        for entry in self.entries:
            entry.drop_process()
            for task in (entry.restarter, entry.watcher):
                if task is not None:
                    task.cancel()
                    await asyncio.gather(task, return_exceptions=True)
        await self.background.finish()
        for container_id in list(self.children):
            self.children.pop(container_id)  # a cancelled watcher has reaped it
        for connection in self.conmon.attached:
            connection.close()
        self.db.close()
