"""What a kill, a full disk or a race does: a clear error, nothing lost, nothing left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import urllib.request
from pathlib import Path

import pytest
from tests.command_lines import command_lines
from tests.engine_process import EngineProcess, an_engine, eventually, is_alive

pytestmark = pytest.mark.root


def test_a_running_container_outlives_the_engine_and_its_log_has_no_gap(
    engine: EngineProcess,
) -> None:
    count = "i=0; while true; do echo line $i; i=$((i+1)); sleep 0.02; done"
    engine.ok("run", "-d", "--name", "counter", "busybox", "sh", "-c", count)
    pid = int(engine.ok("inspect", "-f", "{{.State.Pid}}", "counter"))
    engine.kill()
    assert is_alive(pid)
    before = len(engine.ok("logs", "counter").splitlines())
    eventually(lambda: len(engine.ok("logs", "counter").splitlines()) > before + 5)
    lines = engine.ok("logs", "counter").splitlines()
    assert lines == [f"line {number}" for number in range(len(lines))]
    assert int(engine.ok("inspect", "-f", "{{.State.Pid}}", "counter")) == pid
    engine.ok("rm", "-f", "counter")
    eventually(lambda: not is_alive(pid))


def test_an_exit_that_the_engine_missed_is_recorded_with_its_code(engine: EngineProcess) -> None:
    engine.ok("run", "-d", "--name", "ends", "busybox", "sh", "-c", "sleep 0.5; exit 42")
    pid = int(engine.ok("inspect", "-f", "{{.State.Pid}}", "ends"))
    engine.kill()
    eventually(lambda: not is_alive(pid))
    assert engine.ok("wait", "ends") == "42"
    assert engine.status("ends") == "exited"
    engine.ok("rm", "ends")


def test_rm_happens_when_the_engine_missed_the_end(engine: EngineProcess) -> None:
    short_id = engine.ok("run", "-d", "--rm", "--name", "gone", "busybox", "sleep", "0.5")
    pid = int(engine.ok("inspect", "-f", "{{.State.Pid}}", "gone"))
    engine.kill()
    eventually(lambda: not is_alive(pid))
    eventually(lambda: short_id[:12] not in engine.ok("ps", "-aq"))
    assert list((engine.root / "containers").iterdir()) == []


def test_a_published_port_answers_again_after_the_engine_was_killed(
    engine: EngineProcess,
) -> None:
    page = "mkdir /www && echo hello > /www/index.html && exec httpd -f -p 80 -h /www"
    engine.ok("run", "-d", "--name", "web", "-p", "127.0.0.1:0:80", "busybox", "sh", "-c", page)
    address = engine.ok("port", "web", "80").splitlines()[0]

    def answers() -> bool:
        try:
            with urllib.request.urlopen(f"http://{address}/", timeout=2) as reply:
                return bool(reply.read() == b"hello\n")
        except OSError:
            return False

    eventually(answers)
    engine.kill()
    engine.ok("ps")
    eventually(answers)
    assert engine.ok("port", "web", "80").splitlines()[0] == address
    engine.ok("rm", "-f", "web")
    assert not answers()


def test_a_kill_between_create_and_start_leaves_a_container_that_starts(
    engine: EngineProcess,
) -> None:
    engine.ok("create", "--name", "later", "busybox", "echo", "hi")
    engine.kill()
    assert engine.status("later") == "created"
    assert engine.ok("start", "-a", "later") == "hi"
    engine.ok("rm", "later")


def test_a_kill_in_a_build_leaves_nothing_and_the_next_build_works(
    engine: EngineProcess, tmp_path: Path
) -> None:
    (tmp_path / "Dockerfile").write_text("FROM busybox\nRUN echo a > /a\nRUN sleep 987\n")
    building = engine.popen("build", "-t", "half", str(tmp_path))
    eventually(lambda: sleepers(), what="the RUN step runs")
    engine.kill()
    building.communicate(timeout=30)
    assert building.returncode != 0
    assert "half" not in engine.ok("images")
    eventually(lambda: not sleepers(), what="the RUN step is ended")
    (tmp_path / "Dockerfile").write_text("FROM busybox\nRUN echo a > /a\nRUN echo b > /b\n")
    engine.ok("build", "-t", "whole", str(tmp_path))
    assert engine.ok("run", "--rm", "whole", "cat", "/a", "/b") == "a\nb"
    eventually(lambda: not any(path.is_dir() for path in (engine.root / "tmp").iterdir()))


def sleepers() -> list[int]:
    """Processes of the long RUN step."""
    return [pid for pid, words in command_lines() if words[:2] == ["sleep", "987"]]


def test_ctrl_c_stops_a_build_and_leaves_nothing(engine: EngineProcess, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM busybox\nRUN sleep 987\n")
    building = engine.popen("build", str(tmp_path))
    eventually(lambda: sleepers(), what="the RUN step runs")
    building.send_signal(signal.SIGINT)
    building.communicate(timeout=30)
    assert building.returncode == 130
    eventually(lambda: not sleepers(), what="the RUN step is ended")
    eventually(lambda: str(engine.root) not in Path("/proc/self/mountinfo").read_text())


def test_a_killed_cli_leaves_the_container_running_and_attachable(engine: EngineProcess) -> None:
    attached = engine.popen("run", "-i", "--name", "cat", "busybox", "cat")
    eventually(lambda: "cat" in engine.ok("ps", "--format", "{{.Names}}"))
    attached.kill()
    attached.communicate(timeout=10)
    assert engine.status("cat") == "running"
    again = engine.popen("attach", "cat")
    assert again.stdin
    assert again.stdout
    again.stdin.write(b"hello\n")
    again.stdin.flush()
    assert again.stdout.readline() == b"hello\n"
    again.kill()
    again.communicate(timeout=10)
    engine.ok("rm", "-f", "cat")


def test_two_clis_at_once_start_one_engine(tmp_path: Path) -> None:
    engine = EngineProcess(root=tmp_path / "root", run_root=tmp_path / "run")
    both = [engine.popen("ps", "-q") for _ in range(4)]
    for one in both:
        _, err = one.communicate(timeout=60)
        assert one.returncode == 0, err
    assert engine.pid
    engine.ok("engine", "stop")
    eventually(lambda: engine.pid == 0)


def test_sigterm_ends_the_engine_and_not_its_containers(engine: EngineProcess) -> None:
    engine.ok("run", "-d", "--name", "stays", "busybox", "sleep", "1000")
    pid = int(engine.ok("inspect", "-f", "{{.State.Pid}}", "stays"))
    os.kill(engine.pid, signal.SIGTERM)
    eventually(lambda: engine.pid == 0, within_s=5)
    assert is_alive(pid)
    assert engine.status("stays") == "running"
    engine.ok("rm", "-f", "stays")


def test_a_full_disk_in_a_build_is_said_and_leaves_what_was_there(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "pogu-small", str(disk)], check=True)
    try:
        with an_engine(disk) as engine:
            context = tmp_path / "context"
            context.mkdir()
            (context / "Dockerfile").write_text(
                "FROM busybox\nRUN dd if=/dev/zero of=/big bs=1M count=64\n"
            )
            said = engine.refused("build", str(context))
            assert "no space left on device" in said.lower() or "non-zero code: 1" in said
            (context / "big").write_bytes(os.urandom(40 << 20))
            (context / "Dockerfile").write_text("FROM busybox\nCOPY big /\n")
            said = engine.refused("build", str(context))
            assert "no space left on device" in said.lower()
            assert engine.ok("run", "--rm", "busybox", "echo", "works") == "works"
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_inspect_says_where_the_log_is_and_the_log_is_bounded(engine: EngineProcess) -> None:
    noise = "yes 0123456789012345678901234567890123456789 | head -c 6000000"
    options = ["--log-opt", "max-size=1m", "--log-opt", "max-file=2"]
    engine.ok("run", "--name", "noisy", *options, "busybox", "sh", "-c", noise)
    record = json.loads(engine.ok("inspect", "noisy"))[0]
    assert Path(record["LogPath"]).exists()
    engine.ok("rm", "noisy")


def test_a_storage_root_that_is_not_mounted_ends_no_container(engine: EngineProcess) -> None:
    engine.ok("run", "-d", "--name", "survivor", "busybox", "sleep", "1000")
    pid = int(engine.ok("inspect", "-f", "{{.State.Pid}}", "survivor"))
    engine.ok("engine", "stop")
    away = engine.root.with_name("away")
    engine.root.rename(away)
    try:
        said = engine.refused("ps")
        assert "knows no containers, yet 1 of its containers run" in said
        assert is_alive(pid)
        eventually(lambda: engine.pid == 0, what="the refused engine ends")
    finally:
        subprocess.run(["rm", "-rf", str(engine.root)], check=True)
        away.rename(engine.root)
    assert engine.status("survivor") == "running"
    engine.ok("rm", "-f", "survivor")


def test_an_attach_beside_a_pause_does_not_wait_for_the_next_start(engine: EngineProcess) -> None:
    engine.ok("run", "-d", "--name", "paused", "busybox", "sleep", "1000")
    attached = []
    for _ in range(4):
        attached += [engine.popen("attach", "--no-stdin", "paused") for _ in range(2)]
        pausing = engine.popen("pause", "paused")
        attached += [engine.popen("attach", "--no-stdin", "paused") for _ in range(2)]
        pausing.communicate(timeout=30)
        engine.ok("unpause", "paused")
    engine.ok("stop", "-t", "0", "paused")
    for one in attached:
        one.communicate(timeout=10)
    engine.ok("rm", "paused")
