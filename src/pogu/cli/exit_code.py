"""Format: the exit codes of containers and of failed starts, apart from `run` and all its flags."""

from __future__ import annotations

from pogu.cli.failure import CliError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pogu.cli.http import Reply

__all__ = ["exit_code_of", "start_exit_code"]


def exit_code_of(waiting: Reply, name: str) -> int:
    """Read the answer to a wait. Raises: CliError when the engine ended before the container."""
    try:
        answer = waiting.json()
    except CliError as err:
        raise CliError(
            f"the engine ended, which does not end the container {name}",
            hint=f"pogu attach {name}; what it wrote meanwhile: pogu logs {name}",
            code=125,
        ) from err
    if not isinstance(answer, dict):
        return 125
    return int(str(answer.get("StatusCode", 125)))


def start_exit_code(message: str) -> int:
    """Docker's: 127 when the program is missing, 126 when it cannot be executed, else 125."""
    lowered = message.lower()
    if "executable file not found" in lowered or "no such file or directory" in lowered:
        return 127
    refusals = ("permission denied", "is a directory", "exec format error")
    if any(words in lowered for words in refusals):
        return 126
    return 125
