"""Format: mappings of user and group IDs between a user namespace and the host. Pure.

user_namespaces(7) for the maps, subuid(5) for the ranges that a user has.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

__all__ = ["IdMapping", "IdRange", "free_range", "parse_map", "parse_subordinate", "to_ranges"]

OVERFLOW_ID = 65534
"""What is seen of an ID that a namespace has no number for."""

_HIGHEST = 2**32 - 2
_DEFAULT_START, _DEFAULT_SIZE = 100_000, 65_536


class IdRange(NamedTuple):
    """`size` IDs from `inside` on are those from `outside` on."""

    inside: int
    outside: int
    size: int


@dataclass(frozen=True, slots=True)
class IdMapping:
    """What the IDs of a container are on the host. Not empty, and 0 is mapped."""

    uids: tuple[IdRange, ...]
    gids: tuple[IdRange, ...]

    @property
    def root(self) -> tuple[int, int]:
        """User and group of the container's root on the host."""
        return self.outside(0, 0)

    def outside(self, uid: int, gid: int) -> tuple[int, int]:
        """Raises: ValueError in Docker's words for an ID that the container does not have."""
        return _outside(self.uids, uid), _outside(self.gids, gid)

    def inside(self, uid: int, gid: int) -> tuple[int, int]:
        """As the container sees it: 65534 stands for all it has no number for."""
        return _inside(self.uids, uid), _inside(self.gids, gid)


def _outside(ranges: Sequence[IdRange], number: int) -> int:
    for one in ranges:
        if one.inside <= number < one.inside + one.size:
            return one.outside + number - one.inside
    raise ValueError(f"Container ID {number} cannot be mapped to a host ID")


def _inside(ranges: Sequence[IdRange], number: int) -> int:
    for one in ranges:
        if one.outside <= number < one.outside + one.size:
            return one.inside + number - one.outside
    return OVERFLOW_ID


def map_text(ranges: Sequence[IdRange]) -> str:
    """Return what is written to `uid_map` or `gid_map`."""
    return "".join(f"{one.inside} {one.outside} {one.size}\n" for one in ranges)


def parse_map(text: str) -> tuple[IdRange, ...]:
    """Read `uid_map` or `gid_map`; empty for the host's own, where every ID is itself."""
    found = tuple(IdRange(*map(int, line.split())) for line in text.splitlines())
    return () if found == (IdRange(0, 0, 2**32 - 1),) else found


def for_mounts(ranges: Sequence[IdRange]) -> tuple[IdRange, ...]:
    """Return the ranges with a number on disk for the host's root.

    overlayfs makes its own files (whiteouts, what it copies up) as who mounted it: without a number
    for that user an idmapped upper directory is read-only.
    """
    return (*ranges, IdRange(_HIGHEST, 0, 1))


def parse_subordinate(text: str, *names: str) -> list[tuple[int, int]]:
    """Return first ID and size of each range that one of `names` (or numbers) has.

    Lines that are none are passed over, as newuidmap(1) does.
    """
    return [(first, size) for name, first, size in _lines(text) if name in names]


def _lines(text: str) -> list[tuple[str, int, int]]:
    found = []
    for line in text.splitlines():
        words = line.strip().split(":")
        if len(words) == 3 and words[1].isdecimal() and words[2].isdecimal() and int(words[2]):
            found.append((words[0], int(words[1]), int(words[2])))
    return found


def to_ranges(subordinate: Sequence[tuple[int, int]]) -> tuple[IdRange, ...]:
    """Lay the ranges behind each other inside, from 0 on, the lowest first."""
    made, inside = [], 0
    for first, size in sorted(subordinate):
        made.append(IdRange(inside, first, size))
        inside += size
    return tuple(made)


def free_range(*texts: str) -> tuple[int, int]:
    """Return the first 65536 IDs from 100000 on that no line of the files gives to anybody."""
    first = _DEFAULT_START
    taken = sorted((start, size) for text in texts for _, start, size in _lines(text))
    for start, size in taken:
        if start < first + _DEFAULT_SIZE and first < start + size:
            first = start + size
    return first, _DEFAULT_SIZE
