"""Service: volumes; owns the table `volumes` and `<root>/volumes/<name>/_data`.

The directory is the truth about the data: one that no row names (a power cut took the row) gets
its row back at start, a row whose directory is gone is dropped. So no start ever deletes data.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from pogu.config import Paths
from pogu.db import Database
from pogu.errors import InvalidParameter, NotFound, NotImplementedByEngine, SystemFailure
from pogu.events import EventBus
from pogu.storage.tree import remove_tree

__all__ = ["Volume", "Volumes", "check_volume_name"]

_MIGRATIONS = ["CREATE TABLE volumes (name TEXT PRIMARY KEY, body BLOB NOT NULL)"]
_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*")
_ANONYMOUS = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume:
    """One volume of the local driver."""

    name: str
    created: str
    path: Path
    labels: tuple[tuple[str, str], ...] = ()
    options: tuple[tuple[str, str], ...] = ()
    anonymous: bool = False


class _Body(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    created: str
    labels: dict[str, str] = {}
    options: dict[str, str] = {}
    anonymous: bool = False


def check_volume_name(name: str) -> None:
    """Raises: InvalidParameter in Docker's words."""
    if not _NAME.fullmatch(name) or len(name) > 255:
        raise InvalidParameter(
            f'create {name}: "{name}" includes invalid characters for a local volume name, only'
            ' "[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. If you intended to pass a host directory,'
            " use absolute path",
            hint=f"a host directory is written /…/{name.lstrip('./')} or $PWD/{name.lstrip('./')}",
        )


class Volumes:
    """Plain methods; copy-up of image content is the caller's, who has the root file system."""

    def __init__(
        self,
        *,
        paths: Paths,
        db: Database,
        events: EventBus,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._paths = paths
        self._db = db
        self._events = events
        self._clock = clock
        db.migrate("volumes", _MIGRATIONS)
        self._volumes: dict[str, Volume] = {}
        self._load()

    def _load(self) -> None:
        present = {entry.name for entry in os.scandir(self._paths.volumes) if entry.is_dir()}
        for row in self._db.query("SELECT name, body FROM volumes"):
            if row["name"] in present:
                self._put(row["name"], msgspec.json.decode(row["body"], type=_Body))
            else:
                self._forget(row["name"])
        for name in present - self._volumes.keys():
            if _NAME.fullmatch(name):
                self._adopt(name)

    def _adopt(self, name: str) -> None:
        """Give a directory without a row its row back."""
        (self._paths.volumes / name / "_data").mkdir(exist_ok=True)
        anonymous = bool(_ANONYMOUS.fullmatch(name))
        self._store(name, _Body(created=self._now(), anonymous=anonymous))

    def _store(self, name: str, body: _Body) -> Volume:
        with self._db.transaction() as tx:
            tx.execute("INSERT INTO volumes VALUES (?, ?)", (name, msgspec.json.encode(body)))
        return self._put(name, body)

    def _put(self, name: str, body: _Body) -> Volume:
        volume = Volume(
            name=name,
            created=body.created,
            path=self._paths.volumes / name / "_data",
            labels=tuple(body.labels.items()),
            options=tuple(body.options.items()),
            anonymous=body.anonymous,
        )
        self._volumes[name] = volume
        return volume

    def _forget(self, name: str) -> None:
        with self._db.transaction() as tx:
            tx.execute("DELETE FROM volumes WHERE name = ?", (name,))
        self._volumes.pop(name, None)

    def _now(self) -> str:
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self._clock()))

    def create(
        self,
        name: str | None = None,
        *,
        labels: dict[str, str] | None = None,
        options: dict[str, str] | None = None,
    ) -> Volume:
        """Make a volume, or return the one that has the name. None = anonymous (64 hex).

        Raises: InvalidParameter; NotImplementedByEngine for driver options.
        """
        if name in self._volumes:
            return self._volumes[name]
        own_name = name or secrets.token_hex(32)
        check_volume_name(own_name)
        if options:
            raise NotImplementedByEngine(
                f"create {own_name}: invalid option: {next(iter(options))!r}",
                hint="the local driver takes no options yet; bind-mount the mounted directory",
            )
        try:
            (self._paths.volumes / own_name / "_data").mkdir(parents=True, exist_ok=True)
        except OSError as err:
            raise SystemFailure(f"create {own_name}: {err.strerror}") from err
        body = _Body(created=self._now(), labels=labels or {}, anonymous=not name)
        volume = self._store(own_name, body)
        self._events.publish("volume", "create", own_name, {"driver": "local"})
        return volume

    def get(self, name: str) -> Volume:
        """Raises: NotFound("get …: no such volume")."""
        try:
            return self._volumes[name]
        except KeyError as err:
            raise NotFound(f"get {name}: no such volume", hint=self._near(name)) from err

    def _near(self, name: str) -> str:
        import difflib

        close = difflib.get_close_matches(name, self._volumes, n=1, cutoff=0.6)
        return f"did you mean {close[0]}?" if close else "`pogu volume ls` lists what is here"

    def all(self) -> list[Volume]:
        """Every volume, by name."""
        return [self._volumes[name] for name in sorted(self._volumes)]

    def remove(self, name: str, *, force: bool = False) -> None:
        """Raises: NotFound unless `force`. That it is unused is the caller's to check."""
        if name not in self._volumes and force:
            return
        self.get(name)
        trash = Path(tempfile.mkdtemp(dir=self._paths.tmp, prefix="removed-"))
        with contextlib.suppress(FileNotFoundError):
            (self._paths.volumes / name).rename(trash / "volume")
        self._forget(name)
        self._events.publish("volume", "destroy", name, {"driver": "local"})
        remove_tree(trash)
