"""Format: config.toml → values by the fields of `Config`. Imported only where there is a file."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from pathlib import Path

from pogu.config.keys import KEYS, said
from pogu.errors import InvalidParameter

__all__ = ["parse_file"]

_TABLES = {name.partition(".")[0] for name in KEYS if "." in name}
_OTHER_NAMES = {  # dockerd's daemon.json
    "data-root": "root",
    "exec-root": "run_root",
    "group": "socket_group",
    "default-runtime": "runtime",
    "native.cgroupdriver": "cgroup_driver",
    "bip": "network.bridge_subnet",
    "max-size": "log.max_size",
    "max-file": "log.max_files",
    "max-age": "log.max_age",
    "log-driver": "log.driver",
    "insecure-registries": "registry.insecure",
    "registry-mirrors": "registry.mirrors",
    "max-concurrent-downloads": "registry.transfers",
}


def parse_file(file: Path, content: bytes) -> dict[str, object]:
    """Return by field what a file sets; `file` is for the messages.

    Raises: InvalidParameter for an unknown key, a wrong value or broken TOML.
    """
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


def _with_line(message: str, content: bytes) -> str:
    """Put the line first: `line 3, column 8: Invalid value`."""
    reason, _, where = message.rpartition(" (at ")
    if where == "end of document)":
        where = f"line {len(content.splitlines()) or 1})"
    return f"{where.removesuffix(')')}: {reason}" if reason else message


def _read_table(file: Path, table: Mapping[str, object], above: str = "") -> dict[str, object]:
    found: dict[str, object] = {}
    for name, value in table.items():
        full = above + name
        if full in _TABLES and isinstance(value, dict):
            found |= _read_table(file, value, f"{full}.")
        elif full in _TABLES:
            raise InvalidParameter(
                f"{file}: {full} must be a table, not {said(value)}", hint=f"write [{full}]"
            )
        elif full in KEYS:
            found[KEYS[full].field] = KEYS[full].value(f"{file}: {full}", value)
        else:
            raise InvalidParameter(f"{file}: unknown key {full!r}", hint=_near(full))
    return found


def _near(name: str) -> str:
    """Return the hint for an unknown key."""

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
