"""A disk that takes nothing more: read-only, full, without inodes. What runs goes on, and after it
all works again without a restart."""

from __future__ import annotations

import subprocess
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.engine_process import EngineProcess, an_engine_at, eventually

pytestmark = pytest.mark.root

_READ_ONLY = "read-only file system"
_FULL = "no space left on device"


@contextmanager
def a_disk(directory: Path, *, mega: int = 48, format_options: str = "") -> Iterator[Path]:
    """An ext4 of its own, which turns read-only at the first error."""
    image, disk = directory / "image", directory / "disk"
    disk.mkdir()
    with image.open("wb") as file:
        file.truncate(mega << 20)
    words = ["mkfs.ext4", "-q", "-m", "0", *format_options.split(), str(image)]
    subprocess.run(words, check=True)
    options = "loop,errors=remount-ro"
    subprocess.run(["mount", "-o", options, str(image), str(disk)], check=True)
    try:
        yield disk
    finally:
        for point in [*mounts_below(disk), str(disk)]:
            subprocess.run(["umount", "-l", point], check=True)


def on(disk: Path, directory: Path) -> EngineProcess:
    """An engine whose storage root is on the disk; its run root is elsewhere."""
    return EngineProcess(root=disk / "root", run_root=directory / "run")


def fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file, pytest.raises(OSError, match="No space"):
        while True:
            file.write(bytes(1 << 12))


def lives(engine: EngineProcess, name: str) -> bool:
    return engine.ok("exec", name, "echo", "lives") == "lives"


def test_a_file_system_that_turned_read_only_stops_nothing_and_is_said(tmp_path: Path) -> None:
    """The kernel makes it so after an error of the disk; only unmounting ends that."""
    with a_disk(tmp_path) as disk:
        engine = on(disk, tmp_path)
        engine.ok("image", "bootstrap", "busybox")
        engine.ok("run", "-d", "--name", "web", "busybox", "sleep", "1000")
        engine.ok("run", "-d", "--name", "again", "--restart", "always", "busybox", "sleep", "999")
        engine.ok("create", "--name", "idle", "busybox", "true")
        break_down(disk)
        for words in (
            "run --rm busybox true",
            "start idle",
            "image import /bin/busybox x",
            "tag busybox y",
            "commit web z",
            "volume create data",
            "rename web www",
            "pause web",
            "rm idle",
            "cp /etc/passwd web:/",
        ):
            said = engine.refused(*words.split())
            assert _READ_ONLY in said, words
            assert "hint: " in said, words
            assert "defect" not in said, words
        assert lives(engine, "web"), "it was not left frozen"
        assert engine.status("idle") == "created"
        assert "read-only" in engine.call("doctor").stdout
        engine.ok("stop", "-t", "0", "again")
        engine.ok("kill", "web")
        eventually(lambda: engine.status("web") == "exited")
        engine.kill()
        said = engine.refused("ps", "-a")
        assert _READ_ONLY in said
        assert "mount -o remount,rw" in said
        for point in mounts_below(disk):
            subprocess.run(["umount", "-l", point], check=True)
        subprocess.run(["umount", str(disk)], check=True)
        subprocess.run(["e2fsck", "-fy", str(tmp_path / "image")], check=False, capture_output=True)
        subprocess.run(["mount", "-o", "loop", str(tmp_path / "image"), str(disk)], check=True)
        assert engine.status("web") == "exited"
        engine.ok("start", "web")
        assert lives(engine, "web")
        engine.clean()


def break_down(disk: Path) -> None:
    device = next(
        line.split()[0]
        for line in Path("/proc/mounts").read_text().splitlines()
        if line.split()[1] == str(disk)
    )
    Path("/sys/fs/ext4", Path(device).name, "trigger_fs_error").write_text("a test")


def mounts_below(directory: Path) -> list[str]:
    lines = Path("/proc/mounts").read_text().splitlines()
    return [line.split()[1] for line in lines if line.split()[1].startswith(f"{directory}/")]


def test_a_root_mounted_read_only_is_refused_and_what_runs_is_found_again(tmp_path: Path) -> None:
    with a_disk(tmp_path) as disk:
        engine = on(disk, tmp_path)
        with an_engine_at(engine):
            engine.ok(
                "run", "-d", "--log-driver", "none", "--name", "web", "busybox", "sleep", "99"
            )
            pid = engine.ok("inspect", "-f", "{{.State.Pid}}", "web")
            engine.kill()
            subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
            assert _READ_ONLY in engine.refused("ps")
            subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
            assert engine.ok("inspect", "-f", "{{.State.Pid}}", "web") == pid
            assert lives(engine, "web")


