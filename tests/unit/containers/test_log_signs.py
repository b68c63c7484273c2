"""What the last lines of a log give away."""

from __future__ import annotations

import pytest

from pogu.containers.log_signs import sign_in


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("mkdir: can't create '/x': Read-only file system", "read-only"),
        ("OSError: [Errno 28] No space left on device", "disk-full"),
        ("nginx: bind() to 0.0.0.0:80 failed (98: Address already in use)", "port-in-use"),
        ("Error: listen EADDRINUSE: address already in use :::3000", "port-in-use"),
        ("/bin/sh: ./app: cannot execute binary file: Exec format error", "format"),
        ("env: can't execute 'python3': No such file or directory", "interpreter"),
        ("error while loading shared libraries: libpq.so.5: cannot open", "library"),
        ("sh: nonesuch: not found", "not-found"),
        ("bash: line 1: nonesuch: command not found", "not-found"),
        ("sh: /t/ls: Permission denied", "permission"),
        ('nginx: [emerg] host not found in upstream "app"', "dns"),
        ("dial tcp 127.0.0.1:5432: connect: connection refused", "connection"),
        ("FATAL ERROR: JavaScript heap out of memory", "heap"),
        ("ModuleNotFoundError: No module named 'flask'", "missing-file"),
    ],
)
def test_known_words(line: str, kind: str) -> None:
    found = sign_in(["starting", line])
    assert found is not None
    assert (found.kind, found.line) == (kind, line)


def test_the_line_nearest_to_the_end_counts() -> None:
    found = sign_in(["connection refused", "No space left on device", "bye"])
    assert found is not None
    assert found.kind == "disk-full"


def test_most_lines_say_nothing() -> None:
    assert sign_in(["page not found in cache, loading", "done"]) is None
    assert sign_in([]) is None
