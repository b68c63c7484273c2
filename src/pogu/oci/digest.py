"""Format: content digests (image-spec descriptor.md, "Digests") and chain IDs."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from typing import NewType

from pogu.errors import InvalidParameter

__all__ = [
    "ChainId",
    "DiffId",
    "Digest",
    "chain_id",
    "chain_ids",
    "check_digest",
    "is_digest_of",
    "parse_digest",
    "sha256_digest",
]

Digest = NewType("Digest", str)
"""`sha256:<64 hex>`."""

DiffId = NewType("DiffId", str)
"""Digest of a layer's uncompressed tar."""

ChainId = NewType("ChainId", str)
"""Digest that names a layer together with everything below it."""

_ALGORITHMS = frozenset(("sha256", "sha384", "sha512"))
_SHA256 = re.compile(r"sha256:[0-9a-f]{64}")
_ANY = re.compile(r"sha256:[0-9a-f]{64}|sha384:[0-9a-f]{96}|sha512:[0-9a-f]{128}")


def parse_digest(text: str) -> Digest:
    """Return `text` as a digest. Raises: InvalidParameter."""
    if not _SHA256.fullmatch(text):
        raise InvalidParameter(f"invalid digest: {text!r}", hint="a digest is sha256:<64 hex>")
    return Digest(text)


def check_digest(text: str, *, others: bool = False) -> None:
    """For documents of others, while they are decoded: files and paths are named by what they say.

    `others`: SHA-384 and SHA-512 too. Raises: ValueError.
    """
    if not (_ANY if others else _SHA256).fullmatch(text):
        raise ValueError(f"invalid checksum digest format: {text[:100]!r}")


def sha256_digest(data: bytes) -> Digest:
    """Return the digest of `data`."""
    return Digest("sha256:" + hashlib.sha256(data).hexdigest())


def is_digest_of(digest: str, data: bytes) -> bool:
    """True when `digest`, of any algorithm that a reference may have, is that of `data`."""
    algorithm, _, digits = digest.partition(":")
    return algorithm in _ALGORITHMS and hashlib.new(algorithm, data).hexdigest() == digits


def chain_id(parent: ChainId | None, diff_id: DiffId) -> ChainId:
    """Return the chain ID of a layer over `parent` (image-spec config.md, "Layer ChainID")."""
    if parent is None:
        return ChainId(diff_id)
    return ChainId(sha256_digest(f"{parent} {diff_id}".encode()))


def chain_ids(diff_ids: Sequence[DiffId]) -> list[ChainId]:
    """Return the chain ID after each layer, bottom first."""
    chain: list[ChainId] = []
    for diff_id in diff_ids:
        chain.append(chain_id(chain[-1] if chain else None, diff_id))
    return chain
