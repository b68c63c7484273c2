"""Format: what the first bytes of a program say: ELF of which machine and loader, script of which
interpreter. Pure; elf(5), and Linux' `fs/binfmt_script.c` for the `#!` line.
"""

from __future__ import annotations

import contextlib
import struct
from dataclasses import dataclass
from enum import StrEnum

__all__ = ["HEAD_BYTES", "ProgramFile", "ProgramKind", "machines_of", "read_head"]

HEAD_BYTES = 4096
_PT_INTERP = 3
_MACHINES = {
    3: "386",
    8: "mips",
    20: "ppc",
    21: "ppc64le",
    22: "s390x",
    40: "arm",
    62: "amd64",
    183: "arm64",
    243: "riscv64",
    258: "loong64",
}
_ALSO_RUNS = {"amd64": "386", "arm64": "arm"}


class ProgramKind(StrEnum):
    """How the kernel would execute it."""

    ELF = "elf"
    SCRIPT = "script"
    EMPTY = "empty"
    OTHER = "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramFile:
    """`interpreter` is a script's `#!` program or an ELF file's loader; empty = none."""

    kind: ProgramKind
    interpreter: str = ""
    machine: str = ""
    """Go's word for the processor; a number where we know no word."""


def machines_of(host: str) -> frozenset[str]:
    """The machines whose programs a host of that architecture executes."""
    return frozenset({host, _ALSO_RUNS.get(host, host)})


def read_head(head: bytes) -> ProgramFile:
    """Read a program's first `HEAD_BYTES`. A carriage return stays part of the interpreter."""
    if not head:
        return ProgramFile(kind=ProgramKind.EMPTY)
    if head.startswith(b"#!"):
        words = head[2:].split(b"\n", 1)[0].strip(b" \t").replace(b"\t", b" ").split(b" ")
        return ProgramFile(
            kind=ProgramKind.SCRIPT, interpreter=words[0].decode(errors="surrogateescape")
        )
    if head.startswith(b"\x7fELF") and len(head) >= 52:
        return _elf(head)
    return ProgramFile(kind=ProgramKind.OTHER)


def _elf(head: bytes) -> ProgramFile:
    order = ">" if head[5] == 2 else "<"
    (number,) = struct.unpack_from(f"{order}H", head, 18)
    interpreter = b""
    with contextlib.suppress(struct.error):  # its program headers may lie behind what was read
        interpreter = _interpreter(head, order, wide=head[4] == 2)
    return ProgramFile(
        kind=ProgramKind.ELF,
        machine=_MACHINES.get(number, str(number)),
        interpreter=interpreter.decode(errors="surrogateescape"),
    )


def _interpreter(head: bytes, order: str, *, wide: bool) -> bytes:
    """The text that PT_INTERP points at."""
    at, table, counts, offset, size = (
        ("Q", 32, 54, 8, 32) if wide else ("I", 28, 42, 4, 16)
    )  # fmt: skip
    (start,) = struct.unpack_from(f"{order}{at}", head, table)
    entry_size, entries = struct.unpack_from(f"{order}HH", head, counts)
    for number in range(entries):
        entry = start + number * entry_size
        if struct.unpack_from(f"{order}I", head, entry)[0] == _PT_INTERP:
            (where,) = struct.unpack_from(f"{order}{at}", head, entry + offset)
            (length,) = struct.unpack_from(f"{order}{at}", head, entry + size)
            return head[where : where + length].split(b"\0")[0]
    return b""
