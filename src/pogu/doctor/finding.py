"""Format: what a check found, as JSON and as text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["ERROR", "OK", "WARNING", "Finding", "findings_json", "findings_text"]

OK = "ok"
WARNING = "warning"
ERROR = "error"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """`level` is ok, warning or error; `mend` is a command to paste, empty when ok."""

    check: str
    level: str
    text: str
    mend: str = ""


def findings_json(findings: Sequence[Finding]) -> list[dict[str, str]]:
    """Return the findings as the API and `--json` send them."""
    return [
        {"Check": each.check, "Level": each.level, "Text": each.text, "Mend": each.mend}
        for each in findings
    ]


def findings_text(findings: Sequence[Finding]) -> str:
    """Return the findings as a table for people, each command on a line of its own."""
    lines = []
    for each in findings:
        lines.append(f"{each.level:<9}{each.check:<12}{each.text}")
        if each.mend:
            lines.append(f"{'':21}-> {each.mend}")
    return "\n".join(lines)
