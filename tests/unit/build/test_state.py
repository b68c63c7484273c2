"""What each metadata instruction makes of a stage."""

from __future__ import annotations

import pytest

from pogu.build.changes import apply_changes
from pogu.build.metadata import apply_metadata, parse_port_range
from pogu.build.state import StageState, platform_args
from pogu.dockerfile.parser import parse_instruction
from pogu.errors import InvalidParameter
from pogu.model.container import ContainerConfig
from pogu.oci.index import Platform


def after(
    *texts: str,
    state: StageState | None = None,
    build_args: dict[str, str | None] | None = None,
    meta_args: dict[str, str] | None = None,
) -> StageState:
    """Return the state after these instructions."""
    state = state or StageState()
    for text in texts:
        state = apply_metadata(
            parse_instruction(text), state, build_args=build_args, meta_args=meta_args
        )
    return state


def with_config(**fields: object) -> StageState:
    return StageState().with_config(**fields)


def test_env_sets_in_place_and_appends() -> None:
    state = after("ENV A=1 B=2", "ENV A=3 C=4")
    assert state.config.env == ("A=3", "B=2", "C=4")


def test_the_values_of_one_env_see_the_variables_of_before() -> None:
    assert after("ENV a=hello", "ENV a=bye b=$a", "ENV c=$a").environment == {
        "a": "bye",
        "b": "hello",
        "c": "bye",
    }


def test_a_variable_may_hold_an_equals_sign() -> None:
    assert after("ENV A=x=y=z", "ENV B=$A").config.env == ("A=x=y=z", "B=x=y=z")


def test_the_environment_wins_over_an_arg() -> None:
    assert after("ARG A=arg", "ENV A=env", "LABEL l=$A").config.labels == {"l": "env"}
    assert after("ENV A=env", "ARG A=arg", "LABEL l=$A").config.labels == {"l": "env"}


@pytest.mark.parametrize(
    ("text", "given", "meta", "value"),
    [
        ("ARG A=default", {}, {}, "default"),
        ("ARG A=default", {"A": "given"}, {}, "given"),
        ("ARG A=default", {"A": ""}, {}, ""),
        ("ARG A=default", {"A": None}, {}, "default"),
        ("ARG A=default", {}, {"A": "meta"}, "default"),
        ("ARG A", {}, {"A": "meta"}, "meta"),
        ("ARG A", {"A": "given"}, {"A": "meta"}, "given"),
        ("ARG B=1 A=$B", {}, {}, "1"),
    ],
)
def test_an_arg_takes_what_is_given_then_its_default_then_the_meta_arg(
    text: str, given: dict[str, str | None], meta: dict[str, str], value: str
) -> None:
    assert after(text, build_args=given, meta_args=meta).args["A"] == value


def test_an_arg_without_any_value_is_not_set() -> None:
    assert after("ARG A", build_args={"B": "x"}).args == {}


def test_args_are_no_part_of_the_config() -> None:
    assert after("ARG A=1").config == ContainerConfig()


def test_labels_are_merged() -> None:
    state = after('LABEL a=1 "b c"="2 3"', "LABEL a=4", state=with_config(labels={"z": "0"}))
    assert state.config.labels == {"z": "0", "a": "4", "b c": "2 3"}


def test_cmd_in_shell_form_gets_the_shell_and_in_exec_form_not() -> None:
    assert after("CMD echo $HOME").config.cmd == ("/bin/sh", "-c", "echo $HOME")
    assert after('CMD ["echo", "$HOME"]').config.cmd == ("echo", "$HOME")
    assert after("CMD []").config.cmd == ()


def test_shell_changes_the_shell_of_what_follows() -> None:
    state = after('SHELL ["/bin/bash", "-ec"]', "CMD x", "ENTRYPOINT y")
    assert state.config.cmd == ("/bin/bash", "-ec", "x")
    assert state.config.entrypoint == ("/bin/bash", "-ec", "y")


def test_an_entrypoint_takes_back_the_bases_cmd_but_not_the_stages() -> None:
    base = with_config(cmd=("old",))
    assert after('ENTRYPOINT ["e"]', state=base).config.cmd is None
    assert after('CMD ["own"]', 'ENTRYPOINT ["e"]', state=base).config.cmd == ("own",)


def test_expose_knows_ranges_protocols_and_variables() -> None:
    state = after("ENV P=443", "EXPOSE 80 53/udp 8000-8002/TCP $P")
    assert list(state.config.exposed_ports or ()) == [
        "80/tcp",
        "53/udp",
        "8000/tcp",
        "8001/tcp",
        "8002/tcp",
        "443/tcp",
    ]


@pytest.mark.parametrize("port", ["x", "80/http", "70000", "9-8", "80:80", "-1", "80-", "0"])
def test_a_port_that_cannot_be_is_refused(port: str) -> None:
    with pytest.raises(InvalidParameter, match="invalid containerPort"):
        parse_port_range(port)


