"""The `docker` package of PyPI against a fresh engine."""

from __future__ import annotations

import gc
import io
import socket
import tarfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.engine_process import EngineProcess, eventually

docker: Any = pytest.importorskip("docker", reason="needs the docker package of PyPI")

# docker-py leaves its streams' sockets to the garbage collector.
pytestmark = [
    pytest.mark.root,
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture
def client(engine: EngineProcess) -> Iterator[Any]:
    """A client; containers of the test are removed behind it."""
    client = docker.DockerClient(base_url=f"unix://{engine.socket}", version="auto", timeout=30)
    yield client
    for container in client.containers.list(all=True):
        container.remove(force=True, v=True)
    client.close()
    gc.collect()


def a_context(**files: str) -> io.BytesIO:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))
    packed.seek(0)
    return packed


# ---- system ----------------------------------------------------------------------------------


def test_ping_version_info_and_df(client: Any) -> None:
    assert client.ping() is True
    assert client.version()["ApiVersion"] == "1.51"
    assert client.info()["OSType"] == "linux"
    assert {"Images", "Containers", "Volumes"} <= client.df().keys()


def test_version_is_negotiated(client: Any) -> None:
    assert client.api._version == docker.constants.DEFAULT_DOCKER_API_VERSION or (
        client.api._version == "1.51"
    )


# ---- run -------------------------------------------------------------------------------------


def test_run_returns_the_output(client: Any) -> None:
    assert client.containers.run("busybox", "echo hi", remove=True) == b"hi\n"
    script = ["sh", "-c", "echo o; echo e >&2"]
    both = client.containers.run("busybox", script, remove=True, stdout=True, stderr=True)
    assert sorted(both.splitlines()) == [b"e", b"o"]


def test_run_takes_options(client: Any, tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / "f").write_text("bound\n")
    said = client.containers.run(
        "busybox",
        ["sh", "-c", "echo $A; pwd; id -u; hostname; cat /m/f; ulimit -n"],
        environment={"A": "b"},
        working_dir="/srv",
        user="1000",
        hostname="box",
        volumes={str(tmp_path): {"bind": "/m", "mode": "ro"}},
        mem_limit="64m",
        ulimits=[docker.types.Ulimit(name="nofile", soft=64, hard=64)],
        cap_drop=["ALL"],
        tmpfs={"/t": "size=1m"},
        network_mode="none",
        remove=True,
    )
    assert said.decode().split() == ["b", "/srv", "1000", "box", "bound", "64"]


def test_run_that_fails_raises_container_error(client: Any) -> None:
    with pytest.raises(docker.errors.ContainerError) as caught:
        client.containers.run("busybox", ["sh", "-c", "echo bad >&2; exit 3"])
    assert caught.value.exit_status == 3
    assert caught.value.stderr == b"bad\n"


def test_run_of_a_missing_program_raises_api_error(client: Any) -> None:
    with pytest.raises(docker.errors.APIError, match="executable file not found"):
        client.containers.run("busybox", "no-such-program")


def test_run_detached_gives_a_container(client: Any) -> None:
    container = client.containers.run("busybox", "sleep 1000", detach=True, name="back")
    assert container.status == "created"
    container.reload()
    assert (container.name, container.status) == ("back", "running")
    assert container.attrs["State"]["Pid"] > 0
    assert container.image.tags == ["busybox:latest"]
    assert client.containers.get("back").id == container.id
    assert [one.name for one in client.containers.list()] == ["back"]


def test_run_streams_the_output(client: Any) -> None:
    script = ["sh", "-c", "echo a; sleep 0.1; echo b"]
    assert list(client.containers.run("busybox", script, stream=True)) == [b"a\n", b"b\n"]


# ---- errors ----------------------------------------------------------------------------------


def test_errors_have_their_classes(client: Any) -> None:
    with pytest.raises(docker.errors.ImageNotFound):
        client.containers.create("no-such-image")
    with pytest.raises(docker.errors.ImageNotFound):
        client.images.get("no-such-image")
    with pytest.raises(docker.errors.NotFound):
        client.containers.get("nope")
    with pytest.raises(docker.errors.NotFound):
        client.volumes.get("nope")
    with pytest.raises(docker.errors.NotFound):
        client.networks.get("nope")


def test_conflict_is_an_api_error_with_its_explanation(client: Any) -> None:
    client.containers.create("busybox", name="taken")
    with pytest.raises(docker.errors.APIError, match="is already in use") as caught:
        client.containers.create("busybox", name="taken")
    assert caught.value.status_code == 409
    assert caught.value.is_client_error()


# ---- life ------------------------------------------------------------------------------------


