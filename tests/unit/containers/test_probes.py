"""The task that probes, with a clock of the test and probes that are scripted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

import msgspec
from tests.builders import a_config, a_record

from pogu.containers.entry import Entry
from pogu.containers.execution import ExecRequest
from pogu.containers.health import Health, HealthStatus
from pogu.containers.model import ContainerState, Status
from pogu.containers.probes import Probes
from pogu.errors import InvalidParameter
from pogu.images.image import rfc3339
from pogu.model.container import HealthConfig
from pogu.runtime.exec import ExecProcess, Sink

S = 1_000_000_000
CHECK = HealthConfig(test=("CMD", "ask"), interval=2 * S, timeout=10_000_000, retries=2)


class Scripted:
    """A probe: says something and ends with a code, or never ends."""

    def __init__(self, code: int | None, said: bytes = b"") -> None:
        self.code, self.said, self.killed = code, said, asyncio.Event()

    async def wait(self) -> int:
        if self.code is None:
            await self.killed.wait()
            return 137
        return self.code

    def kill(self) -> None:
        self.killed.set()


class Bench:
    """A running container whose probes go as `script` says."""

    def __init__(self, *script: Scripted | Exception, health: Health | None = None) -> None:
        self.now_ns = 1000 * S
        state = ContainerState(
            status=Status.RUNNING, started_at=rfc3339(self.now_ns), health=health or Health()
        )
        self.entry = Entry("web", a_record(config=a_config(healthcheck=CHECK)), state)
        self.script = list(script)
        self.slept: list[float] = []
        self.told: list[str] = []
        self.execs: list[tuple[str, dict[str, str]]] = []
        self.commands: list[tuple[str, ...]] = []
        self.before_probe: Callable[[], None] = lambda: None
        self.probes = Probes(
            prober=self,
            note=self._note,
            publish=lambda _entry, action: self.told.append(action),
            publish_exec=self._publish_exec,
            ran_s=lambda _: (self.now_ns - 1000 * S) / 1e9,
            clock_ns=lambda: self.now_ns,
            sleep=self._sleep,
        )

    def _note(self, entry: Entry, health: Health) -> None:
        entry.state = msgspec.structs.replace(entry.state, health=health)

    def _publish_exec(self, _entry: Entry, action: str, **attributes: str) -> None:
        self.execs.append((action, attributes))

    async def _sleep(self, seconds: float) -> None:
        if not self.script:
            raise asyncio.CancelledError
        self.slept.append(seconds)
        self.now_ns += round(seconds * 1e9)
        self.before_probe()

    def spec(self, entry: Entry, request: ExecRequest) -> bytes:
        self.commands.append(request.cmd)
        return b"{}"

    async def run(self, entry: Entry, spec: bytes, *, sink: Sink | None) -> ExecProcess:
        next_one = self.script.pop(0)
        if isinstance(next_one, Exception):
            raise next_one
        if sink is not None and next_one.said:
            await sink(1, next_one.said)
        return cast(ExecProcess, next_one)

    async def go(self) -> Health:
        await asyncio.gather(self.probes.watch(self.entry), return_exceptions=True)
        assert self.entry.state.health is not None
        return self.entry.state.health


async def test_each_change_of_the_status_is_told_once() -> None:
    bench = Bench(Scripted(0), Scripted(0), Scripted(1), Scripted(1), Scripted(0))
    health = await bench.go()
    assert bench.told == [
        "health_status: healthy",
        "health_status: unhealthy",
        "health_status: healthy",
    ]
    assert health.status is HealthStatus.HEALTHY
    assert bench.slept == [2.0] * 5
    assert bench.commands[0] == ("ask",)


async def test_a_probe_is_an_exec_to_whoever_listens() -> None:
    bench = Bench(Scripted(3), Scripted(None))
    await bench.go()
    actions = [action for action, _ in bench.execs]
    assert actions == ["exec_create: ask", "exec_start: ask", "exec_die"] * 2
    assert [told["exitCode"] for _, told in bench.execs if "exitCode" in told] == ["3", "137"]
    ids = [told["execID"] for _, told in bench.execs]
    assert ids[0] == ids[1] == ids[2] != ids[3]


async def test_what_a_probe_said_is_kept_with_its_times() -> None:
    health = await Bench(Scripted(3, b"no answer\n")).go()
    (result,) = health.log
    assert (result.exit_code, result.output) == (3, "no answer\n")
    assert result.start == rfc3339(1002 * S)


async def test_a_probe_that_takes_too_long_is_killed() -> None:
    stuck = Scripted(None, b"part")
    health = await Bench(stuck).go()
    assert stuck.killed.is_set()
    (result,) = health.log
    assert result.exit_code == -1
    assert result.output == "Health check exceeded timeout (10ms): part"


async def test_a_probe_that_cannot_run_is_a_failure_with_the_reason() -> None:
    health = await Bench(InvalidParameter("no such program")).go()
    assert (health.log[0].exit_code, health.log[0].output) == (-1, "no such program")
    assert health.failing_streak == 1


async def test_a_defect_does_not_end_the_checks() -> None:
    bench = Bench(RuntimeError("defect"), Scripted(0))
    assert (await bench.go()).status is HealthStatus.HEALTHY


async def test_a_frozen_container_is_not_probed() -> None:
    bench = Bench(Scripted(0))
    rounds = iter([Status.PAUSED, Status.PAUSED, Status.RUNNING])

    def freeze() -> None:
        state = bench.entry.state
        bench.entry.state = msgspec.structs.replace(state, status=next(rounds))

    bench.before_probe = freeze
    assert (await bench.go()).status is HealthStatus.HEALTHY
    assert len(bench.slept) == 3


async def test_the_next_engine_goes_on_with_the_streak() -> None:
    bench = Bench(Scripted(1), health=Health(status=HealthStatus.HEALTHY, failing_streak=1))
    assert (await bench.go()).status is HealthStatus.UNHEALTHY


async def test_without_a_check_nothing_is_probed() -> None:
    bench = Bench(Scripted(0))
    bench.entry = Entry("web", a_record(), ContainerState(status=Status.RUNNING))
    await bench.probes.watch(bench.entry)
    assert bench.slept == []
