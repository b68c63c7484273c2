"""Format: public keys in PEM, and whether one made a signature. `cryptography` loads at first use.

ECDSA (DER, RFC 3279), RSA (PKCS#1 v1.5, 2048 bits or more) and Ed25519, hashed as cosign hashes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pogu.errors import InvalidParameter

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

__all__ = ["PublicKey", "parse_public_key"]

_LEAST_RSA_BITS = 2048


class PublicKey:
    """One key; `name` is where it came from."""

    def __init__(
        self, name: str, key: EllipticCurvePublicKey | Ed25519PublicKey | RSAPublicKey
    ) -> None:
        self.name = name
        self._key = key

    def made(self, signature: bytes, signed: bytes) -> bool:
        """Is `signature` this key's over the bytes `signed`?"""
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
        from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

        try:
            if isinstance(self._key, EllipticCurvePublicKey):
                return _ecdsa_made(self._key, signature, signed)
            if isinstance(self._key, RSAPublicKey):
                _verify_rsa(self._key, signature, signed)
            else:
                self._key.verify(signature, signed)
        except InvalidSignature:
            return False
        return True


def _ecdsa_made(key: EllipticCurvePublicKey, signature: bytes, signed: bytes) -> bool:
    """SHA-256 for every curve (attachments), or the hash of the curve's size (bundles)."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec

    own = {384: hashes.SHA384(), 521: hashes.SHA512()}.get(key.curve.key_size)
    for hashed in (hashes.SHA256(), *([own] if own else [])):
        try:
            key.verify(signature, signed, ec.ECDSA(hashed))
        except InvalidSignature:
            continue
        return True
    return False


def _verify_rsa(key: RSAPublicKey, signature: bytes, signed: bytes) -> None:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import padding

    key.verify(signature, signed, padding.PKCS1v15(), hashes.SHA256())


def parse_public_key(name: str, pem: bytes) -> PublicKey:
    """`name` is for the messages. Raises: InvalidParameter."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    hint = "a key that cosign takes: `cosign generate-key-pair` writes cosign.pub"
    if b"PRIVATE KEY" in pem:
        raise InvalidParameter(f"{name} is a private key", hint="put the public key in its place")
    try:
        key = load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm) as err:
        raise InvalidParameter(f"{name} is no public key in PEM", hint=hint) from err
    if isinstance(key, RSAPublicKey) and key.key_size < _LEAST_RSA_BITS:
        raise InvalidParameter(f"{name}: RSA of {key.key_size} bits is too weak", hint=hint)
    if not isinstance(key, (EllipticCurvePublicKey, Ed25519PublicKey, RSAPublicKey)):
        raise InvalidParameter(f"{name} is neither ECDSA nor RSA nor Ed25519", hint=hint)
    return PublicKey(name, key)
