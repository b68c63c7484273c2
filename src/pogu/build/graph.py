"""Format: which stages a target needs, and what each waits for. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from pogu.dockerfile.flags import near
from pogu.dockerfile.instructions import Copy, Dockerfile, Run, Stage
from pogu.errors import InvalidParameter

__all__ = ["Plan", "find_stage", "plan"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The needed stages in the order of the file; the last one is the target."""

    stages: tuple[Stage, ...]
    target: Stage
    first_steps: dict[int, int]
    """By stage index: the number of its FROM step, counted from 1 over the needed stages."""
    total_steps: int


def plan(dockerfile: Dockerfile, target: str, images: dict[int, str]) -> Plan:
    """Pick the stages that `target` (name, index, or empty = last) stands on.

    `images` holds each stage's expanded FROM. Raises: InvalidParameter for an unknown target.
    """
    last = _target(dockerfile, target)
    needed: dict[int, Stage] = {}
    front = [last]
    while front:
        stage = front.pop()
        if stage.index not in needed:
            needed[stage.index] = stage
            front += _dependencies(dockerfile, stage, images[stage.index])
    stages = tuple(needed[index] for index in sorted(needed))
    first_steps, count = {}, 1
    for stage in stages:
        first_steps[stage.index] = count
        count += 1 + len(stage.instructions)
    return Plan(stages=stages, target=last, first_steps=first_steps, total_steps=count - 1)


def _target(dockerfile: Dockerfile, target: str) -> Stage:
    if not target:
        return dockerfile.stages[-1]
    stage = find_stage(dockerfile, target, before=len(dockerfile.stages))
    if stage is None:
        names = [stage.name for stage in dockerfile.stages if not stage.name.isdecimal()]
        raise InvalidParameter(
            f'target stage "{target}" could not be found',
            hint=near(target, names)
            or (f"the stages are {', '.join(names)}" if names else "name one: FROM image AS name"),
        )
    return stage


def find_stage(dockerfile: Dockerfile, name: str, *, before: int) -> Stage | None:
    """Return the stage before index `before` that has the name or number; None for an image."""
    for stage in reversed(dockerfile.stages[:before]):
        if stage.base.name is not None and stage.base.name == name.lower():
            return stage
    if name.isdecimal() and int(name) < before:
        return dockerfile.stages[int(name)]
    return None


def _dependencies(dockerfile: Dockerfile, stage: Stage, image: str) -> list[Stage]:
    names = [image]
    for instruction in stage.instructions:
        if isinstance(instruction, Copy) and instruction.from_stage:
            names.append(instruction.from_stage)
        elif isinstance(instruction, Run):
            names += [
                value
                for mount in instruction.mounts
                for key, value in mount.options
                if key == "from" and value
            ]
    found = [find_stage(dockerfile, name, before=stage.index) for name in names]
    return [one for one in found if one is not None]
