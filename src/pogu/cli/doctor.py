"""Edge: `doctor`: what this host offers and lacks, by the engine or, without one, beside it."""

from __future__ import annotations

import os
import sys

from pogu.cli.context import Context
from pogu.cli.failure import CliError
from pogu.cli.flags import Command, Flag, Values
from pogu.cli.http import Http
from pogu.cli.inspect import indented
from pogu.cli.wire import decode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Json = dict[str, Any]

__all__ = ["COMMANDS", "findings_text"]


def _doctor(context: Context, values: Values) -> int:
    findings = _asked(context)
    if findings is None:
        findings = _examined(context)
    assert isinstance(findings, list)
    context.out(indented(findings) if values.flag("json") else findings_text(findings))
    return 1 if any(one["Level"] == "error" for one in findings) else 0


def _asked(context: Context) -> object:
    """Ask the engine; None when none answers, and none is started for this."""
    try:
        http = Http(context.address.path)
    except OSError:
        return None
    try:
        return http.request("GET", "/pogu/doctor").json()
    except CliError:
        return None
    finally:
        http.close()


def _examined(context: Context) -> object:
    """Examine without an engine: it may be the engine that does not start."""
    import subprocess

    words = [sys.executable, "-m", "pogu.doctor", "--json"]
    if context.address.root:
        words += ["--root", context.address.root]
    if context.address.run_root:
        words += ["--run-root", context.address.run_root]
    source = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    environment = {**os.environ, "PYTHONPATH": source}
    done = subprocess.run(words, env=environment, stdout=subprocess.PIPE, check=False)
    try:
        return decode(done.stdout)
    except ValueError as err:
        raise CliError(f"the check of this host failed with {done.returncode}") from err


def findings_text(findings: list[Json]) -> str:
    """Return a line for each finding, and below it the command that mends it."""
    width = max((len(one["Check"]) for one in findings), default=0) + 2
    lines = []
    for one in findings:
        lines.append(f"{one['Level']:<9}{one['Check']:<{width}}{one['Text']}")
        if one["Mend"]:
            lines.append(f"{'':{9 + width}}-> {one['Mend']}")
    return "\n".join(lines)


COMMANDS = {
    "doctor": Command(
        "doctor",
        "[--json]",
        "Check what this host offers and lacks",
        _doctor,
        [Flag("--json", "bool", "Print JSON")],
        most=0,
    )
}
