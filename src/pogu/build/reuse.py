"""Service: unchanged files of a COPY are linked from the layer that the same step made last time.

A layer never changes, so two layers may share a file: a link costs a tenth of a new file and no
space. Linked is only what is equal in content, mode, owner and time. Links cannot be made through
an overlay mount, so they are noted during the copy and made when the layer is unmounted.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["Links", "PreviousLayer"]

_MOST_LINKS = 60_000
"""ext4 allows 65,000 for one file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PreviousLayer:
    """What the step made last time: its files, and what went in then and now."""

    root: Path
    before: Mapping[str, str]
    now: Mapping[str, str]

    def has(
        self,
        real_path: str,
        entry_path: str,
        info: os.stat_result,
        *,
        mode: int,
        owner: tuple[int, int],
    ) -> str | None:
        """Return the file to link, or None when it is not the same."""
        digest = self.before.get(entry_path)
        if digest is None or digest != self.now.get(entry_path):
            return None
        candidate = f"{self.root}/{real_path}"
        try:
            found = os.lstat(candidate)
        except OSError:
            return None
        same = (
            stat.S_ISREG(found.st_mode)
            and found.st_size == info.st_size
            and found.st_mtime_ns == info.st_mtime_ns
            and stat.S_IMODE(found.st_mode) == mode
            and (found.st_uid, found.st_gid) == owner
            and found.st_nlink < _MOST_LINKS
        )
        return candidate if same else None


@dataclass(slots=True)
class Links:
    """Noted while copying; `make` carries them out in the layer's own directory."""

    files: list[tuple[str, str]] = field(default_factory=list)
    """(path below the layer's root, file to link)."""
    times: list[tuple[str, int, int]] = field(default_factory=list)
    """(directory, atime, mtime in ns): making links has changed them."""

    def make(self, diff: Path) -> None:
        """After the overlay is unmounted. Raises: OSError."""
        for path, source in self.files:
            target = f"{diff}/{path}"
            try:
                os.link(source, target, follow_symlinks=False)
            except FileExistsError:
                os.unlink(target)
                os.link(source, target, follow_symlinks=False)
        if self.files:
            for path, atime_ns, mtime_ns in self.times:
                os.utime(diff / path, ns=(atime_ns, mtime_ns), follow_symlinks=False)
