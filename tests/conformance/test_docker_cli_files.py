"""A container's file system with the docker CLI: commit, diff, export, cp."""

from __future__ import annotations

import os
import tarfile
from pathlib import Path

import pytest
from tests.conformance.clients import DockerCli, needs_docker_cli
from tests.engine_process import EngineProcess

pytestmark = [pytest.mark.root, needs_docker_cli]


def test_commit_diff_and_export_by_the_docker_cli(docker: DockerCli, tmp_path: Path) -> None:
    docker.start("worker", "echo new > /etc/new; rm /etc/passwd; echo ready; exec sleep 1000")
    assert docker.ok("diff", "worker").splitlines() == ["C /etc", "A /etc/new", "D /etc/passwd"]
    docker.ok("commit", "-m", "why", "-c", "ENV A=b", "worker", "worked:1")
    assert docker.run("worked:1", "sh", "-c", "cat /etc/new; echo $A") == "new\nb"
    target = tmp_path / "root.tar"
    docker.ok("export", "-o", str(target), "worker")
    with tarfile.open(target) as tar:
        assert {"bin/sh", "etc/new"} <= set(tar.getnames())
    docker.ok("rm", "-f", "worker")
    docker.ok("rmi", "worked:1")


@pytest.mark.parametrize("state", ["running", "created"])
def test_cp_both_ways_by_the_docker_cli(docker: DockerCli, tmp_path: Path, state: str) -> None:
    (tmp_path / "dir/sub").mkdir(parents=True)
    (tmp_path / "dir/sub/file").write_text("content")
    docker.ok("create", "--name", "box", "-v", "/data", "busybox", "sleep", "1000")
    if state == "running":
        docker.ok("start", "box")
    docker.ok("cp", f"{tmp_path}/dir", "box:/data/new")
    docker.ok("cp", f"{tmp_path}/dir/.", "box:/data/new")
    docker.ok("cp", "-a", "box:/data/new", f"{tmp_path}/back")
    assert (tmp_path / "back/sub/file").read_text() == "content"
    docker.ok("cp", "-L", "box:/bin/sh", f"{tmp_path}/sh")
    assert (tmp_path / "sh").stat().st_size > 100_000
    assert "cannot copy directory" in docker.refused("cp", f"{tmp_path}/dir", "box:/etc/passwd")
    said = docker.refused("cp", "box:/none", str(tmp_path))
    assert "Could not find the file /none in container box" in said
    docker.ok("rm", "-f", "-v", "box")


@pytest.mark.parametrize("client", ["docker", "pogu"])
@pytest.mark.parametrize("target", ["there", "missing", "directory"])
def test_cp_onto_a_link_writes_where_it_leads(
    docker: DockerCli, engine: EngineProcess, tmp_path: Path, client: str, target: str
) -> None:
    cli = docker if client == "docker" else engine
    script = "mkdir /d /d/directory; echo old > /d/there; cd /; ln -s d/$1 link; echo ready"
    docker.ok("run", "--name", "box", "busybox", "sh", "-c", script, "sh", target)
    (tmp_path / "file").write_text("new\n")
    cli.ok("cp", str(tmp_path / "file"), "box:/link")
    written = f"/d/{target}" + ("/file" if target == "directory" else "")
    cli.ok("cp", f"box:{written}", str(tmp_path / "back"))
    assert (tmp_path / "back").read_text() == "new\n"
    cli.ok("cp", "box:/link", str(tmp_path / "link"))
    assert os.readlink(tmp_path / "link") == f"d/{target}"


@pytest.mark.parametrize("client", ["docker", "pogu"])
def test_cp_onto_a_link_here_writes_where_it_leads(
    docker: DockerCli, engine: EngineProcess, tmp_path: Path, client: str
) -> None:
    cli = docker if client == "docker" else engine
    docker.ok("run", "--name", "box", "busybox", "sh", "-c", "echo new > /file")
    (tmp_path / "there").write_text("old\n")
    for name in ("there", "missing"):
        (tmp_path / "link").unlink(missing_ok=True)
        (tmp_path / "link").symlink_to(name)
        cli.ok("cp", "box:/file", str(tmp_path / "link"))
        assert (tmp_path / "link").is_symlink()
        assert (tmp_path / name).read_text() == "new\n"
