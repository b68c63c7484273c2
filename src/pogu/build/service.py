"""Service: `build`; owns the table `build_cache`.

One build is: parse the Dockerfile → stages as a graph → run the needed ones, in parallel where
they do not depend on each other → store the image, tag it.
"""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pogu.build.base_images import BaseImages
from pogu.build.cache import BuildCache, CacheEntry
from pogu.build.context import Context, FileDigests
from pogu.build.events import BuildEvent, Built, Tagged, Warned
from pogu.build.graph import find_stage, plan
from pogu.build.job import BuildJob, base_platform
from pogu.build.run import Runner, RunSettings
from pogu.build.stage import StageBuild
from pogu.build.state import PREDEFINED_ARGS, StageState, own_platform, platform_args
from pogu.build.workspace import sweep
from pogu.config import Config
from pogu.db import Database
from pogu.dockerfile.expand import expand_word
from pogu.dockerfile.flags import near
from pogu.dockerfile.instructions import Dockerfile, Stage
from pogu.dockerfile.parser import parse_dockerfile
from pogu.errors import EngineError, InvalidParameter, NotFound, first_error
from pogu.events import EventBus
from pogu.images.indexes import Indexes
from pogu.images.platform import parse_platform
from pogu.images.pull import Puller
from pogu.images.store import Image, ImageStore
from pogu.linux.blocking import in_thread
from pogu.linux.openat2 import read_in_root
from pogu.network.service import Networks
from pogu.oci.digest import ChainId
from pogu.oci.index import Platform
from pogu.oci.reference import Reference
from pogu.registry.credentials import Credentials
from pogu.runtime.oci_runtime import OciRuntime
from pogu.storage.layers import LayerStore

__all__ = ["BuildRequest", "Builder"]

