"""A container's file system with the docker CLI: commit, diff, export."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest
from tests.conformance.clients import DockerCli, needs_docker_cli

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
