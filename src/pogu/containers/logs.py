"""Service: the logs of containers: reads them, and keeps those in files within their bounds.

Looks at each log that is being written once a second, sooner at one that grows quickly.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import AsyncGenerator, Callable, Iterable
from dataclasses import replace
from pathlib import Path

from pogu.config import Config
from pogu.containers.entry import Entry
from pogu.containers.log_options import JOURNAL_DRIVER, details, log_attributes, log_bounds
from pogu.errors import InvalidParameter
from pogu.runtime.conmon import Conmon
from pogu.runtime.journal import check_readable, read_journal
from pogu.runtime.logfile import read_log
from pogu.runtime.logformat import LogView
from pogu.runtime.logrotation import LogBounds, expire_log, rotate_log

__all__ = ["ContainerLogs"]

log = logging.getLogger(__name__)

_TICK_S = 0.25
_QUIET_S = 1.0
_EXPIRY_S = 60.0
_PATIENCE_S = 5.0
"""So long conmon may take to begin a new file; then it is asked again."""


class ContainerLogs:
    """One for all containers; owns `<root>/containers/<id>/ctr.log*`."""

    def __init__(
        self,
        *,
        config: Config,
        conmon: Conmon,
        entries: Iterable[Entry],
        log_path: Callable[[Entry], Path | None],
    ) -> None:
        self._config = config
        self._conmon = conmon
        self._entries = entries
        self._log_path = log_path
        self._due: dict[str, float] = {}
        self._seen: dict[str, tuple[int, int]] = {}
        """Inode and size at the last look."""
        self._asked: dict[str, tuple[int, float]] = {}

    def read(
        self, entry: Entry, view: LogView, *, follow: bool, with_details: bool
    ) -> AsyncGenerator[bytes]:
        """With `follow`, end when the container ends. Raises: InvalidParameter; SystemFailure."""
        if not view.streams:
            raise InvalidParameter("Bad parameters: you must choose at least one stream")
        if with_details:
            view = replace(view, details=details(log_attributes(entry.record, entry.name)))
        pieces = self._pieces(entry, view, follow=follow and entry.active)
        if pieces is None:
            raise InvalidParameter(
                "configured logging driver does not support reading",
                hint=f"{entry.name} was made with --log-driver"
                f" {entry.record.host_config.log_config.type}",
            )
        return pieces

    async def last_lines(self, entry: Entry, count: int, *, since_ns: int) -> list[str]:
        """Return the last lines since that time; none where there is no log."""
        view = LogView(tail=count, since_ns=since_ns)
        pieces = self._pieces(entry, view, follow=False)
        text = b"".join([piece async for piece in pieces]) if pieces is not None else b""
        return text.decode(errors="replace").replace("\r", "").splitlines()[-count:]

    def _pieces(self, entry: Entry, view: LogView, *, follow: bool) -> AsyncGenerator[bytes] | None:
        """None when it keeps no log."""
        if entry.record.host_config.log_config.type == JOURNAL_DRIVER:
            check_readable()
            return read_journal(entry.id, view, follow=follow, ended=entry.ended)
        path = self._log_path(entry)
        if path is None:
            return None
        age_s = self._bounds(entry).max_age_s
        if age_s:
            oldest_ns = time.time_ns() - age_s * 1_000_000_000
            view = replace(view, since_ns=max(view.since_ns, oldest_ns))
        return read_log(path, view, follow=follow, ended=entry.ended)

    def _bounds(self, entry: Entry) -> LogBounds:
        return log_bounds(entry.record.host_config, self._config)

    async def keep_bounded(self) -> None:
        """Run until cancelled."""
        expiry = 0.0
        while True:
            now = time.monotonic()
            for entry in list(self._entries):
                if entry.active and self._due.get(entry.id, 0) <= now:
                    self._due[entry.id] = now + await self._look(entry)
            if now >= expiry:
                expiry = now + _EXPIRY_S
                self._expire()
            await asyncio.sleep(_TICK_S if self._due else _QUIET_S)

    async def _look(self, entry: Entry) -> float:
        """Rotate where that is due; return in how many seconds to look again."""
        path = self._log_path(entry)
        if path is None:
            return _QUIET_S
        bounds, before = self._bounds(entry), self._seen.get(entry.id, (0, 0))
        try:
            if before == _inode_and_size(path) and _is_in_order(before[1], bounds):
                return _QUIET_S
            inode = rotate_log(path, bounds)
            if inode is not None:
                await self._end_file(entry.id, inode)
            self._seen[entry.id] = _, size = _inode_and_size(path)
        except OSError as err:  # the other logs must stay within theirs
            log.warning("cannot rotate log=%s error=%s", path, err)
            return _QUIET_S
        grown = size - before[1]
        quick = inode is not None or grown > bounds.max_bytes // 16
        return 0.0 if quick else _QUIET_S

    async def _end_file(self, container_id: str, inode: int) -> None:
        """Ask for a new file once: a second one would replace the first."""
        now = time.monotonic()
        asked, at = self._asked.get(container_id, (0, 0.0))
        if asked != inode or now > at + _PATIENCE_S:
            self._asked[container_id] = inode, now
            await self._conmon.reopen_log(container_id)

    def _expire(self) -> None:
        """Forget who has ended, and what is too old of anybody's."""
        active = set()
        for entry in list(self._entries):
            if entry.active:
                active.add(entry.id)
            path, bounds = self._log_path(entry), self._bounds(entry)
            if path is None or not bounds.max_age_s:
                continue
            try:
                expire_log(path, bounds, written=entry.active)
            except OSError as err:
                log.warning("cannot expire log=%s error=%s", path, err)
        for known in (self._due, self._seen, self._asked):
            for gone in set(known) - active:
                del known[gone]


def _inode_and_size(path: Path) -> tuple[int, int]:
    """Zeros when there is no such file."""
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return 0, 0
    return status.st_ino, status.st_size


def _is_in_order(size_bytes: int, bounds: LogBounds) -> bool:
    """True for a log that one look has left within its bounds, until it changes."""
    return size_bytes <= bounds.max_bytes and not bounds.max_age_s