def test_an_end_on_a_full_disk_is_kept_and_its_policy_holds_when_there_is_room(
    tmp_path: Path,
) -> None:
    with a_disk(tmp_path) as disk:
        engine = on(disk, tmp_path)
        with an_engine_at(engine):
            engine.ok("volume", "create", "data")
            script = "sleep 0.2; while [ ! -e /data/go ]; do sleep 0.1; done; exit 7"
            for name, policy in (("once", "no"), ("again", "always")):
                options = ["--restart", policy, "-v", "data:/data", "--name", name]
                engine.ok("run", "-d", *options, "busybox", "sh", "-c", script)
            (engine.root / "volumes" / "data" / "_data" / "go").touch()
            fill(disk / "filler")
            engine.call("create", "busybox", "true")
            eventually(lambda: engine.status("once") == "exited")
            assert engine.ok("inspect", "-f", "{{.State.ExitCode}}", "once") == "7"
            (disk / "filler").unlink()
            (engine.root / "volumes" / "data" / "_data" / "go").unlink()
            eventually(lambda: engine.status("again") == "running", within_s=60)
            engine.kill()
            assert engine.ok("inspect", "-f", "{{.State.ExitCode}}", "once") == "7"
            engine.ok("stop", "-t", "0", "again")


def test_a_full_disk_is_said_by_each_command_and_leaves_nothing_half(tmp_path: Path) -> None:
    with a_disk(tmp_path, mega=64) as disk:
        everything_refuses(on(disk, tmp_path), tmp_path, lambda name: fill(name / "it"))


def test_a_disk_without_inodes_is_said_and_works_after(tmp_path: Path) -> None:
    def use_up(directory: Path) -> None:
        with pytest.raises(OSError, match="No space"):
            for number in range(2000):
                (directory / str(number)).touch()

    with a_disk(tmp_path, format_options="-N 1000") as disk:
        everything_refuses(on(disk, tmp_path), tmp_path, use_up)


def everything_refuses(
    engine: EngineProcess, tmp_path: Path, use_up: Callable[[Path], None]
) -> None:
    filler = engine.root.with_name("filler")
    for name in ("most", "rest"):
        (filler / name).mkdir(parents=True)
    with an_engine_at(engine):
        engine.ok("run", "-d", "--name", "web", "busybox", "sleep", "1000")
        engine.ok("create", "--name", "gone", "busybox", "true")
        engine.ok("volume", "create", "data")
        context, tree, large = a_context(tmp_path), tmp_path / "tree.tar", tmp_path / "context/big"
        with tarfile.open(tree, "w") as tar:
            tar.add(large, "big")
        use_up(filler / "most")
        engine.call("rename", "web", "www")  # lets the reserve go where bytes lack
        engine.call("rename", "www", "web")
        use_up(filler / "rest")
        before = {path.name for path in (engine.root / "layers").iterdir()}
        for words in (
            ("run", "--rm", "busybox", "true"),
            ("build", str(context)),
            ("image", "import", str(tree), "imported"),
            ("cp", str(large), "web:/big"),
            ("run", "--rm", "-v", "data:/bin", "busybox", "true"),
        ):
            assert _FULL in engine.refused(*words).lower(), words
        assert lives(engine, "web")
        assert {path.name for path in (engine.root / "layers").iterdir()} == before
        engine.ok("rm", "gone")
        assert engine.ok("ps", "-a", "--format", "{{.Names}}") == "web"
        subprocess.run(["rm", "-r", str(filler)], check=True)
        works_again(engine, context)


def a_context(directory: Path) -> Path:
    context = directory / "context"
    context.mkdir()
    (context / "big").write_bytes(b"0123456789abcdef" * (1 << 16))
    (context / "Dockerfile").write_text("FROM busybox\nCOPY big /\n")
    return context


def works_again(engine: EngineProcess, context: Path) -> None:
    assert engine.ok("run", "--rm", "-v", "data:/bin", "busybox", "echo", "works") == "works"
    engine.ok("build", "-t", "built", str(context))
    assert engine.ok("run", "--rm", "built", "wc", "-c", "/big").split()[0] == str(1 << 20)
    engine.ok("cp", str(context / "big"), "web:/big")
    engine.ok("commit", "web", "made")
    engine.ok("system", "check")
