"""Children that nobody waits for are reaped; the others are left to those who do."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import asyncio, os, sys, time
from pogu.linux.orphans import adopt_orphans, dead_children
from pogu.linux.process import run
from pogu.linux.spawn import spawn, wait_child

async def main():
    adopt_orphans()
    null = os.open(os.devnull, os.O_RDWR)
    mine = spawn(["sh", "-c", "exit 7"], stdin=null, stdout=null, stderr=null)
    await run(["sh", "-c", "(sleep 0.05; exit 3) & exit 0"])
    deadline = time.monotonic() + 10
    seen = False
    while time.monotonic() < deadline and (not seen or set(dead_children()) != {mine}):
        seen = seen or len(set(dead_children())) == 2
        await asyncio.sleep(0.01)
    assert seen and set(dead_children()) == {mine}
    assert await wait_child(mine) == 7

asyncio.run(main())
"""


def test_an_orphan_is_reaped_and_a_child_that_is_waited_for_is_not() -> None:
    subprocess.run([sys.executable, "-c", SCRIPT], check=True, timeout=30)
