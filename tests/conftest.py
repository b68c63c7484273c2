"""What every test shares: root tests are skipped without root, and leave nothing behind.

One engine and one registry for each module that asks for them.
"""

from __future__ import annotations

import inspect
import os
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.command_lines import command_lines
from tests.engine_process import PATIENCE, EngineProcess, an_engine
from tests.registry_process import RegistryProcess, a_registry


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the quick ones first; skip what needs root when there is none."""
    items.sort(key=lambda item: item.get_closest_marker("root") is not None)
    if os.geteuid() == 0:
        return
    needs_root = pytest.mark.skip(reason="needs root")
    for item in items:
        if item.get_closest_marker("root"):
            item.add_marker(needs_root)


def mount_points() -> set[str]:
    """Return every mount point that has to do with Pogu or a test's directory."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    points = {line.split()[4] for line in lines}
    return {point for point in points if "pogu" in point or "pytest" in point}


def network_links() -> set[str]:
    """Return Pogu's bridges and veths in this network namespace; /sys may show another one's."""
    names = {name for _, name in socket.if_nameindex()}
    return {name for name in names if name.startswith(("pogu", "pg", "veth"))}


def container_processes() -> set[str]:
    """Return command lines of conmon and of engines that still run."""
    return {
        f"{pid}: {' '.join(words)[:120]}"
        for pid, words in command_lines()
        if words[0].endswith("conmon") or "pogu.daemon" in words
    }


@pytest.fixture(scope="session", autouse=True)
def patience() -> Iterator[None]:
    """On a slow machine a program that a test waits for has `PATIENCE` times the time."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("wait", "communicate"):
            patch.setattr(subprocess.Popen, name, patient(getattr(subprocess.Popen, name)))
        yield


def patient(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return `function` with an argument `timeout` that means `PATIENCE` times as long."""
    signature = inspect.signature(function)

    def call(*args: Any, **named: Any) -> Any:
        given = signature.bind(*args, **named)
        if given.arguments.get("timeout") is not None:
            given.arguments["timeout"] *= PATIENCE
        return function(*given.args, **given.kwargs)

    return call


@pytest.fixture(scope="session", autouse=True)
def nothing_left_behind() -> Iterator[None]:
    """Compare mounts, links and processes before the first and after the last test."""
    before = mount_points(), network_links(), container_processes()
    yield
    after = mount_points(), network_links(), container_processes()
    for what, old, new in zip(("mounts", "links", "processes"), before, after, strict=True):
        assert not new - old, f"tests left {what} behind: {sorted(new - old)}"


@pytest.fixture(scope="module")
def engine_environment() -> dict[str, str]:
    """A module that wants an engine with other variables has a fixture of this name."""
    return {}


@pytest.fixture(scope="module")
def engine(
    tmp_path_factory: pytest.TempPathFactory, engine_environment: dict[str, str]
) -> Iterator[EngineProcess]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in engine_environment.items():
            patch.setenv(name, value)
        with an_engine(tmp_path_factory.mktemp("pogu")) as running:
            yield running


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RegistryProcess]:
    with a_registry(tmp_path_factory.mktemp("registry")) as running:
        yield running


@pytest.fixture(scope="module")
def crash_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where an engine with `POGU_CRASH_FILE` reads at which step it is to die."""
    return tmp_path_factory.mktemp("crash") / "point"
