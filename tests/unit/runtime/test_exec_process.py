"""The process of an exec, made from the container's config.json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pogu.runtime.exec_process import Execution, exec_process, hostname_of
from pogu.runtime.spec import runtime_config
from pogu.runtime.workload import Rlimit, UserIds, Workload


def a_bundle(**changes: Any) -> bytes:
    fields: dict[str, Any] = {
        "id": "c1",
        "rootfs": Path("/rootfs"),
        "args": ("sleep", "1"),
        "env": ("PATH=/bin", "HOSTNAME=box"),
        "cwd": "/srv",
    }
    return runtime_config(Workload(**(fields | changes)))


def an_exec(bundle: bytes, **changes: Any) -> dict[str, Any]:
    fields: dict[str, Any] = {"args": ("ls",), "env": ("A=1",)}
    found: dict[str, Any] = json.loads(exec_process(bundle, Execution(**(fields | changes))))
    return found


def test_it_runs_what_was_asked_where_the_container_runs() -> None:
    process = an_exec(a_bundle())
    assert (process["args"], process["env"], process["cwd"]) == (["ls"], ["A=1"], "/srv")
    assert an_exec(a_bundle(), cwd="/etc")["cwd"] == "/etc"


def test_it_may_do_no_more_than_the_container() -> None:
    limit = Rlimit(type="RLIMIT_NOFILE", soft=10, hard=20)
    bundle = a_bundle(capabilities_drop=("ALL",), no_new_privileges=True, rlimits=(limit,))
    process = an_exec(bundle)
    assert process["capabilities"]["bounding"] == []
    assert process["noNewPrivileges"] is True
    assert process["rlimits"] == [{"type": "RLIMIT_NOFILE", "soft": 10, "hard": 20}]


def test_privileged_gives_all_capabilities() -> None:
    process = an_exec(a_bundle(capabilities_drop=("ALL",)), privileged=True)
    assert "CAP_SYS_ADMIN" in process["capabilities"]["effective"]


def test_another_user_has_no_effective_capabilities() -> None:
    user = UserIds(uid=33, gid=44, additional_gids=(5,), home="/x")
    process = an_exec(a_bundle(), user=user)
    assert process["capabilities"]["effective"] == []
    assert process["capabilities"]["bounding"] != []
    assert process["user"] == {"uid": 33, "gid": 44, "additionalGids": [5], "umask": 18}


def test_a_terminal_has_the_size_that_was_asked_for() -> None:
    process = an_exec(a_bundle(), terminal=True, console_size=(24, 80))
    assert process["terminal"] is True
    assert process["consoleSize"] == {"height": 24, "width": 80}
    assert "consoleSize" not in an_exec(a_bundle(), terminal=True)


def test_apparmor_and_the_oom_score_are_the_containers() -> None:
    process = an_exec(a_bundle(apparmor_profile="mine", oom_score_adj=7))
    assert (process["apparmorProfile"], process["oomScoreAdj"]) == ("mine", 7)


def test_the_host_name_is_that_of_the_first_process() -> None:
    assert hostname_of(a_bundle()) == "box"
    assert hostname_of(a_bundle(env=())) == ""
