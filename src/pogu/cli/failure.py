"""Format: what the CLI says when something fails, and with which exit code."""

from __future__ import annotations

__all__ = ["ApiError", "CliError", "UsageError", "near"]


class CliError(Exception):
    """Ends the command: `message`, then the hint, then `code`."""

    def __init__(self, message: str, *, hint: str = "", code: int = 1) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.code = code


class UsageError(CliError):
    """The command line cannot be understood (125, as Docker's; 1 for a wrong count of words)."""

    def __init__(self, message: str, *, hint: str = "", code: int = 125) -> None:
        super().__init__(message, hint=hint, code=code)


class ApiError(CliError):
    """The engine said no; `status` is HTTP's."""

    def __init__(self, status: int, message: str, hint: str) -> None:
        super().__init__(f"Error response from daemon: {message}", hint=hint)
        self.status = status
        self.engine_message = message


def near(word: str, known: object) -> str:
    """Return the name most like `word`, or an empty text."""
    import difflib

    close = difflib.get_close_matches(word, list(known), 1, 0.6)  # type: ignore[call-overload]
    return str(close[0]) if close else ""
