"""Service: containers; owns the tables `containers` and `container_states` and
`<root>/containers/<id>/`.

    containers/<id>/config.json   OCI bundle
                    rootfs/       overlay mount point (mounted while it runs or is looked into)
                    upper/ work/  the writable layer
                    ctr.log*      log (bounded)
                    hostname hosts resolv.conf

The life of a container is create → start → (stop | kill | its own end) → remove; `recover` at
engine start brings rows and reality together again after a SIGKILL.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Sequence
from dataclasses import dataclass

from pogu.config import Config
from pogu.containers.model import Container
from pogu.db import Database
from pogu.events import EventBus
from pogu.images.store import ImageStore
from pogu.model.container import CreateRequest
from pogu.network.service import Networks
from pogu.runtime.conmon import AttachStream, Conmon
from pogu.runtime.logfile import LogRecord
from pogu.runtime.oci_runtime import OciRuntime
from pogu.storage.layers import LayerStore
from pogu.volumes import Volumes

__all__ = ["Containers", "ExitStatus"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExitStatus:
    """The answer to a wait."""

    exit_code: int
    error: str = ""


class Containers:
    """All that can be done with containers; one lock per container, taken in one function."""

    def __init__(
        self,
        *,
        config: Config,
        db: Database,
        events: EventBus,
        layers: LayerStore,
        images: ImageStore,
        networks: Networks,
        volumes: Volumes,
        runtime: OciRuntime,
        conmon: Conmon,
    ) -> None:
        raise NotImplementedError

    async def recover(self) -> None:
        """At engine start: adopt what runs, record what ended, finish removals, apply `--rm`,
        sweep directories, mounts and runtime state that no row names. Idempotent.
        """
        raise NotImplementedError

    async def close(self) -> None:
        """Let go of everything; containers go on running."""
        raise NotImplementedError

    @property
    def running(self) -> int:
        """How many run now (the engine stays while this is not 0)."""
        raise NotImplementedError

    def resolve(self, name: str) -> Container:
        """By name, ID or unambiguous ID prefix. Raises: NotFound("No such container: …") with
        the near miss; InvalidParameter when a prefix names several.
        """
        raise NotImplementedError

    def all(self) -> list[Container]:
        """Every container, newest first."""
        raise NotImplementedError

    def using_image(self, image_id: str) -> list[tuple[str, bool]]:
        """(short ID, runs) of the containers made from that image."""
        raise NotImplementedError

    async def create(
        self, request: CreateRequest, *, name: str | None = None
    ) -> tuple[Container, list[str]]:
        """Make a container and return it with warnings. Generates a name when None.

        Raises: NotFound("No such image: …"); Conflict when the name is in use, naming its owner
        in Docker's words; InvalidParameter.
        """
        raise NotImplementedError

    async def start(self, name: str) -> None:
        """Raises: NotModified when it runs; EngineError with the runtime's cause. A failed start
        leaves the container as it was, with `state.error` and exit code 126, 127 or 128.
        """
        raise NotImplementedError

    async def stop(
        self, name: str, *, timeout_s: int | None = None, signal: str | None = None
    ) -> None:
        """Stop signal, then SIGKILL after the timeout (-1 = never). Raises: NotModified."""
        raise NotImplementedError

    async def restart(
        self, name: str, *, timeout_s: int | None = None, signal: str | None = None
    ) -> None:
        raise NotImplementedError

    async def kill(self, name: str, *, signal: str = "KILL") -> None:
        """Raises: Conflict when it does not run; InvalidParameter on an unknown signal."""
        raise NotImplementedError

    async def rename(self, name: str, new_name: str) -> None:
        raise NotImplementedError

    async def remove(self, name: str, *, force: bool = False, volumes: bool = False) -> None:
        """Raises: Conflict when it runs and not `force`, in Docker's words."""
        raise NotImplementedError

    async def prune(self) -> tuple[list[str], int]:
        """Remove stopped containers; return their IDs and the bytes freed."""
        raise NotImplementedError

    def wait(self, name: str, condition: str = "not-running") -> Awaitable[ExitStatus]:
        """Subscribe now (before this returns) and give an awaitable of the exit.

        `condition`: `not-running`, `next-exit`, `removed`. Everything the container wrote is in
        its log when the awaitable is done.
        """
        raise NotImplementedError

    def logs(
        self,
        name: str,
        *,
        stdout: bool = True,
        stderr: bool = True,
        since_ns: int = 0,
        until_ns: int = 0,
        tail: int | None = None,
        follow: bool = False,
    ) -> AsyncIterator[LogRecord]:
        """With `follow`, ends when the container ends."""
        raise NotImplementedError

    async def attach(self, name: str, *, stdin: bool) -> AttachStream:
        """Attach to a created or running container. Raises: Conflict when it has ended.

        With a created container this waits until it is started (the order of `docker run`).
        """
        raise NotImplementedError

    async def resize(self, name: str, *, height: int, width: int) -> None:
        raise NotImplementedError

    def size(self, container: Container) -> tuple[int, int]:
        """Bytes in the writable layer, and with the image below it. Slow."""
        raise NotImplementedError

    async def top(
        self, name: str, ps_args: Sequence[str] = ()
    ) -> tuple[list[str], list[list[str]]]:
        """Titles and rows of `ps` for the container's processes."""
        raise NotImplementedError
