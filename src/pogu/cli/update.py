"""Edge: `update`: other limits and another restart policy for containers that exist."""

from __future__ import annotations

from pogu.cli.context import Context
from pogu.cli.create_body import restart_policy
from pogu.cli.create_flags import CREATE_FLAGS
from pogu.cli.failure import UsageError
from pogu.cli.flags import Command, Values
from pogu.cli.http import quote
from pogu.cli.limits import changeable_limits

__all__ = ["COMMANDS"]

# fmt: off
_CHANGEABLE = frozenset((
    "blkio-weight", "cpu-period", "cpu-quota", "cpu-rt-period", "cpu-rt-runtime", "cpu-shares",
    "cpus", "cpuset-cpus", "cpuset-mems", "kernel-memory", "memory",
    "memory-reservation", "memory-swap", "pids-limit", "restart",
))
# fmt: on


def _update(context: Context, values: Values) -> int:
    if not values.given:
        raise UsageError("you must provide one or more flags when using this command")
    body = changeable_limits(values)
    if values.text("restart"):
        body["RestartPolicy"] = restart_policy(values.text("restart"))

    def update(name: str) -> None:
        answer = context.post(f"/containers/{quote(name)}/update", body=body)
        for warning in (answer if isinstance(answer, dict) else {}).get("Warnings") or ():
            context.error(f"WARNING: {warning}")

    return context.each(values.args, update)


COMMANDS = {
    "update": Command(
        "update",
        "[OPTIONS] CONTAINER [CONTAINER...]",
        "Update the limits and restart policy of one or more containers",
        _update,
        [flag for flag in CREATE_FLAGS if flag.long in _CHANGEABLE],
        least=1,
    )
}
