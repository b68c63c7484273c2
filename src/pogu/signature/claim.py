"""Format: a signature as it came, and what it says once its key is known. Pure.

Nothing of a payload is read before a trusted key has signed it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pogu.errors import InvalidParameter
from pogu.oci.reference import Reference
from pogu.signature.identity import IdentityType, SignedIdentity
from pogu.signature.key import PublicKey

__all__ = ["Claim", "UntrustedSignature", "why_not"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What is signed: this content, under this name (empty: under none)."""

    digest: str
    name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class UntrustedSignature:
    """`signed` is what `signature` is over; `read` parses it and raises InvalidParameter."""

    signed: bytes
    signature: bytes
    read: Callable[[], Claim]


def why_not(
    one: UntrustedSignature,
    *,
    keys: Sequence[PublicKey],
    identity: SignedIdentity,
    pulled: Reference,
    digest: str,
) -> str:
    """Return why the signature does not vouch for `digest` as `pulled`; empty when it does."""
    if not any(key.made(one.signature, one.signed) for key in keys):
        return f"a signature is not by {' or '.join(key.name for key in keys)}"
    try:
        claim = one.read()
    except InvalidParameter as err:
        return err.message
    if claim.digest != digest:
        return f"Signature for digest {claim.digest} does not match"
    if not identity.accepts(claim.name, pulled):
        return _not_accepted(claim.name, identity)
    return ""


def _not_accepted(name: str, identity: SignedIdentity) -> str:
    """Many meet this: cosign signs the repository or no name at all."""
    text = f'Signature for identity "{name}" is not accepted by {identity.type}'
    if not name:
        return f"{text}; a sigstore bundle signs no name, {IdentityType.MATCH_DIGEST} accepts it"
    if identity.type is IdentityType.MATCH_REPO_DIGEST_OR_EXACT and ":" not in name.split("/")[-1]:
        return f"{text}; cosign signs names without tags, {IdentityType.MATCH_REPOSITORY} accepts"
    return text