def test_container_goes_through_its_life(client: Any) -> None:
    script = "trap 'exit 9' TERM; echo ready; while :; do sleep 0.05; done"
    container = client.containers.create("busybox", ["sh", "-c", script], name="life")
    container.start()
    eventually(lambda: b"ready" in container.logs())
    assert container.top()["Titles"][0] == "UID"
    container.rename("renamed")
    container.stop(timeout=10)
    assert container.wait()["StatusCode"] == 9
    container.restart()
    container.reload()
    assert (container.status, container.name) == ("running", "renamed")
    container.kill(signal="KILL")
    assert container.wait()["StatusCode"] == 137
    container.remove()
    with pytest.raises(docker.errors.NotFound):
        container.reload()


def test_wait_takes_conditions(client: Any) -> None:
    container = client.containers.create("busybox", ["sh", "-c", "exit 5"])
    codes: list[int] = []

    def wait() -> None:
        codes.append(container.wait(condition="next-exit", timeout=20)["StatusCode"])

    waiter = threading.Thread(target=wait)
    waiter.start()

    def has_seen_an_end() -> bool:
        container.start()  # again and again: the waiter may not listen yet
        return bool(codes)

    eventually(has_seen_an_end)
    waiter.join(timeout=20)
    assert codes == [5]


def test_ports_are_published(client: Any) -> None:
    ports = {"80/tcp": ("127.0.0.1", None)}
    container = client.containers.run("busybox", "sleep 1000", detach=True, ports=ports)
    container.reload()
    (binding,) = container.ports["80/tcp"]
    assert binding["HostIp"] == "127.0.0.1"
    assert int(binding["HostPort"]) > 0


def test_prune_and_list_filters(client: Any) -> None:
    ended = client.containers.create("busybox", labels={"a": "b"})
    running = client.containers.run("busybox", "sleep 1000", detach=True)
    found = client.containers.list(all=True, filters={"label": "a=b", "status": "created"})
    assert [one.id for one in found] == [ended.id]
    assert client.containers.prune()["ContainersDeleted"] == [ended.id]
    assert [one.id for one in client.containers.list(all=True)] == [running.id]


# ---- logs and attach -------------------------------------------------------------------------


def test_logs_stream_until_the_end(client: Any) -> None:
    script = ["sh", "-c", "for i in 1 2 3; do echo $i; sleep 0.05; done"]
    container = client.containers.run("busybox", script, detach=True)
    assert b"".join(container.logs(stream=True, follow=True)) == b"1\n2\n3\n"
    assert container.logs(tail=1) == b"3\n"
    assert container.logs(stdout=True, stderr=False, timestamps=True).count(b"Z ") == 3
    assert container.logs(since=int(time.time()) + 100) == b""


def test_logs_of_a_terminal(client: Any) -> None:
    container = client.containers.run("busybox", "echo hi", detach=True, tty=True)
    container.wait()
    assert container.logs() == b"hi\r\n"


def test_attach_streams_and_keeps_the_streams_apart(client: Any) -> None:
    script = ["sh", "-c", "read x; echo out; echo err >&2"]
    container = client.containers.create("busybox", script, stdin_open=True)
    container.start()
    pieces = container.attach(stream=True, demux=True)
    typing = container.attach_socket(params={"stdin": 1, "stream": 1})
    typing._sock.sendall(b"go\n")
    assert sorted(pieces, key=str) == sorted([(b"out\n", None), (None, b"err\n")], key=str)
    typing.close()


