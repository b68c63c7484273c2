"""Service: the configuration file and where everything lies. Frozen, read once at start.

<root>/                       /var/lib/pogu
  state.db                    images, tags, layers, containers, networks, volumes, build cache
  blobs/sha256/<hex>          configs, manifests and layer blobs exactly as received
  layers/<short-id>/diff/     one unpacked layer, an overlayfs lowerdir
  containers/<id>/            OCI bundle: config.json, upper/ work/ rootfs/, ctr.log, hosts, …
  volumes/<name>/_data
  tmp/                        everything unfinished; swept at start
<run_root>/                   /run/pogu
  pogu.sock  engine.lock  containers/<id>/  exits/<id>  netns/<id>  runtime/

Weakest first: defaults, /etc/pogu/config.toml, the user's config.toml, the environment, arguments.
What each key means: docs/configuration.md. The engine imports this before it listens, so what
only a file or an environment needs is imported where it is used.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from pogu.errors import InvalidParameter, SystemFailure

__all__ = ["KEYS", "Config", "Key", "Paths", "load_config"]

DEFAULT_ROOT = Path("/var/lib/pogu")
DEFAULT_RUN_ROOT = Path("/run/pogu")
SYSTEM_FILE = Path("/etc/pogu/config.toml")


@dataclass(frozen=True, slots=True, kw_only=True)
class Paths:
    """The directories of one engine."""

    root: Path = DEFAULT_ROOT
    run_root: Path = DEFAULT_RUN_ROOT

    @property
    def database(self) -> Path:
        return self.root / "state.db"

    @property
    def blobs(self) -> Path:
        return self.root / "blobs" / "sha256"

    @property
    def layers(self) -> Path:
        return self.root / "layers"

    @property
    def containers(self) -> Path:
        return self.root / "containers"

    @property
    def volumes(self) -> Path:
        return self.root / "volumes"

    @property
    def tmp(self) -> Path:
        return self.root / "tmp"

    @property
    def log(self) -> Path:
        return self.root / "engine.log"

    @property
    def socket(self) -> Path:
        return self.run_root / "pogu.sock"

    @property
    def lock(self) -> Path:
        return self.run_root / "engine.lock"

    @property
    def run_containers(self) -> Path:
        return self.run_root / "containers"

    @property
    def exits(self) -> Path:
        return self.run_root / "exits"

    @property
    def netns(self) -> Path:
        return self.run_root / "netns"

    @property
    def runtime_state(self) -> Path:
        return self.run_root / "runtime"

    @property
    def suffix(self) -> str:
        """Empty for the default root, else 6 hex that keep bridges and rules of engines apart."""
        if self.root == DEFAULT_ROOT:
            return ""
        import hashlib

        return hashlib.sha256(str(self.root).encode()).hexdigest()[:6]

    def create(self) -> None:
        """Make every directory. Idempotent."""
        for path in (
            self.blobs,
            self.layers,
            self.containers,
            self.volumes,
            self.tmp,
            self.run_containers,
            self.exits,
            self.netns,
            self.runtime_state,
        ):
            path.mkdir(parents=True, exist_ok=True, mode=0o711)


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Every key of the configuration file, with its default."""

    paths: Paths = field(default_factory=Paths)
    idle_exit_s: int = 300
    runtime: str = ""
    socket_group: str = ""
    log_max_size_bytes: int = 20 * 1024 * 1024
    log_max_files: int = 5
    bridge_subnet: str = ""
    dns: tuple[str, ...] = ()
    build_parallelism: int = 0
    registry_insecure: tuple[str, ...] = ()
    registry_mirrors: tuple[str, ...] = ()
    registry_transfers: int = 4
    debug: bool = False


class Key(NamedTuple):
    """One key of the file: `name` as written there, with its table; `field` of Config.

    `read` makes the field's value of TOML's and raises ValueError("must be …"); `example` is TOML.
    No dataclass, because making one costs the engine's start a millisecond.
    """

    name: str
    field: str
    shape: type
    read: Callable[[object], object]
    example: str

    @property
    def environment(self) -> str:
        """The variable that overrides the key."""
        return "POGU_" + self.name.replace(".", "_").upper()

    def parse(self, text: str) -> object:
        """Return what TOML would have given for a variable's or an argument's text."""
        if self.shape is Path:
            return os.path.abspath(text)
        if self.shape is list:
            return text.replace(",", " ").split()
        if self.shape is bool:
            return _SWITCH.get(text.lower(), text)
        if self.shape is int and text.removeprefix("-").isdecimal() and len(text) < 20:
            return int(text)
        return text


