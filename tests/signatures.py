"""Keys and signatures as cosign makes them. For tests."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

from pogu.oci.digest import Digest
from pogu.signature.bundle import MEDIA_TYPE, pre_authentication

__all__ = ["SigningKey", "a_bundle", "a_payload", "a_statement"]

Private = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key with what tests want of it."""

    private: Private

    @classmethod
    def make(cls, kind: str = "p256") -> SigningKey:
        match kind:
            case "p256":
                return cls(ec.generate_private_key(ec.SECP256R1()))
            case "p384":
                return cls(ec.generate_private_key(ec.SECP384R1()))
            case "ed25519":
                return cls(ed25519.Ed25519PrivateKey.generate())
        return cls(rsa.generate_private_key(65537, 2048))

    @property
    def pem(self) -> bytes:
        """The public key."""
        return self.private.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )

    @property
    def private_pem(self) -> bytes:
        return self.private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )

    def sign(self, data: bytes, hashed: hashes.HashAlgorithm | None = None) -> bytes:
        hashed = hashed or hashes.SHA256()
        if isinstance(self.private, ec.EllipticCurvePrivateKey):
            return self.private.sign(data, ec.ECDSA(hashed))
        if isinstance(self.private, rsa.RSAPrivateKey):
            return self.private.sign(data, padding.PKCS1v15(), hashed)
        return self.private.sign(data)


def a_payload(digest: Digest, name: str, **critical: object) -> bytes:
    """cosign's simple signing payload."""
    body = {
        "critical": {
            "identity": {"docker-reference": name},
            "image": {"docker-manifest-digest": digest},
            "type": "cosign container image signature",
            **critical,
        },
        "optional": None,
    }
    return json.dumps(body).encode()


def a_statement(
    digest: Digest, *, kind: str = "https://sigstore.dev/cosign/sign/v1", name: str = ""
) -> bytes:
    """The in-toto statement that cosign 3 signs."""
    subject = {"digest": {"sha256": digest.removeprefix("sha256:")}} | (
        {"name": name} if name else {}
    )
    body = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [subject],
        "predicateType": kind,
        "predicate": {},
    }
    return json.dumps(body).encode()


def a_bundle(key: SigningKey, statement: bytes, *, signed: bytes | None = None) -> bytes:
    """A sigstore bundle; `signed` is what the signature really is over, when that differs."""
    kind = "application/vnd.in-toto+json"
    signature = key.sign(pre_authentication(kind, statement if signed is None else signed))
    body = {
        "mediaType": MEDIA_TYPE,
        "verificationMaterial": {"publicKey": {"hint": "abc"}},
        "dsseEnvelope": {
            "payload": base64.b64encode(statement).decode(),
            "payloadType": kind,
            "signatures": [{"sig": base64.b64encode(signature).decode()}],
        },
    }
    return json.dumps(body).encode()
