"""An upload into a stopped container, which others may want meanwhile."""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from typing import BinaryIO

import pytest
from tests.builders import a_record

from pogu.containers import archive as module
from pogu.containers.archive import _while_it_comes
from pogu.containers.entry import Entry
from pogu.containers.model import ContainerState
from pogu.errors import Conflict


class StuckUpload:
    """Sends one byte and stands still."""

    def __init__(self, *, idle_s: float) -> None:
        read, self._fd = os.pipe()
        os.write(self._fd, b"x")
        self.file: BinaryIO = os.fdopen(read, "rb")
        self.idle_s = idle_s

    def cut(self) -> None:
        with suppress(OSError):
            os.close(self._fd)
            self._fd = -1


async def outcome(*, idle_s: float, wanted: bool) -> tuple[str, bytes]:
    """How an upload ends which goes on in the end if nobody cuts it."""
    entry, upload, taken = (
        Entry("box", a_record(), ContainerState()),
        StuckUpload(idle_s=idle_s),
        [],
    )
    async with entry.lock:
        waiting = asyncio.ensure_future(entry.lock.acquire()) if wanted else None
        uploading = asyncio.ensure_future(
            _while_it_comes(entry, upload, lambda file: taken.append(file.read()))
        )
        await asyncio.wait({uploading}, timeout=0.2)
        upload.cut()
        try:
            await uploading
            said = ""
        except Conflict as err:
            said = err.message
    if waiting is not None:
        await waiting
    upload.file.close()
    return said, taken[0]


@pytest.fixture(autouse=True)
def _hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PATIENCE_S", 0.05)


async def test_an_upload_that_stands_still_makes_way() -> None:
    said, taken = await outcome(idle_s=1, wanted=True)
    assert "nothing came while something else waited" in said
    assert taken == b"x"


@pytest.mark.parametrize(("idle_s", "wanted"), [(0, True), (1, False)])
async def test_one_that_comes_or_that_disturbs_nobody_goes_on(idle_s: float, wanted: bool) -> None:
    assert await outcome(idle_s=idle_s, wanted=wanted) == ("", b"x")
