"""Edge: `system check`: is what is stored whole, and with --repair made whole again."""

from __future__ import annotations

import os

from pogu.cli.context import Context, write
from pogu.cli.credentials import CredentialStore, auth_header
from pogu.cli.failure import CliError
from pogu.cli.flags import Command, Flag, Values
from pogu.cli.inspect import encode_unescaped
from pogu.cli.listing import short_id
from pogu.cli.table import human_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    Json = dict[str, Any]

__all__ = ["COMMANDS", "finding_line"]


def _check(context: Context, values: Values) -> int:
    repair, as_json = values.flag("repair"), values.flag("json")
    parameters: dict[str, object] = {
        "quick": values.flag("quick") or None,
        "repair": repair or None,
    }
    headers = auth_header(CredentialStore().all(), "X-Registry-Config") if repair else {}
    reply = context.request("POST", "/pogu/check", parameters, headers=headers)
    summary: Json = {}
    lines: Iterable[Json] = reply.objects()
    for line in lines:
        if "error" in line:
            said = line.get("pogu") or {}
            raise CliError(str(said.get("message") or line["error"]), hint=said.get("hint") or "")
        if "progress" in line:
            _show_progress(line["progress"])
            continue
        _clear_progress()
        summary = line.get("summary") or summary
        if as_json:
            context.out(encode_unescaped(line))
        elif "finding" in line:
            context.out(finding_line(line))
    if not summary:
        raise CliError("the engine went away before the check was over", hint="run it again")
    if not as_json:
        context.out(_summary_line(summary, repair=repair))
    return 1 if summary["Wrong"] > summary["Mended"] else 0


def finding_line(line: Json) -> str:
    """One line: what is wrong, what that means, and what mends it or was done."""
    finding = line["finding"]
    subject = finding["Subject"]
    subject = short_id(subject) if subject.startswith("sha256:") else subject
    text = f"{finding['Kind']} {subject}: {finding['Problem']}"
    if "done" in line:
        return f"{text}: {line['done']}"
    if "left" in line:
        return f"{text}: left as it is: {line['left']}"
    return f"{text}; {finding['Meaning']}; {finding['Mend']}"


def _summary_line(summary: Json, *, repair: bool) -> str:
    wrong, notes = summary["Wrong"], summary["Findings"] - summary["Wrong"]
    extra = f", {notes} left over" if notes else ""
    if repair and summary["Findings"]:
        return f"{wrong} wrong{extra}; {summary['Mended']} mended"
    return f"{wrong} wrong{extra}" if wrong else f"All is whole{extra}"


def _show_progress(progress: Json) -> None:
    """One line that is written over, on a terminal only."""
    if os.isatty(2):
        done, total = human_size(progress["Done"]), human_size(progress["Total"])
        write(2, f"\r\x1b[K{done} of {total}: {progress['What']}")


def _clear_progress() -> None:
    if os.isatty(2):
        write(2, "\r\x1b[K")


COMMANDS = {
    "system check": Command(
        "system check",
        "[OPTIONS]",
        "Verify every blob and layer; exit code 1 when something is wrong and not mended",
        _check,
        [
            Flag("--json", "bool", "Print JSON lines"),
            Flag("--quick", "bool", "Compare names and sizes only, read no content"),
            Flag("--repair", "bool", "Get again what is damaged, else remove what must go"),
        ],
        most=0,
    )
}
