"""Service: one stage from its FROM to its last instruction: cache, execution, events."""

from __future__ import annotations

import os
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

from pogu.build.command import code_hint, run_argv, run_history, run_key
from pogu.build.copy import make_directory
from pogu.build.copy_step import CopyStep
from pogu.build.events import StepCached, StepDone, StepOutput, StepStarted, Triggered
from pogu.build.graph import find_stage
from pogu.build.job import BuildJob, StageResults, base_platform
from pogu.build.metadata import apply_metadata
from pogu.build.run import RunFailed, RunJob
from pogu.build.state import PREDEFINED_ARGS, StageState
from pogu.build.step_cache import StepCache, with_layer
from pogu.build.workspace import view, workspace
from pogu.dockerfile.instructions import Add, Arg, Copy, Instruction, Onbuild, Run, Stage, Workdir
from pogu.dockerfile.parser import excerpt, parse_instruction
from pogu.errors import EngineError, InvalidParameter, NotImplementedByEngine
from pogu.images.image import short_id
from pogu.images.platform import parse_platform, platform_of
from pogu.images.store import Image
from pogu.linux.blocking import in_thread, in_thread_to_end
from pogu.linux.openat2 import openat2_in_root
from pogu.storage.layers import Layer

__all__ = ["StageBuild"]


class StageBuild:
    """Runs one stage; its methods are called in order, by one task."""

    def __init__(self, job: BuildJob, results: StageResults, stage: Stage) -> None:
        self._job = job
        self._results = results
        self._stage = stage
        self._cache = StepCache(job, stage)
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
            self._cache.base_name = f"stage {stage.name}"
            began = await self._started(self._stage.base, number)
        elif image_name == "scratch":
            platform = base_platform(self._stage, self._job)
            state = StageState(platform=parse_platform(platform) if platform else self._job.target)
            self._cache.base_name = "scratch"
            began = await self._started(self._stage.base, number)
        else:
            began = await self._started(self._stage.base, number)
            platform = base_platform(self._stage, self._job)
            image = await self._results.image(image_name, platform)
            self._cache.base_name = f"{image_name} {short_id(image.id)}"
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
        inputs = self._cache.inputs(state, instruction.text, args=args)
        record, reason = self._cache.lookup(inputs, number)
        began = await self._started(instruction, number, reason)
        if record is not None:
            await self._job.emit(StepCached(step=number))
            result = self._cache.recalled(after, record, instruction.text)
        else:
            layer = None
            if isinstance(instruction, Workdir):
                layer = await self._make_workdir(after)
            result = with_layer(after, layer, instruction.text)
            self._cache.remember(inputs, number, result, empty=layer is None)
        await self._done(number, result, began)
        return result

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
        args = run_argv(instruction, state)
        shown = {name: value for name, value in state.args.items() if name not in PREDEFINED_ARGS}
        text = " ".join(args)
        network = instruction.network or self._job.network
        inputs = self._cache.inputs(state, run_key(instruction, network), args=shown)
        record, reason = self._cache.lookup(inputs, number)
        began = await self._started(instruction, number, reason)
        history = run_history(state, args)
        if record is not None:
            await self._job.emit(StepCached(step=number))
            result = self._cache.recalled(state, record, history)
        else:
            layer = await self._execute(args, state, network, number, text)
            result = with_layer(state, layer, history)
            self._cache.remember(inputs, number, result, empty=False)
        await self._done(number, result, began)
        return result

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
            settings=self._job.settings,
        )
        async with self._job.slots:
            code, layer = await self._job.runner.run(job, state.top_layer, output)
        if layer is None:
            raise RunFailed(
                f"The command '{text}' returned a non-zero code: {code}",
                exit_code=code,
                hint=code_hint(code),
            )
        return layer

    # ---- COPY and ADD --------------------------------------------------------------------

    async def _copy(self, instruction: Copy | Add, state: StageState, number: int) -> StageState:
        async with CopyStep(self._job, self._results, self._stage, instruction, state) as step:
            quick = await step.quick_inputs(self._cache)
            record = self._cache.find(quick) if quick is not None else None
            reason, inputs = None, None
            if record is None:
                inputs = await step.inputs(self._cache)
                record, reason = self._cache.lookup(inputs, number)
            began = await self._started(instruction, number, reason)
            if record is not None:
                await self._job.emit(StepCached(step=number))
                result = self._cache.recalled(state, record, instruction.text)
            else:
                assert inputs is not None
                previous = await in_thread(self._cache.previous, inputs, number)
                result = with_layer(state, await step.execute(previous), instruction.text)
                self._cache.remember(inputs, number, result, empty=False)
            if quick is not None:
                self._cache.remember(quick, -number, result, empty=False)
        await self._done(number, result, began)
        return result

    @property
    def used_args(self) -> set[str]:
        """Names that an ARG of this stage declared."""
        return self._used_args


def _state_of(image: Image) -> StageState:
    config = image.config
    return StageState(
        config=config.config,
        platform=platform_of(config),
        top_layer=image.top_layer,
        diff_ids=config.rootfs.diff_ids,
        history=config.history,
        author=config.author,
        created=config.created,
    )


def _is_directory(root: Path, path: str) -> bool:
    root_fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.close(openat2_in_root(root_fd, path, os.O_PATH | os.O_DIRECTORY))
    except OSError:
        return False
    finally:
        os.close(root_fd)
    return True
