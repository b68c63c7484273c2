"""Format: does the name in a signature fit the image that is pulled? containers-policy.json(5),
"signedIdentity". Pure.

`matchDigest` is ours: the signature's digest alone counts, as `cosign verify` has it. Sigstore
bundles sign no name, so nothing else accepts them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from pogu.errors import InvalidParameter
from pogu.oci.reference import Reference, parse_reference

__all__ = ["IdentityType", "SignedIdentity"]


class IdentityType(StrEnum):
    """As the policy file spells them."""

    MATCH_EXACT = "matchExact"
    MATCH_REPO_DIGEST_OR_EXACT = "matchRepoDigestOrExact"
    MATCH_REPOSITORY = "matchRepository"
    EXACT_REFERENCE = "exactReference"
    EXACT_REPOSITORY = "exactRepository"
    REMAP_IDENTITY = "remapIdentity"
    MATCH_DIGEST = "matchDigest"


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedIdentity:
    """A requirement on the signed name. `expected` is the one of exactReference, exactRepository;
    `prefix` becomes `signed_prefix` for remapIdentity."""

    type: IdentityType = IdentityType.MATCH_REPO_DIGEST_OR_EXACT
    expected: Reference | None = None
    prefix: str = ""
    signed_prefix: str = ""

    def accepts(self, claimed: str, pulled: Reference) -> bool:
        """`claimed` is the signature's name, empty when it has none; `pulled` is complete."""
        if self.type is IdentityType.MATCH_DIGEST:
            return True
        try:
            signed = parse_reference(claimed)
            wanted = self._remapped(pulled)
        except InvalidParameter:
            return False
        match self.type:
            case IdentityType.MATCH_REPOSITORY:
                return signed.repository == pulled.repository
            case IdentityType.MATCH_EXACT:
                return _is_complete(signed) and str(signed) == str(pulled)
            case IdentityType.EXACT_REFERENCE:
                return _is_complete(signed) and str(signed) == str(self.expected)
            case IdentityType.EXACT_REPOSITORY:
                return self.expected is not None and signed.repository == self.expected.repository
        if not _is_complete(signed):
            return False
        if wanted.digest:  # the digest itself was checked against what came
            return signed.repository == wanted.repository
        return str(signed) == str(wanted)

    def _remapped(self, pulled: Reference) -> Reference:
        """The name that the signer knows the image by. Raises: InvalidParameter."""
        if self.type is not IdentityType.REMAP_IDENTITY:
            return pulled
        name = pulled.repository
        if name != self.prefix and not name.startswith(self.prefix + "/"):
            return pulled
        return parse_reference(self.signed_prefix + str(pulled).removeprefix(self.prefix))


def _is_complete(reference: Reference) -> bool:
    return bool(reference.tag or reference.digest)