def test_attach_socket_is_half_closed(client: Any) -> None:
    container = client.containers.create("busybox", "cat", stdin_open=True, detach=False)
    wanted = {"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1}
    stream = container.attach_socket(params=wanted)
    container.start()
    stream._sock.sendall(b"typed\n")
    stream._sock.shutdown(socket.SHUT_WR)
    pieces = docker.utils.socket.frames_iter(stream, tty=False)
    assert list(pieces) == [(1, b"typed\n")]
    assert container.wait()["StatusCode"] == 0
    stream.close()


def test_resize_changes_the_terminal(client: Any) -> None:
    script = "until stty size | grep -q '33 99'; do sleep 0.02; done; echo done"
    container = client.containers.run("busybox", ["sh", "-c", script], detach=True, tty=True)
    container.resize(33, 99)
    assert container.wait(timeout=20)["StatusCode"] == 0


# ---- events ----------------------------------------------------------------------------------


def test_events_are_decoded(client: Any) -> None:
    events = client.events(decode=True, filters={"type": "container"})
    container = client.containers.run("busybox", "true", detach=True)
    seen = []
    for event in events:
        seen.append(event["Action"])
        if event["Action"] == "die":
            break
    events.close()
    assert seen == ["create", "start", "die"]
    assert event["Actor"]["ID"] == container.id


# ---- images, volumes, networks ---------------------------------------------------------------


def test_build_from_a_path(client: Any, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM busybox\nARG A=x\nCOPY f /f\nLABEL a=$A\n")
    (tmp_path / "f").write_text("content\n")
    (tmp_path / "hidden").write_text("")
    (tmp_path / ".dockerignore").write_text("hidden\n")
    image, lines = client.images.build(path=str(tmp_path), tag="path:v1", buildargs={"A": "y"})
    assert image.tags == ["path:v1"]
    assert image.labels == {"a": "y"}
    assert any("Successfully built" in line.get("stream", "") for line in lines)
    assert client.containers.run("path:v1", "cat /f", remove=True) == b"content\n"


def test_build_from_a_dockerfile_alone(client: Any) -> None:
    image, _ = client.images.build(fileobj=io.BytesIO(b"FROM busybox\nENV A=b\n"), rm=True)
    assert "A=b" in image.attrs["Config"]["Env"]


def test_build_from_a_tar_with_another_dockerfile(client: Any) -> None:
    files = {"Other": "FROM busybox AS a\nCOPY x /x\nFROM a\nRUN false\n", "x": "x\n"}
    context = a_context(**files)
    options = {"custom_context": True, "dockerfile": "Other", "target": "a", "tag": "tar"}
    client.images.build(fileobj=context, **options)
    assert client.containers.run("tar", "cat /x", remove=True) == b"x\n"


def test_build_that_fails_raises_build_error(client: Any) -> None:
    text = b"FROM busybox\nRUN echo before; exit 4\n"
    with pytest.raises(docker.errors.BuildError, match="returned a non-zero code: 4") as caught:
        client.images.build(fileobj=io.BytesIO(text))
    assert any("before" in line.get("stream", "") for line in caught.value.build_log)


def test_build_of_a_bad_dockerfile_raises(client: Any) -> None:
    with pytest.raises((docker.errors.APIError, docker.errors.BuildError), match="RUNN"):
        client.images.build(fileobj=io.BytesIO(b"FROM busybox\nRUNN x\n"))


def test_low_level_build_decodes_lines(client: Any) -> None:
    lines = client.api.build(fileobj=io.BytesIO(b"FROM busybox\n"), decode=True, quiet=True)
    (line,) = list(lines)
    assert line["stream"].startswith("sha256:")


def test_images_are_listed_tagged_and_removed(client: Any) -> None:
    image, _ = client.images.build(fileobj=io.BytesIO(b"FROM busybox\nLABEL x=y\n"), tag="own")
    assert [one.id for one in client.images.list(filters={"label": "x=y"})] == [image.id]
    assert client.images.get("own").id == image.id
    assert image.tag("own", "two") is True
    assert image.history()[0]["CreatedBy"] == "LABEL x=y"
    client.images.remove("own:two")
    client.images.remove("own")
    with pytest.raises(docker.errors.ImageNotFound):
        client.images.get("own")


def test_image_is_imported(client: Any) -> None:
    said = client.api.import_image_from_data(a_context(f="x").getvalue(), repository="imported")
    assert "sha256:" in said
    assert client.images.get("imported").attrs["RootFS"]["Layers"]


def test_volumes_are_made_and_removed(client: Any) -> None:
    volume = client.volumes.create("data", labels={"a": "b"})
    assert client.volumes.get("data").attrs["Labels"] == {"a": "b"}
    mount = docker.types.Mount(target="/d", source="data", type="volume")
    client.containers.run("busybox", "touch /d/f", mounts=[mount], remove=True)
    assert Path(volume.attrs["Mountpoint"], "f").exists()
    assert [one.name for one in client.volumes.list()] == ["data"]
    volume.remove()
    assert client.volumes.list() == []


def test_networks_are_listed(client: Any) -> None:
    assert {one.name for one in client.networks.list()} == {"bridge", "host", "none"}
    assert client.networks.get("bridge").attrs["Driver"] == "bridge"


def test_archives_go_in_and_come_out_with_their_stat(client: Any) -> None:
    container = client.containers.create("busybox", "true")
    assert container.put_archive("/tmp", a_context(file="content").getvalue())
    pieces, stat = container.get_archive("/tmp/file")
    with tarfile.open(fileobj=io.BytesIO(b"".join(pieces))) as tar:
        content = tar.extractfile("file")
        assert content is not None
        assert content.read() == b"content"
    assert (stat["name"], stat["size"], stat["linkTarget"]) == ("file", 7, "")
    with pytest.raises(docker.errors.NotFound, match="Could not find the file /none"):
        container.get_archive("/none")
    assert {"Path": "/tmp/file", "Kind": 1} in container.diff()
    assert container.commit("worked", "1", changes="ENV A=b").tags == ["worked:1"]
    assert sum(len(piece) for piece in container.export()) > 100_000
    container.remove()
    client.images.remove("worked:1")
