"""Edge: the signatures that lie beside an image in its repository.

cosign's attachment tag, and sigstore bundles by the referrers API (distribution-spec 1.1) or, where
a registry has none, by its fallback tag. Everything is bounded and checked against its digest.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import TypeVar

import msgspec

from pogu.errors import DataLoss, InvalidParameter, NotFound
from pogu.oci.digest import Digest, parse_digest, sha256_digest
from pogu.oci.image import Descriptor
from pogu.registry.client import FetchedManifest, Repository
from pogu.signature import bundle, simple_signing
from pogu.signature.claim import UntrustedSignature

__all__ = ["signatures"]

_Item = TypeVar("_Item")

_LARGEST_BLOB = 1 << 20
_MOST = 500
_MOST_BYTES = 4 << 20


class _Manifest(msgspec.Struct, frozen=True):
    layers: tuple[Descriptor, ...] = ()


class _Entry(msgspec.Struct, frozen=True, rename="camel"):
    digest: str
    artifact_type: str = ""


class _Referrers(msgspec.Struct, frozen=True):
    manifests: tuple[_Entry, ...] = ()


async def signatures(
    repository: Repository, image: FetchedManifest
) -> AsyncGenerator[UntrustedSignature | str, None]:
    """Give every signature of the image, the newest first; text says why one cannot be used.

    Raises: Unavailable, Unauthorized; DataLoss when content is not what its digest says.
    """
    async for one in _attached(repository, image.digest):
        yield one
    async for one in _bundled(repository, image):
        yield one


async def _attached(
    repository: Repository, digest: Digest
) -> AsyncGenerator[UntrustedSignature | str, None]:
    try:
        fetched = await repository.manifest(simple_signing.attachment_tag(digest))
    except NotFound:
        return
    for layer in _newest(_layers(fetched)):
        if layer.media_type != simple_signing.MEDIA_TYPE:
            continue
        annotation = (layer.annotations or {}).get(simple_signing.SIGNATURE_ANNOTATION)
        if annotation is None:
            yield f"missing {simple_signing.SIGNATURE_ANNOTATION} annotation"
            continue
        payload = await _blob(repository, layer)
        try:
            yield simple_signing.simple_signature(payload, annotation)
        except InvalidParameter as err:
            yield err.message


async def _bundled(
    repository: Repository, image: FetchedManifest
) -> AsyncGenerator[UntrustedSignature | str, None]:
    for digest in await _referrers(repository, image.digest):
        try:
            fetched = await repository.manifest(digest)
        except NotFound:
            continue
        for layer in _layers(fetched):
            if not bundle.is_bundle(layer.media_type):
                continue
            raw = await _blob(repository, layer)
            try:
                found = bundle.bundle_signatures(raw, manifest=image.raw, digest=image.digest)
            except InvalidParameter as err:
                yield err.message
                continue
            for one in found:
                yield one


async def _referrers(repository: Repository, digest: Digest) -> list[Digest]:
    """The manifests that may be bundles, the newest first."""
    raw = await repository.referrers(digest, artifact_type=bundle.MEDIA_TYPE, most=_MOST_BYTES)
    if raw is None:
        try:
            raw = (await repository.manifest(digest.replace(":", "-"))).raw
        except NotFound:
            return []
    try:
        entries = msgspec.json.decode(raw, type=_Referrers).manifests
        return [
            parse_digest(entry.digest)
            for entry in _newest(entries)
            if not entry.artifact_type or bundle.is_bundle(entry.artifact_type)
        ]
    except (msgspec.MsgspecError, InvalidParameter) as err:
        raise DataLoss(f"the referrers of {digest} cannot be read: {err}") from err


def _layers(fetched: FetchedManifest) -> tuple[Descriptor, ...]:
    try:
        return msgspec.json.decode(fetched.raw, type=_Manifest).layers
    except msgspec.MsgspecError as err:
        raise DataLoss(f"the manifest of a signature cannot be read: {err}") from err


def _newest(items: tuple[_Item, ...]) -> list[_Item]:
    """Signing again appends; a repository cannot make us read without end."""
    return list(reversed(items[-_MOST:]))


async def _blob(repository: Repository, descriptor: Descriptor) -> bytes:
    digest = parse_digest(descriptor.digest)
    data = b""
    async with repository.blob(digest) as (_offset, stream):
        while len(data) <= _LARGEST_BLOB and (more := await stream.read(65536)):
            data += more
    if len(data) > _LARGEST_BLOB:
        raise DataLoss(f"the signature {digest} is larger than 1 MiB")
    if sha256_digest(data) != digest:
        raise DataLoss(f"signature verification failed for digest {digest}: other content came")
    return data
