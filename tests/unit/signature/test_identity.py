"""Does the signed name fit? The table of containers-policy.json(5)."""

from __future__ import annotations

import pytest

from pogu.oci.reference import parse_reference
from pogu.signature.identity import IdentityType, SignedIdentity

D = "@sha256:" + "a" * 64
E = "@sha256:" + "b" * 64


def accepts(type_: str, signed: str, pulled: str, **more: str) -> bool:
    expected = parse_reference(more["expected"]) if "expected" in more else None
    identity = SignedIdentity(
        type=IdentityType(type_),
        expected=expected,
        prefix=more.get("prefix", ""),
        signed_prefix=more.get("signed_prefix", ""),
    )
    return identity.accepts(signed, parse_reference(pulled).with_default_tag())


@pytest.mark.parametrize(
    ("type_", "signed", "pulled", "fits"),
    [
        ("matchExact", "r.io/a:1", "r.io/a:1", True),
        ("matchExact", "r.io/a:2", "r.io/a:1", False),
        ("matchExact", "r.io/a", "r.io/a:1", False),
        ("matchExact", "r.io/a:1", f"r.io/a{D}", False),
        ("matchExact", "node", "node", False),
        ("matchExact", "node:latest", "node", True),
        ("matchRepoDigestOrExact", "r.io/a:1", "r.io/a:1", True),
        ("matchRepoDigestOrExact", "r.io/a:2", "r.io/a:1", False),
        ("matchRepoDigestOrExact", "r.io/a", "r.io/a:1", False),
        ("matchRepoDigestOrExact", "r.io/a:2", f"r.io/a{D}", True),
        ("matchRepoDigestOrExact", "r.io/a:2", f"r.io/a:1{D}", True),
        ("matchRepoDigestOrExact", "r.io/b:2", f"r.io/a{D}", False),
        ("matchRepoDigestOrExact", "r.io/a", f"r.io/a{D}", False),
        ("matchRepository", "r.io/a", "r.io/a:1", True),
        ("matchRepository", "r.io/a:9", "r.io/a:1", True),
        ("matchRepository", "r.io/aa", "r.io/a:1", False),
        ("matchRepository", "index.docker.io/library/node", "node", True),
        ("matchRepository", "", "r.io/a:1", False),
        ("matchRepository", "not a name", "r.io/a:1", False),
        ("matchDigest", "", "r.io/a:1", True),
        ("matchDigest", "other.io/b:2", "r.io/a:1", True),
    ],
)
def test_names_are_compared_as_the_type_says(
    type_: str, signed: str, pulled: str, fits: bool
) -> None:
    assert accepts(type_, signed, pulled) is fits


def test_an_exact_reference_or_repository_is_that_of_the_policy() -> None:
    assert accepts("exactReference", "v.io/x:1", "mirror.io/y:2", expected="v.io/x:1")
    assert not accepts("exactReference", "v.io/x:2", "mirror.io/y:2", expected="v.io/x:1")
    assert not accepts("exactReference", "v.io/x", "mirror.io/y:2", expected="v.io/x:1")
    assert accepts("exactRepository", "v.io/x:7", "mirror.io/y:2", expected="v.io/x")
    assert not accepts("exactRepository", "mirror.io/y:2", "mirror.io/y:2", expected="v.io/x")


@pytest.mark.parametrize(
    ("signed", "pulled", "fits"),
    [
        ("v.io/a:1", "m.io/v/a:1", True),
        ("v.io/a:2", "m.io/v/a:1", False),
        ("v.io/a:2", f"m.io/v/a{D}", True),
        ("m.io/v/a:1", "m.io/v/a:1", False),
        ("m.io/vv/a:1", "m.io/vv/a:1", True),
        ("v.io/v/a:1", "m.io/vv/a:1", False),
    ],
)
def test_a_prefix_is_exchanged_at_component_borders_only(
    signed: str, pulled: str, fits: bool
) -> None:
    found = accepts("remapIdentity", signed, pulled, prefix="m.io/v", signed_prefix="v.io")
    assert found is fits
