"""A blob arrives whole or not at all, whatever the connection does."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tests.fakes.cutting_registry import Answer, CuttingRegistry, a_cutting_registry

from pogu.config import Paths
from pogu.errors import DataLoss, Unavailable
from pogu.images import download
from pogu.images.download import Downloads
from pogu.oci.digest import Digest
from pogu.registry.client import Repository
from pogu.registry.credentials import Credentials
from pogu.registry.endpoint import Endpoint
from pogu.registry.transport import Transport
from pogu.storage.blobs import BlobStore

BLOB = bytes(range(256)) * 8192
DIGEST = Digest("sha256:" + hashlib.sha256(BLOB).hexdigest())


async def quiet(_current: int, _total: int) -> None:
    return


def places(tmp_path: Path) -> Paths:
    paths = Paths(root=tmp_path / "root", run_root=tmp_path / "run")
    paths.create()
    return paths


@asynccontextmanager
async def a_repository(registry: CuttingRegistry, *, tries: int = 5) -> AsyncIterator[Repository]:
    endpoint = Endpoint(url=registry.url, domain="test", tls=None)
    async with Transport(
        "test", [endpoint], Credentials(), tries=tries, first_pause_s=0.001
    ) as transport:
        yield Repository(transport, "repo")


async def fetch(registry: CuttingRegistry, paths: Paths, *, tries: int = 5) -> Path:
    downloads = Downloads(paths, BlobStore(paths), first_pause_s=0.001)
    async with a_repository(registry, tries=tries) as repository:
        return await downloads.fetch(repository, DIGEST, len(BLOB), progress=quiet)


async def test_a_cut_connection_is_gone_on_with_where_it_broke(tmp_path: Path) -> None:
    answers = [Answer(cut_after=100_000), Answer(cut_after=500_000)]
    async with a_cutting_registry(BLOB, answers) as registry:
        path = await fetch(registry, places(tmp_path))
    assert path.read_bytes() == BLOB
    assert registry.offsets == [0, 100_000, 600_000]


async def test_a_later_run_goes_on_with_the_part_of_an_earlier_one(tmp_path: Path) -> None:
    paths = places(tmp_path)
    part = paths.tmp / f"part-{DIGEST.removeprefix('sha256:')}"
    part.write_bytes(BLOB[:700_000])
    async with a_cutting_registry(BLOB, []) as registry:
        path = await fetch(registry, paths)
    assert path.read_bytes() == BLOB
    assert registry.offsets == [700_000]
    assert not part.exists()


async def test_what_is_here_is_not_fetched(tmp_path: Path) -> None:
    paths = places(tmp_path)
    BlobStore(paths).write(BLOB)
    async with a_cutting_registry(BLOB, []) as registry:
        await fetch(registry, paths)
    assert registry.offsets == []


async def test_too_many_requests_and_server_errors_are_tried_again(tmp_path: Path) -> None:
    answers = [Answer(status=429, headers=("Retry-After: 0",)), Answer(status=503)]
    async with a_cutting_registry(BLOB, answers) as registry:
        path = await fetch(registry, places(tmp_path))
    assert path.read_bytes() == BLOB


async def test_a_limit_that_stays_is_said_with_what_to_do(tmp_path: Path) -> None:
    answers = [Answer(status=429, headers=("Retry-After: 0",))] * 99
    async with a_cutting_registry(BLOB, answers) as registry:
        with pytest.raises(Unavailable, match="toomanyrequests") as refused:
            await fetch(registry, places(tmp_path), tries=2)
    assert refused.value.hint


async def test_damaged_content_is_refused_and_thrown_away(tmp_path: Path) -> None:
    paths = places(tmp_path)
    damaged = BLOB[:-1] + b"?"
    async with a_cutting_registry(damaged, []) as registry:
        with pytest.raises(DataLoss, match="verification failed"):
            await fetch(registry, paths)
    assert list(paths.tmp.iterdir()) == []
    assert not BlobStore(paths).has(DIGEST)


async def test_any_number_of_cuts_is_outlived_while_bytes_arrive(tmp_path: Path) -> None:
    async with a_cutting_registry(BLOB, [Answer(cut_after=100_000)] * 12) as registry:
        path = await fetch(registry, places(tmp_path))
    assert path.read_bytes() == BLOB
    assert registry.offsets == [100_000 * number for number in range(13)]


async def test_a_registry_that_brings_nothing_more_is_given_up(tmp_path: Path) -> None:
    paths = places(tmp_path)
    answers = [Answer(cut_after=100_000)] + [Answer(cut_after=0)] * 99
    async with a_cutting_registry(BLOB, answers) as registry:
        with pytest.raises(Unavailable, match="of sha256:") as refused:
            await fetch(registry, paths)
    assert "pull again" in str(refused.value.hint)
    assert next(paths.tmp.iterdir()).stat().st_size == 100_000


async def test_a_damaged_part_of_an_earlier_run_is_fetched_anew(tmp_path: Path) -> None:
    paths = places(tmp_path)
    (paths.tmp / f"part-{DIGEST.removeprefix('sha256:')}").write_bytes(b"?" * 1000)
    async with a_cutting_registry(BLOB, []) as registry:
        path = await fetch(registry, paths)
    assert path.read_bytes() == BLOB
    assert registry.offsets == [1000, 0]


async def test_two_who_want_the_same_blob_share_one_transfer(tmp_path: Path) -> None:
    paths = places(tmp_path)
    async with a_cutting_registry(BLOB, []) as registry, a_repository(registry) as repository:
        downloads = Downloads(paths, BlobStore(paths))
        await asyncio.gather(
            *(downloads.fetch(repository, DIGEST, len(BLOB), progress=quiet) for _ in range(2))
        )
    assert registry.offsets == [0]


async def test_one_who_leaves_does_not_end_it_for_the_other(tmp_path: Path) -> None:
    paths = places(tmp_path)
    begun = asyncio.Event()

    async def slow(_current: int, _total: int) -> None:
        begun.set()
        await asyncio.sleep(3600)

    async with a_cutting_registry(BLOB, []) as registry, a_repository(registry) as repository:
        downloads = Downloads(paths, BlobStore(paths))
        leaving = asyncio.create_task(downloads.fetch(repository, DIGEST, len(BLOB), progress=slow))
        await begun.wait()
        staying = asyncio.create_task(
            downloads.fetch(repository, DIGEST, len(BLOB), progress=quiet)
        )
        await asyncio.sleep(0)
        leaving.cancel()
        path = await staying
    assert path.read_bytes() == BLOB
    assert registry.offsets[0] == 0
    assert registry.offsets[1] > 0, "the other goes on where the first one stood"


def test_old_parts_are_swept_and_those_in_use_stay(tmp_path: Path) -> None:
    paths = places(tmp_path)
    downloads = Downloads(paths, BlobStore(paths))
    old, busy, young = (Digest("sha256:" + letter * 64) for letter in "abc")
    for digest in (old, busy, young):
        downloads.part(digest).write_bytes(b"part")
    for digest in (old, busy):
        os.utime(downloads.part(digest), (0, 0))
    downloads.sweep(keep=frozenset([busy]))
    assert not downloads.part(old).exists()
    assert downloads.part(busy).exists()
    assert downloads.part(young).exists()


def test_a_connection_that_only_drips_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "_WATCHED_S", 0.0)
    dripping, flowing = download._Slowness(), download._Slowness()
    flowing.check(1 << 20)
    with pytest.raises(TimeoutError, match="only 1 bytes"):
        dripping.check(1)


async def test_an_empty_blob_that_does_not_end_is_refused_at_its_first_bytes(
    tmp_path: Path,
) -> None:
    paths = places(tmp_path)
    empty = Digest("sha256:" + hashlib.sha256(b"").hexdigest())
    downloads = Downloads(paths, BlobStore(paths), first_pause_s=0.001)
    async with a_cutting_registry(BLOB, []) as registry, a_repository(registry) as repository:
        with pytest.raises(DataLoss, match="more than 0 bytes"):
            await downloads.fetch(repository, empty, 0, progress=quiet)
    assert list(paths.tmp.iterdir()) == []


async def test_who_waits_for_the_same_blob_is_told_how_much_of_it_is_here(tmp_path: Path) -> None:
    paths = places(tmp_path)
    downloads = Downloads(paths, BlobStore(paths))
    began, heard = asyncio.Event(), asyncio.Event()
    told: list[tuple[int, int]] = []

    async def first(_current: int, _total: int) -> None:
        began.set()
        await heard.wait()

    async def second(current: int, total: int) -> None:
        told.append((current, total))
        heard.set()

    async with a_cutting_registry(BLOB, []) as registry, a_repository(registry) as repository:
        fetching = asyncio.create_task(
            downloads.fetch(repository, DIGEST, len(BLOB), progress=first)
        )
        await began.wait()
        path = await downloads.fetch(repository, DIGEST, len(BLOB), progress=second)
        assert await fetching == path
    assert 0 < told[0][0] <= told[0][1] == len(BLOB)
    assert registry.offsets == [0]
