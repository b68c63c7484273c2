"""Parts that are killed, missing, full or damaged: clear words, nothing lost, nothing left."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import socket
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.census import census, difference
from tests.engine_process import EngineProcess, an_engine, eventually

pytestmark = pytest.mark.root


def field(engine: EngineProcess, name: str, path: str) -> str:
    return engine.ok("inspect", "--type", "container", "-f", "{{" + path + "}}", name)


def monitor_of(engine: EngineProcess, name: str) -> int:
    container_id = field(engine, name, ".Id")
    return int((engine.run_root / "containers" / container_id / "conmon.pid").read_text())


def test_a_container_whose_monitor_is_killed_ends_and_its_policy_holds(
    engine: EngineProcess,
) -> None:
    rest = census(engine)
    for name, policy in (("once", "no"), ("again", "always")):
        engine.ok("run", "-d", "--restart", policy, "--name", name, "busybox", "sleep", "1000")
        os.kill(monitor_of(engine, name), signal.SIGKILL)
    eventually(lambda: engine.status("once") == "exited")
    assert field(engine, "once", ".State.ExitCode") == "137"
    assert "monitor" in field(engine, "once", ".State.Error")
    eventually(lambda: field(engine, "again", ".RestartCount") == "1")
    eventually(lambda: engine.status("again") == "running")
    assert engine.ok("exec", "again", "echo", "lives") == "lives"
    engine.ok("rm", "-f", "once", "again")
    eventually(
        lambda: not difference(rest, census(engine)),
        say=lambda: difference(rest, census(engine)),
    )


def test_a_monitor_that_is_killed_while_the_engine_is_dead_too(engine: EngineProcess) -> None:
    rest = census(engine)
    engine.ok("run", "-d", "--name", "alone", "busybox", "sleep", "1000")
    monitor = monitor_of(engine, "alone")
    engine.kill()
    os.kill(monitor, signal.SIGKILL)
    assert engine.status("alone") == "exited"
    assert engine.ok("wait", "alone") == "255"
    engine.ok("start", "alone")
    assert engine.ok("exec", "alone", "echo", "lives") == "lives"
    engine.ok("rm", "-f", "alone")
    eventually(
        lambda: not difference(rest, census(engine)),
        say=lambda: difference(rest, census(engine)),
    )


def test_the_first_process_killed_from_outside_is_an_end_by_signal(engine: EngineProcess) -> None:
    engine.ok("run", "-d", "--name", "shot", "busybox", "sleep", "1000")
    os.kill(int(field(engine, "shot", ".State.Pid")), signal.SIGKILL)
    assert engine.ok("wait", "shot") == "137"
    engine.ok("rm", "shot")


def test_a_monitors_files_removed_by_hand_lose_no_running_container(engine: EngineProcess) -> None:
    engine.ok("run", "-d", "--name", "bare", "busybox", "sleep", "1000")
    container_id, pid = field(engine, "bare", ".Id"), field(engine, "bare", ".State.Pid")
    for name in ("conmon.pid", "pidfile", "attach", "ctl"):
        (engine.run_root / "containers" / container_id / name).unlink()
    engine.kill()
    assert field(engine, "bare", ".State.Pid") == pid
    assert engine.ok("exec", "bare", "echo", "lives") == "lives"
    engine.ok("rm", "-f", "bare")
    eventually(lambda: not Path(f"/proc/{pid}").exists())


def test_a_containers_directory_removed_by_hand_is_said_at_its_start(
    engine: EngineProcess,
) -> None:
    engine.ok("create", "--name", "hollow", "busybox", "true")
    shutil.rmtree(engine.root / "containers" / field(engine, "hollow", ".Id"))
    said = engine.refused("start", "hollow")
    assert "no such file or directory" in said.lower()
    engine.ok("rm", "hollow")


def test_two_hundred_at_once_have_their_own_output_and_code(engine: EngineProcess) -> None:
    def one(number: int) -> tuple[str, int]:
        script = f"echo {number}; exit {number % 7}"
        done = engine.call("run", "--rm", "busybox", "sh", "-c", script)
        return done.stdout + done.stderr, done.returncode

    with ThreadPoolExecutor(40) as pool:
        done = list(pool.map(one, range(200)))
    assert done == [(f"{number}\n", number % 7) for number in range(200)]


def test_fifty_execs_at_once(engine: EngineProcess) -> None:
    engine.ok("run", "-d", "--name", "busy", "busybox", "sleep", "1000")

    def one(number: int) -> tuple[str, int]:
        done = engine.call("exec", "busy", "sh", "-c", f"echo {number}; exit {number % 7}")
        return done.stdout + done.stderr, done.returncode

    with ThreadPoolExecutor(50) as pool:
        done = list(pool.map(one, range(50)))
    assert done == [(f"{number}\n", number % 7) for number in range(50)]
    engine.ok("rm", "-f", "busy")


def test_clients_that_say_nothing_or_do_not_read_hold_up_nobody(engine: EngineProcess) -> None:
    noise = "yes 0123456789 | head -c 30000000"
    engine.ok("run", "--name", "noisy", "busybox", "sh", "-c", noise)
    requests = (
        b"",
        b"GET /info",
        b"GET /containers/noisy/logs?stdout=1 HTTP/1.1\r\nHost: x\r\n\r\n",
    )
    memory = resident_kib(engine.pid)
    clients = []
    for number in range(60):
        client = socket.socket(socket.AF_UNIX)
        client.connect(str(engine.socket))
        client.sendall(requests[number % 3])
        clients.append(client)
    for _ in range(3):
        assert engine.ok("run", "--rm", "busybox", "echo", "hi") == "hi"
    assert resident_kib(engine.pid) - memory < 100 << 10
    for client in clients:
        client.close()
    engine.ok("rm", "noisy")


def resident_kib(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    return 0


def test_the_engine_takes_all_descriptors_that_it_may_have(tmp_path: Path) -> None:
    def lower() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (1024, 4096))

    engine = EngineProcess(root=tmp_path / "root", run_root=tmp_path / "run")
    subprocess.run([*engine.argv, "ps"], check=True, preexec_fn=lower, capture_output=True)
    try:
        assert resource.prlimit(engine.pid, resource.RLIMIT_NOFILE) == (4096, 4096)
    finally:
        engine.clean()


def test_damaged_files_at_start_are_named_and_left(tmp_path: Path) -> None:
    engine = EngineProcess(root=tmp_path / "root", run_root=tmp_path / "run")
    engine.ok("image", "bootstrap", "busybox")
    engine.ok("create", "--name", "kept", "busybox", "true")
    engine.ok("engine", "stop")
    eventually(lambda: engine.pid == 0)
    events = engine.root / "events.jsonl"
    events.write_bytes(events.read_bytes()[:-9] + b"\n\xff\x00{]\n")
    for name in ("stray", "layers/stray", "containers/stray", "volumes/stray", "tmp/stray"):
        (engine.root / name).write_text("garbage")
    (engine.run_root / "runtime.json").write_text("garbage")
    (engine.run_root / "exits" / "stray").write_text("garbage")
    (engine.run_root / "containers" / "stray").write_text("garbage")
    assert engine.ok("ps", "-a", "--format", "{{.Names}}") == "kept"
    assert engine.ok("events", "--since", "1h", "--until", "0s").count(" image tag ") >= 1
    engine.ok("start", "-a", "kept")
    engine.ok("engine", "stop")
    eventually(lambda: engine.pid == 0)
    database = engine.root / "state.db"
    whole = database.read_bytes()
    database.write_bytes(b"garbage!" * 1000)
    assert "cannot read the state database" in engine.refused("ps")
    eventually(lambda: engine.pid == 0)
    for name in ("state.db-wal", "state.db-shm"):
        (engine.root / name).unlink(missing_ok=True)
    database.write_bytes(whole[: len(whole) // 2 // 4096 * 4096])
    said = engine.refused("ps", "-a")
    assert "state database" in said
    eventually(lambda: engine.pid == 0)
    database.write_bytes(whole)
    assert engine.ok("ps", "-a", "--format", "{{.Names}}") == "kept"
    engine.clean()


def test_a_boot_starts_what_shall_run(tmp_path: Path) -> None:
    """The run root is wiped and every process has ended, as after a power cut."""
    with an_engine(tmp_path) as engine:
        for policy in ("no", "always", "unless-stopped", "on-failure"):
            engine.ok("run", "-d", "--restart", policy, "--name", policy, "busybox", "sleep", "99")
        engine.ok(
            "run", "-d", "--restart", "unless-stopped", "--name", "down", "busybox", "sleep", "9"
        )
        engine.ok("stop", "-t", "0", "down")
        ids = engine.ok("ps", "-q", "--no-trunc").split()
        pids = [int(field(engine, n, ".State.Pid")) for n in ("no", "always", "unless-stopped")]
        monitors = [monitor_of(engine, n) for n in ("no", "always", "unless-stopped", "on-failure")]
        pids.append(int(field(engine, "on-failure", ".State.Pid")))
        engine.kill()
        for pid in monitors + pids:
            os.kill(pid, signal.SIGKILL)
        eventually(lambda: not any(Path(f"/proc/{pid}/fd/0").exists() for pid in pids))
        for line in Path("/proc/self/mountinfo").read_text().splitlines():
            if line.split()[4].startswith(f"{tmp_path}/"):
                subprocess.run(["umount", "-l", line.split()[4]], check=True)
        shutil.rmtree(engine.run_root)
        for group in Path("/sys/fs/cgroup").glob("**/pogu/*"):
            if group.name in ids:
                group.rmdir()
        for name in ("always", "unless-stopped", "on-failure"):
            eventually(lambda name=name: engine.status(name) == "running")  # type: ignore[misc]
        assert (engine.status("no"), field(engine, "no", ".State.ExitCode")) == ("exited", "255")
        assert engine.status("down") == "exited"


def test_a_runtime_that_is_killed_while_it_creates(tmp_path: Path) -> None:
    """A wrapper before the runtime kills itself once instead of calling it."""
    programs = tmp_path / "bin"
    programs.mkdir()
    name = os.environ.get("POGU_RUNTIME", "runc")
    real = shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin:/sbin")
    flag = tmp_path / "flag"
    shell = f"[ -e {flag} ] && rm {flag} && kill -9 $$"
    patch = pytest.MonkeyPatch()
    patch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    patch.setenv("POGU_RUNTIME", name)
    try:
        text = f'#!/bin/sh\ncase "$*" in *" create "*) {shell};; esac\nexec {real} "$@"\n'
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
        with an_engine(tmp_path) as engine:
            rest = census(engine)
            flag.touch()
            engine.refused("run", "-d", "--name", "victim", "busybox", "sleep", "1000")
            assert not flag.exists()
            engine.ok("start", "victim")
            assert engine.ok("exec", "victim", "echo", "lives") == "lives"
            engine.ok("rm", "-f", "victim")
            eventually(
                lambda: not difference(rest, census(engine)),
                say=lambda: difference(rest, census(engine)),
            )
    finally:
        patch.undo()


def test_a_full_disk_is_said_and_what_was_there_works_on(tmp_path: Path) -> None:
    image, disk = tmp_path / "image", tmp_path / "disk"
    disk.mkdir()
    with image.open("wb") as file:
        file.truncate(48 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-m", "0", str(image)], check=True)
    subprocess.run(["mount", "-o", "loop", str(image), str(disk)], check=True)
    try:
        with an_engine(disk) as engine:
            full_disk(engine, disk)
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def full_disk(engine: EngineProcess, disk: Path) -> None:
    engine.ok(
        "run", "-d", "--name", "talks", "busybox", "sh", "-c", "while sleep 0.01; do date; done"
    )
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file, pytest.raises(OSError, match="No space"):
        while True:
            file.write(bytes(1 << 16))
    for words in (("create", "--name", "new", "busybox", "true"), ("commit", "talks", "made")):
        done = engine.call(*words)
        assert not done.returncode or "no space left on device" in done.stderr.lower()
    assert engine.status("talks") == "running"
    assert engine.ok("exec", "talks", "echo", "lives") == "lives"
    engine.ok("stop", "-t", "0", "talks")
    engine.kill()
    engine.ok("ps", "-a")
    engine.ok("rm", "talks")
    filler.unlink()
    engine.call("rm", "-f", "new")
    assert engine.ok("run", "--rm", "busybox", "echo", "works") == "works"
    engine.ok("system", "check")
