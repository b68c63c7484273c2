"""Format: sigstore bundles v0.3 as cosign attaches them to images (protobuf-specs, DSSE v1). Pure.

Either a DSSE envelope around an in-toto statement about the image, or a signature over the bytes
of the manifest itself. Attestations (SBOM, provenance) say nothing about whether an image is good.
"""

from __future__ import annotations

import msgspec

from pogu.errors import InvalidParameter
from pogu.oci.digest import Digest
from pogu.signature.claim import Claim, UntrustedSignature

__all__ = ["MEDIA_TYPE", "bundle_signatures", "is_bundle"]

MEDIA_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"
_VERSIONS = (
    MEDIA_TYPE,
    "application/vnd.dev.sigstore.bundle+json;version=0.3",
    "application/vnd.dev.sigstore.bundle+json;version=0.2",
)
_IN_TOTO = "application/vnd.in-toto+json"
_STATEMENTS = ("https://in-toto.io/Statement/v1", "https://in-toto.io/Statement/v0.1")
_SIGN = "https://sigstore.dev/cosign/sign/v1"


class _Signature(msgspec.Struct, frozen=True):
    sig: bytes


class _Envelope(msgspec.Struct, frozen=True, rename="camel"):
    payload: bytes
    payload_type: str
    signatures: tuple[_Signature, ...]


class _Message(msgspec.Struct, frozen=True):
    signature: bytes


class _Bundle(msgspec.Struct, frozen=True, rename="camel"):
    media_type: str
    dsse_envelope: _Envelope | None = None
    message_signature: _Message | None = None


class _Subject(msgspec.Struct, frozen=True):
    name: str = ""
    digest: dict[str, str] = msgspec.field(default_factory=dict)


class _Statement(msgspec.Struct, frozen=True, rename={"type": "_type", "kind": "predicateType"}):
    type: str
    kind: str
    subject: tuple[_Subject, ...]


def is_bundle(media_type: str) -> bool:
    return media_type in _VERSIONS


def bundle_signatures(
    raw: bytes, *, manifest: bytes, digest: Digest
) -> tuple[UntrustedSignature, ...]:
    """The signatures of a bundle that came with the manifest. Raises: InvalidParameter."""
    try:
        bundle = msgspec.json.decode(raw, type=_Bundle)
    except msgspec.MsgspecError as err:
        raise InvalidParameter(f"a sigstore bundle cannot be read: {err}") from err
    if not is_bundle(bundle.media_type):
        raise InvalidParameter(f"sigstore bundles of {bundle.media_type} are not supported")
    if bundle.dsse_envelope is not None:
        return _of_envelope(bundle.dsse_envelope, digest)
    if bundle.message_signature is not None:
        signature = bundle.message_signature.signature
        return (
            UntrustedSignature(
                signed=manifest, signature=signature, read=lambda: Claim(digest=digest)
            ),
        )
    raise InvalidParameter("a sigstore bundle has no signature")


def _of_envelope(envelope: _Envelope, digest: Digest) -> tuple[UntrustedSignature, ...]:
    signed = pre_authentication(envelope.payload_type, envelope.payload)
    return tuple(
        UntrustedSignature(
            signed=signed, signature=one.sig, read=lambda: _statement(envelope, digest)
        )
        for one in envelope.signatures
    )


def pre_authentication(payload_type: str, payload: bytes) -> bytes:
    """What a DSSE signature is over (DSSE protocol.md, "PAE")."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def _statement(envelope: _Envelope, digest: Digest) -> Claim:
    """What the statement says of `digest`, else of its first subject."""
    if envelope.payload_type != _IN_TOTO:
        raise InvalidParameter(f"the signed payload is a {envelope.payload_type!r}")
    try:
        statement = msgspec.json.decode(envelope.payload, type=_Statement)
    except msgspec.MsgspecError as err:
        raise InvalidParameter(f"the signed statement cannot be read: {err}") from err
    if statement.type not in _STATEMENTS or statement.kind != _SIGN:
        raise InvalidParameter(f"a {statement.kind} is signed, which is no signature of an image")
    claims = [
        Claim(digest=f"sha256:{one.digest.get('sha256', '')}", name=one.name)
        for one in statement.subject
    ]
    if not claims:
        raise InvalidParameter("the signed statement is about nothing")
    return next((claim for claim in claims if claim.digest == digest), claims[0])
