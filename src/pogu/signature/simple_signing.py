"""Format: cosign's signatures as attachments (cosign specs/SIGNATURE_SPEC.md). Pure.

An OCI manifest at the tag `sha256-<hex>.sig`; each layer is a payload, with the signature in an
annotation of its descriptor.
"""

from __future__ import annotations

import base64
import binascii

import msgspec

from pogu.errors import InvalidParameter
from pogu.oci.digest import Digest
from pogu.signature.claim import Claim, UntrustedSignature

__all__ = ["MEDIA_TYPE", "SIGNATURE_ANNOTATION", "attachment_tag", "simple_signature"]

MEDIA_TYPE = "application/vnd.dev.cosign.simplesigning.v1+json"
SIGNATURE_ANNOTATION = "dev.cosignproject.cosign/signature"
_TYPE = "cosign container image signature"


class _Image(
    msgspec.Struct,
    frozen=True,
    rename={"digest": "docker-manifest-digest"},
    forbid_unknown_fields=True,
):
    digest: str


class _Identity(
    msgspec.Struct,
    frozen=True,
    rename={"reference": "docker-reference"},
    forbid_unknown_fields=True,
):
    reference: str


class _Critical(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is unknown here may forbid what we would allow."""

    identity: _Identity
    image: _Image
    type: str


class _Payload(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    critical: _Critical
    optional: dict[str, object] | None = None


def attachment_tag(digest: Digest) -> str:
    return digest.replace(":", "-") + ".sig"


def simple_signature(payload: bytes, annotation: str) -> UntrustedSignature:
    """Raises: InvalidParameter when the annotation is no base64."""
    try:
        signature = base64.b64decode(annotation, validate=True)
    except binascii.Error as err:
        raise InvalidParameter(f"the annotation {SIGNATURE_ANNOTATION} is not base64") from err
    return UntrustedSignature(signed=payload, signature=signature, read=lambda: _claim(payload))


def _claim(payload: bytes) -> Claim:
    try:
        critical = msgspec.json.decode(payload, type=_Payload).critical
    except msgspec.MsgspecError as err:
        raise InvalidParameter(f"the signed payload cannot be read: {err}") from err
    if critical.type != _TYPE:
        raise InvalidParameter(f"the signed payload is a {critical.type!r}, not a {_TYPE}")
    return Claim(digest=critical.image.digest, name=critical.identity.reference)
