"""Edge: `POST /pogu/check`: lines of progress, findings and what was done about them.

`quick=1` compares names and sizes only, `repair=1` mends. The last line is the summary.
"""

from __future__ import annotations

import time

from pogu.api.call import Call
from pogu.api.distribution import access_of
from pogu.api.http_server import StreamResponse
from pogu.api.route import Route, finish
from pogu.api.stream import JsonLines
from pogu.upkeep.check import Finding, Progress
from pogu.upkeep.repair import NotMended

__all__ = ["ROUTES"]

_PROGRESS_S = 0.1


async def check(call: Call) -> StreamResponse:
    lines = JsonLines(call)
    findings: list[Finding] = []
    shown = 0.0
    try:
        async for found in call.engine.checker.check(quick=call.flag("quick")):
            if isinstance(found, Finding):
                findings.append(found)
                if not call.flag("repair"):
                    await lines.send({"finding": _tree(found)})
            elif time.monotonic() - shown >= _PROGRESS_S:
                shown = time.monotonic()
                await lines.send({"progress": _progress(found)})
        mended = await _mend(call, lines, findings) if call.flag("repair") else 0
        wrong = sum(not finding.harmless for finding in findings)
        await lines.send({"summary": {"Findings": len(findings), "Wrong": wrong, "Mended": mended}})
    except Exception as err:
        return await lines.fail(err)
    return await lines.end()


async def _mend(call: Call, lines: JsonLines, findings: list[Finding]) -> int:
    """Mend one after the other and tell of each; return how many that were wrong are whole now."""
    access = access_of(call, "docker.io")
    mended = 0
    for finding in findings:
        try:
            done = await finish(call.engine.repairer.repair(finding, access))
            mended += not finding.harmless
            await lines.send({"finding": _tree(finding), "done": done})
        except NotMended as err:
            await lines.send({"finding": _tree(finding), "left": err.message})
    return mended


def _tree(finding: Finding) -> dict[str, object]:
    return {
        "Kind": finding.kind,
        "Subject": finding.subject,
        "Problem": finding.problem,
        "Meaning": finding.meaning,
        "Mend": finding.mend,
        "Harmless": finding.harmless,
    }


def _progress(progress: Progress) -> dict[str, object]:
    return {"What": progress.what, "Done": progress.done, "Total": progress.total}


ROUTES = [Route("POST", "/pogu/check", check)]
