"""crun and runc behind their command lines; the runtime is a script here."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import signal
from pathlib import Path

import pytest
from tests.builders import a_workload
from tests.fakes.program import a_program, calls_of

from pogu.errors import CommandFailed, EngineError, NotFound
from pogu.runtime import oci_runtime
from pogu.runtime.control_group import CgroupDriver, control_group
from pogu.runtime.oci_runtime import (
    OciRuntime,
    RuntimeState,
    bounding_capabilities,
    first_line,
    no_runtime,
    write_bundle,
)
from pogu.runtime.workload import Rlimit, Workload


def a_runtime(
    root: Path, *, stdout: str = "", stderr: str = "", exit_code: int = 0, body: str = ""
) -> OciRuntime:
    """A runtime that knows a container `c` and answers every call alike."""
    program = a_program(root / "crun", stdout=stdout, stderr=stderr, exit_code=exit_code, body=body)
    state = root / "state"
    (state / "c").mkdir(parents=True)
    return OciRuntime(program, state)


def words_of(runtime: OciRuntime) -> list[list[str]]:
    """Every call without the options that all have."""
    for call in calls_of(runtime.binary):
        assert call[:2] == ["--root", str(runtime.state_root)]
    return [call[2:] for call in calls_of(runtime.binary)]


# ---- calls -----------------------------------------------------------------------------------


async def test_every_call_names_the_state_directory(tmp_path: Path) -> None:
    runtime = a_runtime(tmp_path)
    await runtime.start("c")
    await runtime.kill("c", signal.SIGHUP)
    await runtime.delete("c")
    await runtime.delete("c", force=True)
    assert words_of(runtime) == [
        ["start", "c"],
        ["kill", "c", "1"],
        ["delete", "c"],
        ["delete", "--force", "c"],
    ]


@pytest.mark.parametrize(
    ("said", "version"),
    [("crun version 1.8.1\ncommit: x\n", "1.8.1"), ("runc version 1.1.5+ds1", "1.1.5+ds1")],
)
async def test_the_version_is_the_third_word(tmp_path: Path, said: str, version: str) -> None:
    assert await a_runtime(tmp_path, stdout=said).version() == version


async def test_a_runtime_is_described_with_its_driver(tmp_path: Path) -> None:
    runtime = a_runtime(tmp_path, stdout="crun version 1.8.1\n")
    assert await runtime.described() == "crun 1.8.1, control groups by cgroupfs"


async def test_a_failed_start_is_told_in_dockers_words(tmp_path: Path) -> None:
    runtime = a_runtime(tmp_path, stderr='exec: "x": permission denied\n', exit_code=1)
    with pytest.raises(EngineError, match="permission denied: unknown"):
        await runtime.start("c")


@pytest.mark.parametrize(
    "said", ["container not running", "container `c` is not running", "kill: No such process"]
)
async def test_a_kill_after_the_end_is_not_found(tmp_path: Path, said: str) -> None:
    with pytest.raises(NotFound, match="Container c is not running"):
        await a_runtime(tmp_path, stderr=said, exit_code=1).kill("c", 15)


async def test_a_kill_that_fails_otherwise_says_why(tmp_path: Path) -> None:
    with pytest.raises(CommandFailed, match="not permitted"):
        await a_runtime(tmp_path, stderr="not permitted", exit_code=1).kill("c", 15)


async def test_pausing_and_resuming_ask_the_runtime(tmp_path: Path) -> None:
    runtime = a_runtime(tmp_path)
    await runtime.pause("c")
    await runtime.resume("c")
    assert words_of(runtime) == [["pause", "c"], ["resume", "c"]]


async def test_what_ended_meanwhile_need_not_be_resumed(tmp_path: Path) -> None:
    said = """case "$*" in *" state c") echo '{"id":"c","status":"stopped"}'; exit 0;; esac"""
    runtime = a_runtime(tmp_path, body=said, stderr="not paused", exit_code=1)
    await runtime.resume("c")
    with pytest.raises(EngineError, match="not paused"):
        await runtime.pause("c")


async def test_deleting_what_is_not_there_calls_nothing(tmp_path: Path) -> None:
    runtime = a_runtime(tmp_path)
    await runtime.delete("other", force=True)
    assert words_of(runtime) == []


async def test_a_refused_delete_is_repeated_with_force(tmp_path: Path) -> None:
    runtime = a_runtime(tmp_path, body='case "$*" in *force*) exit 0;; esac', exit_code=1)
    await runtime.delete("c")
    assert words_of(runtime)[-1] == ["delete", "--force", "c"]


async def test_a_delete_that_was_overtaken_is_done(tmp_path: Path) -> None:
    await a_runtime(tmp_path, stderr="container does not exist", exit_code=1).delete("c")


async def test_a_delete_that_fails_even_with_force_is_told(tmp_path: Path) -> None:
    with pytest.raises(CommandFailed, match="busy"):
        await a_runtime(tmp_path, stderr="busy", exit_code=1).delete("c")


async def test_the_list_is_read(tmp_path: Path) -> None:
    said = json.dumps([{"id": "c", "status": "running", "pid": 7, "bundle": "/b", "owner": "root"}])
    states = await a_runtime(tmp_path, stdout=said).list()
    assert states == [RuntimeState(id="c", status="running", pid=7)]


@pytest.mark.parametrize("said", ["", "null", "[]"])
async def test_an_empty_list_is_empty(tmp_path: Path, said: str) -> None:
    assert await a_runtime(tmp_path, stdout=said).list() == []


async def test_nothing_is_asked_when_there_is_no_state(tmp_path: Path) -> None:
    runtime = a_runtime(tmp_path)
    (runtime.state_root / "c").rmdir()
    assert await runtime.list() == []
    assert words_of(runtime) == []


# ---- run to the end --------------------------------------------------------------------------


class Output:
    """What came out of a step, by stream."""

    def __init__(self) -> None:
        self.text = {1: b"", 2: b""}

    async def __call__(self, stream: int, data: bytes) -> None:
        self.text[stream] += data


@pytest.mark.parametrize(
    ("body", "expected"), [("exit 0", 0), ("exit 7", 7), ("kill -KILL $$", 137)]
)
async def test_a_step_gives_its_output_and_code(tmp_path: Path, body: str, expected: int) -> None:
    output = Output()
    runtime = a_runtime(tmp_path, body=f"echo out; echo err >&2; {body}")
    assert await runtime.run_attached("c", tmp_path, output) == expected
    assert output.text == {1: b"out\n", 2: b"err\n"}


async def test_a_step_that_cannot_start_says_why(tmp_path: Path) -> None:
    said = json.dumps({"level": "error", "msg": "no such luck"})
    body = f"""case "$*" in *delete*) exit 0;; esac; echo '{said}' > {tmp_path}/runtime.log"""
    runtime = a_runtime(tmp_path, body=body, exit_code=1)
    with pytest.raises(EngineError, match="no such luck"):
        await runtime.run_attached("c", tmp_path, Output())
    assert words_of(runtime)[-1] == ["delete", "--force", "c"]


async def test_a_cancelled_step_is_killed_and_deleted(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    body = f'case "$*" in *delete*) exit 0;; esac; echo $$ > {pid_file}; exec sleep 1000'
    runtime = a_runtime(tmp_path, body=body)
    step = asyncio.create_task(runtime.run_attached("c", tmp_path, Output()))
    async with asyncio.timeout(5):
        while not (pid_file.exists() and pid_file.read_text().strip()):
            await asyncio.sleep(0.001)
    step.cancel()
    with pytest.raises(asyncio.CancelledError):
        await step
    assert ["delete", "--force", "c"] in words_of(runtime)
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid_file.read_text()), 0)


async def test_the_group_of_a_step_is_by_the_runtimes_driver(tmp_path: Path) -> None:
    runtime = a_runtime(tmp_path)
    runtime.cgroup_driver = CgroupDriver.SYSTEMD
    await runtime.run_attached("c", tmp_path, Output())
    assert words_of(runtime)[0][0] == "--systemd-cgroup"
    assert "run" in words_of(runtime)[0]


def test_a_scope_gets_its_properties_beside_what_was_asked_for(tmp_path: Path) -> None:
    asked = {"org.systemd.property.TasksMax": "uint64 7", "own": "1"}
    group = control_group(CgroupDriver.SYSTEMD, "c")
    workload = Workload(id="c", rootfs=tmp_path, args=(), control_group=group, annotations=asked)
    annotations = a_runtime(tmp_path).prepared(workload).annotations
    assert annotations == asked | {"org.systemd.property.CollectMode": "'inactive-or-failed'"}


# ---- bundle ----------------------------------------------------------------------------------


def test_the_bounding_set_is_read_from_the_kernel(tmp_path: Path) -> None:
    status = tmp_path / "status"
    status.write_text("Name:\tx\nCapBnd:\t0000000000200001\nSeccomp:\t0\n")
    assert bounding_capabilities(status) == {"CAP_CHOWN", "CAP_SYS_ADMIN"}


def test_a_bundle_holds_the_config(tmp_path: Path) -> None:
    assert write_bundle(tmp_path, a_workload(args=("id",))) == []
    assert json.loads((tmp_path / "config.json").read_bytes())["process"]["args"] == ["id"]


def test_a_limit_above_the_hosts_is_lowered_with_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(oci_runtime, "bounding_capabilities", frozenset)
    highest = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    limit = Rlimit(type="RLIMIT_NOFILE", soft=highest + 1, hard=highest + 1)
    (warning,) = write_bundle(tmp_path, a_workload(rlimits=(limit,)))
    assert warning.startswith(f"ulimit nofile: the host allows no more than {highest}")
    process = json.loads((tmp_path / "config.json").read_bytes())["process"]
    assert process["rlimits"] == [{"type": "RLIMIT_NOFILE", "soft": highest, "hard": highest}]


# ---- nothing works ---------------------------------------------------------------------------


def test_a_host_without_a_runtime_is_told_what_to_install() -> None:
    assert "apt-get install crun runc" in str(no_runtime({}).hint)
    error = no_runtime({"crun": "no cgroup", "runc": "no seccomp"})
    assert error.message.endswith("crun: no cgroup; runc: no seccomp")


@pytest.mark.parametrize(("text", "line"), [("", ""), ("\n a\nb", "a")])
def test_the_first_line_of_a_message(text: str, line: str) -> None:
    assert first_line(text) == line
