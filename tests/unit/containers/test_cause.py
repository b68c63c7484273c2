"""From facts to causes."""

from __future__ import annotations

import pytest

from pogu.containers.cause import Cause, Facts, cause_of, sender, size
from pogu.containers.ends import Caller, End, StopRequest, with_end
from pogu.containers.health import Health, HealthStatus, ProbeResult
from pogu.containers.model import ContainerState, Status

AT = "2026-01-02T03:04:05.000000000Z"
LATER = "2026-01-03T03:04:05.000000000Z"


def an_end(code: int, *, finished_at: str = AT, **fields: object) -> End:
    return End(exit_code=code, finished_at=finished_at, **fields)  # type: ignore[arg-type]


def why(
    end: End | None = None,
    *,
    status: Status = Status.EXITED,
    program: str = "app",
    log: tuple[str, ...] = (),
    memory_bytes: int = 0,
    **state: object,
) -> Cause:
    ends = (end,) if end is not None else ()
    code = end.exit_code if end is not None else 0
    oom = end is not None and end.oom_killed
    fields = {"exit_code": code, "oom_killed": oom, **state}
    found = ContainerState(status=status, ends=ends, **fields)  # type: ignore[arg-type]
    return cause_of(
        Facts(name="web", program=program, state=found, log=log, memory_bytes=memory_bytes)
    )


def a_request(action: str, signal: int, **fields: object) -> StopRequest:
    by = Caller(pid=7, uid=0, command="pogu stop web", parent="bash")
    return StopRequest(action=action, signal=signal, at=AT, by=by, **fields)  # type: ignore[arg-type]


def test_out_of_memory_names_limit_and_peak() -> None:
    end = an_end(137, oom_killed=True, peak_bytes=64 << 20, limit_bytes=64 << 20)
    found = why(end, memory_bytes=64 << 20)
    assert (found.kind, found.evidence) == ("oom", ("most memory used: 64 MiB",))
    assert found.text.endswith("killed it at its limit of 64 MiB")
    assert "--memory 128m" in found.hint


def test_without_a_limit_it_was_the_host_that_ran_out() -> None:
    assert why(an_end(1, oom_killed=True)).text == (
        "the host ran out of memory: the kernel killed a process in it"
    )


def test_a_stop_names_who_asked() -> None:
    found = why(an_end(0, request=a_request("stop", 15)))
    assert found.text == 'it was stopped by 0 with "pogu stop web" (pid 7, from bash)'


def test_a_stop_that_took_too_long_says_so() -> None:
    found = why(an_end(137, request=a_request("stop", 15, killed_after_s=10)))
    assert "did not end at SIGTERM within 10 s, so SIGKILL followed" in found.evidence[1]
    assert "--init" in found.hint


@pytest.mark.parametrize(
    ("signal", "code", "kind"),
    [
        (9, 137, "asked"),
        (15, 0, "asked"),
        (10, 138, "asked"),
        (1, 0, "ended"),
        (10, 1, "exit-code"),
    ],
)
def test_a_signal_is_the_cause_only_where_the_end_fits(signal: int, code: int, kind: str) -> None:
    assert why(an_end(code, request=a_request("kill", signal))).kind == kind


def test_a_signal_that_was_handled_a_day_ago_is_not_the_cause() -> None:
    end = an_end(1, finished_at=LATER, request=a_request("kill", 15))
    assert why(end).kind == "exit-code"


def test_a_kill_from_outside_says_that_nobody_knows() -> None:
    found = why(an_end(137))
    assert found.kind == "signal"
    assert "nothing inside can kill its first process" in found.evidence[0]
    assert "passed that code on" in why(an_end(137), program="/bin/sh").evidence[0]


def test_a_crash_is_its_own() -> None:
    assert why(an_end(139)).text == "it crashed (SIGSEGV)"
    assert "--shm-size" in why(an_end(135)).hint


def test_what_nobody_saw() -> None:
    assert why(an_end(255, lost="host")).kind == "host"
    assert why(an_end(137, lost="monitor"), error="conmon died").kind == "monitor"


@pytest.mark.parametrize(
    ("error", "hint", "kind"),
    [
        ("Bind for 0.0.0.0:80 failed: port is already allocated", "by x", "port-in-use"),
        ("unable to find user x: no matching entries in passwd file", "", "user"),
        ('exec: "/app": no such file or directory', "/app has Windows line ends", "crlf"),
        ('exec: "/app": exec format error', "/app is built for arm64", "architecture"),
        ('exec: "/app": no such file or directory', "/app wants the loader /lib", "loader"),
        ("open executable: permission denied", "", "permission"),
        ("stat /nope: no such file or directory", "", "not-found"),
        ("something else", "", "not-started"),
    ],
)
def test_a_failed_start_keeps_error_and_hint(error: str, hint: str, kind: str) -> None:
    found = why(status=Status.CREATED, error=error, hint=hint)
    assert (found.kind, found.evidence, found.hint) == (kind, (error,), hint)


def test_a_log_line_says_more_than_a_code() -> None:
    found = why(an_end(1), log=("starting", "touch: /x: Read-only file system"))
    assert (found.kind, found.evidence) == (
        "read-only",
        ("its log says: touch: /x: Read-only file system",),
    )
    assert why(an_end(0), log=("connection refused, trying again",)).kind == "ended"


def test_a_running_one_tells_of_its_failing_check() -> None:
    assert why(status=Status.RUNNING).kind == "running"
    result = ProbeResult(start=AT, end=AT, exit_code=1, output="no\nanswer")
    health = Health(status=HealthStatus.UNHEALTHY, failing_streak=3, log=(result,))
    found = why(status=Status.RUNNING, health=health)
    assert found.kind == "unhealthy"
    assert found.evidence == ("health check: exit code 1, it printed: no answer",)


def test_the_rest_of_its_states() -> None:
    assert why(status=Status.CREATED).kind == "created"
    assert why(status=Status.PAUSED).hint == "pogu unpause web"
    assert "run -it" in why(an_end(0), program="/bin/bash").hint


def test_five_ends_are_kept() -> None:
    ends: tuple[End, ...] = ()
    for code in range(7):
        ends = with_end(ends, an_end(code))
    assert [end.exit_code for end in ends] == [2, 3, 4, 5, 6]


def test_senders() -> None:
    assert sender(None) == "a client of the engine"
    stranger = Caller(pid=0, uid=1000)
    assert sender(stranger) == "a client in another pid namespace (user 1000)"


def test_sizes() -> None:
    assert [size(500), size(1536), size(1 << 30)] == ["500 B", "1.5 KiB", "1 GiB"]
