"""Load: what others wrote, what is broken, what is missing."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import zstandard
from tests.archives import Entry, a_directory, a_file, a_link, a_symlink, a_tar
from tests.unit.images.archive_side import Side, a_config, a_layer, an_oci_layout, docker_archive

from pogu.errors import DataLoss, EngineError, InvalidParameter, NotFound, RejectedByPolicy
from pogu.oci.digest import Digest, sha256_digest

A, B = a_layer("a"), a_layer("b")


@pytest.fixture
def side(tmp_path: Path) -> Iterator[Side]:
    side = Side(tmp_path)
    yield side
    assert side.left_over() == []
    side.db.close()


def files_of(side: Side, name: str) -> set[str]:
    """The files that the layers of an image have."""
    image = side.images.resolve(name)
    layers = side.layers.chain(image.top_layer)
    return {path.name for layer in layers for path in layer.path.iterdir()}


# ---- docker-archive ---------------------------------------------------------------------


async def test_an_archive_of_docker_24_is_loaded(side: Side) -> None:
    config = a_config(A, B)
    data = docker_archive(config, {"1/layer.tar": A, "2/layer.tar": B}, "web:v1", "x.test/web:v2")
    (loaded,) = await side.load(data)
    assert loaded.image.id == sha256_digest(config)
    assert [tag.familiar for tag in loaded.tags] == ["web:v1", "x.test/web:v2"]
    assert files_of(side, "web:v1") == {"a", "b"}


@pytest.mark.parametrize(
    "compress", [gzip.compress, bz2.compress, lzma.compress, zstandard.compress]
)
async def test_any_compression_of_the_archive_is_undone(
    side: Side, compress: Callable[[bytes], bytes]
) -> None:
    await side.load(compress(docker_archive(a_config(A), {"1.tar": A}, "web:v1")))
    assert files_of(side, "web:v1") == {"a"}


@pytest.mark.parametrize("compress", [gzip.compress, zstandard.compress])
async def test_layers_may_be_compressed_under_any_name(
    side: Side, compress: Callable[[bytes], bytes]
) -> None:
    await side.load(docker_archive(a_config(A), {"some/name": compress(A)}, "web:v1"))
    assert files_of(side, "web:v1") == {"a"}


@pytest.mark.parametrize(
    "link", [a_symlink("2/layer.tar", "../1/layer.tar"), a_link("2/layer.tar", "1/layer.tar")]
)
async def test_a_layer_may_be_a_link_to_another(side: Side, link: Entry) -> None:
    manifest = [
        {"Config": "c.json", "RepoTags": ["web:v1"], "Layers": ["1/layer.tar", "2/layer.tar"]}
    ]
    data = a_tar(
        [
            a_file("1/layer.tar", A),
            link,
            a_file("c.json", a_config(A, A)),
            a_file("manifest.json", json.dumps(manifest).encode()),
        ]
    ).read()
    await side.load(data)
    assert len(side.layers.chain(side.images.resolve("web:v1").top_layer)) == 2


async def test_an_image_without_a_tag_is_loaded_by_its_id(side: Side) -> None:
    (loaded,) = await side.load(docker_archive(a_config(A), {"1.tar": A}))
    assert loaded.tags == ()
    assert side.images.get(loaded.image.id)


async def test_an_empty_layer_and_an_image_without_layers_are_loaded(side: Side) -> None:
    empty = bytes(1024)
    await side.load(docker_archive(a_config(empty), {"1.tar": empty}, "empty:v1"))
    await side.load(docker_archive(a_config(), {}, "scratch:v1"))
    assert side.images.resolve("scratch:v1").top_layer is None
    assert files_of(side, "empty:v1") == set()


async def test_the_image_that_had_the_tag_is_told(side: Side) -> None:
    before = await side.image("web:v1", files=["old"])
    (loaded,) = await side.load(docker_archive(a_config(A), {"1.tar": A}, "web:v1"))
    assert [(tag.familiar, old) for tag, old in loaded.replaced] == [("web:v1", before.id)]


# ---- OCI layout -------------------------------------------------------------------------


async def test_an_oci_layout_is_loaded_and_its_forms_are_kept(side: Side) -> None:
    await side.load(an_oci_layout({"amd64": A}, name="docker.io/library/web:v1"))
    image = side.images.resolve("web:v1")
    (form,) = side.provenance.layer(image.config.rootfs.diff_ids[0])
    (manifest,) = side.provenance.manifests(image.id)
    assert side.blobs.read(form.digest) == gzip.compress(A, mtime=0)
    assert side.blobs.has(manifest.digest)


@pytest.mark.parametrize("nested", [False, True])
async def test_the_platform_is_chosen(side: Side, nested: bool) -> None:
    data = an_oci_layout({"amd64": A, "arm64": B}, name="web:v1", nested=nested)
    await side.load(data, platform="linux/arm64")
    assert files_of(side, "web:v1") == {"b"}
    with pytest.raises(NotFound, match="no matching manifest for linux/s390x"):
        await side.load(data, platform="linux/s390x")


async def test_the_only_platform_there_is_needs_no_name(side: Side) -> None:
    await side.load(an_oci_layout({"s390x": A}, name="web:v1", nested=True))
    assert side.images.resolve("web:v1").config.architecture == "s390x"


async def test_another_platform_than_asked_for_is_refused(side: Side) -> None:
    with pytest.raises(NotFound, match="does not provide the specified platform"):
        await side.load(docker_archive(a_config(A), {"1.tar": A}, "web:v1"), platform="linux/arm64")


async def test_an_index_is_kept_whole(side: Side) -> None:
    """So that it can be pushed with what is here of other platforms."""
    await side.load(an_oci_layout({"amd64": A, "arm64": B}, name="web:v1", nested=True))
    image = side.images.resolve("web:v1")
    index = side.indexes.of(image, image.tags[0])
    assert index is not None
    needed = await side.indexes.forget_unused()
    for layer in (A, B):
        assert sha256_digest(gzip.compress(layer, mtime=0)) in needed


# ---- what is already here ---------------------------------------------------------------


async def test_what_is_here_is_not_unpacked_again(
    side: Side, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = an_oci_layout({"amd64": A}, name="web:v1")
    await side.load(data)
    monkeypatch.setattr(side.layers, "unpack", lambda tar: pytest.fail("unpacked again"))
    await side.load(data)
    await side.load(an_oci_layout({"amd64": A}, name="web:v2", compress=False))
    assert files_of(side, "web:v2") == {"a"}


async def test_a_layer_that_is_here_over_another_parent_is_made_again(side: Side) -> None:
    await side.image("one", files=["a"])
    name = f"{sha256_digest(A)[7:]}/layer.tar"
    await side.load(docker_archive(a_config(B, A), {"1.tar": B, name: A}, "web:v1"))
    assert files_of(side, "web:v1") == {"a", "b"}


# ---- broken and hostile -----------------------------------------------------------------


def flipped(data: bytes) -> bytes:
    """A layer whose file has another content, with a whole header."""
    at = data.index(b"a", 512)
    return data[:at] + b"X" + data[at + 1 :]


@pytest.mark.parametrize(
    ("data", "kind", "said"),
    [
        (b"", InvalidParameter, "open manifest.json"),
        (b"no tar at all" * 100, InvalidParameter, "invalid tar header"),
        (a_tar([a_file("x", b"y")]).read(), InvalidParameter, "open manifest.json: no such file"),
        (a_tar([a_directory("etc")]).read(), InvalidParameter, "open manifest.json: no such file"),
        (a_tar([a_file("manifest.json", b"{")]).read(), InvalidParameter, "invalid manifest.json"),
        (a_tar([a_file("manifest.json", b"[[[[")]).read(), InvalidParameter, "invalid manifest"),
        (a_tar([a_file("manifest.json", b"[{}]")]).read(), InvalidParameter, "Config"),
        (docker_archive(b'{"os":1}', {}), InvalidParameter, "invalid image config"),
        (docker_archive(a_config(A), {"1.tar": B}), DataLoss, "invalid diffID for layer 0"),
        (docker_archive(a_config(A), {"1.tar": flipped(A)}), DataLoss, "invalid diffID"),
        (docker_archive(a_config(A, B), {"1.tar": A}), InvalidParameter, "length mismatch"),
        (docker_archive(a_config(A), {"1.tar": A}, "UPPER:x"), InvalidParameter, "lowercase"),
        (docker_archive(a_config(A), {"1.tar": A}, "web"), InvalidParameter, "invalid tag"),
        (docker_archive(a_config(A), {"1.tar": A[:700]}), InvalidParameter, "unexpected EOF"),
        (docker_archive(a_config(A), {"1.tar": A})[:5000], InvalidParameter, "EOF"),
    ],
)
async def test_a_broken_archive_is_refused_and_leaves_nothing(
    side: Side, data: bytes, kind: type[EngineError], said: str
) -> None:
    with pytest.raises(kind, match=said):
        await side.load(data)
    assert side.images.all() == []
    assert side.layers.all() == []


async def test_a_root_file_system_is_told_from_an_image(side: Side) -> None:
    with pytest.raises(InvalidParameter) as caught:
        await side.load(a_tar([a_directory("bin"), a_file("bin/sh", b"x")]).read())
    assert "pogu import" in (caught.value.hint or "")


async def test_a_blob_with_another_digest_is_refused(side: Side) -> None:
    data = an_oci_layout({"amd64": A}, name="web:v1", compress=False)
    at = data.index(A) + 512
    with pytest.raises(DataLoss, match="invalid checksum digest"):
        await side.load(data[:at] + b"X" + data[at + 1 :])


async def test_links_in_a_circle_and_out_of_the_archive_end(side: Side) -> None:
    manifest = [{"Config": "c.json", "RepoTags": None, "Layers": ["x"]}]
    documents = [
        a_file("c.json", a_config(A)),
        a_file("manifest.json", json.dumps(manifest).encode()),
    ]
    circle = [a_symlink("x", "y"), a_symlink("y", "x")]
    with pytest.raises(InvalidParameter, match="too many links"):
        await side.load(a_tar([*circle, *documents]).read())
    with pytest.raises(NotFound, match="neither in the archive nor here"):
        await side.load(a_tar([a_symlink("x", "/../../etc/passwd"), *documents]).read())


async def test_a_layer_that_leads_out_is_refused(side: Side) -> None:
    hostile = a_tar([a_symlink("l", "/"), a_file("l/../../escaped", b"x")]).read()
    with pytest.raises(InvalidParameter, match="escaped"):
        await side.load(docker_archive(a_config(hostile), {"1.tar": hostile}, "web:v1"))
    assert side.images.all() == []


async def test_a_bomb_of_json_is_refused(side: Side) -> None:
    big = b"{" + b" " * (7 << 20)
    with pytest.raises(InvalidParameter, match="MiB of JSON"):
        await side.load(gzip.compress(a_tar([a_file(f"{n}", big) for n in range(20)]).read(), 1))


async def test_one_broken_image_of_two_loads_none(side: Side) -> None:
    manifest = [
        {"Config": "a.json", "RepoTags": ["a:v1"], "Layers": ["a.tar"]},
        {"Config": "b.json", "RepoTags": ["b:v1"], "Layers": ["gone.tar"]},
    ]
    entries = [
        a_file("a.tar", A),
        a_file("a.json", a_config(A)),
        a_file("b.json", a_config(B)),
        a_file("manifest.json", json.dumps(manifest).encode()),
    ]
    with pytest.raises(NotFound, match=f"layer {sha256_digest(B)} of b:v1"):
        await side.load(a_tar(entries).read())
    assert side.images.all() == []


async def test_a_digest_in_a_name_is_no_proof(side: Side) -> None:
    """A layer here is taken by its name only where the config asks for that very layer."""
    await side.image("one", files=["a"])
    lying = f"{sha256_digest(A)[7:]}.tar"
    with pytest.raises(DataLoss, match="invalid diffID"):
        await side.load(docker_archive(a_config(B), {lying: B}, "web:v1"))


@pytest.mark.parametrize("digest", ["sha256:../../x", "sha512:" + "a" * 128, "", "/etc/passwd"])
async def test_a_digest_that_is_none_is_refused(side: Side, digest: str) -> None:
    data = an_oci_layout({"amd64": A}, name="web:v1", layer_digest=digest)
    with pytest.raises(InvalidParameter, match="invalid checksum digest format"):
        await side.load(data)


async def test_too_many_entries_are_refused(side: Side, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pogu.images.archive_reading._ENTRIES", 10)
    with pytest.raises(InvalidParameter, match="more than 10 entries"):
        await side.load(a_tar([a_symlink(f"{n}", "x") for n in range(11)]).read())


def test_the_digests_of_names() -> None:
    from pogu.oci.archive import digest_in

    digits = "a" * 64
    names = [f"blobs/sha256/{digits}", f"{digits}.tar", f"{digits}/layer.tar", f"sha256:{digits}"]
    assert [digest_in(name) for name in names] == [Digest(f"sha256:{digits}")] * 4
    assert digest_in("manifest.json") is None


# ---- policy -----------------------------------------------------------------------------


ACCEPT, REJECT = [{"type": "insecureAcceptAnything"}], [{"type": "reject"}]
SIGNED = [{"type": "sigstoreSigned", "keyPath": "/cosign.pub"}]


@pytest.mark.parametrize(
    ("default", "docker", "oci", "passes"),
    [
        (ACCEPT, None, None, (True, True)),
        (REJECT, None, None, (False, False)),
        (REJECT, ACCEPT, None, (True, False)),
        (REJECT, None, ACCEPT, (False, True)),
        (ACCEPT, SIGNED, None, (False, True)),
    ],
)
async def test_the_policy_lets_an_archive_in_by_its_kind(
    side: Side, default: object, docker: object, oci: object, passes: tuple[bool, bool]
) -> None:
    scopes = {"docker-archive": docker, "oci-archive": oci}
    transports = {name: {"": rule} for name, rule in scopes.items() if rule}
    side.policy.write_text(json.dumps({"default": default, "transports": transports}))
    config = a_config(A)
    layout = an_oci_layout({"amd64": B}, name="web:v2")
    archives = (docker_archive(config, {"1.tar": A}, "web:v1"), layout)
    for archive, passing in zip(archives, passes, strict=True):
        if passing:
            await side.load(archive)
        else:
            with pytest.raises(RejectedByPolicy, match="Source image rejected"):
                await side.load(archive)
    assert len(side.images.all()) == sum(passes)


async def test_a_layer_whose_blob_alone_is_here_is_unpacked(side: Side) -> None:
    """As a load leaves it that was killed between the blob and its row."""
    side.blobs.write(gzip.compress(A, mtime=0))
    await side.load(an_oci_layout({"amd64": A}, name="web:v1"))
    assert files_of(side, "web:v1") == {"a"}
