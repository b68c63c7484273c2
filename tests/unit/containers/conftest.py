"""A host for containers that are plain children of the test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio
from tests.fakes.host import FakeHost


@pytest_asyncio.fixture
async def host(tmp_path: Path) -> AsyncIterator[FakeHost]:
    """Whatever a test leaves running is ended after it."""
    found = FakeHost(tmp_path)
    yield found
    await found.close()
