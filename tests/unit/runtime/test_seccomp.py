"""The default profile and profiles that users bring."""

from __future__ import annotations

import json
import platform
from collections.abc import Collection
from typing import Any

import pytest

from pogu.errors import InvalidParameter
from pogu.runtime.seccomp import seccomp_for

NO_LIST = json.dumps({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": "read"})


def allowed(profile: str, capabilities: Collection[str] = ()) -> set[str]:
    """Names that are allowed whatever their arguments."""
    found = seccomp_for(profile, capabilities)
    assert found is not None
    calls: Any = found["syscalls"]
    return {
        name
        for call in calls
        if call["action"] == "SCMP_ACT_ALLOW" and not call.get("args")
        for name in call["names"]
    }


def a_profile(*syscalls: object, **fields: object) -> str:
    return json.dumps({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": syscalls, **fields})


def a_call(name: str, **fields: object) -> dict[str, object]:
    return {"names": [name], "action": "SCMP_ACT_ALLOW", **fields}


def test_the_default_refuses_with_eperm_what_it_does_not_list() -> None:
    profile = seccomp_for("default", ())
    assert profile is not None
    assert profile["defaultAction"] == "SCMP_ACT_ERRNO"
    assert profile["defaultErrnoRet"] == 1
    assert profile["architectures"]


def test_the_default_allows_daily_work_and_no_more() -> None:
    names = allowed("default")
    assert {"read", "openat", "execve", "futex", "epoll_wait", "statx", "rseq"} <= names
    assert not {"mount", "reboot", "init_module", "kexec_load", "bpf", "setns"} & names
    assert not {"keyctl", "add_key", "userfaultfd", "open_by_handle_at", "swapon"} & names


@pytest.mark.parametrize(
    ("capability", "call"),
    [
        ("CAP_SYS_ADMIN", "mount"),
        ("CAP_SYS_BOOT", "reboot"),
        ("CAP_SYS_CHROOT", "chroot"),
        ("CAP_SYS_TIME", "settimeofday"),
        ("CAP_SYS_MODULE", "init_module"),
    ],
)
def test_a_capability_brings_its_calls(capability: str, call: str) -> None:
    assert call not in allowed("default")
    assert call in allowed("default", [capability])


@pytest.mark.parametrize("name", ["", "builtin"])
def test_the_default_has_other_names(name: str) -> None:
    assert seccomp_for(name, ()) == seccomp_for("default", ())


def test_unconfined_is_no_profile() -> None:
    assert seccomp_for("unconfined", ()) is None


def test_an_own_profile_keeps_arguments_and_errno() -> None:
    args = [{"index": 0, "value": 8, "op": "SCMP_CMP_EQ"}]
    profile = a_profile(a_call("personality", args=args, errnoRet=38), defaultErrnoRet=1)
    assert seccomp_for(profile, ()) == {
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": 1,
        "architectures": seccomp_for("default", ())["architectures"],  # type: ignore[index]
        "syscalls": [a_call("personality", args=args, errnoRet=38)],
    }


def test_conditions_on_capabilities_are_decided() -> None:
    profile = a_profile(
        a_call("with", includes={"caps": ["CAP_A", "CAP_B"]}),
        a_call("without", excludes={"caps": ["CAP_A"]}),
    )
    assert allowed(profile) == {"without"}
    assert allowed(profile, ["CAP_A"]) == set()
    assert allowed(profile, ["CAP_A", "CAP_B"]) == {"with"}


def test_conditions_on_the_architecture_are_decided() -> None:
    own = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    profile = a_profile(
        a_call("mine", includes={"arches": [own]}),
        a_call("other", includes={"arches": ["m68k"]}),
        a_call("not-mine", excludes={"arches": [own]}),
    )
    assert allowed(profile) == {"mine"}


def test_the_old_spelling_of_one_name_is_read() -> None:
    assert allowed(a_profile({"name": "read", "action": "SCMP_ACT_ALLOW"})) == {"read"}


@pytest.mark.parametrize(
    "profile",
    [
        "{",
        "[]",
        "{}",
        "3",
        a_profile(7),
        NO_LIST,
        a_profile({"action": "SCMP_ACT_ALLOW"}),
        a_profile("x"),
    ],
)
def test_what_is_no_profile_is_refused_in_dockers_words(profile: str) -> None:
    with pytest.raises(InvalidParameter, match="Decoding seccomp profile failed"):
        seccomp_for(profile, ())
