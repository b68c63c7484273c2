"""What a request leaves open comes from the image, by Docker's rules."""

from __future__ import annotations

import pytest
from tests.builders import a_config, a_request

from pogu.containers.merge import command_line, effective_env, merge_config
from pogu.errors import InvalidParameter
from pogu.model.container import ContainerConfig, HealthConfig
from pogu.runtime.workload import DEFAULT_PATH

Words = tuple[str, ...] | None


@pytest.mark.parametrize(
    ("entrypoint", "cmd", "expected"),
    [
        (None, None, ("/entry", "cmd")),
        (None, ("mine",), ("/entry", "mine")),
        (("/mine",), None, ("/mine",)),
        (("/mine",), ("arg",), ("/mine", "arg")),
        ((), None, ("cmd",)),
        ((), ("mine",), ("mine",)),
        (("",), ("mine",), ("mine",)),
    ],
)
def test_an_own_entrypoint_puts_the_images_command_aside(
    entrypoint: Words, cmd: Words, expected: tuple[str, ...]
) -> None:
    image = ContainerConfig(entrypoint=("/entry",), cmd=("cmd",))
    merged = merge_config(a_request(entrypoint=entrypoint, cmd=cmd), image)
    assert command_line(merged) == expected


@pytest.mark.parametrize(
    ("entrypoint", "image"),
    [
        (None, ContainerConfig()),
        (("",), ContainerConfig(entrypoint=("/entry",), cmd=("cmd",))),
        ((), ContainerConfig(entrypoint=("/entry",))),
    ],
)
def test_nothing_to_run_is_refused(entrypoint: Words, image: ContainerConfig) -> None:
    with pytest.raises(InvalidParameter, match="no command specified"):
        merge_config(a_request(entrypoint=entrypoint), image)


def test_own_variables_come_first_and_win() -> None:
    image = a_config(env=("A=image", "B=image", "C=image"))
    merged = merge_config(a_request(env=("C=mine", "A", "D=")), image)
    assert merged.env == ("C=mine", "A", "D=", "B=image")


def test_labels_ports_and_volumes_are_united() -> None:
    image = a_config(labels={"a": "1", "b": "1"}, exposed_ports={"80/tcp": {}}, volumes={"/v": {}})
    request = a_request(labels={"b": "2"}, exposed_ports={"81/tcp": {}}, volumes={"/w": {}})
    merged = merge_config(request, image)
    assert merged.labels == {"a": "1", "b": "2"}
    assert set(merged.exposed_ports or ()) == {"80/tcp", "81/tcp"}
    assert set(merged.volumes or ()) == {"/v", "/w"}


def test_single_values_are_the_requests_when_given() -> None:
    image = a_config(user="web", working_dir="/srv", stop_signal="INT")
    kept = merge_config(a_request(), image)
    assert (kept.user, kept.working_dir, kept.stop_signal) == ("web", "/srv", "INT")
    request = a_request(user="0", working_dir="/", stop_signal="TERM")
    own = merge_config(request, image)
    assert (own.user, own.working_dir, own.stop_signal) == ("0", "/", "TERM")


def test_triggers_of_the_image_do_not_reach_the_container() -> None:
    assert merge_config(a_request(), a_config(on_build=("RUN x",))).on_build is None


def test_a_healthcheck_is_merged_field_by_field() -> None:
    image = a_config(healthcheck=HealthConfig(test=("CMD", "image"), interval=5, retries=3))
    assert merge_config(a_request(), image).healthcheck == image.healthcheck
    merged = merge_config(a_request(healthcheck=HealthConfig(interval=9)), image)
    assert merged.healthcheck == HealthConfig(test=("CMD", "image"), interval=9, retries=3)


def env_of(*pairs: str, tty: bool = False) -> dict[str, str]:
    env = effective_env(a_config(env=pairs, tty=tty), hostname="h", home="/home/x")
    return dict(pair.split("=", 1) for pair in env)


def test_docker_sets_path_hostname_and_home() -> None:
    assert env_of() == {"PATH": DEFAULT_PATH, "HOSTNAME": "h", "HOME": "/home/x"}
    assert env_of(tty=True)["TERM"] == "xterm"


def test_given_variables_win_over_dockers() -> None:
    env = env_of("PATH=/bin", "HOME=/", "HOSTNAME=", "TERM=vt100", "X=a=b", tty=True)
    assert env == {"PATH": "/bin", "HOME": "/", "HOSTNAME": "", "TERM": "vt100", "X": "a=b"}


def test_a_name_without_a_value_unsets() -> None:
    assert env_of("A=1", "A", "HOME", "PATH") == {"HOSTNAME": "h"}
    assert env_of("HOME", "HOME=/again")["HOME"] == "/again"
