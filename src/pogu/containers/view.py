"""Service: a container's tree, mounted for as long as somebody looks into it.

<run_root>/views/<random>/root    for that time; what a killed engine left is swept at start
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pogu.config import Paths
from pogu.storage.overlay import OverlayMount, mount_overlay, unmount

__all__ = ["mounted_view", "opened_directory", "sweep_views"]


@contextmanager
def opened_directory(path: Path | str) -> Iterator[int]:
    """Give a descriptor of a directory."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)


@contextmanager
def mounted_view(paths: Paths, overlay: OverlayMount) -> Iterator[Path]:
    """Mount an overlay at a place of its own; afterwards nothing of it is left. Slow."""
    directory = paths.run_root / "views" / secrets.token_hex(8)
    target = directory / "root"
    target.mkdir(mode=0o700, parents=True)
    try:
        mount_overlay(overlay, target)
        yield target
    finally:
        _let_go(directory)


def _let_go(directory: Path) -> None:
    """Never deletes below a mount: what is still mounted stays."""
    unmount(directory / "root")
    if not os.path.ismount(directory / "root"):
        for name in ("root", "empty", "empty-below"):
            with contextlib.suppress(OSError):
                (directory / name).rmdir()
        with contextlib.suppress(OSError):
            directory.rmdir()


def sweep_views(paths: Paths) -> None:
    """At start: let go of what a killed engine held."""
    with contextlib.suppress(FileNotFoundError):
        for entry in list(os.scandir(paths.run_root / "views")):
            _let_go(Path(entry.path))
