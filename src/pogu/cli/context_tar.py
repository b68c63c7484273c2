"""Edge: a build context as a tar, for an engine that may not read the caller's files.

What `.dockerignore` hides is left out, except the Dockerfile and the file itself.
"""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Iterator

from pogu.dockerfile.ignore import IgnoreRules

__all__ = ["context_tar", "dockerfile_tar"]


def dockerfile_tar(text: bytes, name: str = "Dockerfile") -> bytes:
    """A tar that holds one Dockerfile."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        info = tarfile.TarInfo(name)
        info.size = len(text)
        tar.addfile(info, io.BytesIO(text))
    return out.getvalue()


def context_tar(directory: str, dockerfile: str, text: bytes = b"") -> Iterator[bytes]:
    """Yield the tar in pieces. `text`, when given, is the Dockerfile under that name."""
    rules = _rules(directory, dockerfile)
    kept = {dockerfile, ".dockerignore", f"{dockerfile}.dockerignore"}
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        if text:
            info = tarfile.TarInfo(dockerfile)
            info.size = len(text)
            tar.addfile(info, io.BytesIO(text))
        for path in _walk(directory, rules, kept):
            tar.add(os.path.join(directory, path), arcname=path, recursive=False)
            if out.tell() > 1 << 20:
                yield out.getvalue()
                out.seek(0)
                out.truncate()
    yield out.getvalue()


def _rules(directory: str, dockerfile: str) -> IgnoreRules:
    for name in (f"{dockerfile}.dockerignore", ".dockerignore"):
        try:
            with open(
                os.path.join(directory, name), encoding="utf-8", errors="surrogateescape"
            ) as file:
                return IgnoreRules.parse(file.read())
        except OSError:
            continue
    return IgnoreRules()


def _walk(directory: str, rules: IgnoreRules, kept: set[str], prefix: str = "") -> Iterator[str]:
    for name in sorted(os.listdir(os.path.join(directory, prefix))):
        path = prefix + name
        full = os.path.join(directory, path)
        is_directory = os.path.isdir(full) and not os.path.islink(full)
        ignored = bool(rules) and rules.ignored(path) and path not in kept
        if ignored and not (is_directory and rules.may_reinclude_below(path)):
            continue
        yield path
        if is_directory:
            yield from _walk(directory, rules, kept, path + "/")
