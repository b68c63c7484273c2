"""Service: one COPY or ADD: what it names, what it depends on, and the layer it makes."""

from __future__ import annotations

import posixpath
import re
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from pogu.build.cache import StepInputs
from pogu.build.context import Context
from pogu.build.copy import CopyJob, Source, copy_into
from pogu.build.graph import find_stage
from pogu.build.job import BuildJob, StageResults
from pogu.build.reuse import Links, PreviousLayer
from pogu.build.sources import (
    Extracted,
    TemporaryFiles,
    digests_of,
    find_sources,
    is_url,
    unpack_directory,
)
from pogu.build.state import StageState
from pogu.build.step_cache import StepCache
from pogu.build.workspace import view, workspace
from pogu.dockerfile.expand import expand_word
from pogu.dockerfile.instructions import Add, Copy, Stage
from pogu.errors import InvalidParameter
from pogu.linux.blocking import in_thread, in_thread_to_end
from pogu.oci.digest import ChainId
from pogu.runtime.oci_runtime import resolve_user
from pogu.storage.layers import Layer

__all__ = ["CopyStep"]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Expanded:
    """The instruction with its variables replaced. `target` is absolute."""

    patterns: list[str]
    target: str
    owner: str
    mode: int | None


class CopyStep:
    """Used once, inside its `with` block: sources may be mounted or fetched for it."""

    def __init__(
        self,
        job: BuildJob,
        results: StageResults,
        stage: Stage,
        instruction: Copy | Add,
        state: StageState,
    ) -> None:
        """Raises: InvalidParameter when a word does not expand."""
        self._job = job
        self._results = results
        self._stage = stage
        self._instruction = instruction
        self._state = state
        self._stack = AsyncExitStack()
        self._sources: list[Source] = []
        self._words = self._expand()
        self._keeps_owner = isinstance(instruction, Copy) and bool(instruction.from_stage)

    async def __aenter__(self) -> CopyStep:
        return self

    async def __aexit__(self, *_exception: object) -> None:
        await self._stack.aclose()

    def _expand(self) -> _Expanded:
        def word(text: str) -> str:
            return expand_word(text, self._state.variables, self._job.dockerfile.escape)

        destination = word(self._instruction.destination)
        target = posixpath.join("/", self._state.config.working_dir or "/", destination)
        if destination.endswith(("/", "/.")) or destination == ".":
            target = posixpath.normpath(target).rstrip("/") + "/"
        return _Expanded(
            patterns=[word(source) for source in self._instruction.sources],
            target=target,
            owner=word(self._instruction.chown or ""),
            mode=_mode(word(self._instruction.chmod or "")),
        )

    def _inputs(self, cache: StepCache, extra: str, files: dict[str, str]) -> StepInputs:
        text = self._instruction.text
        used = {name: value for name, value in self._state.args.items() if name in text}
        key = f"{text}\n{self._words.target} {self._words.owner}{extra}"
        return cache.inputs(self._state, key, args=used, files=files)

    async def quick_inputs(self, cache: StepCache) -> StepInputs | None:
        """For --from: a key by the other side's layers alone, which costs no look at a file."""
        if not isinstance(self._instruction, Copy) or not self._instruction.from_stage:
            return None
        top = await self._top_of(self._instruction.from_stage)
        return self._inputs(cache, f"\nfrom {top}", {})

    async def inputs(self, cache: StepCache) -> StepInputs:
        """Find the sources and digest them. Raises: InvalidParameter when one is missing."""
        if isinstance(self._instruction, Copy) and self._instruction.from_stage:
            top = await self._top_of(self._instruction.from_stage)
            root = await self._stack.enter_async_context(
                view(self._job.config.paths, self._job.layers, top)
            )
            context = Context(root, what=f"stage {self._instruction.from_stage}")
            self._sources = await in_thread(find_sources, context, self._words.patterns)
        else:
            self._sources = await in_thread(self._local_sources)
        digests = None if self._keeps_owner else self._job.digests
        files = await in_thread(digests_of, self._sources, digests, owners=self._keeps_owner)
        return self._inputs(cache, "", files)

    async def _top_of(self, name: str) -> ChainId | None:
        stage = find_stage(self._job.dockerfile, name, before=self._stage.index)
        if stage is not None:
            return (await self._results.stage(stage.index)).top_layer
        if name == "scratch":
            return None
        return (await self._results.image(name)).top_layer

    def _local_sources(self) -> list[Source]:
        instruction = self._instruction
        files = None
        found: list[Source] = []
        names = {heredoc.name: heredoc for heredoc in instruction.heredocs}
        for pattern in self._words.patterns:
            heredoc = names.get(re.sub(r"^<<-?[\"']?|[\"']?$", "", pattern))
            remote = isinstance(instruction, Add) and is_url(pattern)
            if heredoc is None and not remote:
                found += find_sources(self._job.context, [pattern])
                continue
            if files is None:
                files = self._stack.enter_context(TemporaryFiles(self._job.config.paths.tmp))
            if heredoc is not None:
                escape = self._job.dockerfile.escape
                found.append(files.heredoc(heredoc, self._state.variables, escape))
            else:
                checksum = instruction.checksum if isinstance(instruction, Add) else None
                found.append(files.download(pattern, checksum=checksum))
        return found

    async def execute(self, previous: PreviousLayer | None) -> Layer:
        """Copy into a new layer over the state's. After `inputs`."""
        top = self._state.top_layer
        async with (
            self._job.slots,
            workspace(self._job.config.paths, self._job.layers, top) as space,
        ):
            owner = None if self._keeps_owner else (0, 0)
            if self._words.owner:
                owner = await in_thread(_owner_ids, space.rootfs, self._words.owner)
            job = CopyJob(
                sources=self._sources,
                destination=self._words.target,
                owner=owner,
                mode=self._words.mode,
                previous=previous,
            )
            links = await in_thread_to_end(self._copy, space.rootfs, job)
            space.unmount()
            await in_thread_to_end(links.make, space.draft.diff)
            return await in_thread_to_end(self._job.layers.commit, space.draft, parent=top)

    def _copy(self, root: Path, job: CopyJob) -> Links:
        tmp = self._job.config.paths.tmp
        unpacks = isinstance(self._instruction, Add)
        return _copy_all(root, job, tmp, unpacks=unpacks, chowns=bool(self._words.owner))


