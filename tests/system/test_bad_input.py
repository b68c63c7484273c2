"""Wrong input: Docker's words, a hint, an exit code, never a traceback."""

from __future__ import annotations

import io
import socket
import tarfile
from pathlib import Path

import pytest
from tests.engine_process import EngineProcess

pytestmark = pytest.mark.root


def test_an_unknown_command_names_the_near_one(engine: EngineProcess) -> None:
    said = engine.refused("rnu", "busybox")
    assert "'rnu' is not a pogu command" in said
    assert "run" in said


def test_an_unknown_flag_names_the_near_one(engine: EngineProcess) -> None:
    said = engine.refused("run", "--nmae", "x", "busybox", code=125)
    assert "unknown flag: --nmae" in said
    assert "--name" in said


def test_a_missing_image_is_named_in_dockers_words(engine: EngineProcess) -> None:
    assert "busybix" in engine.refused("run", "busybix", code=125)
    said = engine.refused("rmi", "busybix")
    assert "No such image: busybix" in said
    assert "busybox" in said


def test_a_missing_container_is_named_in_dockers_words(engine: EngineProcess) -> None:
    assert "No such container: nobody" in engine.refused("stop", "nobody")


def test_a_name_in_use_says_by_whom(engine: EngineProcess) -> None:
    first = engine.ok("create", "--name", "taken", "busybox")
    said = engine.refused("create", "--name", "taken", "busybox")
    assert 'The container name "/taken" is already in use' in said
    assert first[:12] in said
    engine.ok("rm", "taken")


def test_a_port_in_use_says_by_which_process(engine: EngineProcess) -> None:
    with socket.create_server(("0.0.0.0", 0)) as listener:
        port = listener.getsockname()[1]
        said = engine.refused("run", "--name", "taker", "-p", f"{port}:80", "busybox", code=125)
    assert "port is already allocated" in said or "address already in use" in said
    assert "pid" in said
    engine.ok("rm", "taker")


def test_a_port_in_use_says_by_which_container(engine: EngineProcess) -> None:
    engine.ok("run", "-d", "--name", "first", "-p", "127.0.0.1:0:80", "busybox", "sleep", "1000")
    port = engine.ok("port", "first", "80").splitlines()[0].rpartition(":")[2]
    said = engine.refused("run", "--name", "second", "-p", f"127.0.0.1:{port}:80", "busybox")
    assert "port is already allocated" in said
    assert "first" in said
    engine.ok("rm", "-f", "first", "second")


@pytest.mark.parametrize(
    ("command", "code", "words"),
    [
        (["no-such-program"], 127, "executable file not found"),
        (["/etc/passwd"], 126, "permission denied"),
        (["sh", "-c", "exit 7"], 7, ""),
        (["sh", "-c", "sleep 100 & kill -9 $!; wait $!"], 137, ""),
    ],
)
def test_exit_codes_are_dockers(
    engine: EngineProcess, command: list[str], code: int, words: str
) -> None:
    assert words in engine.refused("run", "--rm", "busybox", *command, code=code)
    assert engine.ok("ps", "-aq") == ""


def test_rm_of_a_running_container_and_rmi_of_a_used_image_are_refused(
    engine: EngineProcess,
) -> None:
    engine.ok("run", "-d", "--name", "busy", "busybox", "sleep", "1000")
    assert "container is running" in engine.refused("rm", "busy")
    assert "is using its referenced image" in engine.refused("rmi", "busybox")
    engine.ok("rm", "-f", "busy")


def a_context(directory: Path, dockerfile: str) -> str:
    (directory / "Dockerfile").write_text(dockerfile)
    return str(directory)


def test_an_unknown_instruction_shows_its_line_and_the_near_one(
    engine: EngineProcess, tmp_path: Path
) -> None:
    said = engine.refused("build", a_context(tmp_path, "FROM busybox\nCOYP a b\n"))
    assert "unknown instruction: COYP" in said
    assert "COPY" in said
    assert "line 2" in said


def test_a_failed_run_shows_exit_code_and_lines(engine: EngineProcess, tmp_path: Path) -> None:
    said = engine.refused("build", a_context(tmp_path, "FROM busybox\nRUN exit 3\n"))
    assert "returned a non-zero code: 3" in said
    assert "RUN exit 3" in said


def test_a_missing_file_names_the_near_one(engine: EngineProcess, tmp_path: Path) -> None:
    (tmp_path / "package.json").write_text("{}")
    said = engine.refused("build", a_context(tmp_path, "FROM busybox\nCOPY pakage.json /\n"))
    assert "pakage.json" in said
    assert "package.json" in said


def test_a_hidden_file_names_the_rule_that_hid_it(engine: EngineProcess, tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("x")
    (tmp_path / ".dockerignore").write_text("*.txt\n")
    said = engine.refused("build", a_context(tmp_path, "FROM busybox\nCOPY secret.txt /\n"))
    assert "*.txt" in said
    assert ".dockerignore" in said


def test_a_dockerfile_that_is_a_directory_or_binary_is_refused(
    engine: EngineProcess, tmp_path: Path
) -> None:
    (tmp_path / "Dockerfile").mkdir()
    assert "directory" in engine.refused("build", str(tmp_path))
    (tmp_path / "Dockerfile").rmdir()
    (tmp_path / "Dockerfile").write_bytes(bytes(range(256)))
    assert "Dockerfile" in engine.refused("build", str(tmp_path))


def hostile_tar(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        entry = tarfile.TarInfo(name)
        entry.type, entry.linkname = kind, link
        tar.addfile(entry)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "tar",
    [
        hostile_tar("../../escape"),
        hostile_tar("a/../../../escape"),
        hostile_tar("hard", tarfile.LNKTYPE, "../../../etc/passwd"),
        hostile_tar("cut")[:300],
        b"this is no tar at all" * 100,
    ],
)
def test_a_hostile_or_broken_tar_is_refused_and_leaves_nothing(
    engine: EngineProcess, tar: bytes
) -> None:
    before = engine.ok("images", "-q", "--no-trunc")
    engine.refused("import", "-", "bad", stdin=tar)
    assert engine.ok("images", "-q", "--no-trunc") == before
    assert not list(engine.root.parent.rglob("escape"))


def test_a_socket_without_permission_says_what_to_do(engine: EngineProcess) -> None:
    said = engine.refused("-H", "unix:///no/such/pogu.sock", "ps")
    assert "Cannot connect to the Pogu engine" in said
