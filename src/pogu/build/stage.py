"""Service: one stage from its FROM to its last instruction: cache, execution, events."""

from __future__ import annotations

import asyncio
import os
import posixpath
import re
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from pogu.build.cache import BuildCache, CacheRecord, StepInputs, miss_reason
from pogu.build.context import Context, FileDigests
from pogu.build.copy import CopyJob, Source, copy_into, make_directory
from pogu.build.events import (
    BuildEvent,
    StepCached,
    StepDone,
    StepOutput,
    StepStarted,
    Triggered,
)
from pogu.build.graph import Plan, find_stage
from pogu.build.run import RunFailed, RunJob, Runner
from pogu.build.sources import (
    Extracted,
    TemporaryFiles,
    digests_of,
    find_sources,
    is_url,
    unpack_directory,
)
from pogu.build.state import (
    PREDEFINED_ARGS,
    StageState,
    apply_metadata,
    command_words,
)
from pogu.build.workspace import view, workspace
from pogu.config import Config
from pogu.dockerfile.expand import expand_word
from pogu.dockerfile.instructions import (
    Add,
    Arg,
    Copy,
    Dockerfile,
    Instruction,
    Onbuild,
    Run,
    Stage,
    Workdir,
)
from pogu.dockerfile.parser import excerpt, parse_instruction
from pogu.errors import EngineError, InvalidParameter, NotImplementedByEngine
from pogu.images.image import rfc3339, short_id
from pogu.images.store import Image
from pogu.linux.blocking import in_thread, in_thread_to_end
from pogu.linux.openat2 import openat2_in_root
from pogu.oci.digest import ChainId
from pogu.runtime.oci_runtime import resolve_user
from pogu.runtime.workload import Resources
from pogu.storage.layers import Layer, LayerStore

__all__ = ["BuildJob", "StageBuild", "StageResults"]

Emit = Callable[[BuildEvent], Awaitable[None]]

_INTERPRETER = "#!"


class StageResults(Protocol):
    """What a stage asks of the build it belongs to."""

    async def stage(self, index: int) -> StageState: ...

    async def image(self, name: str) -> Image: ...


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
    no_cache: bool
    network: str
    resources: Resources
    shm_size_bytes: int
    extra_hosts: Sequence[str]
    slots: asyncio.Semaphore
    emit: Emit


@dataclass(frozen=True, slots=True, kw_only=True)
class _Outcome:
    """What executing a step gave: a layer, or the state's own top layer again."""

    layer: Layer | None


