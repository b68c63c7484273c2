"""One screen about one container."""

from __future__ import annotations

from typing import Any

from pogu.cli.why import explanation_text, headline

NOW = 1767323045.0  # 2026-01-02 03:04:05 UTC
FINISHED = "2026-01-02T03:03:05.000000000Z"


def an_answer(**fields: object) -> dict[str, Any]:
    return {
        "Id": "c0ffee" + "0" * 58,
        "Name": "web",
        "Image": "nginx",
        "Status": "exited",
        "ExitCode": 137,
        "StartedAt": "2026-01-02T01:03:05.000000000Z",
        "FinishedAt": FINISHED,
        "RemovedAt": "",
        "Kind": "oom",
        "Cause": "it ran out of memory",
        "Evidence": ["most memory used: 16 MiB"],
        "Hint": "give it more",
        "Log": ["a", "\x1b[2Jb"],
        "Policy": "no",
        "RestartCount": 0,
        "Retries": 0,
        "NextTryS": 0.0,
        "Ends": [],
        **fields,
    }


def test_the_whole_screen() -> None:
    assert explanation_text(an_answer(), now=NOW).splitlines() == [
        "web (c0ffee000000, nginx) exited with code 137, about a minute ago, after 2 hours",
        "",
        "  It ran out of memory.",
        "  - most memory used: 16 MiB",
        "",
        "  last lines of its log:",
        "  | a",
        "  | ·[2Jb",
        "",
        "  -> give it more",
    ]


def test_long_lines_of_the_log_are_cut_on_a_terminal() -> None:
    text = explanation_text(an_answer(Log=["x" * 200]), now=NOW, width=40)
    assert "  | " + "x" * 35 + "…" in text.splitlines()


def test_headlines() -> None:
    running = an_answer(Status="running", StartedAt=FINISHED)
    assert headline(running, NOW).endswith(" is running, since about a minute")
    never = an_answer(Status="created", ExitCode=0)
    assert headline(never, NOW).endswith(" is created")
    gone = an_answer(Status="removed", RemovedAt=FINISHED)
    assert "is removed, its exit code was 137, gone about a minute ago" in headline(gone, NOW)


def test_a_restart_loop_shows_codes_and_the_next_try() -> None:
    ends = [{"ExitCode": 3}, {"ExitCode": 4}]
    looping = an_answer(
        Status="restarting", Policy="always", RestartCount=9, NextTryS=2.04, Ends=ends
    )
    line = "  - restarted 9 times (always), exit codes before: 3 4; next try in 2.0 s"
    assert line in explanation_text(looping, now=NOW).splitlines()
    done = an_answer(Policy="on-failure", RestartCount=1, Retries=1)
    assert "restarted once (on-failure); no more tries" in explanation_text(done, now=NOW)


def test_a_running_one_tells_of_its_earlier_end() -> None:
    ends = [{"ExitCode": 137, "FinishedAt": FINISHED, "OomKilled": True}]
    text = explanation_text(an_answer(Status="running", Ends=ends), now=NOW)
    assert "earlier end: exit code 137, out of memory, about a minute ago" in text
