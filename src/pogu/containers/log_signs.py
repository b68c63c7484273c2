"""Format: what the last lines of a log give away: known words of many programs → their cause."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

__all__ = ["Sign", "sign_in"]


class Sign(NamedTuple):
    """A cause that a log shows: its kind, what it means, what to do, and the line."""

    kind: str
    text: str
    hint: str
    line: str = ""


_SIGNS = (
    (
        "read-only",
        r"read-only file system",
        "it wrote to a file system that is mounted read-only",
        "write to a volume or --tmpfs, or run it without --read-only (or :ro)",
    ),
    (
        "disk-full",
        r"no space left on device|disk quota exceeded|\bENOSPC\b",
        "the disk is full",
        "`pogu system df` shows what takes the space, `pogu system prune` gives some back",
    ),
    (
        "port-in-use",
        r"address (?:already )?in use|\bEADDRINUSE\b",
        "a port that it listens on is taken inside its network",
        "with --network host or container: another process has it; else it runs twice",
    ),
    (
        "format",
        r"exec format error|cannot execute binary file",
        "a program in it is built for another architecture, or a script without a #! line",
        "take an image for this platform (--platform)",
    ),
    (
        "interpreter",
        r"bad interpreter|can't execute '.*': no such file|env: .*no such file",
        "the interpreter in a script's #! line is not in the image (or the line ends in CRLF)",
        "install it in the image; CRLF: sed -i 's/\\r$//' FILE",
    ),
    (
        "library",
        r"error while loading shared libraries|error loading shared library",
        "a shared library is missing in the image",
        "install the package that has it",
    ),
    (
        "not-found",
        r"(?:command not found|: not found)\s*$",
        "a command is not in the image, or its loader is not",
        "install it in the image, look at PATH",
    ),
    (
        "permission",
        r"permission denied|\bEACCES\b|operation not permitted|\bEPERM\b",
        "it lacks a permission: on a file, or a capability that containers do not have",
        "compare the owner of the file with its user (`pogu inspect`); for a capability --cap-add",
    ),
    (
        "dns",
        r"(?:name or service not known|temporary failure in name resolution|could not resolve"
        r"|bad address|no such host|host not found in upstream|\bENOTFOUND\b)",
        "a host name could not be resolved",
        "is the other container running, under that name, in the same network?",
    ),
    (
        "connection",
        r"connection refused|\bECONNREFUSED\b",
        "what it connects to does not listen",
        "start that first; inside a container localhost is the container itself",
    ),
    (
        "heap",
        r"javascript heap out of memory|java\.lang\.OutOfMemoryError|\bMemoryError\b"
        r"|cannot allocate memory|fork: (?:retry: )?resource temporarily unavailable",
        "it ran into a limit of memory or processes",
        "raise its own heap limit, --memory, --pids-limit or --ulimit",
    ),
    (
        "missing-file",
        r"no such file or directory|\bENOENT\b|cannot find module|no module named",
        "a file or module is missing in the image or its volumes",
        "compare the path with the image and its mounts (`pogu inspect`)",
    ),
)
_COMPILED = tuple(
    (re.compile(pattern, re.IGNORECASE), Sign(kind, text, hint))
    for kind, pattern, text, hint in _SIGNS
)


def sign_in(lines: Sequence[str]) -> Sign | None:
    """The sign in the line that stands nearest to the end; the surer sign where one has several."""
    for line in reversed(lines):
        for pattern, sign in _COMPILED:
            if pattern.search(line):
                return sign._replace(line=line)
    return None