class StageBuild:
    """Runs one stage; its methods are called in order, by one task."""

    def __init__(self, job: BuildJob, results: StageResults, stage: Stage) -> None:
        self._job = job
        self._results = results
        self._stage = stage
        self._missed = False
        self._base_name = ""
        self._used_args: set[str] = set()

    async def run(self, image_name: str) -> StageState:
        """Return the state after the last instruction.

        Raises: EngineError whose hint shows the lines of the Dockerfile around the place.
        """
        first = self._job.plan.first_steps[self._stage.index]
        state = await self._located(
            self._stage.base, lambda: self._from(image_name, number=first), number=first
        )
        for offset, instruction in enumerate(self._stage.instructions, 1):
            current = state
            state = await self._located(
                instruction,
                lambda step=instruction, now=current, number=first + offset: self._step(
                    step, now, number
                ),
                number=first + offset,
            )
        return state

    async def _located(
        self, instruction: Instruction, work: Callable[..., Awaitable[StageState]], *, number: int
    ) -> StageState:
        try:
            return await work()
        except EngineError as err:
            shown = excerpt(self._job.dockerfile.lines, instruction.source)
            if err.hint and shown in err.hint:
                raise
            hint = f"{shown}\n{err.hint}" if err.hint else shown
            err.hint = hint
            raise

    async def _started(
        self, instruction: Instruction, number: int, reason: str | None = None
    ) -> float:
        await self._job.emit(
            StepStarted(
                step=number,
                total=self._job.plan.total_steps,
                stage=self._stage.name,
                text=instruction.text,
                line=instruction.source.first_line,
                miss_reason=reason,
            )
        )
        return time.perf_counter()

    async def _done(self, number: int, state: StageState, began: float) -> None:
        duration = time.perf_counter() - began
        await self._job.emit(StepDone(step=number, image_id=state.image_id(), duration_s=duration))

    # ---- FROM ----------------------------------------------------------------------------

    async def _from(self, image_name: str, *, number: int) -> StageState:
        stage = find_stage(self._job.dockerfile, image_name, before=self._stage.index)
        if stage is not None:
            state = replace(await self._results.stage(stage.index), args={}, cmd_set=False)
            self._base_name = f"stage {stage.name}"
            began = await self._started(self._stage.base, number)
        elif image_name == "scratch":
            state = StageState()
            self._base_name = "scratch"
            began = await self._started(self._stage.base, number)
        else:
            began = await self._started(self._stage.base, number)
            image = await self._results.image(image_name)
            self._base_name = f"{image_name} {short_id(image.id)}"
            state = _state_of(image)
        await self._done(number, state, began)
        return await self._fire_triggers(state, number)

    async def _fire_triggers(self, state: StageState, number: int) -> StageState:
        """ONBUILD instructions of the base run as part of FROM."""
        triggers = state.config.on_build or ()
        state = state.with_config(on_build=None)
        if triggers:
            await self._job.emit(Triggered(step=number, count=len(triggers)))
        for text in triggers:
            instruction = parse_instruction(text)
            if isinstance(instruction, Onbuild) or instruction.text.upper().startswith("FROM"):
                raise InvalidParameter(
                    f"{text.split()[0].upper()} isn't allowed as an ONBUILD trigger"
                )
            placed = replace(instruction, source=self._stage.base.source)
            state = await self._step(placed, state, number)
        return state

    # ---- one instruction -----------------------------------------------------------------

    async def _step(self, instruction: Instruction, state: StageState, number: int) -> StageState:
        match instruction:
            case Run():
                return await self._run(instruction, state, number)
            case Copy() | Add():
                return await self._copy(instruction, state, number)
            case _:
                return await self._metadata(instruction, state, number)

    def _lookup(
        self, instruction: Instruction, inputs: StepInputs, number: int
    ) -> tuple[CacheRecord | None, str | None]:
        """Return the cached result, or the reason of the stage's first miss."""
        place = f"{self._job.place} {self._stage.index} {number}"
        record = None if self._job.no_cache else self._job.cache.find(inputs.key())
        if record is not None and record.top_layer and not self._job.layers.has(record.top_layer):
            self._job.cache.forget(inputs.key())
            record = None
        if record is not None or self._missed:
            return record, None
        self._missed = True
        if self._job.no_cache:
            return None, "--no-cache was given"
        before = self._job.cache.latest_at(place)
        return None, miss_reason(inputs, before.inputs() if before else None)

    def _remember(self, inputs: StepInputs, number: int, state: StageState, *, empty: bool) -> None:
        place = f"{self._job.place} {self._stage.index} {number}"
        record = CacheRecord(top_layer=state.top_layer, created=state.created, empty=empty)
        self._job.cache.add(place, inputs, record, now_ns=time.time_ns())

    def _inputs(self, state: StageState, text: str, **more: Mapping[str, str]) -> StepInputs:
        return StepInputs(
            parent=state.identity(),
            base=self._base_name,
            text=text,
            args=dict(more.get("args", {})),
            files=dict(more.get("files", {})),
        )

    async def _metadata(
        self, instruction: Instruction, state: StageState, number: int
    ) -> StageState:
        after = apply_metadata(
            instruction,
            state,
            escape=self._job.dockerfile.escape,
            build_args=self._job.build_args,
            meta_args=self._job.meta_args,
        )
        names = {name for name in after.args if name in instruction.text}
        if isinstance(instruction, Arg):
            names = {name for name, _ in instruction.pairs} & after.args.keys()
            self._used_args |= {name for name, _ in instruction.pairs}
        args = {name: after.args[name] for name in names - PREDEFINED_ARGS}
        inputs = self._inputs(state, instruction.text, args=args)
        record, reason = self._lookup(instruction, inputs, number)
        began = await self._started(instruction, number, reason)
        if record is not None:
            await self._job.emit(StepCached(step=number))
            result = self._recalled(after, record, instruction.text)
        else:
            layer = None
            if isinstance(instruction, Workdir):
                layer = await self._make_workdir(after)
            result = _with_layer(after, layer, instruction.text)
            self._remember(inputs, number, result, empty=layer is None)
        await self._done(number, result, began)
        return result

    def _recalled(self, state: StageState, record: CacheRecord, text: str) -> StageState:
        """The state after a step whose result is there already."""
        if record.empty or record.top_layer is None:
            return state.remember(text, created=record.created, empty=True)
        layer = self._job.layers.get(record.top_layer)
        state = replace(state, top_layer=layer.chain_id, diff_ids=(*state.diff_ids, layer.diff_id))
        return state.remember(text, created=record.created, empty=False)

    async def _make_workdir(self, state: StageState) -> Layer | None:
        """Make the directory where it is missing; it belongs to root, as Docker's does."""
        path = state.config.working_dir
        async with self._job.slots:
            async with view(self._job.config.paths, self._job.layers, state.top_layer) as root:
                if _is_directory(root, path):
                    return None
            async with workspace(
                self._job.config.paths, self._job.layers, state.top_layer
            ) as space:
                await in_thread_to_end(make_directory, space.rootfs, path)
                space.unmount()
                return await in_thread_to_end(
                    self._job.layers.commit, space.draft, parent=state.top_layer
                )

    # ---- RUN -----------------------------------------------------------------------------

    async def _run(self, instruction: Run, state: StageState, number: int) -> StageState:
        if instruction.mounts:
            kind = dict(instruction.mounts[0].options).get("type") or "bind"
            raise NotImplementedByEngine(
                f"RUN --mount=type={kind} is not implemented by Pogu yet",
                hint="COPY what it needs, or fetch it in the same RUN",
            )
        args = self._run_args(instruction, state)
        shown = {name: value for name, value in state.args.items() if name not in PREDEFINED_ARGS}
        text = " ".join(args)
        network = instruction.network or self._job.network
        inputs = self._inputs(state, instruction.text + _network_key(network), args=shown)
        record, reason = self._lookup(instruction, inputs, number)
        began = await self._started(instruction, number, reason)
        history = _run_history(instruction, state, args)
        if record is not None:
            await self._job.emit(StepCached(step=number))
            result = self._recalled(state, record, history)
        else:
            layer = await self._execute(args, state, network, number, text)
            result = _with_layer(state, layer, history)
            self._remember(inputs, number, result, empty=False)
        await self._done(number, result, began)
        return result

    def _run_args(self, instruction: Run, state: StageState) -> tuple[str, ...]:
        """The argv; a heredoc is the shell's input, or a script with its own interpreter."""
        if not instruction.heredocs:
            return command_words(instruction.command, state.shell)
        body = instruction.heredocs[0].body
        command = " ".join(instruction.command.words).strip()
        if re.fullmatch(r"<<-?\s*[\"']?\w+[\"']?", command):
            if not body.startswith(_INTERPRETER):
                return (*state.shell, body)
            # The kernel reads `#!`: the script is written, run and taken away by the shell.
            script = "f=$(mktemp) && cat > \"$f\" <<'POGU_SCRIPT'\n" + body + "POGU_SCRIPT\n"
            script += 'chmod +x "$f" && "$f"; code=$?; rm -f "$f"; exit $code'
            return (*state.shell, script)
        whole = (
            command
            + "\n"
            + "".join(f"{heredoc.body}{heredoc.name}\n" for heredoc in instruction.heredocs)
        )
        return (*state.shell, whole)

    async def _execute(
        self, args: tuple[str, ...], state: StageState, network: str, number: int, text: str
    ) -> Layer:
        async def output(stream: int, data: bytes) -> None:
            await self._job.emit(StepOutput(step=number, stream=stream, data=data))

        predefined = {
            name: value
            for name, value in self._job.build_args.items()
            if name in PREDEFINED_ARGS and value is not None
        }
        job = RunJob(
            args=args,
            env={**predefined, **state.args, **state.environment},
            user=state.config.user,
            cwd=state.config.working_dir,
            network="default" if network in ("", "default", "bridge") else network,
            resources=self._job.resources,
            shm_size_bytes=self._job.shm_size_bytes,
            extra_hosts=self._job.extra_hosts,
        )
        async with self._job.slots:
            code, layer = await self._job.runner.run(job, state.top_layer, output)
        if layer is None:
            raise RunFailed(
                f"The command '{text}' returned a non-zero code: {code}",
                exit_code=code,
                hint=_code_hint(code),
            )
        return layer

    # ---- COPY and ADD --------------------------------------------------------------------

    async def _copy(self, instruction: Copy | Add, state: StageState, number: int) -> StageState:
        def word(text: str) -> str:
            return expand_word(text, state.variables, self._job.dockerfile.escape)

        destination = word(instruction.destination)
        target = posixpath.join("/", state.config.working_dir or "/", destination)
        if destination.endswith(("/", "/.")) or destination == ".":
            target = posixpath.normpath(target).rstrip("/") + "/"
        patterns = [word(source) for source in instruction.sources]
        owner, mode = word(instruction.chown or ""), _mode(word(instruction.chmod or ""))
        async with AsyncExitStack() as stack:
            quick, sources, keeps_owner = await self._sources(instruction, patterns, state, stack)
            names = {name for name in state.args if name in instruction.text}
            used = {name: state.args[name] for name in names}
            text = f"{instruction.text}\n{target} {owner}"
            record = None
            quick_inputs = self._inputs(state, f"{text}\n{quick}", args=used) if quick else None
            if quick_inputs is not None and not self._job.no_cache:
                record = self._job.cache.find(quick_inputs.key())
                if record and record.top_layer and not self._job.layers.has(record.top_layer):
                    record = None
            reason = None
            inputs = None
            if record is None:
                found = await sources()
                digests = None if keeps_owner else self._job.digests
                files = await in_thread(digests_of, found, digests, owners=keeps_owner)
                inputs = self._inputs(state, text, args=used, files=files)
                record, reason = self._lookup(instruction, inputs, number)
            began = await self._started(instruction, number, reason)
            if record is not None:
                await self._job.emit(StepCached(step=number))
                result = self._recalled(state, record, instruction.text)
            else:
                owner_ids = None if keeps_owner else (0, 0)
                layer = await self._place(instruction, found, state, target, owner, owner_ids, mode)
                result = _with_layer(state, layer, instruction.text)
                assert inputs is not None
                self._remember(inputs, number, result, empty=False)
            if quick_inputs is not None:
                self._remember(quick_inputs, -number, result, empty=False)
        await self._done(number, result, began)
        return result

    async def _sources(
        self,
        instruction: Copy | Add,
        patterns: list[str],
        state: StageState,
        stack: AsyncExitStack,
    ) -> tuple[str, Callable[[], Awaitable[list[Source]]], bool]:
        """Return a quick key ("" = none), how to find the sources, and whether owners are kept."""
        if isinstance(instruction, Copy) and instruction.from_stage:
            top = await self._top_of(instruction.from_stage)

            async def of_stage() -> list[Source]:
                root = await stack.enter_async_context(
                    view(self._job.config.paths, self._job.layers, top)
                )
                context = Context(root, what=f"stage {instruction.from_stage}")
                return await in_thread(find_sources, context, patterns)

            return f"from {top}", of_stage, True

        async def of_context() -> list[Source]:
            return await in_thread(self._local_sources, instruction, patterns, state, stack)

        return "", of_context, False

    async def _top_of(self, name: str) -> ChainId | None:
        stage = find_stage(self._job.dockerfile, name, before=self._stage.index)
        if stage is not None:
            return (await self._results.stage(stage.index)).top_layer
        if name == "scratch":
            return None
        return (await self._results.image(name)).top_layer

    def _local_sources(
        self,
        instruction: Copy | Add,
        patterns: list[str],
        state: StageState,
        stack: AsyncExitStack,
    ) -> list[Source]:
        files = None
        found: list[Source] = []
        names = {heredoc.name: heredoc for heredoc in instruction.heredocs}
        for pattern in patterns:
            heredoc = names.get(re.sub(r"^<<-?[\"']?|[\"']?$", "", pattern))
            remote = isinstance(instruction, Add) and is_url(pattern)
            if heredoc is None and not remote:
                found += find_sources(self._job.context, [pattern])
                continue
            if files is None:
                files = stack.enter_context(TemporaryFiles(self._job.config.paths.tmp))
            if heredoc is not None:
                found.append(files.heredoc(heredoc, state.variables, self._job.dockerfile.escape))
            else:
                checksum = instruction.checksum if isinstance(instruction, Add) else None
                found.append(files.download(pattern, checksum=checksum))
        return found

    async def _place(
        self,
        instruction: Copy | Add,
        sources: list[Source],
        state: StageState,
        target: str,
        owner: str,
        owner_ids: tuple[int, int] | None,
        mode: int | None,
    ) -> Layer:
        async with (
            self._job.slots,
            workspace(self._job.config.paths, self._job.layers, state.top_layer) as space,
        ):
            if owner:
                owner_ids = await in_thread(_owner_ids, space.rootfs, owner)
            tmp = self._job.config.paths.tmp
            unpacks = isinstance(instruction, Add)
            job = CopyJob(sources=sources, destination=target, owner=owner_ids, mode=mode)
            await in_thread_to_end(_copy_all, space.rootfs, job, tmp, unpacks, bool(owner))
            space.unmount()
            return await in_thread_to_end(
                self._job.layers.commit, space.draft, parent=state.top_layer
            )

    @property
    def used_args(self) -> set[str]:
        """Names that an ARG of this stage declared."""
        return self._used_args