_LARGEST_DOCKERFILE = 1 << 20
_CPU_SLOTS = 2


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
    fresh_stages: frozenset[str] = frozenset()
    """Stages that take nothing from the cache (lower case, as names are compared)."""
    pull: bool = False
    network: str = "default"
    platform: str = ""
    run: RunSettings = field(default_factory=RunSettings)
    cache_from: Sequence[str] = ()
    credentials: Mapping[str, Credentials] = field(default_factory=dict)
    """By registry, for base images."""


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
        indexes: Indexes,
        networks: Networks,
        runtime: OciRuntime,
        puller: Puller,
    ) -> None:
        self._puller = puller
        self._config = config
        self._events = events
        self._layers = layers
        self._images = images
        self._indexes = indexes
        self._runtime = runtime
        self._cache = BuildCache(db)
        self._digests = FileDigests(db)
        self._runner = Runner(config=config, layers=layers, networks=networks, runtime=runtime)
        self._running = 0
        width = config.build_parallelism or max(4, _CPU_SLOTS * (os.cpu_count() or 1))
        self._slots = asyncio.Semaphore(width)

    async def recover(self) -> None:
        """At engine start: end and delete RUN processes, mounts and drafts of a killed engine."""
        for state in await self._runtime.list():
            if state.id.startswith(("build-", "pogu-probe-")):
                await self._runtime.delete(state.id, force=True)
        await in_thread(sweep, self._config.paths)

    @property
    def running(self) -> int:
        """How many builds go on."""
        return self._running

    def kept_layers(self) -> set[ChainId]:
        """Layers that the build cache still refers to."""
        return self._cache.layers()

    async def build(
        self, request: BuildRequest, emit: Callable[[BuildEvent], Awaitable[None]]
    ) -> Image:
        """Build and tag; cancelling stops it and leaves nothing half-made.

        Raises: InvalidParameter for a bad Dockerfile, with the lines around the place; NotFound
        for a missing base image or file, with the near miss and the .dockerignore rule that hid
        it; CommandFailed never leaks: a failed RUN is an EngineError in Docker's words ("The
        command '/bin/sh -c …' returned a non-zero code: 1") whose hint shows the lines.
        """
        self._running += 1
        try:
            async with self._images.hold():
                return await self._build(request, emit)
        finally:
            self._running -= 1

    async def _build(
        self, request: BuildRequest, emit: Callable[[BuildEvent], Awaitable[None]]
    ) -> Image:
        settings, warnings = self._runner.possible(request.run)
        for warning in warnings:
            await emit(Warned(text=warning))
        raw = request.dockerfile_text
        if raw is None:
            raw = await in_thread(_read_dockerfile, request.context, request.dockerfile)
        dockerfile = parse_dockerfile(raw)
        for warning in dockerfile.warnings:
            await emit(Warned(text=warning))
        target = parse_platform(request.platform) if request.platform else own_platform()
        meta_args = platform_args(target) | _meta_args(dockerfile, request.build_args, target)
        names = _base_names(dockerfile, meta_args)
        planned = plan(dockerfile, request.target, names)
        context = await in_thread(Context.of_directory, request.context, request.dockerfile)
        place = str(request.tags[0]) if request.tags else str(request.context)
        job = BuildJob(
            config=self._config,
            layers=self._layers,
            cache=self._cache,
            digests=self._digests,
            runner=self._runner,
            dockerfile=dockerfile,
            plan=planned,
            context=context,
            place=place,
            build_args=request.build_args,
            meta_args=meta_args,
            target=target,
            no_cache=request.no_cache,
            fresh_stages=request.fresh_stages,
            network=request.network,
            settings=settings,
            slots=self._slots,
            emit=emit,
        )
        bases = BaseImages(
            self._images,
            self._indexes,
            self._puller,
            credentials=request.credentials,
            platform=request.platform,
            always=request.pull,
            emit=emit,
        )
        stages = _Stages(job, names, bases)
        state = await stages.run()
        await _warn_unused(request, job, stages.used_args, emit)
        parent = await stages.base_of(planned.target)
        return await self._store(state, request, emit, parent)

    async def _store(
        self,
        state: StageState,
        request: BuildRequest,
        emit: Callable[[BuildEvent], Awaitable[None]],
        base: Image | None,
    ) -> Image:
        if request.labels:
            labels = {**(state.config.labels or {}), **request.labels}
            state = state.with_config(labels=dict(labels))
        config = state.image_config()
        parent = None if base is None or state.image_id() == base.id else base.id
        image = await self._images.create(config, parent=parent, references=list(request.tags))
        await emit(Built(image_id=image.id))
        for tag in request.tags:
            await emit(Tagged(reference=tag.with_default_tag().familiar))
        return image

    def cache_records(self) -> list[CacheEntry]:
        """The steps whose results are kept. Slow where there are many."""
        return self._cache.records()

    async def forget_layers(self, layers: set[ChainId]) -> int:
        """Drop the records whose result is one of these layers; return the bytes freed."""
        records = await in_thread(self._cache.records)
        return await self.forget([one.key for one in records if one.top_layer in layers])

    async def forget(self, keys: Sequence[str]) -> int:
        """Drop these records of the build cache; return the bytes freed. Idempotent."""
        self._cache.forget(*keys)
        return await self._images.collect_layers()


class _Stages:
    """The stages of one build as tasks; each is waited for by those that need it."""

    def __init__(self, job: BuildJob, names: Mapping[int, str], bases: BaseImages) -> None:
        self._job = job
        self._names = names
        self._bases = bases
        self._tasks: dict[int, asyncio.Task[StageState]] = {}
        self._builds: list[StageBuild] = []

    async def run(self) -> StageState:
        """Run all; the first error ends the others. Returns the target's state."""
        try:
            async with asyncio.TaskGroup() as group:
                for stage in self._job.plan.stages:
                    build = StageBuild(self._job, self, stage)
                    self._builds.append(build)
                    work = build.run(self._names[stage.index])
                    self._tasks[stage.index] = group.create_task(work)
        except BaseExceptionGroup as errors:
            raise first_error(errors) from None
        return self._tasks[self._job.plan.target.index].result()

    async def stage(self, index: int) -> StageState:
        return await asyncio.shield(self._tasks[index])

    async def image(self, name: str, platform: str = "") -> Image:
        """Raises: NotFound in Docker's words."""
        return await self._bases.get(name, platform)

    async def base_of(self, stage: Stage) -> Image | None:
        """The image that a stage stands on; None for scratch and another stage."""
        name = self._names[stage.index]
        if name == "scratch" or find_stage(self._job.dockerfile, name, before=stage.index):
            return None
        return await self._bases.get(name, base_platform(stage, self._job))

    @property
    def used_args(self) -> set[str]:
        return {name for build in self._builds for name in build.used_args}


