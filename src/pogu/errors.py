"""The one tree of errors. Pure; status codes live in `api/`, exit codes in `cli/`.

    EngineError
    ├── NotFound                 404   no such image, container, network, volume
    ├── InvalidParameter         400   the request cannot mean anything
    ├── Conflict                 409   the name is taken, the image is used, the state forbids it
    ├── NotModified              304   already so (start of a running container)
    ├── Unauthorized             401
    ├── Forbidden                403
    │   └── RejectedByPolicy           policy.json does not let the image in
    ├── Unavailable              503
    ├── NotImplementedByEngine   501
    └── SystemFailure            500   the host refused
        ├── CommandFailed              a program ended with an error
        └── DataLoss                   what is stored differs from its digest

A message is written in the words that Docker's clients look for; the hint is ours and says what
to do next. Low-level errors become one of these at one boundary per edge (`raise … from err`).
"""

from __future__ import annotations

from collections.abc import Sequence

__all__ = [
    "CommandFailed",
    "Conflict",
    "DataLoss",
    "EngineError",
    "Forbidden",
    "InvalidParameter",
    "NotFound",
    "NotImplementedByEngine",
    "NotModified",
    "RejectedByPolicy",
    "SystemFailure",
    "Unauthorized",
    "Unavailable",
    "first_error",
]


class EngineError(Exception):
    """Anything the engine says no to; `message` for clients, `hint` for people."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return self.message


class NotFound(EngineError):
    """The named thing does not exist."""


class InvalidParameter(EngineError):
    """The request is malformed or contradicts itself."""


class Conflict(EngineError):
    """The present state forbids the request."""


class NotModified(EngineError):
    """The thing already is as asked."""


class Unauthorized(EngineError):
    """Credentials are missing or wrong."""


class Forbidden(EngineError):
    """The caller may not do this."""


class RejectedByPolicy(Forbidden):
    """The policy file does not let this image in."""


class Unavailable(EngineError):
    """A service that is needed is not there at present."""


class NotImplementedByEngine(EngineError):
    """Docker has this; Pogu does not."""


class SystemFailure(EngineError):
    """The host refused: a system call or a program failed."""


class CommandFailed(SystemFailure):
    """A program ended with an error; holds what is needed to see why."""

    def __init__(
        self,
        argv: Sequence[str],
        exit_code: int,
        stderr: str,
        *,
        hint: str | None = None,
    ) -> None:
        tail = "\n".join(stderr.strip().splitlines()[-5:])
        super().__init__(f"{argv[0]} failed with exit code {exit_code}: {tail}", hint=hint)
        self.argv = tuple(argv)
        self.exit_code = exit_code
        self.stderr = stderr


class DataLoss(SystemFailure):
    """What was stored is gone, or does not have the digest it is stored under."""


def first_error(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    """The error that ended a task group: the first that is not a mere consequence."""
    for error in errors.exceptions:
        if isinstance(error, BaseExceptionGroup):
            return first_error(error)
        if isinstance(error, EngineError):
            return error
    return errors.exceptions[0]
