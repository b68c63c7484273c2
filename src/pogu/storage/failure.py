"""Format: what is said when a layer cannot be written."""

from __future__ import annotations

import errno

from pogu.errors import EngineError, SystemFailure

__all__ = ["write_failure"]


def write_failure(err: OSError) -> EngineError:
    """Turn an OSError while writing layers into ours; a full disk gets its hint."""
    where = f" {err.filename}" if err.filename else ""
    if err.errno in (errno.ENOSPC, errno.EDQUOT):
        return SystemFailure(
            f"write{where}: no space left on device",
            hint="`pogu image prune` and `pogu container prune` free space; `df -h` shows the disk",
        )
    return SystemFailure(f"cannot write layer{where}: {err.strerror}")
