"""Format: what is said when a layer cannot be written."""

from __future__ import annotations

from pogu.errors import EngineError, SystemFailure
from pogu.host_failure import host_failure

__all__ = ["write_failure"]


def write_failure(err: OSError) -> EngineError:
    """Turn an OSError while writing layers into ours; what the host lacks gets its hint."""
    where = f" {err.filename}" if err.filename else ""
    return host_failure(err) or SystemFailure(f"cannot write layer{where}: {err.strerror}")
