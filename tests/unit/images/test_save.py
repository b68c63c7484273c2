"""Save: the same bytes each time, what is asked for, and back again."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.unit.images.archive_side import Side, a_layer, an_oci_layout

from pogu.errors import DataLoss, InvalidParameter, NotFound
from pogu.images.archive_drawing import SaveRequest
from pogu.images.platform import platform_of
from pogu.oci.digest import sha256_digest
from pogu.oci.image import MediaType
from pogu.oci.index import IndexEntry, encode_index
from pogu.oci.reference import parse_reference


@pytest.fixture
def side(tmp_path: Path) -> Iterator[Side]:
    side = Side(tmp_path / "here")
    yield side
    assert side.left_over() == []
    side.db.close()


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Side]:
    other = Side(tmp_path / "there")
    yield other
    assert other.left_over() == []
    other.db.close()


def documents(data: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        members = [member for member in tar if member.isreg()]
        return {one.name: tar.extractfile(one).read() for one in members}  # type: ignore[union-attr]


async def test_an_image_comes_back_as_it_was(side: Side, other: Side) -> None:
    image = await side.image("web:v1", "web:v2", files=["a", "b"])
    await other.load(await side.save("web"))
    loaded = other.images.resolve("web:v1")
    assert (loaded.id, loaded.raw_config, loaded.tags) == (image.id, image.raw_config, image.tags)


async def test_the_same_images_give_the_same_bytes_on_every_side(side: Side, other: Side) -> None:
    await side.image("web:v1", files=["a", "b"])
    data = await side.save("web:v1")
    await other.load(data)
    assert await other.save("web:v1") == data


@pytest.mark.parametrize("format", ["docker-archive", "oci-archive"])
@pytest.mark.parametrize("compression", ["", "gzip", "zstd"])
async def test_every_form_is_loaded(side: Side, other: Side, format: str, compression: str) -> None:
    image = await side.image("web:v1", files=["a", "b"])
    data = await side.save("web:v1", format=format, compression=compression)
    (loaded,) = await other.load(data)
    assert (loaded.image.id, loaded.image.tags) == (image.id, image.tags)
    assert data == await side.save("web:v1", format=format, compression=compression)


async def test_the_archive_is_both_dockers_and_ocis(side: Side) -> None:
    image = await side.image("web:v1", files=["a"])
    files = documents(await side.save("web:v1"))
    (docker,) = json.loads(files["manifest.json"])
    (entry,) = json.loads(files["index.json"])["manifests"]
    assert (docker["Config"], docker["RepoTags"]) == (f"blobs/sha256/{image.id[7:]}", ["web:v1"])
    assert entry["annotations"]["org.opencontainers.image.ref.name"] == "v1"
    manifest = json.loads(files[f"blobs/sha256/{entry['digest'][7:]}"])
    assert [f"blobs/sha256/{one['digest'][7:]}" for one in manifest["layers"]] == docker["Layers"]
    assert json.loads(files["repositories"]) == {"web": {"v1": docker["Layers"][0][13:]}}
    for name, content in files.items():
        if name.startswith("blobs/"):
            assert sha256_digest(content) == f"sha256:{name[13:]}"


async def test_a_name_is_saved_as_docker_does(side: Side, other: Side) -> None:
    image = await side.image("web:v1", "web:v2", "other:v1", files=["a"])
    for name, tags in [("web:v1", {"web:v1"}), ("web", {"web:v1", "web:v2"}), (image.id, set())]:
        (loaded,) = await other.load(await side.save(name))
        assert {tag.familiar for tag in loaded.tags} == tags


async def test_a_layer_of_two_images_is_written_once(side: Side, other: Side) -> None:
    base = await side.image("base:v1", files=["a" * 90])
    await side.image("web:v1", files=["b"], on=base)
    both = await side.save("base:v1", "web:v1")
    with tarfile.open(fileobj=io.BytesIO(both)) as tar:
        names = tar.getnames()
    assert len(names) == len(set(names))
    assert len(await other.load(both)) == 2


# ---- only what the other side lacks -----------------------------------------------------


async def test_layers_of_an_image_there_are_left_out(side: Side, other: Side) -> None:
    base = await side.image("base:v1", files=["a", "b"])
    await side.image("web:v1", files=["c"], on=base)
    await other.load(await side.save("base:v1"))
    part = await side.save("web:v1", since=("base:v1",))
    assert sum(len(one) > 1500 for one in documents(part).values()) == 1
    await other.load(part)
    assert other.images.resolve("web:v1").id == side.images.resolve("web:v1").id


async def test_layers_of_an_inventory_are_left_out(side: Side, other: Side) -> None:
    base = await side.image("base:v1", files=["a", "b"])
    await side.image("web:v1", files=["c"], on=base)
    await other.load(await side.save("base:v1"))
    archive = await side.save("web:v1", inventory=tuple(other.saver.inventory()))
    assert len(archive) < len(await side.save("web:v1"))
    await other.load(archive)
    assert other.images.resolve("web:v1")


async def test_what_is_missing_on_the_other_side_is_named(side: Side, other: Side) -> None:
    base = await side.image("base:v1", files=["a"])
    await side.image("web:v1", files=["c"], on=base)
    with pytest.raises(NotFound, match="neither in the archive nor here") as caught:
        await other.load(await side.save("web:v1", since=("base:v1",)))
    assert base.config.rootfs.diff_ids[0] in caught.value.message
    assert "saved --since base:v1" in (caught.value.hint or "")
    assert other.images.all() == []


# ---- digests ----------------------------------------------------------------------------


async def test_an_oci_archive_goes_out_as_it_came(side: Side, other: Side) -> None:
    came = an_oci_layout({"amd64": a_layer("a")}, name="docker.io/library/web:v1")
    await side.load(came)
    went = await side.save("web:v1", format="oci-archive")
    blobs = {name for name in documents(came) if name.startswith("blobs/")}
    assert blobs == {name for name in documents(went) if name.startswith("blobs/")}


async def test_the_digest_of_a_registry_survives(side: Side, other: Side) -> None:
    await side.load(an_oci_layout({"amd64": a_layer("a")}, name="web:v1"))
    image = side.images.resolve("web:v1")
    digest = side.provenance.manifests(image.id)[0].digest
    side.images.tag_pulled(image.id, parse_reference(f"x.test/web@{digest}"))
    await other.load(await side.save("web:v1"))
    assert [str(one) for one in other.images.resolve("web:v1").repo_digests] == [
        f"x.test/web@{digest}"
    ]


async def test_the_digest_of_an_index_survives(side: Side, other: Side) -> None:
    await side.load(an_oci_layout({"amd64": a_layer("a"), "arm64": a_layer("b")}, name="web:v1"))
    image = side.images.resolve("web:v1")
    entry = IndexEntry(
        digest=side.provenance.manifests(image.id)[0].digest,
        media_type=MediaType.OCI_MANIFEST,
        platform=platform_of(image.config),
    )
    digest = await side.indexes.keep(encode_index([entry]), MediaType.OCI_INDEX)
    side.images.add_digest(image.id, parse_reference(f"x.test/web@{digest}"))
    (loaded,) = await other.load(await side.save("web:v1"))
    assert [one.digest for one in loaded.image.repo_digests] == [digest]
    assert other.indexes.of(loaded.image, loaded.tags[0])


async def test_a_digest_that_nothing_proves_is_not_believed(side: Side, other: Side) -> None:
    await side.image("web:v1", files=["a"])
    data = await side.save("web:v1")
    claim = b'"io.pogu.repo-digests":"x.test/web@sha256:' + b"1" * 64 + b'",'
    files = documents(data)
    index = files["index.json"].replace(b'"annotations":{', b'"annotations":{' + claim)
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, content in (files | {"index.json": index}).items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    (loaded,) = await other.load(out.getvalue())
    assert loaded.image.repo_digests == ()


# ---- refusals ---------------------------------------------------------------------------


async def test_a_damaged_layer_is_not_saved(side: Side) -> None:
    image = await side.image("web:v1", files=["a"])
    (layer,) = side.layers.chain(image.top_layer)
    (layer.path / "a").write_text("X")
    with pytest.raises(DataLoss, match="damaged on disk"):
        await side.save("web:v1")


async def test_what_cannot_be_saved_is_refused(side: Side) -> None:
    await side.image("web:v1", files=["a"])
    with pytest.raises(NotFound, match="No such image: nope:latest"):
        await side.save("web:v1", "nope")
    with pytest.raises(InvalidParameter, match="unknown format"):
        await side.save("web:v1", format="zip")
    with pytest.raises(InvalidParameter, match="unknown compression"):
        await side.save("web:v1", compression="rar")
    with pytest.raises(NotFound, match="does not provide the specified platform"):
        await side.save("web:v1", platform="linux/arm64")


async def test_the_size_is_known_beforehand(side: Side) -> None:
    await side.image("web:v1", files=["a", "b"])
    archive = await side.saver.plan(SaveRequest(names=("web:v1",)))
    assert archive.size_bytes == len(await side.save("web:v1"))
