"""Which runtime made a container is read from its state directory, and whether it lives."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from pogu.linux.process import run
from pogu.runtime.maker import living_process, maker_of
from pogu.runtime.oci_runtime import OciRuntime


def started_at(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])


def write_state(state: Path, name: str, *, pid: int, started: int) -> None:
    state.mkdir()
    if name == "crun":
        known = {"pid": pid, "process-start-time": started}
        (state / "status").write_text(json.dumps(known))
    else:
        known = {"init_process_pid": pid, "init_process_start": started}
        (state / "state.json").write_text(json.dumps(known))


@pytest.mark.parametrize("name", ["crun", "runc"])
def test_a_process_lives_while_its_number_has_its_start(tmp_path: Path, name: str) -> None:
    pid = os.getpid()
    write_state(tmp_path / "own", name, pid=pid, started=started_at(pid))
    write_state(tmp_path / "reused", name, pid=pid, started=started_at(pid) - 1)
    assert maker_of(tmp_path / "own") == name
    assert living_process(tmp_path / "own") == pid
    assert living_process(tmp_path / "reused") == 0
    assert (maker_of(tmp_path / "none"), living_process(tmp_path / "none")) == ("", 0)


async def test_what_lives_is_listed_though_its_runtime_is_gone(tmp_path: Path) -> None:
    pid = os.getpid()
    write_state(tmp_path / "lives", "crun", pid=pid, started=started_at(pid))
    write_state(tmp_path / "ended", "crun", pid=pid, started=1)
    runtime = OciRuntime(tmp_path / "missing" / "crun", tmp_path)
    found = await runtime.list()
    assert [(state.id, state.status, state.pid) for state in found] == [("lives", "running", pid)]
    await runtime.delete("ended", force=True)
    assert [path.name for path in tmp_path.iterdir()] == ["lives"]


async def test_another_runtimes_container_is_not_asked_of_ours(tmp_path: Path) -> None:
    write_state(tmp_path / "other", "crun", pid=1, started=1)
    runtime = OciRuntime(Path("/usr/sbin/runc"), tmp_path)
    assert runtime.maker("other").name == "crun"
    assert runtime.maker("unknown") is runtime


async def test_a_damaged_program_is_said(tmp_path: Path) -> None:
    program = tmp_path / "crun"
    program.write_text("garbage")
    with pytest.raises(Exception, match="permission denied"):
        await run([str(program)])
    program.chmod(0o755)
    with pytest.raises(Exception, match="exec format error"):
        await run([str(program)])
