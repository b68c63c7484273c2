"""Service: volumes; owns the table `volumes` and `<root>/volumes/<name>/_data`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pogu.config import Paths
from pogu.db import Database
from pogu.events import EventBus

__all__ = ["Volume", "Volumes"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume:
    """One volume of the local driver."""

    name: str
    created: str
    path: Path
    labels: tuple[tuple[str, str], ...] = ()
    options: tuple[tuple[str, str], ...] = ()
    anonymous: bool = False


class Volumes:
    """Plain methods; copy-up of image content is the caller's, who has the root file system."""

    def __init__(self, *, paths: Paths, db: Database, events: EventBus) -> None:
        raise NotImplementedError

    def create(
        self,
        name: str | None = None,
        *,
        labels: dict[str, str] | None = None,
        options: dict[str, str] | None = None,
    ) -> Volume:
        """Make a volume, or return the one that has the name. None = anonymous (64 hex)."""
        raise NotImplementedError

    def get(self, name: str) -> Volume:
        """Raises: NotFound("get …: no such volume")."""
        raise NotImplementedError

    def all(self) -> list[Volume]:
        raise NotImplementedError

    def remove(self, name: str, *, force: bool = False) -> None:
        """Raises: NotFound unless `force`. That it is unused is the caller's to check."""
        raise NotImplementedError
