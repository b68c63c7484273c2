"""Service: which runtime works here; owns `<run_root>/runtime.json`.

Running a container is the only honest test: crun refuses some hybrid cgroup set-ups, a kernel
without user namespaces or seccomp shows itself here. The answer holds for one boot.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from pathlib import Path

from pogu.config import Config
from pogu.errors import EngineError, SystemFailure
from pogu.linux.cgroup import CgroupSetup, detect
from pogu.linux.mount import MNT_DETACH, mounts_below, umount2
from pogu.runtime.control_group import CgroupDriver, control_group
from pogu.runtime.maker import find_program
from pogu.runtime.oci_runtime import OciRuntime, first_line, no_runtime, probe_id, write_bundle
from pogu.runtime.workload import BindMount, Workload

__all__ = ["choose_runtime", "possible_drivers"]

_CANDIDATES = ("crun", "runc")


async def choose_runtime(config: Config) -> OciRuntime:
    """Return the first runtime that runs a probe container, with the driver of control groups.

    On a host that is systemd's (v2 only) that is systemd, where any runtime can have it; elsewhere
    cgroupfs. Raises: SystemFailure with a hint.
    """
    names = (config.runtime,) if config.runtime else _CANDIDATES
    binaries = [found for name in names if (found := find_program(name))]
    if config.runtime and not binaries:
        raise SystemFailure(
            f"the runtime {config.runtime!r} of the configuration is not on this host",
            hint="install it, name another with the key `runtime`, or leave the key out",
        )
    drivers = possible_drivers(config.cgroup_driver, detect())
    memory = config.paths.run_root / "runtime.json"
    stamp = " ".join([_stamp(binaries), *drivers])
    remembered = _read(memory, stamp)
    if remembered is not None:
        return OciRuntime(remembered[0], config.paths.runtime_state, remembered[1])
    tried: dict[str, str] = {}
    for driver in drivers:
        for binary in binaries:
            runtime = OciRuntime(Path(binary), config.paths.runtime_state, driver)
            try:
                await _probe(runtime, config.paths.tmp)
            except EngineError as err:
                asked = f" ({driver})" if len(drivers) > 1 else ""
                tried[runtime.name + asked] = first_line(err.message)
                continue
            content = {"stamp": stamp, "binary": binary, "driver": driver}
            memory.write_text(json.dumps(content))
            return runtime
    raise no_runtime(tried)


def possible_drivers(wanted: str, setup: CgroupSetup) -> tuple[CgroupDriver, ...]:
    """Return the drivers to try, best first; `wanted` is the configuration's, empty = any.

    Raises: SystemFailure when systemd is wanted where it does not run.
    """
    if wanted == CgroupDriver.SYSTEMD and not setup.systemd:
        raise SystemFailure(
            "cgroup_driver is systemd, but systemd does not run on this host",
            hint='write cgroup_driver = "cgroupfs", or leave the key out',
        )
    if wanted:
        return (CgroupDriver(wanted),)
    if setup.is_systemds:
        return CgroupDriver.SYSTEMD, CgroupDriver.CGROUPFS
    return (CgroupDriver.CGROUPFS,)


def _stamp(binaries: list[str]) -> str:
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return " ".join([boot, *(f"{path}:{os.stat(path).st_mtime_ns}" for path in binaries)])


def _read(memory: Path, stamp: str) -> tuple[Path, CgroupDriver] | None:
    try:
        content = json.loads(memory.read_text())
        if content["stamp"] == stamp:
            return Path(content["binary"]), CgroupDriver(content["driver"])
    except (OSError, ValueError, KeyError):
        pass
    return None


async def _probe(runtime: OciRuntime, tmp: Path) -> None:
    """Run `true` in a container whose root is made of the host's own programs, read-only."""
    bundle = Path(tempfile.mkdtemp(dir=tmp, prefix="probe-"))
    try:
        rootfs = bundle / "rootfs"
        rootfs.mkdir()
        mounts = []
        for name in ("usr", "bin", "lib", "lib64", "lib32", "nix", "gnu"):
            host = Path("/", name)
            if host.is_symlink():
                (rootfs / name).symlink_to(os.readlink(host))
            elif host.is_dir():
                (rootfs / name).mkdir()
                options = ("rbind", "rprivate", "ro")
                mounts.append(BindMount(destination=f"/{name}", source=str(host), options=options))
        container_id = probe_id()
        workload = Workload(
            id=container_id,
            rootfs=rootfs,
            args=("/bin/sh", "-c", "exit 0"),
            env=("PATH=/usr/bin:/bin",),
            hostname="probe",
            mounts=tuple(mounts),
            control_group=control_group(runtime.cgroup_driver, container_id),
        )
        write_bundle(bundle, runtime.prepared(workload))
        said = bytearray()

        async def keep(_stream: int, data: bytes) -> None:
            said.extend(data)

        exit_code = await runtime.run_attached(container_id, bundle, keep)
        if exit_code != 0:
            raise EngineError(f"a probe container ended with {exit_code}: {bytes(said[:300])!r}")
    finally:
        for point in mounts_below(bundle):
            umount2(point, MNT_DETACH)
        shutil.rmtree(bundle, ignore_errors=True)
