"""Format: the capabilities of a container: Docker's defaults, added to and dropped from. Pure."""

from __future__ import annotations

from collections.abc import Collection

from pogu.errors import InvalidParameter

__all__ = ["ALL_CAPABILITIES", "DEFAULT_CAPABILITIES", "capability_set"]

_DEFAULT_NAMES = """
    CHOWN DAC_OVERRIDE FSETID FOWNER MKNOD NET_RAW SETGID SETUID SETFCAP SETPCAP NET_BIND_SERVICE
    SYS_CHROOT KILL AUDIT_WRITE
"""
_ALL_NAMES = """
    CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE
    NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO
    SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME
    SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG
    WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE
"""
DEFAULT_CAPABILITIES = tuple(f"CAP_{name}" for name in _DEFAULT_NAMES.split())
ALL_CAPABILITIES = tuple(f"CAP_{name}" for name in _ALL_NAMES.split())
"""In the order of their numbers."""


def capability_set(
    add: Collection[str],
    drop: Collection[str],
    *,
    privileged: bool,
    bounding: Collection[str] = ALL_CAPABILITIES,
) -> tuple[str, ...]:
    """Return the capabilities of a container, never more than `bounding`.

    Raises: InvalidParameter in Docker's words for an unknown name.
    """
    added = {_capability(name, "CapAdd") for name in add}
    dropped = {_capability(name, "CapDrop") for name in drop}
    if privileged:
        chosen = set(ALL_CAPABILITIES)
    else:
        kept = set() if "ALL" in dropped else set(DEFAULT_CAPABILITIES) - dropped
        chosen = set(ALL_CAPABILITIES) - dropped if "ALL" in added else kept | added
    return tuple(name for name in ALL_CAPABILITIES if name in chosen and name in bounding)


def _capability(name: str, where: str) -> str:
    word = name.upper()
    if word == "ALL":
        return word
    word = word if word.startswith("CAP_") else f"CAP_{word}"
    if word not in ALL_CAPABILITIES:
        import difflib

        near = difflib.get_close_matches(word, ALL_CAPABILITIES, 1)
        hint = f"did you mean {near[0].removeprefix('CAP_')}?" if near else None
        raise InvalidParameter(f'invalid {where}: unknown capability: "{word}"', hint=hint)
    return word
