"""Service: reads the configuration, once. Start reading at `load_config`.

Weakest first: defaults, /etc/pogu/config.toml, the user's config.toml, the environment, arguments.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pogu.config.keys import KEYS
from pogu.config.paths import DEFAULT_ROOT, DEFAULT_RUN_ROOT, Paths
from pogu.errors import InvalidParameter, SystemFailure

__all__ = ["Config", "load_config"]

SYSTEM_FILE = Path("/etc/pogu/config.toml")
DEFAULT_POLICY = Path("/etc/pogu/policy.json")


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Every key of the configuration file, with its default."""

    paths: Paths = field(default_factory=Paths)
    idle_exit_s: int = 300
    runtime: str = ""
    cgroup_driver: str = ""
    socket_group: str = ""
    log_max_size_bytes: int = 20 * 1024 * 1024
    log_max_files: int = 5
    log_max_age_s: int = 0
    log_driver: str = "json-file"
    bridge_subnet: str = ""
    dns: tuple[str, ...] = ()
    build_parallelism: int = 0
    registry_insecure: tuple[str, ...] = ()
    registry_mirrors: tuple[str, ...] = ()
    registry_transfers: int = 4
    registry_certs: tuple[str, ...] = ("/etc/pogu/certs.d", "/etc/docker/certs.d")
    registry_timeout_s: int = 60
    registry_tries: int = 5
    policy: Path = DEFAULT_POLICY
    cdi_spec_dirs: tuple[str, ...] = ("/etc/cdi", "/var/run/cdi")
    userns_remap: str = ""
    debug: bool = False

    @property
    def policy_may_be_missing(self) -> bool:
        """Nobody named it: then every image is welcome."""
        return self.policy == DEFAULT_POLICY


def load_config(
    *,
    root: Path | None = None,
    run_root: Path | None = None,
    files: Sequence[Path] | None = None,
    environ: Mapping[str, str] = os.environ,
) -> Config:
    """Return the configuration; `root` and `run_root` are the command line's.

    A root from the command line or the environment has a run root of its own unless one comes
    from there too. A root from a file stays at /run/pogu, where clients look for the socket.

    Raises: InvalidParameter for an unknown key, a wrong value or broken TOML; SystemFailure for a
    file that cannot be read. A file that does not exist is skipped.
    """
    filed: dict[str, Any] = {}
    for file in _default_files(environ) if files is None else files:
        filed |= _read_file(file)
    asked: dict[str, Any] = _read_environment(environ)
    for name, path in (("root", root), ("run_root", run_root)):
        if path is not None:
            argument = "--" + name.replace("_", "-")
            asked[name] = KEYS[name].value(argument, KEYS[name].parse(str(path)))
    if "root" in asked:
        filed.pop("run_root", None)
        asked.setdefault("run_root", _run_root_of(asked["root"]))
    values = filed | asked
    paths = Paths(
        root=values.pop("root", DEFAULT_ROOT), run_root=values.pop("run_root", DEFAULT_RUN_ROOT)
    )
    if paths.root == paths.run_root:
        raise InvalidParameter(
            f"root and run_root are the same directory: {paths.root}",
            hint="run_root is emptied by a reboot; root must not be: name two directories",
        )
    return Config(paths=paths, **values)


def _run_root_of(root: Path) -> Path:
    suffix = Paths(root=root).suffix
    return Path(f"{DEFAULT_RUN_ROOT}-{suffix}") if suffix else DEFAULT_RUN_ROOT


def _default_files(environ: Mapping[str, str]) -> list[Path]:
    """The user's file is left out when its directory is another user's (HOME kept by sudo)."""
    if environ.get("XDG_CONFIG_HOME", "").startswith("/"):
        own = Path(environ["XDG_CONFIG_HOME"], "pogu", "config.toml")
    elif environ.get("HOME"):
        own = Path(environ["HOME"], ".config", "pogu", "config.toml")
    else:
        return [SYSTEM_FILE]
    return [SYSTEM_FILE, own] if os.path.exists(own) else [SYSTEM_FILE]


def _read_environment(environ: Mapping[str, str]) -> dict[str, object]:
    """Return by field what is set; an empty variable counts as not set."""
    found = {}
    for key in KEYS.values():
        if text := environ.get(key.environment, ""):
            found[key.field] = key.value(key.environment, key.parse(text))
    return found


def _read_file(file: Path) -> dict[str, object]:
    """Return by field what one file sets; nothing when there is no such file."""
    try:
        content = file.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as err:
        raise SystemFailure(
            f"cannot read {file}: {err.strerror}", hint="it must be a file that root can read"
        ) from err
    from pogu.config.file import parse_file

    return parse_file(file, content)
