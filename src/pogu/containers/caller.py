"""Edge: who asked the engine for what it does now: set for each request, read where it matters."""

from __future__ import annotations

import os
from contextvars import ContextVar
from pathlib import Path

from pogu.containers.ends import Caller

__all__ = ["PEER", "command_of", "current_caller"]

PEER: ContextVar[tuple[int, int] | None] = ContextVar("peer", default=None)
"""(pid, uid) at the other end of the unix socket; None when the engine acts by itself."""

_LONGEST = 120


def current_caller() -> Caller | None:
    """Look the caller up while it waits for the answer; None when it is not known."""
    peer = PEER.get()
    if peer is None:
        return None
    pid, uid = peer
    process = Path("/proc", str(pid))
    return Caller(
        pid=pid,
        uid=uid,
        command=command_of(_read(process / "cmdline")) if pid else "",
        parent=_parent(process) if pid else "",
    )


def command_of(cmdline: bytes) -> str:
    """`python3 -IS /usr/bin/pogu stop web` is `pogu stop web`; long ones are cut."""
    words = [word.decode(errors="replace") for word in cmdline.split(b"\0") if word]
    for at, word in enumerate(words[:6]):
        if word == "pogu.cli.main" or os.path.basename(word) == "pogu":
            words = ["pogu", *words[at + 1 :]]
            break
    text = " ".join(word if word.isprintable() else repr(word) for word in words)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def _parent(process: Path) -> str:
    fields = _read(process / "stat").rpartition(b")")[2].split()
    if len(fields) < 2:
        return ""
    return _read(Path("/proc", fields[1].decode(), "comm")).decode(errors="replace").strip()


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""
