"""Format: what a build says while it goes on; the API turns it into Docker's JSON lines."""

from __future__ import annotations

from dataclasses import dataclass

from pogu.oci.digest import Digest

__all__ = [
    "BuildEvent",
    "Built",
    "Pulling",
    "StepCached",
    "StepDone",
    "StepOutput",
    "StepStarted",
    "Tagged",
    "Triggered",
    "Warned",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildEvent:
    """`step` counts from 1 over all instructions that this build executes; 0 = none."""

    step: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class StepStarted(BuildEvent):
    """`text` is the instruction as written, e.g. `COPY package.json .`."""

    total: int
    stage: str
    text: str
    line: int
    miss_reason: str | None = None
    """Set on the first step of a chain that was not cached: why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepCached(BuildEvent):
    """The step's result was there already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepOutput(BuildEvent):
    """Bytes that RUN wrote, live: stream 1 or 2."""

    stream: int
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class StepDone(BuildEvent):
    """`image_id` is the image as of this step (Docker's ` ---> 0123456789ab`)."""

    image_id: Digest
    duration_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Triggered(BuildEvent):
    """`count` ONBUILD instructions of the base run next."""

    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Warned(BuildEvent):
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Pulling(BuildEvent):
    """A base image is on its way: one line of a pull's progress."""

    status: str
    id: str
    current: int
    total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Built(BuildEvent):
    image_id: Digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Tagged(BuildEvent):
    reference: str
