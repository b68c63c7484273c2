"""Service: RUN: one container per step, whose writable layer becomes the image's next layer."""

from __future__ import annotations

import contextlib
import os
import socket
import stat
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from pogu.build.workspace import Workspace, workspace
from pogu.config import Config
from pogu.errors import InvalidParameter
from pogu.linux.apparmor import DEFAULT_PROFILE, detect_apparmor
from pogu.linux.blocking import in_thread, in_thread_to_end
from pogu.linux.cgroup import detect
from pogu.network.etc_files import ETC_FILES, Resolver, hosts_of, write_etc_files
from pogu.network.service import Endpoint, Networks
from pogu.oci.digest import ChainId
from pogu.runtime.control_group import check_parent, control_group
from pogu.runtime.oci_runtime import OciRuntime, resolve_user, write_bundle
from pogu.runtime.possible_limits import possible_cpu, possible_memory
from pogu.runtime.workload import DEFAULT_PATH, BindMount, Resources, Rlimit, Workload
from pogu.storage.layers import Layer, LayerStore
from pogu.storage.whiteout import is_opaque

__all__ = ["RunFailed", "RunJob", "RunSettings", "Runner"]

_MOUNT_POINTS = (
    *("etc/hosts", "etc/hostname", "etc/resolv.conf", "etc"),
    *("dev/pts", "dev/shm", "dev/mqueue", "dev/console", "dev", "proc", "sys/fs/cgroup"),
    *("sys/fs", "sys"),
)
"""What a runtime makes in the root to mount on; the deeper before the outer."""

_HOSTNAME = "buildkitsandbox"

Output = Callable[[int, bytes], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSettings:
    """What is the same for every RUN of a build. `cgroup_parent` empty = the driver's default."""

    resources: Resources = field(default_factory=Resources)
    rlimits: tuple[Rlimit, ...] = ()
    cgroup_parent: str = ""
    shm_size_bytes: int = 0
    extra_hosts: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RunJob:
    """One RUN, everything expanded. `network`: default, none or host."""

    args: tuple[str, ...]
    env: Mapping[str, str]
    user: str
    cwd: str
    network: str
    settings: RunSettings


class RunFailed(InvalidParameter):
    """The command of a RUN ended with `exit_code`, which the docker CLI ends with too."""

    def __init__(self, message: str, *, exit_code: int, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.exit_code = exit_code


class Runner:
    """Runs RUN steps, several at once."""

    def __init__(
        self, *, config: Config, layers: LayerStore, networks: Networks, runtime: OciRuntime
    ) -> None:
        self._config = config
        self._layers = layers
        self._networks = networks
        self._runtime = runtime
        self._apparmor = detect_apparmor()
        self._cgroup = detect()

    def possible(self, settings: RunSettings) -> tuple[RunSettings, list[str]]:
        """Return what can be had here, and warnings of what cannot.

        Raises: InvalidParameter in Docker's words for a bad parent of control groups.
        """
        check_parent(self._runtime.cgroup_driver, settings.cgroup_parent)
        warnings: list[str] = []
        limits = settings.resources
        swap_asked = limits.memory_swap_bytes > 0
        limits = possible_memory(limits, self._cgroup, warnings, swap_asked=swap_asked)
        limits = possible_cpu(limits, self._cgroup, warnings)
        return replace(settings, resources=limits), warnings

    async def run(
        self, job: RunJob, parent: ChainId | None, output: Output
    ) -> tuple[int, Layer | None]:
        """Return the exit code and, when it is 0, the new layer. Cancelling leaves nothing."""
        async with workspace(self._config.paths, self._layers, parent) as space:
            missing = [path for path in _MOUNT_POINTS if not os.path.lexists(space.rootfs / path)]
            endpoint = None
            if self._apparmor.enabled:
                await self._apparmor.load_default()
            try:
                if job.network != "host":
                    name = "none" if job.network == "none" else "bridge"
                    endpoint = await self._networks.connect(space.id, network=name)
                await in_thread(self._prepare, space, job, endpoint)
                code = await self._runtime.run_attached(space.id, space.directory, output)
            finally:
                if job.network != "host":
                    await self._networks.disconnect(space.id)
            if code != 0:
                return code, None
            space.unmount()
            await in_thread(_remove_mount_points, space.draft.diff, missing)
            layer = await in_thread_to_end(self._layers.commit, space.draft, parent=parent)
            return 0, layer

    def _prepare(self, space: Workspace, job: RunJob, endpoint: Endpoint | None) -> None:
        """Write the bundle: the files that are mounted, and config.json."""
        self._write_files(space.directory, job, endpoint)
        user = resolve_user(space.rootfs, job.user)
        env = {"PATH": DEFAULT_PATH, "HOME": user.home, **job.env}
        workload = Workload(
            id=space.id,
            rootfs=space.rootfs,
            args=job.args,
            env=tuple(f"{key}={value}" for key, value in env.items()),
            cwd=job.cwd or "/",
            user=user,
            hostname=_HOSTNAME if job.network != "host" else socket.gethostname(),
            mounts=tuple(
                BindMount(destination=f"/etc/{name}", source=str(space.directory / name))
                for name in ETC_FILES
            ),
            network=str(endpoint.netns) if endpoint else "host",
            control_group=control_group(
                self._runtime.cgroup_driver, space.id, job.settings.cgroup_parent
            ),
            resources=job.settings.resources,
            rlimits=job.settings.rlimits,
            apparmor_profile=DEFAULT_PROFILE if self._apparmor.enabled else "",
            shm_size_bytes=job.settings.shm_size_bytes or 64 * 1024 * 1024,
        )
        write_bundle(space.directory, self._runtime.prepared(workload))

    def _write_files(self, directory: Path, job: RunJob, endpoint: Endpoint | None) -> None:
        resolver = Resolver(dns=self._config.dns, default_dns=self._networks.nameservers())
        write_etc_files(
            directory,
            hosts=hosts_of(endpoint, hostname=_HOSTNAME, extra_hosts=job.settings.extra_hosts),
            hostname=_HOSTNAME,
            resolver=resolver if job.network != "host" else None,
        )


def _remove_mount_points(diff: Path, missing: Sequence[str]) -> None:
    """Take out of a layer what only the runtime made, as long as nothing was put there."""
    for path in missing:
        made = diff / path
        with contextlib.suppress(OSError):
            info = os.lstat(made)
            if stat.S_ISDIR(info.st_mode):
                os.rmdir(made)
            elif stat.S_ISREG(info.st_mode) and info.st_size == 0:
                os.unlink(made)
    for path in ("etc", "dev", "proc", "sys"):
        if path not in missing:
            # Copied up because something was made and removed in it; an opaque one has content.
            with contextlib.suppress(OSError):
                if not is_opaque(os.fspath(diff / path)):
                    os.rmdir(diff / path)
