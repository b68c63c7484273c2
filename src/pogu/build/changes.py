"""Format: `--change` of import and commit: metadata instructions applied to a config. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from pogu.build.metadata import apply_metadata
from pogu.build.state import StageState
from pogu.dockerfile.instructions import (
    Cmd,
    Entrypoint,
    Env,
    Expose,
    Healthcheck,
    Label,
    Onbuild,
    StopSignal,
    User,
    Volume,
    Workdir,
)
from pogu.dockerfile.parser import parse_instruction
from pogu.errors import InvalidParameter
from pogu.model.container import ContainerConfig

__all__ = ["apply_changes"]

_ALLOWED = (
    *(Cmd, Entrypoint, Env, Expose, Healthcheck, Label, Onbuild, StopSignal, User, Volume),
    Workdir,
)


def apply_changes(config: ContainerConfig, changes: Sequence[str]) -> ContainerConfig:
    """Return the config after the instructions. Raises: InvalidParameter."""
    state = StageState(config=config)
    for text in changes:
        word = text.split()[0].upper() if text.split() else text
        known = word in {kind.__name__.upper() for kind in _ALLOWED}
        instruction = parse_instruction(text) if known else None
        if not isinstance(instruction, _ALLOWED):
            raise InvalidParameter(
                f"{word} is not a valid change command",
                hint="allowed: " + ", ".join(kind.__name__.upper() for kind in _ALLOWED),
            )
        state = apply_metadata(instruction, state)
    return state.config
