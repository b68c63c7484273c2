"""Service: the directories of containers, `<root>/containers/<id>/`, drawn in `service.py`."""

from __future__ import annotations

from pathlib import Path

from pogu.config import Paths
from pogu.containers.log_options import FILE_DRIVERS
from pogu.containers.model import ContainerRecord
from pogu.crash_point import crash_point

__all__ = ["Bundles"]


class Bundles:
    """They are made at creation, and renamed away by `removal.py`."""

    def __init__(self, paths: Paths) -> None:
        self._paths = paths

    def directory(self, container_id: str) -> Path:
        return self._paths.containers / container_id

    def make(self, container_id: str) -> None:
        """At creation: the bundle with its empty writable layer."""
        directory = self.directory(container_id)
        directory.mkdir(mode=0o710)
        for name, mode in (("rootfs", 0o755), ("upper", 0o755), ("work", 0o700)):
            (directory / name).mkdir(mode=mode)
        crash_point()

    def log_path(self, record: ContainerRecord) -> Path | None:
        """None when the container keeps no log file."""
        if (record.host_config.log_config.type or "json-file") not in FILE_DRIVERS:
            return None
        return self.directory(record.id) / "ctr.log"
