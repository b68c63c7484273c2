"""Format: what a runtime printed when it failed → an error in Docker's words. Pure."""

from __future__ import annotations

import json
import re

from pogu.errors import EngineError, InvalidParameter, SystemFailure

__all__ = ["exec_failure", "exec_refusal", "init_refusal", "runtime_failure", "start_exit_code"]

_PREFIX = "failed to create task for container: OCI runtime create failed: "
_EXEC_PREFIX = "OCI runtime exec failed: exec failed: "

_CLIENTS_LOOK_FOR = ("permission denied", "no such file or directory", "is a directory")
_NO_SPACE = "the disk is full: `pogu system df` shows what takes the space"


def runtime_failure(runtime: str, said: str) -> SystemFailure:
    """Return the error for the runtime's log or stderr.

    Clients take exit codes 126 and 127 from these words: "permission denied", "executable file
    not found in $PATH", "no such file or directory", "is a directory".
    """
    message, hint = _in_words(said)
    return SystemFailure(f"{_PREFIX}{runtime}: {message}: unknown", hint=hint)


def exec_refusal(runtime: str, program: str, reason: str, hint: str) -> SystemFailure:
    """The error for a program that the kernel would not execute, in the same words."""
    words = f'unable to start container process: exec: "{program}": {reason}'
    return SystemFailure(f"{_PREFIX}{runtime}: {words}: unknown", hint=hint)


def init_refusal(runtime: str, words: str, hint: str) -> SystemFailure:
    """The error for what the host cannot give the first process, as a runtime would say it."""
    words = f"unable to start container process: error during container init: {words}"
    return SystemFailure(f"{_PREFIX}{runtime}: {words}: unknown", hint=hint)


def exec_failure(said: str) -> EngineError:
    """As `runtime_failure`, for an exec; what the caller asked wrongly is InvalidParameter."""
    message, hint = _in_words(said)
    message = message.removeprefix("exec failed: ")
    if not message.startswith("unable to start"):
        message = f"unable to start container process: {message}"
    asked_wrongly = ("not found in $PATH", "no such file", "permission denied", "a directory")
    kind = InvalidParameter if any(one in message for one in asked_wrongly) else SystemFailure
    return kind(f"{_EXEC_PREFIX}{message}: unknown", hint=hint)


def start_exit_code(message: str) -> int:
    """Docker's: 127 when the program is missing, 126 when it cannot be executed, else 128."""
    lowered = message.lower()
    if "executable file not found" in lowered or "no such file or directory" in lowered:
        return 127
    refusals = ("permission denied", "is a directory", "not a directory", "exec format error")
    if any(words in lowered for words in refusals):
        return 126
    return 128


def _in_words(said: str) -> tuple[str, str]:
    """Docker's message and our hint."""
    message = _last_message(said).strip() or "it ended without a word"
    if message == "open executable: Operation not permitted":
        message = "open executable: is a directory"  # what crun says of one
    message = re.sub(r"^chdir `(.*)`:", r'chdir to cwd ("\1") set in config.json failed:', message)
    for words in _CLIENTS_LOOK_FOR:
        message = message.replace(words.capitalize(), words)
    lowered = message.lower()
    missing = re.search(
        r'exec(?:utable file)?:? [`"\']([^`"\']+)[`"\'](?: not found|:)', message, re.IGNORECASE
    )
    program = missing[1] if missing else ""
    if "executable file" in lowered and "not found" in lowered:
        reason = "executable file not found in $PATH"
        hint = f"the image has no {program or 'such program'}: look at its PATH and spelling"
        if "/" in program:
            reason = f"stat {program}: no such file or directory"
            hint = f"the image has no {program}"
        message = f'unable to start container process: exec: "{program}": {reason}'
    elif "error stat'ing file" in lowered or "error mounting" in lowered:
        hint = "what it mounts of the host is not there any more: make it again, or remove the"
        hint += " container and name another with -v"
    elif "no such file or directory" in lowered and program:
        hint = "the program, its interpreter (#! line) or its loader is not in the image"
    elif "chdir to cwd" in lowered or re.search(r"init: mkdir \S+: not a directory", lowered):
        hint = "the working directory is not in the container: make it, or name another with -w"
    elif "is a directory" in lowered:
        hint = "name a program in it"
    elif "permission denied" in lowered:
        hint = "the file is not executable: chmod +x, or name its interpreter; if it is a"
        hint += " directory, name a program in it"
    elif "exec format error" in lowered:
        hint = "built for another architecture, or a script without a #! line"
    elif "no space left" in lowered:
        hint = _NO_SPACE
    else:
        hint = "`pogu doctor` checks what this host offers"
    return message, hint


def _last_message(said: str) -> str:
    """Return the last error of a log in JSON lines, or the text without its prefixes."""
    messages = []
    for line in said.splitlines():
        try:
            record = json.loads(line)
            if record.get("level", "error") in ("error", "fatal"):
                messages.append(str(record.get("msg", "")))
        except (ValueError, AttributeError):
            messages.append(line)
    kept = [message for message in messages if message.strip()]
    return kept[-1] if kept else ""
