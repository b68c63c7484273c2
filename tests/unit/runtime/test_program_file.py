"""What the first bytes of programs say."""

from __future__ import annotations

import struct

from pogu.runtime.program_file import ProgramKind, machines_of, read_head


def an_elf(*, machine: int = 62, loader: bytes = b"/lib64/ld-linux-x86-64.so.2") -> bytes:
    """A 64-bit little-endian ELF header with one PT_INTERP."""
    head = bytearray(64)
    head[:6] = b"\x7fELF\x02\x01"
    struct.pack_into("<H", head, 18, machine)
    struct.pack_into("<Q", head, 32, 64)
    struct.pack_into("<HH", head, 54, 56, 1 if loader else 0)
    entry = bytearray(56)
    struct.pack_into("<I", entry, 0, 3)
    struct.pack_into("<Q", entry, 8, 120)
    struct.pack_into("<Q", entry, 32, len(loader) + 1)
    return bytes(head + entry) + loader + b"\0"


def test_an_elf_file_names_its_machine_and_loader() -> None:
    found = read_head(an_elf())
    assert (found.kind, found.machine) == (ProgramKind.ELF, "amd64")
    assert found.interpreter == "/lib64/ld-linux-x86-64.so.2"


def test_a_static_elf_file_has_no_loader() -> None:
    assert read_head(an_elf(loader=b"")).interpreter == ""
    assert read_head(an_elf(machine=183)).machine == "arm64"
    assert read_head(an_elf(machine=999)).machine == "999"


def test_program_headers_beyond_the_head_are_not_an_error() -> None:
    assert read_head(an_elf()[:80]).interpreter == ""


def test_a_script_names_its_interpreter_with_its_carriage_return() -> None:
    assert read_head(b"#! /usr/bin/env python3\n").interpreter == "/usr/bin/env"
    assert read_head(b"#!/bin/sh\t-e\n").interpreter == "/bin/sh"
    assert read_head(b"#!/bin/sh\r\necho\r\n").interpreter == "/bin/sh\r"


def test_the_rest_is_empty_or_other() -> None:
    assert read_head(b"").kind is ProgramKind.EMPTY
    assert read_head(b"echo hi\n").kind is ProgramKind.OTHER
    assert read_head(b"\x7fELF").kind is ProgramKind.OTHER


def test_a_host_also_runs_its_smaller_brother() -> None:
    assert machines_of("amd64") == {"amd64", "386"}
    assert machines_of("riscv64") == {"riscv64"}
