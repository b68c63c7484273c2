"""Format: the restart policy: whether a container that ended starts again, and after what pause."""

from __future__ import annotations

from pogu.containers.model import ContainerState
from pogu.model.container import RestartPolicy

__all__ = ["Backoff", "wants_restart"]

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


class Backoff:
    """The pauses before restarts, by container: each quick end doubles the next one."""

    def __init__(self) -> None:
        self._pauses: dict[str, float] = {}

    def next_pause_s(self, container_id: str, *, ran_s: float) -> float:
        """Return the pause after an end; the first again when it ran for a while before."""
        before = self._pauses.get(container_id, 0.0)
        pause = _FIRST_BACKOFF_S if ran_s >= _SETTLED_S or not before else before * 2
        self._pauses[container_id] = min(pause, _LONGEST_BACKOFF_S)
        return self._pauses[container_id]

    def forget(self, container_id: str) -> None:
        """Begin anew with the first pause. Idempotent."""
        self._pauses.pop(container_id, None)
