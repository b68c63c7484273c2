"""Service: checks of the programs and libraries that the engine works with."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable

from pogu.config import Config
from pogu.doctor.finding import ERROR, OK, WARNING, Finding
from pogu.doctor.host import Host
from pogu.errors import EngineError

__all__ = ["check_conmon", "check_dns_helper", "check_nftables", "check_runtime"]

_PROBE_S = 60


async def check_runtime(
    host: Host, config: Config, probe: Callable[[], Awaitable[str]], *, may_try: bool
) -> Finding:
    """Check crun and runc, or the configured one, by a probe container."""
    names = [config.runtime] if config.runtime else ["crun", "runc"]
    present = [name for name in names if host.find(name)]
    lacking = [os.path.basename(name) for name in names if name not in present]
    mend = host.install(*(lacking or [os.path.basename(name) for name in names]))
    if not present:
        text = f"{' and '.join(names)} not found"
        return Finding(check="runtime", level=ERROR, text=text, mend=mend)
    if not may_try:
        text = f"{' '.join(present)}; not tried, which needs root"
        return Finding(check="runtime", level=WARNING, text=text, mend="sudo pogu doctor")
    try:
        async with asyncio.timeout(_PROBE_S):
            return Finding(check="runtime", level=OK, text=await probe())
    except TimeoutError:
        text = f"a probe container did not end within {_PROBE_S} s"
    except EngineError as err:
        text = err.message
    except OSError as err:
        text = str(err)
    return Finding(check="runtime", level=ERROR, text=" ".join(text.split()), mend=mend)


async def check_conmon(host: Host) -> Finding:
    """Check that the monitor of containers is there and runs."""
    mend = host.install("conmon")
    found = host.find("conmon", "/usr/libexec/podman", "/usr/local/bin", "/usr/bin")
    if found is None:
        return Finding(check="conmon", level=ERROR, text="not found", mend=mend)
    try:
        said = await host.first_line([found, "--version"])
    except EngineError as err:
        text = " ".join(err.message.split())
        return Finding(check="conmon", level=ERROR, text=text, mend=mend)
    return Finding(check="conmon", level=OK, text=f"{said.rpartition(' ')[2]} ({found})")


async def check_nftables(host: Host) -> Finding:
    """Check the library, which the engine uses; the program tells the version.

    It is also what people look at the rules with.
    """
    mend = host.install("nftables")
    try:
        host.library("libnftables.so.1")
    except OSError:
        text = "no libnftables.so.1: containers reach nothing outside; ports go by the engine"
        return Finding(check="nftables", level=WARNING, text=text, mend=mend)
    program = host.find("nft")
    if program is None:
        return Finding(check="nftables", level=OK, text="libnftables (without the program nft)")
    try:
        said = await host.first_line([program, "--version"])
    except EngineError as err:
        text = " ".join(err.message.split())
        return Finding(check="nftables", level=WARNING, text=text, mend=mend)
    return Finding(check="nftables", level=OK, text=said.removeprefix("nftables ").strip())


def check_dns_helper(host: Host) -> Finding:
    """Check that containers can find each other by name."""
    found = host.find("aardvark-dns", "/usr/lib/podman", "/usr/libexec/podman")
    if found:
        return Finding(check="dns", level=OK, text=found)
    return Finding(
        check="dns",
        level=WARNING,
        text="no aardvark-dns: containers do not find each other by name",
        mend=host.install("aardvark-dns"),
    )