_SWITCH = {"1": True, "true": True, "yes": True, "on": True} | {
    "0": False,
    "false": False,
    "no": False,
    "off": False,
}
_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"must be a string, not {_said(value)}")
    return value


def _said(value: object) -> str:
    """Print a wrong value as TOML's words would, for the message."""
    if isinstance(value, bool):
        return str(value).lower()
    return "a table" if isinstance(value, dict) else repr(value)


def _word(value: object) -> str:
    text = _text(value)
    if text.split() != [text] and text:
        raise ValueError(f"must be one word, not {text!r}")
    return text


def _directory(value: object) -> Path:
    text = _text(value)
    path = Path("/" + os.path.normpath(text).lstrip("/"))
    if not text.startswith("/") or path == Path("/") or "\0" in text:
        raise ValueError(f"must be the absolute path of a directory, not {text!r}")
    return path


def _switch(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"must be true or false, not {_said(value)}")
    return value


def _number(low: int, high: int) -> Callable[[object], int]:
    def read(value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool):
            raise ValueError(f"must be a whole number, not {_said(value)}")
        if not low <= value <= high:
            raise ValueError(f"must be from {low} to {high}, not {value}")
        return value

    return read


def _size(value: object) -> int:
    """Read `20m` or bytes; units of 1024 as Docker's `--log-opt max-size` has them."""
    text = value.strip().lower() if isinstance(value, str) else str(value)
    number = text.removesuffix("b").removesuffix("i")
    unit = number[-1:] if number[-1:] in _UNITS else ""
    number = number.removesuffix(unit).strip()
    if isinstance(value, bool) or not (number.isascii() and number.isdecimal()):
        raise ValueError(f"must be a size, not {_said(value)}")
    if len(number) > 18 or int(number) == 0:
        raise ValueError(f"must be more than 0 and less than an exabyte, not {_said(value)}")
    return int(number) * _UNITS[unit]


def _subnet(value: object) -> str:
    from ipaddress import IPv4Network

    text = _text(value)
    try:
        if text and IPv4Network(text, strict=False).prefixlen > 29:
            raise ValueError("at most /29")
    except ValueError as err:
        raise ValueError(f"must be an IPv4 subnet ({err}), not {text!r}") from err
    return text


def _addresses(value: object) -> tuple[str, ...]:
    from ipaddress import ip_address

    if not isinstance(value, list):
        raise ValueError(f"must be a list of IP addresses, not {_said(value)}")
    for one in value:
        try:
            ip_address(_text(one))
        except ValueError as err:
            raise ValueError(f"must be a list of IP addresses; {_said(one)} is none") from err
    return tuple(value)


