"""Format: what exit codes mean: by convention, by signal, and by the program that used them."""

from __future__ import annotations

import posixpath
import signal

__all__ = ["code_meaning", "signal_name"]

_SIGNALS = {
    signal.SIGABRT: ("it aborted itself (SIGABRT)", "a failed assertion: its last lines say which"),
    signal.SIGBUS: (
        "it touched memory that is not there (SIGBUS)",
        "often a full /dev/shm: give it more with --shm-size",
    ),
    signal.SIGFPE: ("it divided by zero (SIGFPE)", "a defect of the program"),
    signal.SIGILL: (
        "it used an instruction that this processor does not have (SIGILL)",
        "it is built for a newer processor: take a build for this one",
    ),
    signal.SIGSEGV: (
        "it crashed (SIGSEGV)",
        "a defect of the program or its libraries: try another version of the image",
    ),
    signal.SIGSYS: (
        "it made a system call that the seccomp profile forbids (SIGSYS)",
        "try it with --security-opt seccomp=unconfined; if that helps, allow the call",
    ),
    signal.SIGPIPE: ("nobody read its output any more (SIGPIPE)", "look at who reads it"),
    signal.SIGINT: ("it was interrupted (SIGINT, Ctrl-C)", ""),
    signal.SIGXCPU: ("it used up its processor time (ulimit cpu)", "raise --ulimit cpu"),
    signal.SIGXFSZ: ("its file became too large (ulimit fsize)", "raise --ulimit fsize"),
}
_BY_PROGRAM: dict[str, dict[int, str]] = {
    "timeout": {124: "its time was up"},
    "curl": {6: "the host name cannot be resolved", 7: "the connection was refused"},
    "ssh": {255: "the connection failed"},
    "git": {128: "git gave up: its last lines say why"},
    "gunicorn": {3: "no worker could boot", 4: "the application could not be loaded"},
    "mongod": {
        14: "it could not go on",
        48: "its port is in use",
        62: "its data are of another version",
        100: "an exception that nothing caught",
    },
    "php-fpm": {78: "its configuration is wrong"},
}
_SYSEXITS = {
    64: "it was called wrongly",
    65: "its input data are wrong",
    66: "an input file is missing",
    69: "a service that it needs is not there",
    70: "an internal error",
    73: "it could not make a file",
    74: "an input or output error",
    77: "it lacks a permission",
    78: "its configuration is wrong",
}


def signal_name(number: int) -> str:
    """`SIGKILL`; a number for those without a name."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def code_meaning(code: int, program: str = "") -> tuple[str, str]:
    """What an exit code says, and what to do; either may be empty."""
    own = _BY_PROGRAM.get(posixpath.basename(program), {}).get(code)
    if own:
        return f"{posixpath.basename(program)}: {own}", ""
    if code == 0:
        return "its program came to its end without an error", ""
    if code == 1:
        return "it reported an error (exit code 1)", "its last lines say why"
    if code == 2:
        return "it reported an error: many programs mean wrong arguments", "compare its arguments"
    if code == 126:
        return (
            "a shell in it could not execute a command",
            "chmod +x that file; is its file system mounted noexec, its owner another user?",
        )
    if code == 127:
        return (
            "a shell in it did not find a command, or that command's interpreter or loader",
            "its last lines name it: install it in the image, look at PATH",
        )
    if code in _SYSEXITS:
        return _SYSEXITS[code], "its last lines say why"
    if 128 < code <= 192:
        known = _SIGNALS.get(signal.Signals(code - 128)) if _is_signal(code - 128) else None
        return known or (f"it was ended by {signal_name(code - 128)}", "")
    if code == 255:
        return "it reported -1, an error without a number", "its last lines say why"
    return f"it reported an error of its own (exit code {code})", "its last lines say why"


def _is_signal(number: int) -> bool:
    return number in set(signal.Signals)