def _read_dockerfile(context: Path, name: str) -> bytes:
    """Raises: NotFound, InvalidParameter in Docker's words."""
    if not context.is_dir():
        raise NotFound(f"path {context} not found", hint="the build context is a directory")
    path = Path(os.path.normpath(context / name))
    if not path.is_relative_to(os.path.normpath(context)):
        raise InvalidParameter(
            f"forbidden path outside the build context: {name} ({path})",
            hint="the Dockerfile must lie in the context",
        )
    try:
        return read_in_root(
            context, str(path.relative_to(os.path.normpath(context))), _LARGEST_DOCKERFILE
        )
    except OSError as err:
        raise _unreadable(context, path, name, err) from err


def _unreadable(context: Path, path: Path, name: str, err: OSError) -> EngineError:
    if err.errno == errno.EISDIR:
        return InvalidParameter(
            f"failed to read dockerfile: {name} is a directory",
            hint=f"-f names a file, such as {name}/Dockerfile",
        )
    if err.errno == errno.EFBIG:
        return InvalidParameter(
            f"failed to read dockerfile: {name} has more than {_LARGEST_DOCKERFILE} bytes",
            hint="is it really a Dockerfile?",
        )
    if err.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG):
        inside = path.parent.resolve().is_relative_to(context.resolve()) and path.parent.is_dir()
        names = [entry.name for entry in os.scandir(path.parent)] if inside else []
        hint = near(path.name, [one for one in names if one != path.name])
        return NotFound(
            f"Cannot locate specified Dockerfile: {name}", hint=hint or "name it with -f FILE"
        )
    return InvalidParameter(
        f"failed to read dockerfile: open {name}: {(err.strerror or '').lower()}",
        hint="the engine must be able to read it",
    )


def _meta_args(
    dockerfile: Dockerfile, build_args: Mapping[str, str | None], target: Platform
) -> dict[str, str]:
    """Values of the ARGs before the first FROM."""
    values: dict[str, str] = {}
    known = platform_args(target)
    for instruction in dockerfile.meta_args:
        for name, default in instruction.pairs:
            given = build_args.get(name)
            if given is not None:
                values[name] = given
            elif default is not None:
                values[name] = expand_word(default, {**known, **values}, dockerfile.escape)
    return values


def _base_names(dockerfile: Dockerfile, meta_args: Mapping[str, str]) -> dict[int, str]:
    """Each stage's FROM with its variables replaced."""
    names = {}
    for stage in dockerfile.stages:
        name = expand_word(stage.base.image, meta_args, dockerfile.escape)
        if not name:
            raise InvalidParameter(
                f"base name ({stage.base.image}) should not be blank",
                hint="give it a default: ARG NAME=value before the first FROM",
            )
        names[stage.index] = name
    return names


async def _warn_unused(
    request: BuildRequest,
    job: BuildJob,
    used: set[str],
    emit: Callable[[BuildEvent], Awaitable[None]],
) -> None:
    """Docker's warning for build args that no ARG of the built stages takes."""
    declared = used | {name for arg in job.dockerfile.meta_args for name, _ in arg.pairs}
    unused = sorted(request.build_args.keys() - declared - PREDEFINED_ARGS)
    if unused:
        hint = near(unused[0], sorted(declared))
        more = f" ({hint})" if hint else ""
        text = f"One or more build-args [{' '.join(unused)}] were not consumed{more}"
        await emit(Warned(text=text))