def _copy_all(root: Path, job: CopyJob, tmp: Path, *, unpacks: bool, chowns: bool) -> Links:
    """Copy, with the archives of ADD unpacked first: their files keep their owners."""
    archives = [
        source
        for source in job.sources
        if unpacks
        and source.context.what == "build context"
        and Extracted.is_wanted(source)
        and not source.entry.full.startswith(str(tmp / "add-"))
    ]
    plain = [source for source in job.sources if source not in archives]
    if not archives:
        return copy_into(root, job)
    # Links would be made after the archives, over their files: copy instead.
    job = replace(job, previous=None)
    if plain:
        copy_into(root, replace(job, sources=plain))
    for source in archives:
        with TemporaryFiles(tmp) as files:
            extracted = Extracted.into(source, unpack_directory(files))
            owner = job.owner if chowns else None
            destination = job.destination.rstrip("/") + "/"
            copy_into(
                root,
                replace(job, sources=[extracted], destination=destination, owner=owner, mode=None),
            )
    return Links()


def _mode(text: str) -> int | None:
    """Raises: InvalidParameter in Docker's words."""
    if not text:
        return None
    if not re.fullmatch(r"[0-7]{3,4}", text):
        raise InvalidParameter(
            f"invalid chmod parameter: '{text}'. it should be octal string and between 0 and 07777"
        )
    return int(text, 8)


def _owner_ids(rootfs: Path, owner: str) -> tuple[int, int]:
    """`user[:group]`; a user alone gives its number as the group too, as Docker does it."""
    name, colon, group = owner.partition(":")
    user = resolve_user(rootfs, owner)
    if not colon or not group:
        return user.uid, user.uid if name.isdecimal() else user.gid
    return user.uid, user.gid
