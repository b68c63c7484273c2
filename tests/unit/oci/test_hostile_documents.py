"""What names files later is checked while it is decoded: no digest leads out of the store."""

from __future__ import annotations

import msgspec
import pytest

from pogu.oci.image import Descriptor, Manifest, decode_image_config
from pogu.oci.index import decode_index

GOOD = "sha256:" + "a" * 64
PATHS = [
    "sha256:/dev/zero",
    "sha256:../../../etc/passwd",
    "/etc/passwd",
    "",
    "sha256:" + "A" * 64,
    GOOD + "\n",
    GOOD + "/x",
]


def descriptor(digest: str, size: int = 1) -> dict[str, object]:
    return {"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": digest, "size": size}


@pytest.mark.parametrize("digest", [*PATHS, "sha512:" + "a" * 128])
@pytest.mark.parametrize("place", ["config", "layers"])
def test_a_manifest_names_blobs_by_sha256_only(digest: str, place: str) -> None:
    parts = {"config": descriptor(GOOD), "layers": [descriptor(GOOD)]}
    bad = descriptor(digest)
    raw = msgspec.json.encode(parts | {place: [bad] if place == "layers" else bad})
    with pytest.raises(msgspec.ValidationError, match="invalid checksum digest format"):
        msgspec.json.decode(raw, type=Manifest)


@pytest.mark.parametrize("digest", PATHS)
def test_a_diff_id_is_a_digest(digest: str) -> None:
    tree = {"architecture": "amd64", "os": "linux", "rootfs": {"diff_ids": [digest]}}
    with pytest.raises(msgspec.ValidationError, match="invalid checksum digest format"):
        decode_image_config(msgspec.json.encode(tree))


@pytest.mark.parametrize("digest", PATHS)
def test_an_index_names_manifests_by_digests(digest: str) -> None:
    with pytest.raises(msgspec.ValidationError, match="invalid checksum digest format"):
        decode_index(msgspec.json.encode({"manifests": [descriptor(digest)]}))


def test_an_index_may_have_manifests_by_sha512() -> None:
    digest = "sha512:" + "a" * 128
    index = decode_index(msgspec.json.encode({"manifests": [descriptor(digest)]}))
    assert index.manifests[0].digest == digest


def test_a_size_is_not_negative() -> None:
    raw = msgspec.json.encode(descriptor(GOOD, -1))
    with pytest.raises(msgspec.ValidationError, match="negative"):
        msgspec.json.decode(raw, type=Descriptor)
