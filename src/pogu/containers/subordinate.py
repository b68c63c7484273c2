"""Edge: which IDs of the host containers get: `userns_remap`, subuid(5) and subgid(5)."""

from __future__ import annotations

import grp
import pwd
from pathlib import Path

from pogu.errors import SystemFailure
from pogu.linux.idmap import IdMapping, free_range, parse_subordinate, to_ranges
from pogu.model.container import HostConfig

__all__ = ["is_remapped", "read_mapping"]

_DOCKERS_USER = "dockremap"
_SUBUID, _SUBGID = Path("/etc/subuid"), Path("/etc/subgid")


def is_remapped(host: HostConfig, setting: str) -> bool:
    """True for a container with a user namespace; `setting` is the key `userns_remap`."""
    return host.userns_mode == "remap" or bool(setting and host.userns_mode != "host")


def read_mapping(setting: str, *, subuid: Path = _SUBUID, subgid: Path = _SUBGID) -> IdMapping:
    """Return the IDs that a value of `userns_remap` stands for, as they are given today.

    `default`: those of `dockremap`, as Docker has it, else the first that nobody has.
    Raises: SystemFailure in Docker's words when there are none.
    """
    uid_text, gid_text = _read(subuid), _read(subgid)
    if setting in ("", "default"):
        uids = parse_subordinate(uid_text, _DOCKERS_USER)
        gids = parse_subordinate(gid_text, _DOCKERS_USER)
        if not uids or not gids:
            uids = gids = [free_range(uid_text, gid_text)]
        return IdMapping(to_ranges(uids), to_ranges(gids))
    user, _, group = setting.partition(":")
    users, groups = _user_names(user), _group_names(group or user)
    uids = parse_subordinate(uid_text, *users)
    gids = parse_subordinate(gid_text, *groups)
    for found, kind, names, file in (
        (uids, "subuid", users, subuid),
        (gids, "subgid", groups, subgid),
    ):
        if not found:
            raise SystemFailure(
                f"no {kind} ranges found for {'user' if kind == 'subuid' else 'group'}"
                f' "{names[0]}"',
                hint=f"echo {names[0]}:100000:65536 >> {file}",
            )
    return IdMapping(to_ranges(uids), to_ranges(gids))


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


def _user_names(user: str) -> tuple[str, ...]:
    """Name and number, as subuid(5) takes both."""
    try:
        found = pwd.getpwuid(int(user)) if user.isdecimal() else pwd.getpwnam(user)
    except KeyError:
        return (user,)
    return found.pw_name, str(found.pw_uid)


def _group_names(group: str) -> tuple[str, ...]:
    try:
        found = grp.getgrgid(int(group)) if group.isdecimal() else grp.getgrnam(group)
    except KeyError:
        return (group,)
    return found.gr_name, str(found.gr_gid)
