"""Volumes: what the local driver mounts, copy-up, and the engine killed in the middle of it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from tests.engine_process import EngineProcess, eventually

pytestmark = pytest.mark.root

FILES = 40
DOCKERFILE = f"""FROM busybox
RUN mkdir -p /full/sub && cd /full && for i in $(seq {FILES}); do echo $i > f$i; done && \\
    ln -s f1 link && chown -R 7:8 /full && chmod 2750 /full
"""
TMPFS = ("-o", "type=tmpfs", "-o", "device=tmpfs", "-o", "o=size=8m")


@pytest.fixture(scope="module")
def engine_environment(crash_file: Path) -> dict[str, str]:
    return {"POGU_CRASH_FILE": str(crash_file)}


@pytest.fixture(scope="module", autouse=True)
def _full(engine: EngineProcess, tmp_path_factory: pytest.TempPathFactory) -> None:
    context = tmp_path_factory.mktemp("context")
    (context / "Dockerfile").write_text(DOCKERFILE)
    engine.ok("build", "-q", "-t", "full", str(context))


def is_mounted(engine: EngineProcess, volume: str) -> bool:
    place = f"{engine.root}/volumes/{volume}/_data "
    return place in Path("/proc/self/mountinfo").read_text()


def test_copy_up_keeps_owners_modes_and_links(engine: EngineProcess) -> None:
    script = "stat -c '%u:%g %a' /full; readlink /full/link; ls /full | wc -l"
    said = engine.ok("run", "--rm", "-v", "kept:/full", "full", "sh", "-c", script)
    assert said.split("\n") == ["7:8 2750", "f1", str(FILES + 2)]
    said = engine.ok("run", "--rm", "-v", "bare:/full:nocopy", "full", "ls", "/full")
    assert said == ""
    engine.ok("volume", "rm", "kept", "bare")


def test_a_kill_anywhere_in_copy_up_leaves_all_or_nothing(
    engine: EngineProcess, crash_file: Path
) -> None:
    for point in (1, 2, 3, 4, 5, 6, 8, 30):
        engine.ok("create", "--name", "fills", "-v", "whole:/full", "full", "true")
        crash_file.write_text(str(point))
        engine.call("start", "-a", "fills")
        crash_file.unlink(missing_ok=True)
        engine.ok("ps")  # the engine is back
        found = len(list((engine.root / "volumes" / "whole" / "_data").iterdir()))
        assert found in (0, FILES + 2), f"point {point}: {found} files"
        engine.ok("rm", "-f", "fills")
        script = "stat -c '%u:%g %a' /full; ls /full | wc -l"
        said = engine.ok("run", "--rm", "-v", "whole:/full", "full", "sh", "-c", script)
        assert said.split("\n") == ["7:8 2750", str(FILES + 2)]
        engine.ok("volume", "rm", "whole")


def test_a_kill_in_creation_or_removal_leaves_a_volume_or_none(
    engine: EngineProcess, crash_file: Path
) -> None:
    for point in range(1, 8):
        crash_file.write_text(str(point))
        engine.call("volume", "create", *TMPFS, "--label", "a=b", "some")
        engine.call("volume", "rm", "some")
        crash_file.unlink(missing_ok=True)
        listed = engine.ok("volume", "ls", "-q").split()
        assert sorted(path.name for path in (engine.root / "volumes").iterdir()) == listed
        for name in listed:
            said = engine.ok("volume", "inspect", "-f", "{{.Labels.a}} {{.Options.type}}", name)
            assert said == "b tmpfs"
            engine.ok("volume", "rm", name)


def test_a_tmpfs_volume_is_shared_while_it_is_used(engine: EngineProcess) -> None:
    engine.ok("volume", "create", *TMPFS, "memory")
    script = "echo hello >/v/f; sleep 1000"
    engine.ok("run", "-d", "--name", "one", "-v", "memory:/v", "busybox", "sh", "-c", script)
    read = ("run", "--rm", "-v", "memory:/v", "busybox", "sh", "-c", "cat /v/f; df -k /v | tail -1")
    eventually(lambda: "hello" in engine.call(*read).stdout)
    assert "8192" in engine.ok(*read)
    assert is_mounted(engine, "memory")
    engine.ok("rm", "-f", "one")
    assert not is_mounted(engine, "memory")
    engine.ok("volume", "rm", "memory")


def test_a_copy_into_a_stopped_container_reaches_what_its_volume_mounts(
    engine: EngineProcess, tmp_path: Path
) -> None:
    (tmp_path / "theirs").mkdir()
    (tmp_path / "file").write_text("text\n")
    options = ("-o", "type=none", "-o", f"device={tmp_path}/theirs", "-o", "o=bind")
    engine.ok("volume", "create", *options, "theirs")
    engine.ok("create", "--name", "stopped", "-v", "theirs:/v", "busybox", "true")
    engine.ok("cp", str(tmp_path / "file"), "stopped:/v/file")
    assert (tmp_path / "theirs" / "file").read_text() == "text\n"
    assert not is_mounted(engine, "theirs")
    engine.ok("rm", "stopped")
    engine.ok("volume", "rm", "theirs")
    assert (tmp_path / "theirs" / "file").exists()


def test_a_killed_engine_lets_go_of_what_nobody_uses_any_more(engine: EngineProcess) -> None:
    engine.ok("volume", "create", *TMPFS, "memory")
    engine.ok("run", "-d", "--name", "one", "-v", "memory:/v", "busybox", "sleep", "1000")
    engine.ok("run", "-d", "--name", "two", "-v", "memory:/v", "busybox", "sleep", "1000")
    engine.ok("rm", "-f", "two")
    engine.kill()
    assert engine.status("one") == "running"
    assert is_mounted(engine, "memory")
    engine.ok("rm", "-f", "one")
    assert not is_mounted(engine, "memory")
    engine.ok("volume", "rm", "memory")


def test_the_removal_of_a_bind_volume_leaves_the_directory(
    engine: EngineProcess, tmp_path: Path
) -> None:
    (tmp_path / "precious").write_text("data\n")
    options = ("-o", "type=none", "-o", f"device={tmp_path}", "-o", "o=bind")
    engine.ok("volume", "create", *options, "theirs")
    engine.ok("create", "--name", "holds", "-v", "theirs:/v", "busybox", "cat", "/v/precious")
    assert engine.ok("start", "-a", "holds") == "data"
    used = engine.refused("volume", "rm", "theirs")
    assert "volume is in use - [" in used
    engine.ok("rm", "-v", "holds")
    engine.ok("volume", "rm", "theirs")
    assert (tmp_path / "precious").read_text() == "data\n"


def test_what_cannot_be_mounted_is_said_without_the_password(engine: EngineProcess) -> None:
    options = ("-o", "type=nfs", "-o", "device=:/x", "-o", "o=addr=127.0.0.1,password=secret")
    engine.ok("volume", "create", *options, "remote")
    said = engine.refused("run", "--rm", "-v", "remote:/v", "busybox", "true")
    assert "failed to mount local volume: mount :/x:" in said
    assert "secret" not in said
    engine.ok("volume", "rm", "remote")


def test_what_is_mounted_below_a_read_only_bind_is_read_only_too(
    engine: EngineProcess, tmp_path: Path
) -> None:
    script = "(: >/v/sub/f) 2>/dev/null && echo written; true"
    volume = ("-v", f"{tmp_path}:/v:ro", "--tmpfs", "/v/sub")
    (tmp_path / "sub").mkdir()
    assert engine.ok("run", "--rm", *volume, "busybox", "sh", "-c", script) == "written"
    subprocess.run(["mount", "-t", "tmpfs", "t", tmp_path / "sub"], check=True)
    try:
        only = ("-v", f"{tmp_path}:/v:ro")
        assert engine.ok("run", "--rm", *only, "busybox", "sh", "-c", script) == ""
        part = f"type=bind,src={tmp_path},dst=/v,ro,bind-recursive=writable"
        said = engine.ok("run", "--rm", "--mount", part, "busybox", "sh", "-c", script)
        assert said == "written"
    finally:
        subprocess.run(["umount", tmp_path / "sub"], check=True)


def test_a_file_can_be_mounted_read_only(engine: EngineProcess, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("text\n")
    script = "cat /v/file; (: >/v/file) 2>/dev/null && echo written; true"
    volume = ("-v", f"{tmp_path}/file:/v/file:ro")
    assert engine.ok("run", "--rm", *volume, "busybox", "sh", "-c", script) == "text"


def test_a_field_with_a_comma_stands_in_quotes(engine: EngineProcess) -> None:
    options = 'volume-opt=type=tmpfs,volume-opt=device=tmpfs,"volume-opt=o=size=5m,mode=700"'
    mount = f"type=volume,dst=/v,volume-label=a=b,{options}"
    said = engine.ok("run", "--rm", "--mount", mount, "busybox", "df", "-k", "/v")
    assert "5120" in said


@pytest.mark.parametrize(
    ("mount", "words"),
    [
        ("type=bind,src=/nope,dst=/v", "bind source path does not exist: /nope"),
        ("type=volume,dst=/v,ro", "must not set ReadOnly mode when using anonymous volumes"),
        ("type=volume", "target is required"),
        (
            "type=tmpfs,dst=/v,volume-nocopy",
            "cannot mix 'volume-*' options with mount type 'tmpfs'",
        ),
        ("dst=/v,what=1", "unexpected key 'what' in 'what=1'"),
        ("dst=/v,what", "invalid field 'what' must be a key=value pair"),
        ("type=bind,src=/,dst=/v,bind-recursive=writable", "requires 'readonly' to be specified"),
    ],
)
def test_a_mount_that_cannot_be_is_refused_in_dockers_words(
    engine: EngineProcess, mount: str, words: str
) -> None:
    assert words in engine.refused("run", "--rm", "--mount", mount, "busybox", "true", code=125)
