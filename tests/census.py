"""What an engine has on the host, counted from outside: mounts, namespaces, links, rules, …

Two counts of an engine with the same containers are equal, else something was lost or left.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.command_lines import command_lines
from tests.engine_process import EngineProcess, is_alive

__all__ = ["Census", "census", "difference"]

Census = dict[str, frozenset[str]]
"""Noun → the names of those that are there."""

_CGROUPS = Path("/sys/fs/cgroup")
_DIRECTORIES = ("netns", "containers", "exits", "runtime", "views", "sealed")
_OWN_FILES = {"pogu.sock", "engine.lock", "booted", "runtime.json", *_DIRECTORIES}


def census(engine: EngineProcess) -> Census:
    """Count now, without asking the engine; what changes with each restart has no name here."""
    containers = _names(engine.root / "containers")
    bridge = f"pogu-{_suffix(engine)}"
    return {
        "containers": containers,
        "volumes": _names(engine.root / "volumes"),
        "unfinished": _names(engine.root / "tmp"),
        "mounts": frozenset(_mounts(engine)),
        "namespaces": _names(engine.run_root / "netns"),
        "monitor directories": _names(engine.run_root / "containers"),
        "exit files": _names(engine.run_root / "exits"),
        "runtime states": _names(engine.run_root / "runtime"),
        "views": _names(engine.run_root / "views"),
        "other run files": _names(engine.run_root) - _OWN_FILES,
        "links": frozenset(f"link {n}" for n, _ in enumerate(_links(bridge))),
        "rules": frozenset(_rules(f"pogu_{_suffix(engine)}")),
        "monitors": frozenset(_monitors(engine)),
        "cgroups": frozenset(_cgroups(engine)),
    }


def difference(old: Census, new: Census) -> str:
    """Say what came and what went; empty when nothing did."""
    return "\n".join(
        f"{noun}: {sign} {name}"
        for noun in old
        for sign, names in (("+", new[noun] - old[noun]), ("-", old[noun] - new[noun]))
        for name in sorted(names)
    )


def _names(directory: Path) -> frozenset[str]:
    try:
        return frozenset(os.listdir(directory))
    except FileNotFoundError:
        return frozenset()


def _suffix(engine: EngineProcess) -> str:
    return hashlib.sha256(str(engine.root).encode()).hexdigest()[:6]


def _mounts(engine: EngineProcess) -> Iterator[str]:
    places = f"{engine.root}/", f"{engine.run_root}/"
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        if (point := line.split()[4]).startswith(places):
            yield point


def _links(bridge: str) -> list[str]:
    """Asked of the kernel, since /sys may show another network namespace."""
    words = ["ip", "-j", "link", "show", "master", bridge]
    done = subprocess.run(words, capture_output=True, check=False)
    return [link["ifname"] for link in json.loads(done.stdout or b"[]") if link]


def _rules(table: str) -> Iterator[str]:
    done = subprocess.run(
        ["nft", "-j", "list", "table", "ip", table], capture_output=True, check=False
    )
    if done.returncode != 0:
        return
    for entry in json.loads(done.stdout)["nftables"]:
        if "rule" in entry:
            yield f"rule {entry['rule']['chain']} {json.dumps(entry['rule']['expr'])}"
        for element in entry.get("map", {}).get("elem", ()):
            yield f"element {json.dumps(element)}"


def _monitors(engine: EngineProcess) -> Iterator[str]:
    """Every process that works for the engine, by its words without the paths."""
    for pid, words in command_lines():
        if "pogu.daemon" in words or "pogu.cli.main" in words or not words[0]:
            continue
        if any(str(engine.run_root) in word for word in words) and is_alive(pid):
            yield " ".join([words[0], *(word for word in words if len(word) == 64)][:2])


def _cgroups(engine: EngineProcess) -> Iterator[str]:
    """Those of its containers and of those it had lately: cgroups know no storage root."""
    events = (engine.root / "events.jsonl").read_text()
    present = _names(engine.root / "containers")
    for parent in (_CGROUPS, *_CGROUPS.glob("*")):
        for path in (parent / "pogu").glob("?" * 64):
            if path.name in present or path.name in events:
                yield f"{path.name} {parent.name}"
