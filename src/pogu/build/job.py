"""Format: what all stages of one build share, and what a stage may ask of the others."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Protocol

from pogu.build.cache import BuildCache
from pogu.build.context import Context, FileDigests
from pogu.build.events import BuildEvent
from pogu.build.graph import Plan
from pogu.build.run import Runner, RunSettings
from pogu.build.state import StageState
from pogu.config import Config
from pogu.dockerfile.expand import expand_word
from pogu.dockerfile.instructions import Dockerfile, Stage
from pogu.images.store import Image
from pogu.oci.index import Platform
from pogu.storage.layers import LayerStore

__all__ = ["BuildJob", "Emit", "StageResults", "base_platform"]

Emit = Callable[[BuildEvent], Awaitable[None]]


class StageResults(Protocol):
    """What a stage asks of the build it belongs to."""

    async def stage(self, index: int) -> StageState: ...

    async def image(self, name: str, platform: str = "") -> Image: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildJob:
    """What all stages of one build share."""

    config: Config
    layers: LayerStore
    cache: BuildCache
    digests: FileDigests
    runner: Runner
    dockerfile: Dockerfile
    plan: Plan
    context: Context
    place: str
    """What this build is called, for finding what its steps were last time."""
    build_args: Mapping[str, str | None]
    meta_args: Mapping[str, str]
    target: Platform
    """What an image from scratch is for."""
    no_cache: bool
    fresh_stages: Collection[str]
    """Names of the stages that take nothing from the cache."""
    network: str
    settings: RunSettings
    slots: asyncio.Semaphore
    emit: Emit


def base_platform(stage: Stage, job: BuildJob) -> str:
    """What `FROM --platform=` says, its variables replaced; empty where it says nothing."""
    if not stage.base.platform:
        return ""
    return expand_word(stage.base.platform, job.meta_args, job.dockerfile.escape)
