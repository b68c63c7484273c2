"""Format: the process of an `exec` (runtime-spec "process"), made from the container's own. Pure.

What the container may do at all (capabilities, rlimits, no-new-privileges, AppArmor) is what its
config.json says; only `--privileged` asks for more.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

import msgspec

from pogu.runtime.capabilities import ALL_CAPABILITIES, capability_set
from pogu.runtime.workload import UserIds

__all__ = ["Execution", "exec_process", "hostname_of", "user_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """What one exec runs, with everything resolved to what the runtime wants."""

    args: tuple[str, ...]
    env: tuple[str, ...]
    user: UserIds = field(default_factory=UserIds)
    cwd: str = ""
    """Empty: the container's."""
    terminal: bool = False
    console_size: tuple[int, int] = (0, 0)
    """Height and width in characters; 0 = unknown."""
    privileged: bool = False


class _Capabilities(msgspec.Struct, frozen=True):
    bounding: tuple[str, ...] = ()


class _Process(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    cwd: str = "/"
    env: tuple[str, ...] = ()
    capabilities: _Capabilities = _Capabilities()
    no_new_privileges: bool = False
    rlimits: tuple[dict[str, object], ...] = ()
    apparmor_profile: str = ""
    oom_score_adj: int | None = None


class _User(msgspec.Struct, frozen=True):
    uid: int
    gid: int


class _WithUser(msgspec.Struct, frozen=True):
    user: _User


class _Bundle(msgspec.Struct, frozen=True):
    process: _Process


def _process_of(config_json: bytes) -> _Process:
    return msgspec.json.decode(config_json, type=_Bundle).process


def hostname_of(config_json: bytes) -> str:
    """What the container's first process was told in HOSTNAME."""
    pairs = (pair.partition("=") for pair in _process_of(config_json).env)
    return next((value for key, _, value in pairs if key == "HOSTNAME"), "")


def user_of(process: bytes) -> tuple[int, int]:
    """User and group of a process that `exec_process` made."""
    user = msgspec.json.decode(process, type=_WithUser).user
    return user.uid, user.gid


def exec_process(
    config_json: bytes, execution: Execution, *, bounding: Collection[str] = ALL_CAPABILITIES
) -> bytes:
    """Return the JSON for the runtime's `exec --process`; `config_json` is the bundle's."""
    own = _process_of(config_json)
    capabilities = own.capabilities.bounding
    if execution.privileged:
        capabilities = capability_set((), (), privileged=True, bounding=bounding)
    effective = capabilities if execution.user.uid == 0 else ()
    process: dict[str, object] = {
        "terminal": execution.terminal,
        "user": {
            "uid": execution.user.uid,
            "gid": execution.user.gid,
            "additionalGids": execution.user.additional_gids,
            "umask": 0o022,
        },
        "args": execution.args,
        "env": execution.env,
        "cwd": execution.cwd or own.cwd,
        "capabilities": {
            "bounding": capabilities,
            "effective": effective,
            "permitted": effective,
        },
        "noNewPrivileges": own.no_new_privileges,
        "rlimits": own.rlimits,
    }
    if execution.terminal and all(execution.console_size):
        height, width = execution.console_size
        process["consoleSize"] = {"height": height, "width": width}
    if own.apparmor_profile:
        process["apparmorProfile"] = own.apparmor_profile
    if own.oom_score_adj is not None:
        process["oomScoreAdj"] = own.oom_score_adj
    return msgspec.json.encode(process)
