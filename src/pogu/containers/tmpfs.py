"""Format: `--tmpfs` and `--mount type=tmpfs` → the runtime's tmpfs mounts. Pure."""

from __future__ import annotations

import posixpath
from collections.abc import Sequence

from pogu.containers.mount_spec import PROPAGATION
from pogu.errors import InvalidParameter
from pogu.model.container import HostConfig
from pogu.runtime.workload import BindMount

__all__ = ["check_tmpfs", "tmpfs_mounts"]

_DEFAULTS = ("nosuid", "nodev", "noexec")
_VALUES = frozenset(("mode", "uid", "gid", "size", "nr_inodes", "nr_blocks", "mpol"))
_FLAGS = frozenset(
    (
        *("defaults", "ro", "rw", "suid", "nosuid", "dev", "nodev", "exec", "noexec", "sync"),
        *("async", "dirsync", "remount", "mand", "nomand", "atime", "noatime", "diratime"),
        *("nodiratime", "relatime", "norelatime", "strictatime", "nostrictatime"),
        *PROPAGATION,
    )
)
_OPPOSITES = {
    "suid": "nosuid",
    "dev": "nodev",
    "exec": "noexec",
    "rw": "ro",
    "atime": "noatime",
    "nosuid": "suid",
    "nodev": "dev",
    "noexec": "exec",
    "ro": "rw",
    "noatime": "atime",
}


def check_tmpfs(words: Sequence[str]) -> None:
    """Raises: InvalidParameter in Docker's words for an option that there is not."""
    for word in words:
        key, equals, _ = word.partition("=")
        if word and not ((key in _VALUES) if equals else (word in _FLAGS)):
            raise InvalidParameter(
                f'Invalid tmpfs option ["{key}"]', hint="for example size=64m,mode=1777,exec"
            )


def _tmpfs(destination: str, given: Sequence[str]) -> BindMount:
    """Docker's default options below the given ones."""
    words = {_OPPOSITES.get(word, word) for word in given} | set(given)
    defaults = [word for word in _DEFAULTS if word not in words]
    options = (*defaults, *(word for word in given if word))
    return BindMount(destination=destination, source="tmpfs", type="tmpfs", options=options)


def tmpfs_mounts(host: HostConfig) -> list[BindMount]:
    """Return the tmpfs mounts of `--tmpfs` and `--mount type=tmpfs`."""
    made = []
    for path, text in (host.tmpfs or {}).items():
        made.append(_tmpfs(posixpath.normpath(path), text.split(",") if text else ()))
    for spec in host.mounts or ():
        if spec.type != "tmpfs":
            continue
        options = spec.tmpfs_options or {}
        words = ["ro"] if spec.read_only else []
        if options.get("SizeBytes"):
            words.append(f"size={options['SizeBytes']}")
        mode = options.get("Mode")
        words.append(f"mode={mode:o}" if isinstance(mode, int) and mode else "mode=1777")
        made.append(_tmpfs(posixpath.normpath(spec.target), words))
    return made
