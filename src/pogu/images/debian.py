"""Service: `debian:<suite>` by mmdebstrap against the mirror that the host's apt uses.

Of the host nothing enters the image but the address of that mirror. mmdebstrap works in a
directory under tmp/; its tar goes straight into a layer.
"""

from __future__ import annotations

import asyncio
import contextlib
import difflib
import os
import re
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import BinaryIO

from pogu.config import Paths
from pogu.errors import EngineError, InvalidParameter, SystemFailure
from pogu.images.apt_sources import debian_mirrors, sources_for
from pogu.images.image import Image
from pogu.images.store import ImageStore
from pogu.linux.blocking import in_thread
from pogu.model.container import ContainerConfig
from pogu.oci.reference import Reference

__all__ = ["debian_image", "mmdebstrap_argv"]

_SUITES = {"10": "buster", "11": "bullseye", "12": "bookworm", "13": "trixie", "latest": "stable"}
_PACKAGE = re.compile(r"[a-z0-9][a-z0-9+.-]+(:[a-z0-9]+)?")
_SLIM = ("/usr/share/man/*", "/usr/share/doc/*", "/usr/share/locale/*", "/usr/share/info/*")
_CONFIG = ContainerConfig(
    env=("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",), cmd=("bash",)
)

_FINISH = """
rm -f "$1"/etc/resolv.conf "$1"/etc/hostname "$1"/etc/apt/apt.conf.d/99mmdebstrap
printf '#!/bin/sh\\nexit 101\\n' > "$1"/usr/sbin/policy-rc.d
chmod 755 "$1"/usr/sbin/policy-rc.d
echo 'APT::Keep-Downloaded-Packages "false";' > "$1"/etc/apt/apt.conf.d/90no-downloads-kept
"""
"""No service starts in an image under construction; no .deb stays in a layer."""


async def debian_image(
    reference: Reference, *, include: Sequence[str], images: ImageStore, paths: Paths
) -> AsyncIterator[str]:
    """Make and tag the image; yield progress, at last the ID.

    Raises: InvalidParameter for a bad suite or package name; SystemFailure with mmdebstrap's own
    last words. Nothing is left behind, also when the caller goes away.
    """
    suite, slim = _suite_of(reference)
    for package in include:
        if not _PACKAGE.fullmatch(package):
            raise InvalidParameter(f"invalid package name: {package!r}", hint="--include PKG,PKG")
    if shutil.which("mmdebstrap") is None:
        raise SystemFailure(
            "mmdebstrap is not installed on this host",
            hint="apt-get install mmdebstrap debian-archive-keyring",
        )
    sources = sources_for(suite, debian_mirrors(_source_files()))
    proxy = await _apt_proxy()
    yield f"debian {suite} from {sources[0].split()[1]}"
    if proxy:
        yield f"through the host's apt proxy {_without_password(proxy)} (not kept in the image)"
    words = " ".join(["pogu image bootstrap", reference.familiar, *_include_words(include)])
    argv = mmdebstrap_argv(suite, sources, include=include, slim=slim, proxy=proxy)
    work = Path(tempfile.mkdtemp(dir=paths.tmp, prefix="layer-bootstrap-"))
    try:
        work.chmod(0o755)  # apt fetches as its own user
        async with _Bootstrap(argv, work, images, suite=suite, created_by=words) as running:
            async for line in running.progress():
                yield line
            image = await running.image(reference)
    finally:
        await in_thread(shutil.rmtree, work, ignore_errors=True)
    yield image.id


def mmdebstrap_argv(
    suite: str, sources: Sequence[str], *, include: Sequence[str], slim: bool, proxy: str = ""
) -> list[str]:
    """Build the command; the tar comes out of its standard output."""
    argv = ["mmdebstrap", "--variant=minbase", "--format=tar", f"--customize-hook={_FINISH}"]
    if include:
        argv.append(f"--include={','.join(include)}")
    if slim:
        argv += [f"--dpkgopt=path-exclude={pattern}" for pattern in _SLIM]
        argv.append("--dpkgopt=path-include=/usr/share/doc/*/copyright")
    if proxy:
        argv.append(f'--aptopt=Acquire::http::Proxy "{proxy}"')
    return [*argv, suite, "-", *sources]


def _include_words(include: Sequence[str]) -> list[str]:
    return [f"--include {','.join(include)}"] if include else []


