"""Service: `build`; owns the table `build_cache`.

One build is: parse the Dockerfile → stages as a graph → run the needed ones, in parallel where
they do not depend on each other → store the image, tag it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pogu.build.events import BuildEvent
from pogu.config import Config
from pogu.db import Database
from pogu.events import EventBus
from pogu.images.store import Image, ImageStore
from pogu.network.service import Networks
from pogu.oci.digest import ChainId
from pogu.oci.reference import Reference
from pogu.runtime.oci_runtime import OciRuntime
from pogu.storage.layers import LayerStore

__all__ = ["BuildRequest", "Builder"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildRequest:
    """One `POST /build`. `context` is a directory: the caller's own, or an unpacked tar's."""

    context: Path
    dockerfile: str = "Dockerfile"
    dockerfile_text: bytes | None = None
    """Set when the Dockerfile does not come from the context (stdin, a path outside)."""
    tags: Sequence[Reference] = ()
    build_args: Mapping[str, str | None] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    target: str = ""
    no_cache: bool = False
    pull: bool = False
    network: str = "default"
    platform: str = ""
    memory_limit_bytes: int = 0
    cpu_shares: int = 0
    cpuset_cpus: str = ""
    shm_size_bytes: int = 0
    extra_hosts: Sequence[str] = ()
    cache_from: Sequence[str] = ()


class Builder:
    """Executes builds; several may run at once."""

    def __init__(
        self,
        *,
        config: Config,
        db: Database,
        events: EventBus,
        layers: LayerStore,
        images: ImageStore,
        networks: Networks,
        runtime: OciRuntime,
    ) -> None:
        raise NotImplementedError

    async def recover(self) -> None:
        """At engine start: end and delete RUN processes, mounts and drafts of a killed engine."""
        raise NotImplementedError

    @property
    def running(self) -> int:
        raise NotImplementedError

    def kept_layers(self) -> set[ChainId]:
        """Layers that the build cache still refers to."""
        raise NotImplementedError

    async def build(
        self, request: BuildRequest, emit: Callable[[BuildEvent], Awaitable[None]]
    ) -> Image:
        """Build and tag; cancelling stops it and leaves nothing half-made.

        Raises: InvalidParameter for a bad Dockerfile, with the lines around the place; NotFound
        for a missing base image or file, with the near miss and the .dockerignore rule that hid
        it; CommandFailed never leaks: a failed RUN is an EngineError in Docker's words ("The
        command '/bin/sh -c …' returned a non-zero code: 1") whose hint shows the lines.
        """
        raise NotImplementedError

    async def prune(self, *, all: bool = False) -> int:
        """Drop the build cache; return the bytes freed."""
        raise NotImplementedError
