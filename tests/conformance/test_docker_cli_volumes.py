"""Volumes, mounts and limits as the docker CLI asks for them."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.conformance.clients import DockerCli, needs_docker_cli

pytestmark = [pytest.mark.root, needs_docker_cli]

TMPFS = ("-o", "type=tmpfs", "-o", "device=tmpfs", "-o", "o=size=8m,mode=700")


def test_driver_options_are_mounted_and_shown(docker: DockerCli) -> None:
    docker.ok("volume", "create", *TMPFS, "--label", "a=b", "memory")
    said = docker.ok("volume", "inspect", "-f", "{{.Options.o}} {{.Labels.a}}", "memory")
    assert said == "size=8m,mode=700 b"
    assert "8192" in docker.sh("df -k /v | tail -1", "-v", "memory:/v")
    docker.ok("volume", "rm", "memory")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("-o", "foo=1"), 'create vol: invalid option: "foo"'),
        (("-o", "device=/x"), 'create vol: missing required option: "type"'),
        (("-d", "nope"), 'plugin "nope" not found'),
    ],
)
def test_options_that_cannot_be_are_refused(
    docker: DockerCli, options: tuple[str, ...], words: str
) -> None:
    assert words in docker.refused("volume", "create", *options, "vol")


def test_options_of_a_volume_in_a_mount(docker: DockerCli) -> None:
    options = 'volume-opt=type=tmpfs,volume-opt=device=tmpfs,"volume-opt=o=size=8m,uid=5"'
    mount = f"type=volume,dst=/v,volume-driver=local,volume-label=a=b,{options}"
    assert "8192" in docker.sh("df -k /v | tail -1", "--mount", mount)


def test_a_volume_in_use_names_its_containers(docker: DockerCli) -> None:
    holder = docker.ok("create", "-v", "held:/v", "busybox")
    assert f"volume is in use - [{holder}]" in docker.refused("volume", "rm", "held")
    docker.ok("rm", "-v", holder)
    assert docker.ok("volume", "ls", "-q", "--filter", "name=held") == "held"
    docker.ok("volume", "rm", "held")


def test_a_named_volume_that_looks_anonymous_stays(docker: DockerCli) -> None:
    name = "ab" * 32
    docker.ok("run", "--rm", "-v", f"{name}:/v", "busybox", "touch", "/v/f")
    assert docker.ok("volume", "ls", "-q", "--filter", f"name={name}") == name
    docker.ok("volume", "rm", name)


def test_dangling_volumes_are_pruned(docker: DockerCli) -> None:
    docker.ok("volume", "create", "unused")
    holder = docker.ok("create", "-v", "used:/v", "-v", "/anonymous", "busybox")
    listed = docker.ok("volume", "ls", "-q", "--filter", "dangling=true").split()
    assert listed == ["unused"]
    docker.ok("rm", holder)
    assert len(docker.ok("volume", "ls", "-q").split()) == 3
    docker.ok("volume", "prune", "-f")
    assert docker.ok("volume", "ls", "-q").split() == ["unused", "used"]
    docker.ok("volume", "prune", "-f", "-a")
    assert docker.ok("volume", "ls", "-q") == ""


def test_a_bind_mount_need_not_reach_below(docker: DockerCli, tmp_path: Path) -> None:
    mount = f"type=bind,src={tmp_path},dst=/v,bind-recursive=disabled"
    docker.sh("touch /v/f", "--mount", mount)
    assert (tmp_path / "f").exists()


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("--mount=type=bind,src=/nope,dst=/v", "bind source path does not exist: /nope"),
        ("--mount=type=volume,dst=/v,ro", "must not set ReadOnly mode when using anonymous"),
        ("--volume=vol:/v:ro,rw", "invalid mode: ro,rw"),
        ("--tmpfs=/v:foo", "Invalid tmpfs option"),
        ("--sysctl=net.ipv4.ip_forward=1", "not allowed in host network namespace"),
        ("--device-cgroup-rule=nope", "invalid device cgroup format 'nope'"),
        ("--device=nvidia.com/gpu=9", "unresolvable CDI devices nvidia.com/gpu=9"),
    ],
)
def test_what_cannot_be_had_is_refused(docker: DockerCli, option: str, words: str) -> None:
    done = docker.call("run", "--rm", "--network", "host", option, "busybox", "true")
    assert done.returncode == 125
    assert words in done.stderr


def test_what_the_kernel_cannot_limit_is_a_warning(docker: DockerCli) -> None:
    done = docker.call("run", "--rm", "--ulimit", "nofile=1073741816", "busybox", "true")
    assert done.returncode == 0
    assert done.stderr == "" or "the host allows no more than" in done.stderr


def test_a_part_of_an_image_is_mounted_read_only(docker: DockerCli) -> None:
    mount = "type=image,source=busybox,target=/x,image-subpath=bin"
    said = docker.sh("test -x /x/ls; echo $?; touch /x/new 2>&1; true", "--mount", mount)
    assert said == "0\ntouch: /x/new: Read-only file system"
    missing = ("--mount", "type=image,source=nothere,target=/x", "busybox", "true")
    assert "No such image: nothere:latest" in docker.refused("run", "--rm", *missing, code=125)
