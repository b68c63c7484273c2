"""Format: why a container is as it is: facts → the cause, its evidence, and what to do. Pure.

Each cause is a function that knows its own signs and says None to all else; the first that speaks
is right, so the surer ones stand first.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pogu.containers.ends import Caller, End, StopRequest
from pogu.containers.exit_codes import code_meaning, signal_name
from pogu.containers.health import HealthStatus
from pogu.containers.log_signs import sign_in
from pogu.containers.model import ContainerState, Status, parse_time_ns

__all__ = ["Cause", "Facts", "cause_of", "sender", "size"]

_SHELLS = frozenset({"sh", "bash", "ash", "dash", "zsh", "python", "python3", "node"})
"""They end at once without input, and pass on how a child of theirs ended."""
_ASKED = ("stop", "restart", "rm -f")
_ENDING = (2, 3, 9, 15)
"""Signals that programs end at, with whatever code."""
_SOON_NS = 30_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """All that is known of one container."""

    name: str
    program: str
    state: ContainerState
    policy: str = ""
    waits_s: float = 0.0
    """Until the next try of the restart policy."""
    log: tuple[str, ...] = ()
    terminal: bool = False
    own_pids: bool = True
    """It has a pid namespace of its own: nobody inside can kill its first process."""
    memory_bytes: int = 0
    free_bytes: int = -1
    """On the storage root; -1 = not looked at."""
    user_name: Callable[[int], str] = str

    @property
    def end(self) -> End | None:
        return self.state.ends[-1] if self.state.ends else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """`kind` is for programs; `evidence` are short lines; the hint says what to do."""

    kind: str
    text: str
    evidence: tuple[str, ...] = ()
    hint: str = ""


def cause_of(facts: Facts) -> Cause:
    """The cause of its present state."""
    for look in (_alive, _never_started, _not_started, _lost, _out_of_memory, _asked, _signalled):
        found = look(facts)
        if found is not None:
            return found
    return _own_end(facts)


# ---- it runs, or never did -------------------------------------------------------------------


def _alive(facts: Facts) -> Cause | None:
    health = facts.state.health
    if facts.state.status is Status.PAUSED:
        return Cause(kind="paused", text="it is paused", hint=f"pogu unpause {facts.name}")
    if facts.state.status is not Status.RUNNING:
        return None
    if health is not None and health.status is HealthStatus.UNHEALTHY:
        return Cause(
            kind="unhealthy",
            text=f"it runs, but its health check failed {health.failing_streak} times in a row",
            evidence=_health(facts),
            hint="mend what the check's output says; it shows what it asks: pogu inspect",
        )
    if facts.state.oom_killed:
        return Cause(
            kind="oom",
            text="it runs, but the kernel killed a process in it for want of memory",
            hint=_more_memory(facts),
        )
    return Cause(kind="running", text="it runs")


def _never_started(facts: Facts) -> Cause | None:
    if facts.state.status is not Status.CREATED or facts.state.error or facts.end:
        return None
    return Cause(kind="created", text="it was never started", hint=f"pogu start {facts.name}")


def _not_started(facts: Facts) -> Cause | None:
    """The last start failed; what the engine found out then is on record."""
    error = facts.state.error
    if not error or (facts.end is not None and facts.end.lost):
        return None
    return Cause(
        kind=_start_kind(error, facts.state.hint),
        text="it could not be started",
        evidence=(error, *_free_space(facts, error)),
        hint=facts.state.hint,
    )


_START_KINDS = (
    ("port is already allocated", "port-in-use"),
    ("unable to find user", "user"),
    ("unable to find group", "user"),
    ("no space left", "disk-full"),
    ("chdir to cwd", "working-directory"),
    ("container init: mkdir", "working-directory"),
    ("not found in $PATH", "not-found"),
    ("bind source path", "mount"),
    ("error stat'ing file", "mount"),
    ("error mounting", "mount"),
    ("permission denied", "permission"),
    ("is a directory", "permission"),
)
_HINT_KINDS = (
    ("Windows line ends", "crlf"),
    ("without a #! line", "format"),
    ("empty file", "format"),
    ("is built for", "architecture"),
    ("wants the loader", "loader"),
    ("#! line of", "interpreter"),
)


def _start_kind(error: str, hint: str) -> str:
    by_hint = next((kind for words, kind in _HINT_KINDS if words in hint), "")
    by_error = next((kind for words, kind in _START_KINDS if words in error), "not-started")
    if by_error == "not-started" and "no such file or directory" in error:
        by_error = "not-found"
    return by_hint or by_error


# ---- ended from outside ----------------------------------------------------------------------


def _lost(facts: Facts) -> Cause | None:
    end = facts.end
    if end is None or not end.lost:
        return None
    if end.lost == "host":
        return Cause(
            kind="host",
            text="the host went down while it ran",
            evidence=("nobody saw its end; exit code 255 stands for that",),
            hint="--restart unless-stopped starts it with the host (pogu system install-service)",
        )
    return Cause(
        kind="monitor",
        text="its monitor (conmon) died, so the engine ended it",
        hint="was conmon killed by hand, or by the host for want of memory? See dmesg",
    )


def _out_of_memory(facts: Facts) -> Cause | None:
    end = facts.end
    if not facts.state.oom_killed or end is None:
        return None
    if end.limit_bytes:
        text = f"it ran out of memory: the kernel killed it at its limit of {size(end.limit_bytes)}"
    else:
        text = "the host ran out of memory: the kernel killed it"
    if end.exit_code != 137:
        text = text.replace("killed it", "killed a process in it")
    peak = f"most memory used: {size(end.peak_bytes)}" if end.peak_bytes else ""
    return Cause(kind="oom", text=text, evidence=(peak,) if peak else (), hint=_more_memory(facts))


def _more_memory(facts: Facts) -> str:
    limit = facts.memory_bytes
    if not limit:
        return "set a limit (--memory) on what takes most: pogu stats"
    return (
        f"give it more: pogu update --memory {limit * 2 // 2**20 or 8}m --memory-swap -1"
        f" {facts.name}; or let the program use less"
    )


def _asked(facts: Facts) -> Cause | None:
    """Somebody ended it by way of the engine."""
    end = facts.end
    request = end.request if end is not None else None
    if end is None or request is None:
        return None
    if request.action not in _ASKED and not _followed(end, request):
        return None
    words = {"stop": "stopped", "restart": "restarted", "rm -f": "removed by force"}
    done = words.get(request.action, f"killed with {signal_name(request.signal)}")
    evidence = [f"asked at {request.at[:19].replace('T', ' ')} UTC"]
    hint = ""
    if request.killed_after_s is not None:
        evidence.append(
            f"it did not end at {signal_name(request.signal)} within"
            f" {request.killed_after_s} s, so SIGKILL followed"
        )
        hint = "let its program handle the signal, run it with --init, or name another stop signal"
    return Cause(
        kind="asked",
        text=f"it was {done} by {sender(request.by, facts.user_name)}",
        evidence=tuple(evidence),
        hint=hint or f"pogu start {facts.name}",
    )


def _followed(end: End, request: StopRequest) -> bool:
    """True when the end looks like what that signal does; who handles one may go on for long."""
    if end.exit_code == 128 + request.signal:
        return True
    passed_ns = parse_time_ns(end.finished_at) - parse_time_ns(request.at)
    return request.signal in _ENDING and passed_ns < _SOON_NS


def sender(caller: Caller | None, user_name: Callable[[int], str] = str) -> str:
    """`root with "docker stop web" (pid 12, from bash)`."""
    if caller is None:
        return "a client of the engine"
    if not caller.pid:
        return f"a client in another pid namespace (user {user_name(caller.uid)})"
    what = f' with "{caller.command}"' if caller.command else ""
    parent = f", from {caller.parent}" if caller.parent else ""
    return f"{user_name(caller.uid)}{what} (pid {caller.pid}{parent})"


def _signalled(facts: Facts) -> Cause | None:
    """Killed by SIGKILL or SIGTERM, and not by way of the engine."""
    end = facts.end
    if end is None or end.exit_code not in (137, 143, 129):
        return None
    name = signal_name(end.exit_code - 128)
    if facts.program.rpartition("/")[2] in _SHELLS:
        who = "by a process on this host, or a process in it was and it passed that code on"
    elif facts.own_pids:
        who = "by a process outside of it on this host: nothing inside can kill its first process"
    else:
        who = "by a process on this host"
    return Cause(
        kind="signal",
        text=f"it was ended by {name}, not by way of the engine",
        evidence=(f"sent {who}", "the kernel keeps no record of the sender"),
        hint="an audit rule names it the next time: auditctl -a exit,always -S kill",
    )


# ---- its own end -----------------------------------------------------------------------------


def _own_end(facts: Facts) -> Cause:
    """It ended by itself: what its last lines or its exit code say."""
    code = facts.state.exit_code
    sign = sign_in(facts.log) if code else None
    meaning, advice = code_meaning(code, facts.program)
    if sign is not None:
        evidence = (f"its log says: {sign.line.strip()[:200]}", *_free_space(facts, sign.line))
        return Cause(kind=sign.kind, text=sign.text, evidence=evidence, hint=sign.hint)
    if code == 0 and _is_shell_without_terminal(facts):
        advice = "a shell without input ends at once: pogu run -it, or give it a command"
    kind = "signal" if 128 < code <= 192 else "ended" if code == 0 else "exit-code"
    return Cause(kind=kind, text=meaning, evidence=_health(facts), hint=advice)


def _is_shell_without_terminal(facts: Facts) -> bool:
    return facts.program.rpartition("/")[2] in _SHELLS and not facts.terminal and not facts.log


def _free_space(facts: Facts, words: str) -> tuple[str, ...]:
    if "no space left" not in words.lower() or facts.free_bytes < 0:
        return ()
    return (f"free on the storage root: {size(facts.free_bytes)}",)


def _health(facts: Facts) -> tuple[str, ...]:
    """What the last failed probe printed."""
    health = facts.state.health
    failed = [one for one in health.log if one.exit_code] if health is not None else []
    if not failed:
        return ()
    said = " ".join(failed[-1].output.split())[:200] or "nothing"
    return (f"health check: exit code {failed[-1].exit_code}, it printed: {said}",)


def size(bytes_: int) -> str:
    """`64 MiB`."""
    value = float(bytes_)
    for unit in ("B", "KiB", "MiB"):
        if value < 1024:
            return f"{value:.4g} {unit}"
        value /= 1024
    return f"{value:.4g} GiB"
