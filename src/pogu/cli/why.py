"""Edge: `why`: the cause of a container's end on one screen, with what to do."""

from __future__ import annotations

import time

from pogu.cli.context import Context, show_error
from pogu.cli.failure import ApiError
from pogu.cli.flags import Command, Flag, Values
from pogu.cli.go_view import template_function
from pogu.cli.http import quote
from pogu.cli.listing import short_id
from pogu.cli.table import human_duration
from pogu.cli.terminal import is_terminal, terminal_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Json = dict[str, Any]

__all__ = ["COMMANDS", "explanation_text"]

_NARROWEST = 40


def _why(context: Context, values: Values) -> int:
    execute = template_function(values.text("format")) if values.text("format") else None
    code = 0
    width = max(_NARROWEST, terminal_size()[1]) if is_terminal(1) else 0
    for number, name in enumerate(values.args):
        try:
            found = context.get(f"/pogu/why/{quote(name)}")
        except ApiError as err:
            show_error(err)
            code = 1
            continue
        assert isinstance(found, dict)
        if execute is not None:
            context.out(execute(found))
        else:
            text = explanation_text(found, now=time.time(), width=width)
            context.out(("\n" if number else "") + text)
    return code


def explanation_text(found: Json, *, now: float, width: int = 0) -> str:
    """One screen: what it is, the cause, the evidence, the last lines, what to do."""
    lines = [headline(found, now), "", f"  {_capital(found['Cause'])}."]
    lines += [f"  - {one}" for one in (*found["Evidence"], *_restarts(found), *_before(found, now))]
    if found["Log"]:
        lines += ["", "  last lines of its log:"]
        lines += [_cut(f"  | {_visible(line)}", width) for line in found["Log"]]
    if found["Hint"]:
        lines += ["", f"  -> {found['Hint']}"]
    return "\n".join(lines)


def headline(found: Json, now: float) -> str:
    """`web (c0ffee000000, nginx) exited with code 137, 3 minutes ago, after 2 hours`."""
    who = f"{found['Name']} ({short_id(found['Id'])}, {found['Image']})"
    status, code = found["Status"], found["ExitCode"]
    started, finished = seconds_of(found["StartedAt"]), seconds_of(found["FinishedAt"])
    if status in ("running", "paused"):
        return f"{who} is {status}, since {human_duration(now - started).lower()}"
    if status == "created":
        return f"{who} is created" + (f", exit code {code}" if code else "")
    words = {"exited": f"exited with code {code}", "restarting": f"restarts after code {code}"}
    text = f"{who} {words.get(status, f'is {status}, its exit code was {code}')}"
    if found["RemovedAt"]:
        text += f", gone {human_duration(now - seconds_of(found['RemovedAt'])).lower()} ago"
    elif finished > 0:
        text += f", {human_duration(now - finished).lower()} ago"
    if 0 < started <= finished:
        text += f", after {human_duration(finished - started).lower()}"
    return text


def seconds_of(text: str) -> float:
    """RFC 3339 in UTC → seconds since 1970; 0 for "never"."""
    from datetime import datetime

    if text.startswith("0001"):
        return 0.0
    return datetime.fromisoformat(text.rstrip("Z")[:26] + "+00:00").timestamp()


def _restarts(found: Json) -> list[str]:
    """How often the restart policy has tried, and what it does next."""
    count, policy = found["RestartCount"], found["Policy"]
    if not count and found["Status"] != "restarting":
        return []
    codes = [str(one["ExitCode"]) for one in found["Ends"]]
    text = f"restarted {count} times ({policy})" if count != 1 else f"restarted once ({policy})"
    text += f", exit codes before: {' '.join(codes)}" if codes else ""
    if found["Status"] == "restarting":
        return [text + f"; next try in {found['NextTryS']:.1f} s"]
    if policy == "on-failure" and found["Status"] == "exited" and count == found["Retries"]:
        return [text + "; no more tries"]
    return [text]


def _before(found: Json, now: float) -> list[str]:
    """The end before this run."""
    if found["Status"] != "running" or not found["Ends"] or found["RestartCount"]:
        return []
    last = found["Ends"][-1]
    ago = human_duration(now - seconds_of(last["FinishedAt"])).lower()
    asked = (last.get("Request") or {}).get("Action")
    cause = ", out of memory" if last.get("OomKilled") else f", {asked} was asked" if asked else ""
    if last.get("Error"):
        return [f"an earlier start failed {ago} ago: {last['Error']}"]
    return [f"earlier end: exit code {last['ExitCode']}{cause}, {ago} ago"]


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _visible(text: str) -> str:
    """Without what would move a terminal's cursor or change its colours."""
    return "".join(one if one.isprintable() or one == "\t" else "·" for one in text)


def _cut(text: str, width: int) -> str:
    return text if not width or len(text) <= width else text[: width - 1] + "…"


COMMANDS = {
    "why": Command(
        "why",
        "[OPTIONS] CONTAINER [CONTAINER...]",
        "Say why a container ended, or is as it is",
        _why,
        [Flag("--format", "text", "json, or a Go template")],
        least=1,
    )
}
