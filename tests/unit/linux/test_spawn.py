"""Programs that the engine starts."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from pogu.linux.spawn import spawn, wait_child


@pytest.mark.parametrize("ignored", [signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGUSR1])
async def test_a_program_does_not_inherit_what_its_parent_ignores(
    ignored: signal.Signals, tmp_path: Path
) -> None:
    said = os.open(tmp_path / "said", os.O_RDWR | os.O_CREAT)
    null = os.open(os.devnull, os.O_RDWR)
    before = signal.signal(ignored, signal.SIG_IGN)
    try:
        child = spawn(["grep", "SigIgn", "/proc/self/status"], stdin=null, stdout=said, stderr=null)
        await wait_child(child)
    finally:
        signal.signal(ignored, before)
        os.close(said)
        os.close(null)
    found = int((tmp_path / "said").read_text().split()[1], 16)
    assert not found & (1 << (ignored - 1))
