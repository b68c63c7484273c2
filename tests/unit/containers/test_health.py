"""Health checks by Docker's rules."""

from __future__ import annotations

import pytest

from pogu.containers.health import (
    Health,
    HealthCheck,
    HealthStatus,
    ProbeResult,
    after_probe,
    at_end,
    at_start,
    bounded_output,
    check_of,
    go_duration,
    pause_ns,
)
from pogu.model.container import HealthConfig

S = 1_000_000_000
CHECK = HealthCheck(command=("true",), retries=3, start_period_ns=10 * S, start_interval_ns=S)


def a_result(code: int, output: str = "") -> ProbeResult:
    return ProbeResult(start="t1", end="t2", exit_code=code, output=output)


def after(codes: list[int], *, running_s: int = 60, health: Health | None = None) -> Health:
    now = health or Health()
    for code in codes:
        now = after_probe(CHECK, now, a_result(code), running_ns=running_s * S)
    return now


def test_a_container_is_starting_until_a_probe_succeeds() -> None:
    assert after([]).status is HealthStatus.STARTING
    assert after([0]).status is HealthStatus.HEALTHY


def test_as_many_failures_in_a_row_as_retries_make_it_unhealthy() -> None:
    assert after([1, 1]).status is HealthStatus.STARTING
    assert after([0, 1, 1]).status is HealthStatus.HEALTHY
    assert after([0, 1, 1, 1]).status is HealthStatus.UNHEALTHY
    assert after([0, 1, 1, 1]).failing_streak == 3


def test_one_success_makes_it_healthy_again() -> None:
    healed = after([1, 1, 1, 0])
    assert (healed.status, healed.failing_streak) == (HealthStatus.HEALTHY, 0)


def test_failures_in_the_start_period_do_not_count_until_a_success() -> None:
    early = after([1, 1, 1, 1], running_s=5)
    assert (early.status, early.failing_streak) == (HealthStatus.STARTING, 0)
    assert after([0, 1, 1, 1], running_s=5).status is HealthStatus.UNHEALTHY


def test_the_last_five_results_are_kept() -> None:
    assert [one.exit_code for one in after([1, 2, 3, 4, 5, 6]).log] == [2, 3, 4, 5, 6]


def test_probes_come_quicker_while_it_starts() -> None:
    starting, healthy = Health(), Health(status=HealthStatus.HEALTHY)
    assert pause_ns(CHECK, starting, running_ns=5 * S) == S
    assert pause_ns(CHECK, healthy, running_ns=5 * S) == 30 * S
    assert pause_ns(CHECK, starting, running_ns=11 * S) == 30 * S


@pytest.mark.parametrize(
    ("test", "command"),
    [
        (("CMD", "a", "b"), ("a", "b")),
        (("CMD-SHELL", "a b"), ("/bin/sh", "-c", "a b")),
    ],
)
def test_the_two_forms_of_a_test(test: tuple[str, ...], command: tuple[str, ...]) -> None:
    check = check_of(HealthConfig(test=test))
    assert check is not None
    assert check.command == command


def test_the_shell_of_the_image_is_taken() -> None:
    check = check_of(HealthConfig(test=("CMD-SHELL", "x")), ("/bin/bash", "-ec"))
    assert check is not None
    assert check.command == ("/bin/bash", "-ec", "x")


@pytest.mark.parametrize(
    "config", [None, HealthConfig(), HealthConfig(test=("NONE",)), HealthConfig(test=())]
)
def test_no_test_is_no_check(config: HealthConfig | None) -> None:
    assert check_of(config) is None


def test_dockers_defaults_fill_what_is_open() -> None:
    check = check_of(HealthConfig(test=("CMD", "x")))
    assert check == HealthCheck(
        command=("x",),
        interval_ns=30 * S,
        timeout_ns=30 * S,
        start_period_ns=0,
        start_interval_ns=5 * S,
        retries=3,
    )


def test_a_start_begins_anew_and_an_end_is_not_healthy() -> None:
    ended = at_end(after([0]))
    assert ended is not None
    assert ended.status is HealthStatus.UNHEALTHY
    again = at_start(CHECK, ended)
    assert again is not None
    assert (again.status, len(again.log)) == (HealthStatus.STARTING, 1)
    assert at_start(None, ended) is None
    assert at_end(None) is None


def test_output_is_bounded() -> None:
    assert bounded_output(b"ok\xff") == "ok\ufffd"
    assert bounded_output(b"x" * 4096) == "x" * 4096
    assert bounded_output(b"x" * 5000) == "x" * 4096 + "..."


@pytest.mark.parametrize(
    ("duration_ns", "text"),
    [
        (S, "1s"),
        (500_000_000, "500ms"),
        (90 * S, "1m30s"),
        (3600 * S, "1h0m0s"),
        (1_500_000_000, "1.5s"),
    ],
)
def test_durations_are_gos(duration_ns: int, text: str) -> None:
    assert go_duration(duration_ns) == text
