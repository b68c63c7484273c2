"""What a hostile image, container, build context or client tries: it stays where it belongs."""

from __future__ import annotations

import http.client
import io
import json
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import tarfile
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.engine_process import EngineProcess, an_engine, eventually, runtime_refusal

pytestmark = pytest.mark.root


def connected(engine: EngineProcess) -> socket.socket:
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(30)
    client.connect(str(engine.socket))
    return client


def post(engine: EngineProcess, path: str, body: bytes) -> tuple[int, str]:
    """One request past the CLI; status and answer."""
    connection = http.client.HTTPConnection("localhost")
    connection.sock = connected(engine)
    try:
        connection.request("POST", path, body=body, headers={"Content-Type": "application/json"})
        reply = connection.getresponse()
        return reply.status, reply.read().decode()
    finally:
        connection.close()


def context_tar(*members: tuple[str, bytes, str, bytes]) -> bytes:
    """A build context of (name, type, link target, content)."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, kind, target, content in members:
            info = tarfile.TarInfo(name)
            info.type, info.linkname, info.size = kind, target, len(content)
            tar.addfile(info, io.BytesIO(content))
    return out.getvalue()


def file_in_context(name: str, content: bytes) -> tuple[str, bytes, str, bytes]:
    return name, tarfile.REGTYPE, "", content


def link_in_context(name: str, target: str) -> tuple[str, bytes, str, bytes]:
    return name, tarfile.SYMTYPE, target, b""


# ---- volumes ---------------------------------------------------------------------------------


@pytest.mark.parametrize("runtime", ["crun", "runc"])
def test_a_link_in_a_volume_does_not_lead_a_subpath_out_of_it(
    tmp_path_factory: pytest.TempPathFactory, runtime: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if shutil.which(runtime) is None:
        pytest.skip(f"no {runtime} here")
    monkeypatch.setenv("POGU_RUNTIME", runtime)
    refusal = runtime_refusal(tmp_path_factory.mktemp("probe"))
    if "no OCI runtime works on this host" in refusal:
        pytest.skip(f"{runtime} refuses this host: {refusal}")
    outside = tmp_path_factory.mktemp("outside")
    (outside / "secret").write_text("secret")
    with an_engine(tmp_path_factory.mktemp("pogu")) as engine:
        engine.ok("volume", "create", "shared")
        prepare = f"ln -s {outside} /d/out; ln -s / /d/root; mkdir -p /d/a/b; echo in > /d/a/b/f"
        engine.ok("run", "--rm", "-v", "shared:/d", "busybox", "sh", "-c", prepare)

        def mount(subpath: str) -> tuple[str, ...]:
            text = f"type=volume,src=shared,dst=/m,volume-subpath={subpath}"
            return ("run", "--rm", "--mount", text, "busybox")

        said = engine.refused(*mount("out"), "true")
        assert f"cannot access path {engine.root}/volumes/shared/_data/out" in said
        assert "secret" not in engine.refused(*mount("root" + str(outside)), "ls", "/m")
        assert engine.ok(*mount("root"), "ls", "/m").split() == ["a", "out", "root"]
        assert engine.ok(*mount("root/a/b"), "cat", "/m/f") == "in"
        assert engine.ok(*mount("a/b/f"), "cat", "/m") == "in"
        assert list((engine.run_root / "subpaths").iterdir()) == []
        engine.ok("volume", "rm", "shared")


def test_what_a_killed_engine_held_of_a_volume_is_let_go_and_not_removed(
    engine: EngineProcess,
) -> None:
    from pogu.linux.mount import bind_mount

    engine.ok("volume", "create", "kept")
    data = engine.root / "volumes" / "kept" / "_data"
    (data / "part").mkdir()
    (data / "part" / "f").write_text("here")
    engine.kill()
    held = engine.run_root / "subpaths" / "0123456789abcdef"
    held.mkdir(parents=True)
    bind_mount(data / "part", held)
    engine.ok("ps")
    assert not held.exists()
    assert (data / "part" / "f").read_text() == "here"
    engine.ok("volume", "rm", "kept")


# ---- build contexts --------------------------------------------------------------------------


def test_a_dockerfile_that_is_a_link_does_not_show_a_file_of_the_host(
    engine: EngineProcess, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text("root-password\n")
    body = context_tar(link_in_context("Dockerfile", str(tmp_path / "secret")))
    status, said = post(engine, "/build", body)
    assert status == 404
    assert "Cannot locate specified Dockerfile: Dockerfile" in said
    assert "password" not in said


def test_a_dockerfile_that_is_a_pipe_is_refused_at_once(engine: EngineProcess) -> None:
    status, said = post(engine, "/build", context_tar(("Dockerfile", tarfile.FIFOTYPE, "", b"")))
    assert status == 400
    assert "failed to read dockerfile: open Dockerfile" in said


def test_a_dockerignore_that_is_a_link_out_of_the_context_is_not_read(
    engine: EngineProcess, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text("a*\n")
    body = context_tar(
        file_in_context("Dockerfile", b"FROM busybox\nCOPY a /a\n"),
        file_in_context("a", b"x"),
        link_in_context(".dockerignore", str(tmp_path / "secret")),
    )
    status, said = post(engine, "/build?q=1", body)
    assert status == 200
    assert "error" not in said


def test_the_near_miss_of_a_copy_names_no_file_of_the_host(
    engine: EngineProcess, tmp_path: Path
) -> None:
    (tmp_path / "secret-file").touch()
    dockerfile = b"FROM busybox\nCOPY out/secret-fil /a\n"
    body = context_tar(
        file_in_context("Dockerfile", dockerfile), link_in_context("out", str(tmp_path))
    )
    _, said = post(engine, "/build", body)
    assert "file not found" in said
    assert "secret-file" not in said


def test_the_cli_sends_a_dockerfile_that_is_a_link_out_of_the_context(
    engine: EngineProcess, tmp_path: Path
) -> None:
    (tmp_path / "context").mkdir()
    (tmp_path / "real").write_text("FROM busybox\nRUN echo linked\n")
    (tmp_path / "context" / "Dockerfile").symlink_to("../real")
    assert "linked" in engine.call("build", "--progress=plain", str(tmp_path / "context")).stderr


# ---- clients ---------------------------------------------------------------------------------


def test_uploads_that_stall_leave_the_engine_free_for_others(engine: EngineProcess) -> None:
    with ExitStack() as clients:
        for path in ["/build", "/images/create?fromSrc=-&repo=stalled"] * 10:
            client = clients.enter_context(connected(engine))
            head = f"POST {path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
            client.sendall(head.encode() + b"5\r\nabcde\r\n")
        assert engine.ok("run", "--rm", "busybox", "echo", "free") == "free"
    tmp = engine.root / "tmp"
    eventually(lambda: not list(tmp.iterdir()), what="nothing of the uploads is left")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"Image": "busybox", "Cmd": ["a\\u0000b"]}', "NUL character"),
        (b'{"Image": ' + b"[" * 200_000 + b"]" * 200_000 + b"}", "recursion"),
        (b'{"Image": "' + b"a" * (17 << 20) + b'"}', "request body too large"),
    ],
    ids=["NUL", "deep", "large"],
)
def test_an_absurd_body_is_the_clients_fault(
    engine: EngineProcess, body: bytes, words: str
) -> None:
    status, said = post(engine, "/containers/create", body)
    assert status == 400
    assert words in said


def test_clients_that_vanish_from_an_attach_leave_no_descriptor(engine: EngineProcess) -> None:
    request = {"Image": "busybox", "OpenStdin": True, "Cmd": ["cat"]}
    status, _ = post(engine, "/containers/create?name=cat", json.dumps(request).encode())
    assert status == 201
    engine.ok("start", "cat")
    descriptors = Path(f"/proc/{engine.pid}/fd")
    before = len(list(descriptors.iterdir()))
    for _ in range(20):
        with connected(engine) as client:
            head = "POST /containers/cat/attach?stream=1&stdin=1&stdout=1 HTTP/1.1\r\nHost: x\r\n"
            client.sendall(f"{head}Connection: Upgrade\r\nUpgrade: tcp\r\n\r\nhello\n".encode())
            assert client.recv(12) == b"HTTP/1.1 101"
    eventually(lambda: len(list(descriptors.iterdir())) <= before + 2)
    assert engine.status("cat") == "running"
    engine.ok("rm", "-f", "cat")


# ---- the storage root ------------------------------------------------------------------------


def test_a_second_engine_with_another_run_root_is_refused(
    engine: EngineProcess, tmp_path: Path
) -> None:
    engine.ok("ps")
    other = EngineProcess(root=engine.root, run_root=tmp_path / "run")
    said = other.refused("ps")
    assert f"the storage root {engine.root} is in use by another engine" in said
    assert other.pid == 0


def test_users_of_the_host_reach_neither_images_nor_volumes_nor_environments(
    engine: EngineProcess,
) -> None:
    for name in ("containers", "layers", "volumes"):
        assert (engine.root / name).stat().st_mode & 0o077 == 0, name
    for path in engine.root.glob("state.db*"):
        assert path.stat().st_mode & 0o077 == 0, path


@pytest.mark.parametrize("damage", ["garbage", "empty", "gone"])
def test_a_lost_state_database_stops_the_engine_before_it_sweeps_anything(
    tmp_path_factory: pytest.TempPathFactory, damage: str
) -> None:
    with an_engine(tmp_path_factory.mktemp("pogu")) as engine:
        engine.ok("create", "--name", "precious", "busybox")
        engine.ok("engine", "stop")
        eventually(lambda: engine.pid == 0)
        database = engine.root / "state.db"
        shutil.copy(database, engine.root / "copy.db")
        if damage == "gone":
            database.unlink()
        else:
            database.write_bytes(os.urandom(8192) if damage == "garbage" else b"")
        for _ in range(2):
            said = engine.refused("ps", "-a")
            assert re.search(r"state database .*state\.db", said), said
            eventually(lambda: engine.pid == 0)
        assert len(list((engine.root / "containers").iterdir())) == 1
        for leftover in engine.root.glob("state.db*"):
            leftover.unlink()
        shutil.copy(engine.root / "copy.db", database)
        assert "precious" in engine.ok("ps", "-a")


def test_on_a_full_disk_the_container_that_filled_it_can_be_removed(tmp_path: Path) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=30m", "tmpfs", tmp_path], check=True)
    try:
        with an_engine(tmp_path) as engine:
            fill = "cat /dev/zero > /big; exec sleep 1000"
            engine.ok("run", "-d", "--name", "greedy", "busybox", "sh", "-c", fill)
            filler = (tmp_path / "filler").open("wb", buffering=0)
            with filler, pytest.raises(OSError, match="No space"):
                while True:
                    filler.write(bytes(4096))
            engine.ok("rm", "-f", "greedy")
            assert engine.ok("run", "--rm", "busybox", "echo", "room") == "room"
    finally:
        subprocess.run(["umount", "-l", tmp_path], check=True)


# ---- logs ------------------------------------------------------------------------------------


def test_a_line_that_never_ends_is_followed_without_filling_the_engine(
    engine: EngineProcess,
) -> None:
    endless = "tr '\\0' x < /dev/zero"
    engine.ok(
        "run", "-d", "--name", "endless", "--log-opt", "max-size=4m", "busybox", "sh", "-c", endless
    )
    following = engine.popen("logs", "-f", "endless")
    try:
        assert following.stdout is not None
        assert len(following.stdout.read(64 << 20)) == 64 << 20
        statm = Path(f"/proc/{engine.pid}/statm").read_text()
        assert int(statm.split()[1]) * resource.getpagesize() < 200 << 20
    finally:
        following.send_signal(signal.SIGKILL)
        following.communicate()
        engine.ok("rm", "-f", "endless")
