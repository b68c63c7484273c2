"""What a signature must be to count, in both forms that cosign writes."""

from __future__ import annotations

import base64
import json

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from tests.signatures import SigningKey, a_bundle, a_payload, a_statement

from pogu.errors import InvalidParameter
from pogu.oci.digest import sha256_digest
from pogu.oci.reference import parse_reference
from pogu.signature.bundle import MEDIA_TYPE, bundle_signatures
from pogu.signature.claim import UntrustedSignature, why_not
from pogu.signature.identity import IdentityType, SignedIdentity
from pogu.signature.key import PublicKey, parse_public_key
from pogu.signature.simple_signing import attachment_tag, simple_signature

MANIFEST = b'{"schemaVersion": 2}'
DIGEST, OTHER = sha256_digest(MANIFEST), sha256_digest(b"other")
NAME = "reg.lan/app:1"
KEY = SigningKey.make()


def public(key: SigningKey) -> PublicKey:
    return parse_public_key("/cosign.pub", key.pem)


def reason(
    one: UntrustedSignature,
    *keys: SigningKey,
    identity: IdentityType = IdentityType.MATCH_REPO_DIGEST_OR_EXACT,
) -> str:
    return why_not(
        one,
        keys=[public(key) for key in keys or (KEY,)],
        identity=SignedIdentity(type=identity),
        pulled=parse_reference(NAME),
        digest=DIGEST,
    )


def attached(payload: bytes, key: SigningKey = KEY, signed: bytes = b"") -> UntrustedSignature:
    signature = key.sign(signed or payload)
    return simple_signature(payload, base64.b64encode(signature).decode())


def bundled(raw: bytes) -> UntrustedSignature:
    (found,) = bundle_signatures(raw, manifest=MANIFEST, digest=DIGEST)
    return found


@pytest.mark.parametrize("kind", ["p256", "p384", "rsa", "ed25519"])
def test_every_kind_of_key_verifies_its_own_and_no_other_signature(kind: str) -> None:
    key, other = SigningKey.make(kind), SigningKey.make(kind)
    one = attached(a_payload(DIGEST, NAME), key)
    assert reason(one, key) == ""
    assert reason(one, other, key) == ""
    assert reason(one, other) == "a signature is not by /cosign.pub"
    assert reason(one) != ""  # a key of another kind


def test_p384_is_also_taken_with_its_own_hash() -> None:
    key = SigningKey.make("p384")
    assert public(key).made(key.sign(b"x", hashes.SHA384()), b"x")
    assert not public(key).made(key.sign(b"x", hashes.SHA512()), b"x")


def test_a_payload_changed_after_signing_is_refused() -> None:
    payload = a_payload(DIGEST, NAME)
    assert "not by" in reason(attached(payload, signed=a_payload(OTHER, NAME)))
    assert "not by" in reason(simple_signature(payload, "AAAA"))
    assert "not by" in reason(simple_signature(payload, ""))


def test_another_digest_or_name_is_refused() -> None:
    assert f"digest {OTHER} does not match" in reason(attached(a_payload(OTHER, NAME)))
    assert '"reg.lan/app:2" is not accepted' in reason(attached(a_payload(DIGEST, "reg.lan/app:2")))
    assert "matchRepository accepts" in reason(attached(a_payload(DIGEST, "reg.lan/app")))


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"[]",
        b'{"critical": {}}',
        a_payload(DIGEST, NAME, type="atomic container signature"),
        a_payload(DIGEST, NAME, expires="2020"),
        a_payload(DIGEST, NAME, image={"docker-manifest-digest": 7}),
        a_payload(DIGEST, NAME).replace(b'"optional"', b'"more"'),
    ],
)
def test_a_signed_payload_that_is_not_quite_one_is_refused(payload: bytes) -> None:
    assert "payload" in reason(attached(payload))


def test_an_annotation_that_is_no_base64_is_said() -> None:
    with pytest.raises(InvalidParameter, match="not base64"):
        simple_signature(b"", "?")


def test_a_bundle_signs_the_digest_without_a_name() -> None:
    one = bundled(a_bundle(KEY, a_statement(DIGEST)))
    assert reason(one, identity=IdentityType.MATCH_DIGEST) == ""
    assert "matchDigest accepts it" in reason(one, identity=IdentityType.MATCH_REPOSITORY)


def test_a_name_in_a_bundle_counts_like_any_other() -> None:
    one = bundled(a_bundle(KEY, a_statement(DIGEST, name=NAME)))
    assert reason(one) == ""


def test_a_bundle_of_another_key_image_or_kind_is_refused() -> None:
    for raw, said in (
        (a_bundle(SigningKey.make(), a_statement(DIGEST)), "not by"),
        (a_bundle(KEY, a_statement(DIGEST), signed=a_statement(OTHER)), "not by"),
        (a_bundle(KEY, a_statement(OTHER)), "does not match"),
        (a_bundle(KEY, a_statement(DIGEST, kind="https://slsa.dev/provenance/v1")), "slsa.dev"),
        (a_bundle(KEY, b"{}"), "cannot be read"),
    ):
        assert said in reason(bundled(raw), identity=IdentityType.MATCH_DIGEST)


def test_a_bundle_may_sign_the_manifest_itself() -> None:
    def message(key: SigningKey, data: bytes) -> bytes:
        signature = base64.b64encode(key.sign(data)).decode()
        body = {"mediaType": MEDIA_TYPE, "messageSignature": {"signature": signature}}
        return json.dumps(body).encode()

    assert reason(bundled(message(KEY, MANIFEST)), identity=IdentityType.MATCH_DIGEST) == ""
    assert reason(bundled(message(KEY, b"other")), identity=IdentityType.MATCH_DIGEST)
    assert reason(bundled(message(KEY, MANIFEST)))


@pytest.mark.parametrize("raw", [b"", b"{}", b'{"mediaType": "x"}', b'{"mediaType": 7}'])
def test_a_broken_bundle_is_said(raw: bytes) -> None:
    with pytest.raises(InvalidParameter, match="bundle"):
        bundle_signatures(raw, manifest=MANIFEST, digest=DIGEST)


def test_the_attachment_has_its_own_tag() -> None:
    assert attachment_tag(DIGEST) == f"sha256-{DIGEST.removeprefix('sha256:')}.sig"


def test_a_key_that_is_none_is_refused() -> None:
    weak = SigningKey(rsa.generate_private_key(65537, 1024))
    for pem, said in (
        (b"", "no public key in PEM"),
        (b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "no public key"),
        (KEY.private_pem, "is a private key"),
        (weak.pem, "too weak"),
    ):
        with pytest.raises(InvalidParameter, match=said):
            parse_public_key("/cosign.pub", pem)