def _copy_all(root: Path, job: CopyJob, tmp: Path, unpacks: bool, chowns: bool) -> None:
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


def _state_of(image: Image) -> StageState:
    config = image.config
    return StageState(
        config=config.config,
        top_layer=image.top_layer,
        diff_ids=config.rootfs.diff_ids,
        history=config.history,
        author=config.author,
        created=config.created,
    )


def _with_layer(state: StageState, layer: Layer | None, text: str) -> StageState:
    created = rfc3339(time.time_ns())
    if layer is None:
        return state.remember(text, created=created, empty=True)
    state = replace(state, top_layer=layer.chain_id, diff_ids=(*state.diff_ids, layer.diff_id))
    return state.remember(text, created=created, empty=False)


def _network_key(network: str) -> str:
    return "" if network in ("", "default", "bridge") else f"\n--network={network}"


def _run_history(instruction: Run, state: StageState, args: tuple[str, ...]) -> str:
    """`RUN |1 A=b /bin/sh -c …`: the args that it saw stand before the command."""
    shown = [
        f"{name}={value}"
        for name, value in sorted(state.args.items())
        if name not in PREDEFINED_ARGS
    ]
    before = f"|{len(shown)} {' '.join(shown)} " if shown else ""
    return f"RUN {before}{' '.join(args)}"


def _code_hint(code: int) -> str | None:
    known = {
        126: "126: found, but not executable",
        127: "127: the shell did not find the command in this image",
        137: "137: killed (SIGKILL); often the memory was not enough",
    }
    return known.get(code)


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


def _is_directory(root: Path, path: str) -> bool:
    root_fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.close(openat2_in_root(root_fd, path, os.O_PATH | os.O_DIRECTORY))
    except OSError:
        return False
    finally:
        os.close(root_fd)
    return True