@pytest.mark.parametrize(
    ("before", "path", "path_after"),
    [
        ("", "/a", "/a"),
        ("", "a", "/a"),
        ("/a", "b", "/a/b"),
        ("/a", "/b", "/b"),
        ("/a/b", "../c", "/a/c"),
        ("/a", "../../..", "/"),
        ("/a", "b//./c/", "/a/b/c"),
        ("", "//x", "/x"),
        ("/a", "$DIR", "/a/of env"),
    ],
)
def test_workdir_is_relative_to_the_one_before(before: str, path: str, path_after: str) -> None:
    base = with_config(working_dir=before, env=("DIR=of env",))
    assert after(f"WORKDIR {path}", state=base).config.working_dir == path_after


def test_a_workdir_that_expands_to_nothing_is_refused() -> None:
    with pytest.raises(InvalidParameter):
        after("WORKDIR $NOTHING")


def test_user_volume_and_stop_signal_expand_variables() -> None:
    state = after("ENV X=app", "USER $X:$X", "VOLUME /$X /data", "STOPSIGNAL SIGTERM")
    assert (state.config.user, state.config.stop_signal) == ("app:app", "SIGTERM")
    assert state.config.volumes == {"/app": {}, "/data": {}}
    assert after('VOLUME ["/a b"]', state=state).config.volumes == {
        "/app": {},
        "/data": {},
        "/a b": {},
    }


@pytest.mark.parametrize("signal", ["SIG_TERM", "-9", "9x", "$NOTHING"])
def test_a_stop_signal_that_cannot_be_is_refused(signal: str) -> None:
    with pytest.raises(InvalidParameter, match="Invalid signal"):
        after(f"STOPSIGNAL {signal}")


def test_a_healthcheck_has_its_times_in_nanoseconds() -> None:
    check = after("HEALTHCHECK --interval=5s --retries=3 CMD curl localhost").config.healthcheck
    assert check is not None
    assert check.test == ("CMD-SHELL", "curl localhost")
    assert (check.interval, check.retries, check.timeout) == (5_000_000_000, 3, 0)
    none = after("HEALTHCHECK NONE").config.healthcheck
    assert none is not None
    assert none.test == ("NONE",)


def test_onbuild_collects_triggers_unexpanded() -> None:
    state = after("ENV A=1", "ONBUILD RUN echo $A", "ONBUILD COPY . /app")
    assert state.config.on_build == ("RUN echo $A", "COPY . /app")


def test_maintainer_is_the_author() -> None:
    assert after("MAINTAINER me <me@example.org>").author == "me <me@example.org>"


def test_identity_is_of_layers_and_config_not_of_time_or_args() -> None:
    state = after("ENV A=1")
    later = state.remember("ENV A=1", created="2030-01-01T00:00:00Z", empty=True)
    assert later.identity() == state.identity() == after("ARG B=2", state=state).identity()
    assert after("ENV A=2").identity() != state.identity()
    assert after("MAINTAINER x", state=state).identity() != state.identity()


def test_history_gives_the_image_its_time() -> None:
    state = StageState().remember("RUN x", created="2030-01-01T00:00:00Z", empty=False)
    config = state.image_config()
    assert config.created == "2030-01-01T00:00:00Z"
    assert [(line.created_by, line.empty_layer) for line in config.history] == [("RUN x", False)]


def test_the_target_may_be_another_platform_than_the_builders() -> None:
    args = platform_args(Platform(os="linux", architecture="arm", variant="v7"))
    assert (args["TARGETPLATFORM"], args["TARGETARCH"], args["TARGETVARIANT"]) == (
        "linux/arm/v7",
        "arm",
        "v7",
    )
    assert args["BUILDPLATFORM"] == platform_args()["TARGETPLATFORM"]


def test_platform_args_name_this_machine() -> None:
    args = platform_args()
    assert args["TARGETPLATFORM"] == args["BUILDPLATFORM"] == f"linux/{args['TARGETARCH']}"
    assert len(args) == 8


# ---- --change ---------------------------------------------------------------------------


def test_changes_apply_in_order() -> None:
    changes = ["ENV A=1", "ENV B=$A", "CMD serve", 'ENTRYPOINT ["e"]', "WORKDIR a"]
    config = apply_changes(ContainerConfig(), changes)
    assert config.env == ("A=1", "B=1")
    assert config.cmd == ("/bin/sh", "-c", "serve")
    assert (config.entrypoint, config.working_dir) == (("e",), "/a")


@pytest.mark.parametrize(
    "change", ["RUN x", "COPY a b", "FROM x", "ARG A=1", 'SHELL ["a"]', "MAINTAINER me"]
)
def test_a_change_that_is_no_metadata_is_refused(change: str) -> None:
    with pytest.raises(InvalidParameter, match="is not a valid change command") as caught:
        apply_changes(ContainerConfig(), [change])
    assert "ENTRYPOINT" in (caught.value.hint or "")


@pytest.mark.parametrize("change", ["", " ", "NONSENSE x", "ENV", "ENV A"])
def test_a_change_that_is_no_instruction_is_refused(change: str) -> None:
    with pytest.raises(InvalidParameter):
        apply_changes(ContainerConfig(), [change])
