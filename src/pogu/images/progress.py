"""Format: what a pull or a push says while it goes on, in Docker's words."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["TransferEvent"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferEvent:
    """One line of progress; `id` is a layer's short digest or a tag."""

    status: str
    id: str = ""
    current: int = 0
    total: int = 0
