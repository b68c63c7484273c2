"""Service: the `busybox` image from the host's static busybox; the same binary, the same ID."""

from __future__ import annotations

import io
import os
import struct
import tarfile
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

from pogu.errors import SystemFailure
from pogu.images.image import rfc3339
from pogu.images.store import ImageStore
from pogu.linux.process import run
from pogu.model.container import ContainerConfig
from pogu.oci.reference import Reference

__all__ = ["busybox_image", "busybox_tar", "is_static"]

_PROGRAM = Path("/bin/busybox")
_HINT = "apt-get install busybox-static"

_DIRECTORIES = {
    "bin": 0o755,
    "dev": 0o755,
    "etc": 0o755,
    "home": 0o755,
    "proc": 0o555,
    "root": 0o700,
    "run": 0o755,
    "sbin": 0o755,
    "sys": 0o555,
    "tmp": 0o1777,
    "usr": 0o755,
    "usr/bin": 0o755,
    "usr/sbin": 0o755,
    "var": 0o755,
    "var/tmp": 0o1777,
    "var/www": 0o755,
}
_FILES = {
    "etc/passwd": (
        "root:x:0:0:root:/root:/bin/sh\n"
        "daemon:x:1:1:daemon:/usr/sbin:/bin/false\n"
        "www-data:x:33:33:www-data:/var/www:/bin/false\n"
        "nobody:x:65534:65534:nobody:/home:/bin/false\n"
    ),
    "etc/group": "root:x:0:\ndaemon:x:1:\ntty:x:5:\nwww-data:x:33:\nnogroup:x:65534:\n",
    "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
}
CONFIG = ContainerConfig(
    env=("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",), cmd=("sh",)
)


async def busybox_image(reference: Reference, images: ImageStore) -> AsyncIterator[str]:
    """Make and tag the image; yield progress, at last the ID. Raises: SystemFailure."""
    try:
        binary, mtime = _PROGRAM.read_bytes(), int(_PROGRAM.stat().st_mtime)
    except OSError as err:
        raise SystemFailure("busybox is not installed on this host", hint=_HINT) from err
    if not is_static(binary):
        raise SystemFailure(f"{_PROGRAM} is not statically linked", hint=_HINT)
    listed = await run([str(_PROGRAM), "--list-full"])
    applets = listed.stdout.decode().split()
    yield f"busybox with {len(applets)} applets from {_PROGRAM}"
    image = await images.import_tar(
        busybox_tar(binary, applets, mtime=mtime),
        reference=reference,
        config=CONFIG,
        message="busybox-static of the host",
        created_by="pogu image bootstrap busybox",
        created=rfc3339(mtime * 1_000_000_000),
    )
    yield image.id


def busybox_tar(binary: bytes, applets: Iterable[str], *, mtime: int) -> io.BytesIO:
    """Return the root file system: equal input gives equal bytes."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, mode in _DIRECTORIES.items():
            tar.addfile(_entry(name, tarfile.DIRTYPE, mode, mtime))
        for name, text in _FILES.items():
            entry = _entry(name, tarfile.REGTYPE, 0o644, mtime)
            entry.size = len(text)
            tar.addfile(entry, io.BytesIO(text.encode()))
        entry = _entry("bin/busybox", tarfile.REGTYPE, 0o755, mtime)
        entry.size = len(binary)
        tar.addfile(entry, io.BytesIO(binary))
        for name in sorted(set(applets) - {"bin/busybox", "linuxrc"}):
            if os.path.dirname(name) in _DIRECTORIES:
                entry = _entry(name, tarfile.SYMTYPE, 0o777, mtime)
                entry.linkname = "/bin/busybox"
                tar.addfile(entry)
    out.seek(0)
    return out


def _entry(name: str, kind: bytes, mode: int, mtime: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type, entry.mode, entry.mtime = kind, mode, mtime
    return entry


def is_static(binary: bytes) -> bool:
    """True for an ELF program that asks for no dynamic loader (no PT_INTERP header)."""
    if binary[:4] != b"\x7fELF":
        return False
    order = "<" if binary[5] == 1 else ">"
    if binary[4] == 2:
        (start,) = struct.unpack_from(order + "Q", binary, 32)
        size, count = struct.unpack_from(order + "HH", binary, 54)
    else:
        (start,) = struct.unpack_from(order + "I", binary, 28)
        size, count = struct.unpack_from(order + "HH", binary, 42)
    kinds = [
        struct.unpack_from(order + "I", binary, start + place * size)[0] for place in range(count)
    ]
    return 3 not in kinds