def _suite_of(reference: Reference) -> tuple[str, bool]:
    tag = reference.tag or ""
    slim = tag.endswith("-slim")
    suite = tag.removesuffix("-slim")
    suite = _SUITES.get(suite.partition(".")[0] if suite[:1].isdigit() else suite, suite)
    if not re.fullmatch(r"[a-z][a-z-]*", suite):
        raise InvalidParameter(
            f"cannot bootstrap {reference.familiar}: {tag} is no Debian suite",
            hint="debian:bookworm, debian:trixie, debian:bookworm-slim, debian:sid …",
        )
    return suite, slim


def _source_files() -> list[str]:
    directory = Path("/etc/apt/sources.list.d")
    files = [Path("/etc/apt/sources.list"), *sorted(directory.glob("*.list"))]
    files += sorted(directory.glob("*.sources"))
    texts = []
    for file in files:
        with contextlib.suppress(OSError):
            texts.append(file.read_text(errors="replace"))
    return texts


async def _apt_proxy() -> str:
    """Return the proxy of the host's apt, empty when it has none or there is no apt."""
    if shutil.which("apt-config") is None:
        return ""
    process = await asyncio.create_subprocess_exec(
        "apt-config",
        "dump",
        "--format=%v",
        "Acquire::http::Proxy",
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    out, _ = await process.communicate()
    value = out.decode(errors="replace").strip()
    return value if value.startswith("http") and '"' not in value else ""


def _without_password(uri: str) -> str:
    return re.sub(r"//[^/@]*@", "//", uri)


def _failure_hint(suite: str, errors: Sequence[str]) -> str:
    if not any("Release file" in line for line in errors):
        return "does `apt-get update` work on this host?"
    known = [*_SUITES.values(), "sid", "testing", "oldstable", "forky"]
    close = difflib.get_close_matches(suite, known, n=1)
    return f"did you mean debian:{close[0]}?" if close else "the mirror has no such suite"


class _Bootstrap:
    """One running mmdebstrap and the import that reads its tar."""

    def __init__(
        self, argv: Sequence[str], work: Path, images: ImageStore, *, suite: str, created_by: str
    ) -> None:
        self._suite = suite
        self._argv = argv
        self._work = work
        self._images = images
        self._created_by = created_by
        self._said: list[str] = []

    async def __aenter__(self) -> _Bootstrap:
        read_end, write_end = os.pipe()
        tar = open(read_end, "rb")  # noqa: SIM115 - closed by the import's end
        try:
            self._process = await asyncio.create_subprocess_exec(
                *self._argv,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=write_end,
                stderr=asyncio.subprocess.PIPE,
                env=os.environ | {"TMPDIR": str(self._work), "LC_ALL": "C.UTF-8"},
                start_new_session=True,
            )
        except BaseException:
            tar.close()
            raise
        finally:
            os.close(write_end)
        self._import = asyncio.create_task(self._import_tar(tar))
        return self

    async def _import_tar(self, tar: BinaryIO) -> Image:
        with tar:
            return await self._images.import_tar(
                tar, config=_CONFIG, message="mmdebstrap", created_by=self._created_by
            )

    async def progress(self) -> AsyncIterator[str]:
        """Yield what mmdebstrap says, until its end."""
        assert self._process.stderr is not None
        async for raw in self._process.stderr:
            line = raw.decode(errors="replace").rpartition("\r")[2].strip()
            self._said = [*self._said[-40:], line]
            if line.startswith(("I: ", "W: ")) and "-hook in shell" not in line:
                yield line[3:]

    async def image(self, reference: Reference) -> Image:
        """Return the image, tagged. Raises: SystemFailure."""
        exit_code = await self._process.wait()
        try:
            image = await self._import
        except EngineError:
            if exit_code == 0:
                raise
            raise self._failure(exit_code) from None
        if exit_code != 0:
            await self._images.remove(image.id)
            raise self._failure(exit_code)
        self._images.tag(image.id, reference)
        return self._images.get(image.id)

    def _failure(self, exit_code: int) -> SystemFailure:
        errors = [line[3:] for line in self._said if line.startswith("E: ")] or self._said[-3:]
        return SystemFailure(
            f"mmdebstrap failed with exit code {exit_code}: {'; '.join(errors[:2])}",
            hint=_failure_hint(self._suite, errors),
        )

    async def __aexit__(self, *_exception: object) -> None:
        """End mmdebstrap when it still runs: it removes what it made when asked politely."""
        if self._process.returncode is None:
            self._signal(signal.SIGTERM)
            try:
                async with asyncio.timeout(10):
                    await self._process.wait()
            except TimeoutError:
                self._signal(signal.SIGKILL)
                await self._process.wait()
        if not self._import.done():
            self._import.cancel()
        await asyncio.gather(self._import, return_exceptions=True)

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)
