"""Format: the restart policy: whether a container that ended starts again, and after what pause."""

from __future__ import annotations

from pogu.containers.model import ContainerState
from pogu.model.container import RestartPolicy

__all__ = ["next_pause_s", "wants_restart"]

_FIRST_BACKOFF_S = 0.1
_LONGEST_BACKOFF_S = 60.0
_SETTLED_S = 10.0


def wants_restart(policy: RestartPolicy, state: ContainerState) -> bool:
    """By policy, after its own end; never after a stop by the user."""
    if state.stopped_by_user:
        return False
    if policy.name in ("always", "unless-stopped"):
        return True
    if policy.name != "on-failure" or state.exit_code == 0:
        return False
    most = policy.maximum_retry_count
    return most == 0 or state.restart_count < most


def next_pause_s(before_s: float, *, ran_s: float) -> float:
    """Return the pause after an end: each quick end doubles it, from the first one (`before_s` 0)
    to a bound; it is the first again when the container ran for a while.
    """
    pause_s = _FIRST_BACKOFF_S if ran_s >= _SETTLED_S or not before_s else before_s * 2
    return min(pause_s, _LONGEST_BACKOFF_S)
