"""Containers whose root is nobody on the host, with crun and with runc."""

from __future__ import annotations

import io
import os
import shutil
import signal
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.engine_process import EngineProcess, an_engine, eventually, runtime_refusal

pytestmark = pytest.mark.root

REMAP = "--userns=remap"


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory of the host that other users may reach; pytest's own are closed."""
    with tempfile.TemporaryDirectory(prefix="pogu-host-") as directory:
        os.chmod(directory, 0o755)
        yield Path(directory)


@pytest.fixture(scope="module", params=["crun", "runc"])
def shared(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[EngineProcess]:
    if shutil.which(request.param) is None:
        pytest.skip(f"no {request.param} here")
    with (
        pytest.MonkeyPatch.context() as patch,
        tempfile.TemporaryDirectory(prefix="pogu-userns-") as directory,
    ):
        os.chmod(directory, 0o711)
        patch.setenv("POGU_RUNTIME", request.param)
        refusal = runtime_refusal(tmp_path_factory.mktemp("probe"))
        if "no OCI runtime works on this host" in refusal:
            pytest.skip(f"{request.param} refuses this host: {refusal}")
        with an_engine(Path(directory)) as running:
            yield running


@pytest.fixture
def engine(shared: EngineProcess) -> Iterator[EngineProcess]:
    null = os.stat("/dev/null")
    yield shared
    containers = shared.ok("ps", "-aq").split()
    if containers:
        shared.ok("rm", "-f", "-v", *containers)
    left = [str(path) for path in (shared.run_root / "remapped").rglob("*")]
    assert left == []
    after = os.stat("/dev/null")
    assert (after.st_uid, after.st_mode) == (null.st_uid, null.st_mode)


def sh(engine: EngineProcess, script: str, *options: str) -> str:
    return engine.ok("run", "--rm", REMAP, *options, "busybox", "sh", "-c", script)


def sleeping(engine: EngineProcess, name: str, *options: str) -> None:
    engine.ok("run", "-d", "--name", name, REMAP, *options, "busybox", "sleep", "1000")


def inspected(engine: EngineProcess, name: str, field: str) -> str:
    return engine.ok("inspect", "-f", "{{" + field + "}}", name)


def owner(path: Path) -> tuple[int, int]:
    info = path.lstat()
    return info.st_uid, info.st_gid


def owners_in(tar: bytes) -> dict[str, tuple[int, int]]:
    with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
        return {entry.name.strip("/"): (entry.uid, entry.gid) for entry in archive}


def bytes_of(engine: EngineProcess, *words: str) -> bytes:
    process = engine.popen(*words)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    return out


def test_root_inside_is_nobody_outside(engine: EngineProcess) -> None:
    sleeping(engine, "web")
    assert engine.ok("exec", "web", "id", "-u") == "0"
    assert owner(Path("/proc", inspected(engine, "web", ".State.Pid")))[0] == 100_000
    assert inspected(engine, "web", ".HostConfig.UsernsMode") == "remap"
    assert "100000" in engine.ok("top", "web")


def test_without_a_setting_a_container_has_the_hosts_ids(engine: EngineProcess) -> None:
    said = engine.ok("run", "--rm", "busybox", "cat", "/proc/self/uid_map").split()
    assert said == ["0", "0", "4294967295"]


def test_the_images_files_are_roots_and_can_be_changed(engine: EngineProcess) -> None:
    script = "stat -c %u:%g / /bin/busybox /etc/hosts; echo x >> /etc/passwd; tail -1 /etc/passwd"
    assert sh(engine, script).split() == ["0:0", "0:0", "0:0", "x"]


def test_the_writable_layer_has_the_containers_own_ids(engine: EngineProcess) -> None:
    sleeping(engine, "web")
    engine.ok("exec", "web", "sh", "-c", "touch /f; chown 5:6 /f; rm /bin/arch")
    directory = engine.root / "containers" / inspected(engine, "web", ".Id")
    assert owner(directory / "upper" / "f") == (5, 6)
    assert owner(directory / "rootfs" / "f") == (100_005, 100_006)
    assert set(engine.ok("diff", "web").split("\n")) == {"C /bin", "D /bin/arch", "A /f"}


def test_a_file_of_the_hosts_root_is_out_of_reach(engine: EngineProcess, place: Path) -> None:
    (place / "secret").write_text("s3cret")
    (place / "secret").chmod(0o600)
    (place / "open").mkdir()
    (place / "open").chmod(0o777)
    script = (
        "cat /host/secret || rm -f /host/secret || chmod 666 /host/secret || touch /host/open/mine"
    )
    assert "s3cret" not in sh(engine, script, "-v", f"{place}:/host")
    assert (place / "secret").stat().st_mode & 0o777 == 0o600
    assert owner(place / "open" / "mine") == (100_000, 100_000)


def test_a_volume_serves_containers_of_both_kinds(engine: EngineProcess) -> None:
    sh(engine, "touch /etc/mine; chown 7:8 /etc/mine", "-v", "both:/etc")
    data = engine.root / "volumes" / "both" / "_data"
    assert owner(data / "mine") == (7, 8)
    assert owner(data / "passwd") == (0, 0)
    plain = ("run", "--rm", "-v", "both:/etc", "busybox", "stat", "-c", "%u:%g", "/etc/mine")
    assert engine.ok(*plain) == "7:8"
    engine.ok("volume", "rm", "both")


def test_commit_and_export_have_the_containers_own_ids(engine: EngineProcess) -> None:
    sleeping(engine, "web")
    engine.ok("exec", "web", "sh", "-c", "touch /f; chown 5:6 /f")
    engine.ok("commit", "web", "committed")
    plain = ("run", "--rm", "committed", "stat", "-c", "%u:%g", "/f", "/bin/busybox")
    assert engine.ok(*plain).split() == ["5:6", "0:0"]
    running = owners_in(bytes_of(engine, "export", "web"))
    assert (running["f"], running["bin/busybox"]) == ((5, 6), (0, 0))
    engine.ok("stop", "-t", "0", "web")
    assert owners_in(bytes_of(engine, "export", "web"))["f"] == (5, 6)
    engine.ok("rmi", "committed")


@pytest.mark.parametrize("runs", [True, False])
def test_cp_keeps_ids_both_ways(engine: EngineProcess, place: Path, runs: bool) -> None:
    (place / "f").write_text("hello")
    os.chown(place / "f", 5, 6)
    sleeping(engine, "web", "-v", "/data")
    if not runs:
        engine.ok("stop", "-t", "0", "web")
    engine.ok("cp", "-a", str(place / "f"), "web:/f")
    engine.ok("cp", "-a", str(place / "f"), "web:/data/f")
    for path in ("/f", "/data/f"):
        assert owners_in(bytes_of(engine, "cp", f"web:{path}", "-")) == {"f": (5, 6)}
    engine.ok("start", "web")
    said = engine.ok("exec", "web", "stat", "-c", "%u:%g", "/f", "/data/f")
    assert said.split() == ["5:6", "5:6"]


def test_an_id_that_the_container_lacks_is_refused(engine: EngineProcess, place: Path) -> None:
    (place / "f").touch()
    os.chown(place / "f", 70_000, 0)
    sleeping(engine, "web")
    said = engine.refused("cp", "-a", str(place / "f"), "web:/f")
    assert "Container ID 70000 cannot be mapped to a host ID" in said


def test_the_network_belongs_to_the_container(engine: EngineProcess) -> None:
    script = (
        "ip link add d0 type bridge; ls /sys/class/net; cat /proc/sys/net/ipv4/ping_group_range"
    )
    said = sh(engine, script, "--cap-add", "NET_ADMIN").split()
    assert {"d0", "eth0", "lo"} <= set(said)
    assert said[-2:] == ["0", "65535"]


def test_the_host_cannot_be_changed_with_every_capability(engine: EngineProcess) -> None:
    script = "mknod /n c 1 3; mount -o remount,rw /sys; chown 1 /dev/null; date -s 2001-01-01; true"
    sh(engine, script, "--cap-add", "ALL", "--security-opt", "seccomp=unconfined")
    sh(engine, "exec 0<&-; chmod 600 /dev/null; true", "--cap-add", "ALL")


def test_streams_can_be_opened_anew_and_stdin_is_at_its_end(engine: EngineProcess) -> None:
    assert sh(engine, "cat; echo said > /dev/stdout") == "said"
    words = ("run", "-i", "--rm", REMAP, "busybox", "cat")
    assert engine.ok(*words, stdin=b"in") == "in"
    sleeping(engine, "web")
    assert engine.ok("exec", "web", "sh", "-c", "cat; echo said > /dev/stdout") == "said"


def test_another_user_and_tmpfs(engine: EngineProcess) -> None:
    script = "id -u; touch /scratch/f; stat -c %u /scratch/f"
    said = sh(engine, script, "-u", "1000", "--tmpfs", "/scratch:mode=1777", "--read-only")
    assert said.split() == ["1000", "1000"]


def test_a_namespace_is_shared_with_another_remapped_container(engine: EngineProcess) -> None:
    sleeping(engine, "web")
    assert "eth0" in sh(engine, "ls /sys/class/net", "--network", "container:web")
    assert "sleep 1000" in sh(engine, "ps", "--pid", "container:web")
    engine.ok("run", "-d", "--name", "plain", "busybox", "sleep", "1000")
    words = ("run", "--rm", REMAP, "--network", "container:plain", "busybox", "true")
    assert "it has another user namespace" in engine.refused(*words, code=125)
    words = ("run", "--rm", "--network", "container:web", "busybox", "ls", "/sys/class/net")
    assert "eth0" in engine.ok(*words)


@pytest.mark.parametrize("option", ["--privileged", "--network=host", "--pid=host"])
def test_what_needs_the_hosts_namespace_is_refused(engine: EngineProcess, option: str) -> None:
    said = engine.refused("run", "--rm", REMAP, option, "busybox", "true", code=125)
    assert "user namespaces" in said
    assert "--userns=host" in said


def test_it_outlives_the_engine_and_starts_again(engine: EngineProcess) -> None:
    sleeping(engine, "web", "--restart", "always", "-v", "/data")
    engine.ok("exec", "web", "touch", "/f", "/data/f")
    engine.kill()
    assert engine.ok("exec", "web", "stat", "-c", "%u", "/f", "/data/f").split() == ["0", "0"]
    os.kill(int(inspected(engine, "web", ".State.Pid")), signal.SIGKILL)
    eventually(lambda: inspected(engine, "web", ".RestartCount") == "1")
    eventually(lambda: inspected(engine, "web", ".State.Status") == "running")
    assert engine.ok("exec", "web", "stat", "-c", "%u", "/f", "/data/f").split() == ["0", "0"]
    engine.ok("restart", "-t", "0", "web")
    assert engine.ok("exec", "web", "id", "-u") == "0"


def test_the_setting_remaps_every_container_but_those_that_say_otherwise(
    engine: EngineProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.ok("engine", "stop")
    monkeypatch.setenv("POGU_USERNS_REMAP", "default")
    try:
        assert "name=userns" in engine.ok("info", "-f", "{{.SecurityOptions}}")
        words = ("busybox", "cat", "/proc/self/uid_map")
        assert engine.ok("run", "--rm", *words).split() == ["0", "100000", "65536"]
        assert engine.ok("run", "--rm", "--userns=host", *words).split()[1] == "0"
        engine.ok("run", "--rm", "--userns=host", "--privileged", "busybox", "true")
    finally:
        engine.ok("engine", "stop")


def test_a_terminal_never_gives_away_the_hosts_null(engine: EngineProcess) -> None:
    assert "/dev/pts" in engine.ok("run", "--rm", "-t", REMAP, "busybox", "tty")
    sleeping(engine, "web")
    assert "/dev/pts" in engine.ok("exec", "-t", "web", "tty")
    assert os.stat("/dev/null").st_uid == 0


def test_a_failed_start_says_why(engine: EngineProcess) -> None:
    said = engine.refused("run", "--rm", REMAP, "--workdir", "/etc/passwd", "busybox", "true")
    assert "defect" not in said