def _hosts(value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise ValueError(f"must be a list of HOST or HOST:PORT, not {_said(value)}")
    for one in value:
        if "/" in _word(one):
            raise ValueError(f"must be a list of HOST or HOST:PORT; {_said(one)} is none")
    return tuple(value)


def _mirrors(value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise ValueError(f"must be a list of REGISTRY=URL, not {_said(value)}")
    for one in value:
        name, _, url = _word(one).partition("=")
        if not name or not url.startswith(("https://", "http://")):
            raise ValueError(f"must be a list of REGISTRY=URL; {_said(one)} is none")
    return tuple(value)


KEYS = {
    key.name: key
    for key in (
        Key("root", "root", Path, _directory, '"/data/pogu"'),
        Key("run_root", "run_root", Path, _directory, '"/run/pogu-data"'),
        Key("idle_exit_s", "idle_exit_s", int, _number(0, 1 << 31), "300"),
        Key("runtime", "runtime", str, _word, '"runc"'),
        Key("socket_group", "socket_group", str, _word, '"docker"'),
        Key("debug", "debug", bool, _switch, "true"),
        Key("log.max_size", "log_max_size_bytes", str, _size, '"20m"'),
        Key("log.max_files", "log_max_files", int, _number(1, 1000), "5"),
        Key("network.bridge_subnet", "bridge_subnet", str, _subnet, '"10.99.0.0/16"'),
        Key("network.dns", "dns", list, _addresses, '["9.9.9.9", "1.1.1.1"]'),
        Key("build.parallelism", "build_parallelism", int, _number(0, 1024), "4"),
        Key("registry.insecure", "registry_insecure", list, _hosts, '["registry.lan:5000"]'),
        Key(
            "registry.mirrors",
            "registry_mirrors",
            list,
            _mirrors,
            '["docker.io=https://mirror.example"]',
        ),
        Key("registry.transfers", "registry_transfers", int, _number(1, 64), "4"),
    )
}
_TABLES = {name.partition(".")[0] for name in KEYS if "." in name}
_OTHER_NAMES = {  # dockerd's daemon.json
    "data-root": "root",
    "exec-root": "run_root",
    "group": "socket_group",
    "default-runtime": "runtime",
    "bip": "network.bridge_subnet",
    "max-size": "log.max_size",
    "max-file": "log.max_files",
    "insecure-registries": "registry.insecure",
    "registry-mirrors": "registry.mirrors",
    "max-concurrent-downloads": "registry.transfers",
}


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
            asked[name] = _value(argument, KEYS[name], KEYS[name].parse(str(path)))
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
            found[key.field] = _value(key.environment, key, key.parse(text))
    return found


def _read_file(file: Path) -> dict[str, object]:
    """Return by field what one file sets."""
    try:
        content = file.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as err:
        raise SystemFailure(
            f"cannot read {file}: {err.strerror}", hint="it must be a file that root can read"
        ) from err
    import tomllib

    try:
        table = tomllib.loads(content.decode("utf-8-sig"))
    except UnicodeDecodeError as err:
        line = content.count(b"\n", 0, err.start) + 1
        raise InvalidParameter(f"{file}: line {line}: not UTF-8") from err
    except ValueError as err:
        raise InvalidParameter(
            f"{file}: {_with_line(str(err), content)}", hint="see docs/configuration.md"
        ) from err
    return _read_table(file, table)


def _with_line(said: str, content: bytes) -> str:
    """Put the line first: `line 3, column 8: Invalid value`."""
    reason, _, where = said.rpartition(" (at ")
    if where == "end of document)":
        where = f"line {len(content.splitlines()) or 1})"
    return f"{where.removesuffix(')')}: {reason}" if reason else said


def _read_table(file: Path, table: Mapping[str, object], above: str = "") -> dict[str, object]:
    found: dict[str, object] = {}
    for name, value in table.items():
        full = above + name
        if full in _TABLES and isinstance(value, dict):
            found |= _read_table(file, value, f"{full}.")
        elif full in _TABLES:
            raise InvalidParameter(
                f"{file}: {full} must be a table, not {_said(value)}", hint=f"write [{full}]"
            )
        elif full in KEYS:
            found[KEYS[full].field] = _value(f"{file}: {full}", KEYS[full], value)
        else:
            raise InvalidParameter(f"{file}: unknown key {full!r}", hint=_near(full))
    return found


def _value(where: str, key: Key, value: object) -> object:
    try:
        return key.read(value)
    except ValueError as err:
        in_file = where.endswith(f": {key.name}")
        example = key.example if in_file else key.example.strip('["]').replace('", "', ",")
        name = f"{key.name.rpartition('.')[2]} = " if in_file else f"{where}="
        raise InvalidParameter(f"{where} {err}", hint=f"for example {name}{example}") from err


def _near(name: str) -> str:
    """Return the hint for an unknown key."""
    import difflib

    def plain(text: str) -> str:
        return text.lower().replace("-", "_").replace(".", "_")

    meant = {plain(key.name.rpartition(".")[2]): key.name for key in KEYS.values()}
    meant |= {plain(key.field): key.name for key in KEYS.values()}
    meant |= {plain(other): ours for other, ours in _OTHER_NAMES.items()}
    meant |= {plain(key.name): key.name for key in KEYS.values()}
    for text in (plain(name), plain(name.rpartition(".")[2])):
        if near := difflib.get_close_matches(text, meant, n=1, cutoff=0.7):
            return f"did you mean {meant[near[0]]}?"
    return f"the keys are {', '.join(KEYS)}"
