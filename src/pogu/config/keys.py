"""Format: the keys of the configuration: their names, and what their values must be."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from pogu.errors import InvalidParameter

__all__ = ["KEYS", "Key", "age_s", "said", "size_bytes"]


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

    def value(self, where: str, given: object) -> object:
        """Return the field's value; `where` names the place that `given` was found at.

        Raises: InvalidParameter with an example as its hint.
        """
        try:
            return self.read(given)
        except ValueError as err:
            in_file = where.endswith(f": {self.name}")
            example = self.example if in_file else self.example.strip('["]').replace('", "', ",")
            name = f"{self.name.rpartition('.')[2]} = " if in_file else f"{where}="
            raise InvalidParameter(f"{where} {err}", hint=f"for example {name}{example}") from err


_SWITCH = {"1": True, "true": True, "yes": True, "on": True} | {
    "0": False,
    "false": False,
    "no": False,
    "off": False,
}
_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"must be a string, not {said(value)}")
    return value


def said(value: object) -> str:
    """Return a wrong value in TOML's words, for the message."""
    if isinstance(value, bool):
        return str(value).lower()
    return "a table" if isinstance(value, dict) else repr(value)


def _word(value: object) -> str:
    text = _text(value)
    if text.split() != [text] and text:
        raise ValueError(f"must be one word, not {text!r}")
    return text


def _remap(value: object) -> str:
    text = _word(value)
    user, colon, group = text.partition(":")
    if (colon and not (user and group)) or ":" in group:
        raise ValueError(f"must be default, USER or USER:GROUP, not {text!r}")
    return text


def _absolute(of_what: str) -> Callable[[object], Path]:
    def read(value: object) -> Path:
        text = _text(value)
        path = Path("/" + os.path.normpath(text).lstrip("/"))
        if not text.startswith("/") or path == Path("/") or "\0" in text:
            raise ValueError(f"must be the absolute path of a {of_what}, not {text!r}")
        return path

    return read


_directory = _absolute("directory")


def _switch(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"must be true or false, not {said(value)}")
    return value


def _number(low: int, high: int) -> Callable[[object], int]:
    def read(value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool):
            raise ValueError(f"must be a whole number, not {said(value)}")
        if not low <= value <= high:
            raise ValueError(f"must be from {low} to {high}, not {value}")
        return value

    return read


def size_bytes(value: object) -> int:
    """Read `20m` or bytes; units of 1024 as Docker's `--log-opt max-size` has them."""
    text = value.strip().lower() if isinstance(value, str) else str(value)
    number = text.removesuffix("b").removesuffix("i")
    unit = number[-1:] if number[-1:] in _UNITS else ""
    number = number.removesuffix(unit).strip()
    if isinstance(value, bool) or not (number.isascii() and number.isdecimal()):
        raise ValueError(f"must be a size, not {said(value)}")
    if len(number) > 18 or int(number) == 0:
        raise ValueError(f"must be more than 0 and less than an exabyte, not {said(value)}")
    return int(number) * _UNITS[unit]


_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


def age_s(value: object) -> int:
    """Read `7d`, `1d12h` or seconds; 0 means any age."""
    text = str(value).strip().lower()
    if isinstance(value, bool) or not text.isascii():
        raise ValueError(f"must be an age, not {said(value)}")
    total, number = 0, ""
    for char in text + ("s" if text[-1:].isdecimal() else ""):
        if char.isdecimal() and len(number) < 9:
            number += char
        elif char in _SECONDS and number:
            total += int(number) * _SECONDS[char]
            number = ""
        else:
            raise ValueError(f"must be an age, not {said(value)}")
    if not text:
        raise ValueError("must be an age, not ''")
    return total


def _cgroup_driver(value: object) -> str:
    text = _text(value)
    if text not in ("", "cgroupfs", "systemd"):
        raise ValueError(f"must be cgroupfs or systemd, not {text!r}")
    return text


def _log_driver(value: object) -> str:
    text = _text(value)
    if text not in ("json-file", "local", "journald", "none"):
        raise ValueError(f"must be json-file, local, journald or none, not {text!r}")
    return text


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
        raise ValueError(f"must be a list of IP addresses, not {said(value)}")
    for one in value:
        try:
            ip_address(_text(one))
        except ValueError as err:
            raise ValueError(f"must be a list of IP addresses; {said(one)} is none") from err
    return tuple(value)


def _hosts(value: object) -> tuple[str, ...]:
    from ipaddress import ip_network

    if not isinstance(value, list):
        raise ValueError(f"must be a list of HOST, HOST:PORT or CIDR, not {said(value)}")
    for one in value:
        try:
            if "/" in _word(one):
                ip_network(one, strict=False)
        except ValueError as err:
            raise ValueError(
                f"must be a list of HOST, HOST:PORT or CIDR; {said(one)} is none"
            ) from err
    return tuple(value)


def _directories(value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise ValueError(f"must be a list of directories, not {said(value)}")
    return tuple(str(_directory(one)) for one in value)


def _mirrors(value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise ValueError(f"must be a list of REGISTRY=URL, not {said(value)}")
    for one in value:
        name, _, url = _word(one).partition("=")
        if not name or not url.startswith(("https://", "http://")):
            raise ValueError(f"must be a list of REGISTRY=URL; {said(one)} is none")
    return tuple(value)


KEYS = {
    key.name: key
    for key in (
        Key("root", "root", Path, _directory, '"/data/pogu"'),
        Key("run_root", "run_root", Path, _directory, '"/run/pogu-data"'),
        Key("idle_exit_s", "idle_exit_s", int, _number(0, 1 << 31), "300"),
        Key("runtime", "runtime", str, _word, '"runc"'),
        Key("cgroup_driver", "cgroup_driver", str, _cgroup_driver, '"systemd"'),
        Key("socket_group", "socket_group", str, _word, '"docker"'),
        Key("debug", "debug", bool, _switch, "true"),
        Key("cdi_spec_dirs", "cdi_spec_dirs", list, _directories, '["/etc/cdi"]'),
        Key("userns_remap", "userns_remap", str, _remap, '"default"'),
        Key("log.max_size", "log_max_size_bytes", str, size_bytes, '"20m"'),
        Key("log.max_files", "log_max_files", int, _number(1, 1000), "5"),
        Key("log.max_age", "log_max_age_s", str, age_s, '"7d"'),
        Key("log.driver", "log_driver", str, _log_driver, '"local"'),
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
        Key("registry.certs", "registry_certs", list, _directories, '["/data/certs.d"]'),
        Key("registry.timeout_s", "registry_timeout_s", int, _number(1, 3600), "60"),
        Key("registry.tries", "registry_tries", int, _number(1, 20), "5"),
        Key("policy", "policy", Path, _absolute("file"), '"/etc/pogu/policy.json"'),
    )
}
