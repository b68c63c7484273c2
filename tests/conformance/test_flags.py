"""Flags of `docker run` that few use: what they do, and in which words they are refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.conformance.clients import DockerCli, Wire, needs_docker_cli
from tests.engine_process import EngineProcess

pytestmark = [pytest.mark.root, needs_docker_cli]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--storage-opt", "size=1G"), "--storage-opt is supported only for overlay over xfs with"),
        (("--ip", "10.9.9.9"), "user specified IP address is supported on user defined networks"),
        (("--ip6", "fd00::9"), "user specified IP address is supported on user defined networks"),
        (("--link-local-ip", "x"), "invalid link-local IP address: x"),
        (("--isolation", "hyperv"), "invalid isolation 'hyperv' on linux"),
        (("--volume-driver", "x", "-v", "a:/a"), "error looking up volume plugin x"),
    ],
)
def test_what_this_engine_cannot_do_is_refused(
    docker: DockerCli, engine: EngineProcess, words: tuple[str, ...], message: str
) -> None:
    assert message in docker.refused("run", *words, "busybox", code=125)
    ours = engine.call("run", *words, "busybox")
    assert (ours.returncode, message in ours.stderr) == (125, True)


def test_deprecated_and_default_values_are_let_through(docker: DockerCli) -> None:
    options = ("--isolation", "default", "--volume-driver", "local", "--disable-content-trust")
    assert docker.run(*options, "busybox", "echo", "hello") == "hello"
    done = docker.call("run", "--kernel-memory", "64m", "--rm", "busybox", "true")
    assert done.returncode == 0


def test_link_local_addresses_are_the_containers(engine: EngineProcess) -> None:
    options = ("--link-local-ip", "169.254.9.9", "--link-local-ip", "fe80::9")
    shown = engine.ok("run", "--rm", *options, "busybox", "ip", "addr", "show", "eth0")
    assert "inet 169.254.9.9/16" in shown
    assert "inet6 fe80::9/64" in shown


def test_alias_on_the_default_network_is_refused(wire: Wire) -> None:
    endpoints = {"EndpointsConfig": {"bridge": {"Aliases": ["a"]}}}
    body = {"Image": "busybox", "NetworkingConfig": endpoints}
    answer = wire.ask("POST", "/containers/create", body)
    assert answer.status == 400
    assert "network-scoped alias is supported only for containers in user" in answer.message


def test_checkpoints_are_refused(engine: EngineProcess, wire: Wire) -> None:
    container = wire.create()
    answer = wire.ask("POST", f"/containers/{container}/start?checkpoint=x")
    assert (answer.status, answer.message.splitlines()[0]) == (
        400,
        "checkpoint is only supported in experimental mode",
    )
    assert (
        "experimental feature is disabled"
        in wire.ask("GET", f"/containers/{container}/checkpoints").message
    )
    assert (
        "daemon with experimental features"
        in engine.call("start", "--checkpoint", "x", container).stderr
    )


def test_two_points_in_time_are_refused(wire: Wire) -> None:
    filters = json.dumps({"until": ["1h", "2h"]})
    for noun in ("containers", "images", "build", "networks"):
        answer = wire.ask("POST", f"/{noun}/prune?filters={filters.replace(' ', '')}")
        assert (answer.status, answer.message.splitlines()[0]) == (
            400,
            "more than one until filter specified",
        )


def test_api_socket_and_logins_are_inside(
    engine: EngineProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    login = {"auths": {"registry.example": {"auth": "dTpw"}}}
    (tmp_path / "config.json").write_text(json.dumps(login))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    script = "test -S /var/run/docker.sock && cat $DOCKER_CONFIG/config.json"
    shown = engine.ok("run", "--rm", "--use-api-socket", "busybox", "sh", "-c", script)
    assert json.loads(shown) == login


def test_a_link_is_a_name_and_variables(docker: DockerCli) -> None:
    docker.serve("shop-db", "-e", "COLOUR=blue", "--expose", "80", "-h", "store")
    script = "wget -qO- http://db; wget -qO- http://store; env; cat /etc/hosts"
    docker.ok("create", "--name", "web", "--link", "shop-db:db", "busybox", "sh", "-c", script)
    address = docker.show("{{.NetworkSettings.IPAddress}}", "shop-db")
    shown = docker.ok("start", "-a", "web").splitlines()
    assert shown[:2] == ["hello", "hello"]
    assert f"DB_PORT_80_TCP_ADDR={address}" in shown
    assert f"DB_PORT=tcp://{address}:80" in shown
    assert {"DB_NAME=/web/db", "DB_ENV_COLOUR=blue"} <= set(shown)
    assert f"{address}\tdb store shop-db" in shown
    assert docker.show("{{.HostConfig.Links}}", "web") == "[/shop-db:/web/db]"


def test_a_link_needs_a_running_container(docker: DockerCli) -> None:
    said = docker.refused("run", "--link", "nobody:db", "busybox", code=125)
    assert "could not get container for nobody: No such container: nobody" in said
    docker.ok("create", "--name", "idle", "busybox")
    said = docker.refused("run", "--name", "web", "--link", "idle:db", "busybox", code=125)
    assert "Cannot link to a non running container: /idle AS /web/db" in said


def address_of(docker: DockerCli, name: str) -> str:
    return docker.show("{{.NetworkSettings.IPAddress}}", name)


def test_a_link_follows_its_target_to_another_address(docker: DockerCli) -> None:
    docker.ok("run", "-d", "--name", "db1", "busybox", "sleep", "60")
    docker.ok("run", "-d", "--name", "web", "--link", "db1:db", "busybox", "sleep", "60")
    docker.ok("exec", "web", "sh", "-c", "echo 192.0.2.1 own >> /etc/hosts")
    before = address_of(docker, "db1")
    docker.ok("stop", "-t", "0", "db1")
    docker.ok("run", "-d", "--name", "taker", "busybox", "sleep", "60")
    docker.ok("start", "db1")
    after = address_of(docker, "db1")
    hosts = docker.ok("exec", "web", "cat", "/etc/hosts").splitlines()
    assert next(line for line in hosts if "db" in line).split()[:2] == [after, "db"]
    assert "192.0.2.1 own" in hosts
    assert after != before, "the test wants another address"


def test_a_linked_container_is_listed_and_found_by_its_link_names(docker: DockerCli) -> None:
    docker.ok("run", "-d", "--name", "store", "busybox", "sleep", "60")
    docker.ok("create", "--name", "web", "--link", "store:db", "busybox")
    assert docker.ok("ps", "--format", "{{.Names}}") == "store"
    assert docker.ok("ps", "--no-trunc", "--format", "{{.Names}}") == "store,web/db"
    assert docker.show("{{.Name}}", "web/db") == "/store"
    docker.ok("rename", "web", "front")
    assert docker.ok("ps", "-q", "--no-trunc", "--filter", "name=front/db") != ""


def test_rm_link_takes_the_link_alone(docker: DockerCli, engine: EngineProcess) -> None:
    docker.ok("run", "-d", "--name", "store", "busybox", "sleep", "60")
    docker.ok("run", "-d", "--name", "web", "--link", "store:db", "busybox", "sleep", "60")
    said = docker.refused("rm", "--link", "store")
    assert "Conflict, cannot remove the default link name of the container" in said
    assert docker.ok("rm", "--link", "/web/db") == "/web/db"
    assert docker.show("{{.HostConfig.Links}}", "web") == "[]"
    assert "db" not in docker.ok("exec", "web", "cat", "/etc/hosts")
    assert docker.show("{{.State.Running}}", "store") == "true"
    assert "No such container: web/db" in engine.refused("rm", "--link", "web/db")


def test_a_limit_of_kernel_memory_is_taken_with_a_warning(
    docker: DockerCli, engine: EngineProcess
) -> None:
    docker.ok("create", "--name", "web", "busybox")
    warning = "Specifying a kernel memory limit is deprecated"
    for program in (docker, engine):
        done = program.call("update", "--kernel-memory", "50m", "web")
        assert done.stdout.startswith("web\n")
        assert warning in done.stdout + done.stderr
    assert docker.ok("update", "--cpus", "1", "web") == "web"
