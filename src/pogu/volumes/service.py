"""Service: volumes; owns the table `volumes` and `<root>/volumes/<name>/`.

    volumes/<name>/_data        the files; with driver options a mount point while it is in use
                   volume.json  labels and options, so that a lost row comes back whole
                   filling/ filled/   see `content.py`

The directory is the truth about the data: one that no row names (a power cut took the row) gets
its row back at start, a row whose directory is gone is dropped. So no start ever deletes data.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import secrets
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from pogu.config import Paths
from pogu.crash_point import crash_point
from pogu.db import Database
from pogu.errors import InvalidParameter, NotFound, SystemFailure
from pogu.events import EventBus
from pogu.host_failure import host_failure
from pogu.linux import mount as kernel
from pogu.linux.sync import fsync_file
from pogu.storage.tree import remove_tree, set_aside
from pogu.volumes.content import finish_copy
from pogu.volumes.options import check_options, mount_argv, without_password

__all__ = ["Volume", "Volumes", "check_volume_name"]

log = logging.getLogger(__name__)

_MIGRATIONS = ["CREATE TABLE volumes (name TEXT PRIMARY KEY, body BLOB NOT NULL)"]
_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*")
_RECORD = "volume.json"
_ANONYMOUS = re.compile(r"[0-9a-f]{64}")
_MOUNT_S = 60


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
    if len(name) == 1:
        raise InvalidParameter(
            f"create {name}: volume name is too short, names should be at least two alphanumeric"
            " characters",
            hint=f"for example {name}-data",
        )
    if not _NAME.fullmatch(name) or len(name) > 255:
        raise InvalidParameter(
            f'create {name}: "{name}" includes invalid characters for a local volume name, only'
            ' "[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. If you intended to pass a host directory,'
            " use absolute path",
            hint=f"a host directory is written /…/{name.lstrip('./')} or $PWD/{name.lstrip('./')}",
        )


class Volumes:
    """Copy-up of image content is the caller's, who has the root file system."""

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
        self._users: dict[str, set[str]] = {}
        self._locks: dict[str, threading.Lock] = {}
        self._load()

    def _load(self) -> None:
        present = {entry.name for entry in os.scandir(self._paths.volumes) if entry.is_dir()}
        for row in self._db.query("SELECT name, body FROM volumes"):
            if row["name"] in present:
                self._put(row["name"], msgspec.json.decode(row["body"], type=_Body))
            else:
                self._forget(row["name"])
        for name in present - self._volumes.keys():
            if _ANONYMOUS.fullmatch(name) and self._is_unused(name):
                remove_tree(self._paths.volumes / name)
            elif _NAME.fullmatch(name):
                self._adopt(name)
        for name in present & self._volumes.keys():
            finish_copy(self._paths.volumes / name)

    def _is_unused(self, name: str) -> bool:
        """True for what a container was to get whose creation was not finished: nothing in it."""
        data = self._paths.volumes / name / "_data"
        return not data.exists() or not any(data.iterdir())

    def _adopt(self, name: str) -> None:
        """Give a directory without a row its row back."""
        directory = self._paths.volumes / name
        (directory / "_data").mkdir(exist_ok=True)
        body = _Body(created=self._now(), anonymous=bool(_ANONYMOUS.fullmatch(name)))
        with contextlib.suppress(FileNotFoundError, msgspec.MsgspecError):
            body = msgspec.json.decode((directory / _RECORD).read_bytes(), type=_Body)
        self._store(name, body)

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

        Raises: InvalidParameter; SystemFailure on a full disk, then there is none of it.
        """
        if name in self._volumes:
            return self._volumes[name]
        own_name = name or secrets.token_hex(32)
        check_volume_name(own_name)
        check_options(own_name, options or {})
        body = _Body(
            created=self._now(), labels=labels or {}, options=options or {}, anonymous=not name
        )
        try:
            self._make_directory(own_name, body)
        except OSError as err:
            refusal = host_failure(err, f"create {own_name}")
            raise refusal or SystemFailure(f"create {own_name}: {err.strerror}") from err
        crash_point()
        volume = self._store(own_name, body)
        self._events.publish("volume", "create", own_name, {"driver": "local"})
        return volume

    def _make_directory(self, name: str, body: _Body) -> None:
        """It appears whole: a name without its options would write to the wrong place."""
        draft = Path(tempfile.mkdtemp(dir=self._paths.tmp, prefix="volume-"))
        try:
            (draft / "_data").mkdir(mode=0o755)
            (draft / _RECORD).write_bytes(msgspec.json.encode(body))
            if body.options:
                fsync_file(draft / _RECORD)
            draft.chmod(0o701)
            crash_point()
            os.rename(draft, self._paths.volumes / name)
        except BaseException:
            remove_tree(draft)
            raise

    def get(self, name: str) -> Volume:
        """Raises: NotFound("get …: no such volume")."""
        try:
            return self._volumes[name]
        except KeyError as err:
            raise NotFound(f"get {name}: no such volume", hint=self._near(name)) from err

    def is_anonymous(self, name: str) -> bool:
        """False for one that was named, and for none."""
        return name in self._volumes and self._volumes[name].anonymous

    def _near(self, name: str) -> str:
        import difflib

        close = difflib.get_close_matches(name, self._volumes, n=1, cutoff=0.6)
        return f"did you mean {close[0]}?" if close else "`pogu volume ls` lists what is here"

    def all(self) -> list[Volume]:
        """Every volume, by name."""
        return [self._volumes[name] for name in sorted(self._volumes)]

    def remove(self, name: str, *, force: bool = False) -> None:
        """Raises: NotFound unless `force`. That it is unused is the caller's to check. Slow."""
        trash = self.set_aside(name, force=force)
        if trash is not None:
            remove_tree(trash)

    def set_aside(self, name: str, *, force: bool = False) -> Path | None:
        """Take a volume away at once and return where it is left to be deleted.

        None, with `force`, when there is none. Raises: NotFound unless `force`.
        """
        if name not in self._volumes and force:
            return None
        volume = self.get(name)
        if not self._unmount(volume):  # what is mounted there is not ours to delete
            raise SystemFailure(
                f"remove {name}: unable to unmount {volume.path}",
                hint="`findmnt` shows what is mounted there, `fuser -m` who uses it",
            )
        trash = set_aside(self._paths.volumes / name, self._paths.tmp)
        crash_point()
        self._forget(name)
        self._users.pop(name, None)
        self._locks.pop(name, None)
        self._events.publish("volume", "destroy", name, {"driver": "local"})
        return trash

    # ---- use -----------------------------------------------------------------------------

    def use(self, name: str, user: str) -> None:
        """Somebody starts to use a volume: what its options name is mounted. Idempotent. Slow.

        Raises: NotFound; SystemFailure in Docker's words when it cannot be mounted.
        """
        volume = self.get(name)
        argv = mount_argv(dict(volume.options), volume.path)
        with self._lock_of(name):
            if argv and not kernel.is_mounted(volume.path):
                _mount(argv, volume)
            self._users.setdefault(name, set()).add(user)

    def let_go(self, user: str) -> None:
        """A user has ended; what nobody uses any more is unmounted. Idempotent."""
        for name in [name for name, users in list(self._users.items()) if user in users]:
            with self._lock_of(name):
                self._users[name].discard(user)
                if not self._users[name]:
                    del self._users[name]
                    if name in self._volumes:
                        self._unmount(self._volumes[name])

    def _lock_of(self, name: str) -> threading.Lock:
        return self._locks.setdefault(name, threading.Lock())

    def retain(self, users: Mapping[str, set[str]]) -> None:
        """At engine start: who uses which volume; what nobody does is unmounted."""
        self._users = {name: set(who) for name, who in users.items() if who}
        for volume in self._volumes.values():
            if volume.name not in self._users:
                self._unmount(volume)

    def _unmount(self, volume: Volume) -> bool:
        """True when nothing is mounted there any more."""
        if not volume.options:
            return True
        try:
            while kernel.is_mounted(volume.path):
                kernel.umount2(volume.path, kernel.MNT_DETACH)
        except OSError as err:
            log.warning("cannot unmount volume=%s error=%s", volume.name, err)
            return False
        return True


def _mount(argv: list[str], volume: Volume) -> None:
    try:
        done = subprocess.run(argv, capture_output=True, check=False, timeout=_MOUNT_S)
        said = done.stderr.decode(errors="replace")
    except (OSError, subprocess.TimeoutExpired) as err:
        said = str(err)
    if not kernel.is_mounted(volume.path):
        raise _not_mounted(volume, said)


def _not_mounted(volume: Volume, said: str) -> SystemFailure:
    options = dict(volume.options)
    lines = without_password(said).strip().splitlines()
    return SystemFailure(
        f"error while mounting volume '{volume.path}': failed to mount local volume: mount"
        f" {options.get('device')}:{volume.path}: {lines[0] if lines else 'mount failed'}",
        hint=f"its options are {without_password(str(options))}",
    )
