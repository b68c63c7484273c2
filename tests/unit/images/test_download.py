"""A blob arrives whole or not at all, whatever the connection does."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from tests.fakes.cutting_registry import Answer, CuttingRegistry, a_cutting_registry

from pogu.config import Paths
from pogu.errors import DataLoss, Unavailable
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


async def fetch(registry: CuttingRegistry, paths: Paths, *, tries: int = 5) -> Path:
    endpoint = Endpoint(url=registry.url, domain="test", tls=None)
    downloads = Downloads(paths, BlobStore(paths), first_pause_s=0.001)
    async with Transport(
        "test", [endpoint], Credentials(), tries=tries, first_pause_s=0.001
    ) as transport:
        repository = Repository(transport, "repo")
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
