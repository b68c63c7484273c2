"""Edge: whether the kernel would execute a container's program, found out before it is tried.

Runtimes say "no such file or directory" of a script whose interpreter is missing, and crun says it
only when the container already runs. Nothing is refused that might work: what a mount may hide or
bring, and what binfmt_misc may execute, is left to the kernel.
"""

from __future__ import annotations

import os
import posixpath
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from pogu.linux.openat2 import openat2_in_root
from pogu.runtime.program_file import (
    HEAD_BYTES,
    ProgramFile,
    ProgramKind,
    machines_of,
    read_head,
)

__all__ = ["ExecProblem", "exec_problem", "find_problem"]

_BINFMT = "/proc/sys/fs/binfmt_misc"
_DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_SYSTEM = frozenset({"lib", "lib32", "lib64", "usr", "bin", "sbin", "nix", "opt"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecProblem:
    """Why execve(2) fails: its words, and what they mean."""

    program: str
    reason: str
    hint: str


def find_problem(
    rootfs: Path, args: tuple[str, ...], *, environ: Iterable[str], mounted: Iterable[str],
    machine: str,
) -> ExecProblem | None:  # fmt: skip
    """Look at the program of `args` in a mounted root; None where nothing speaks against it.

    `mounted` are the places where other file systems will stand. A program that is not found or
    not executable is the runtime's to refuse.
    """
    mounted = tuple(mounted)
    root = os.open(rootfs, os.O_PATH | os.O_DIRECTORY)
    try:
        program, head = _program(root, args, environ)
        if head is None or _below_any(program, mounted):
            return None

        def has(path: str) -> bool:
            return _may_come(path, mounted) or _is_there(root, path)

        problem = exec_problem(
            program,
            read_head(head),
            has_interpreter=has,
            machines=machines_of(machine),
            is_musl=_is_there(root, "/lib/ld-musl-x86_64.so.1")
            or _is_there(root, "/lib/ld-musl-aarch64.so.1"),
        )
    finally:
        os.close(root)
    if problem is not None and problem.reason == "exec format error" and _has_binfmt():
        return None
    return problem


def exec_problem(
    program: str,
    file: ProgramFile,
    *,
    has_interpreter: object,
    machines: frozenset[str],
    is_musl: bool = False,
) -> ExecProblem | None:
    """What is wrong with a program of that kind; `has_interpreter(path)` says what is there."""
    assert callable(has_interpreter)
    missing, unreadable = "no such file or directory", "exec format error"
    wanted = file.interpreter
    if file.kind is ProgramKind.EMPTY:
        return ExecProblem(program=program, reason=unreadable, hint=f"{program} is an empty file")
    if file.kind is ProgramKind.OTHER:
        hint = f"{program} is a script without a #! line: begin it with #!/bin/sh, or run"
        hint = f"{hint} `sh {program}`"
        return ExecProblem(program=program, reason=unreadable, hint=hint)
    if file.kind is ProgramKind.SCRIPT and wanted.endswith("\r"):
        hint = f"{program} has Windows line ends (CRLF): its #! line asks for"
        hint = f"{hint} {wanted.rstrip()!r} with a carriage return; mend it: sed -i 's/\\r$//' FILE"
        return ExecProblem(program=program, reason=missing, hint=hint)
    if file.kind is ProgramKind.ELF and file.machine not in machines:
        host = " or ".join(sorted(machines))
        hint = f"{program} is built for {file.machine}, this host runs {host}: take an image for"
        hint = f"{hint} this platform (--platform), or build it here"
        return ExecProblem(program=program, reason=unreadable, hint=hint)
    if not wanted or has_interpreter(wanted):
        return None
    if file.kind is ProgramKind.SCRIPT:
        hint = f"the #! line of {program} asks for {wanted}, which the image does not have"
    else:
        libc = "glibc" if "ld-linux" in wanted else "musl" if "ld-musl" in wanted else "its libc"
        here = ", the image has musl" if is_musl and libc == "glibc" else ""
        hint = f"{program} wants the loader {wanted} ({libc}), which the image does not have{here}:"
        hint = f"{hint} link it statically, or build it for this image"
    return ExecProblem(program=program, reason=missing, hint=hint)


def _program(root: int, args: tuple[str, ...], environ: Iterable[str]) -> tuple[str, bytes | None]:
    """Where the program is, by PATH, and its first bytes; None when nothing executable is."""
    name = args[0] if args else ""
    if name.startswith("/"):
        return name, _head(root, name)
    if not name or "/" in name:
        return name, None  # depends on the working directory
    path = next((one[5:] for one in environ if one.startswith("PATH=")), _DEFAULT_PATH)
    for directory in path.split(":"):
        place = posixpath.join(directory, name)
        head = _head(root, place) if place.startswith("/") else None
        if head is not None:
            return place, head
    return name, None


def _head(root: int, path: str) -> bytes | None:
    try:
        fd = openat2_in_root(root, path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        info = os.fstat(fd)
        if not stat.S_ISREG(info.st_mode) or not info.st_mode & 0o111:
            return None
        return os.read(fd, HEAD_BYTES)
    except OSError:
        return None
    finally:
        os.close(fd)


def _is_there(root: int, path: str) -> bool:
    try:
        os.close(openat2_in_root(root, path, os.O_PATH))
    except OSError:
        return False
    return True


def _below_any(path: str, mounted: Iterable[str]) -> bool:
    return any(path == one or path.startswith(one.rstrip("/") + "/") for one in mounted)


def _may_come(path: str, mounted: Iterable[str]) -> bool:
    """True when a mount may bring it: one over any place that systems have programs in."""
    places = {one.strip("/").split("/")[0] for one in mounted}
    return not path.startswith("/") or bool(places & (_SYSTEM | {path.split("/")[1]}))


def _has_binfmt() -> bool:
    """True when this host has more kinds of executables."""
    try:
        return bool(set(os.listdir(_BINFMT)) - {"register", "status"})
    except OSError:
        return False
