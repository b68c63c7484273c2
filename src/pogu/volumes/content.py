"""Service: an empty volume gets what the image has at its place (Docker's copy-up), all or nothing.

    volumes/<name>/filling/     being copied; a killed engine's is thrown away
                   filled/      copied and synced, being moved into _data; always finished
                   _data/

So a volume never holds half of the image's content as if it were all of it.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path

from pogu.crash_point import crash_point
from pogu.errors import SystemFailure
from pogu.linux.blocking import in_thread
from pogu.linux.mount import is_mounted
from pogu.linux.process import run
from pogu.linux.sync import fsync_directory, syncfs
from pogu.storage.tree import remove_tree

__all__ = ["copy_up", "finish_copy"]

_FILLING, _FILLED = "filling", "filled"


async def copy_up(source: Path, volume: Path) -> None:
    """Copy the tree at `source` with owners, modes, times, links and attributes into the volume
    whose directory is given, unless there is something in it. One at a time for each volume.

    Raises: SystemFailure; then the volume is as empty as before.
    """
    data = volume / "_data"
    if os.listdir(data):
        return
    if is_mounted(data):  # another file system: nothing can be moved into it
        await _copy(source, data)
        return
    filling = volume / _FILLING
    filling.mkdir()
    try:
        await _copy(source, filling)
        await in_thread(_commit, volume)
    except BaseException:
        await in_thread(remove_tree, filling)
        raise


async def _copy(source: Path, target: Path) -> None:
    done = await run(["cp", "-a", "--", f"{source}/.", f"{target}/"], check=False)
    if done.exit_code != 0:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise SystemFailure(
            f"failed to copy the image's content into the volume: {said[-1] if said else 'cp'}",
            hint="is the disk full? -v NAME:/path:nocopy leaves the volume empty",
        )


def _commit(volume: Path) -> None:
    if os.listdir(volume / _FILLING):
        syncfs(volume)
    os.rename(volume / _FILLING, volume / _FILLED)
    fsync_directory(volume)
    finish_copy(volume)


def finish_copy(volume: Path) -> None:
    """Finish what was copied whole, throw away what was not. Idempotent."""
    filled, data = volume / _FILLED, volume / "_data"
    if (volume / _FILLING).exists():
        remove_tree(volume / _FILLING)
    if not filled.exists():
        return
    data.mkdir(exist_ok=True)
    for entry in list(os.scandir(filled)):
        with contextlib.suppress(FileExistsError, OSError):
            if not os.path.lexists(data / entry.name):
                os.rename(entry.path, data / entry.name)
        crash_point()
    _copy_attributes(filled, data)
    remove_tree(filled)


def _copy_attributes(source: Path, target: Path) -> None:
    info = os.stat(source)
    os.chown(target, info.st_uid, info.st_gid)
    shutil.copystat(source, target)
