"""Digests and chain IDs."""

from __future__ import annotations

import hashlib

import pytest

from pogu.errors import InvalidParameter
from pogu.oci.digest import DiffId, chain_ids, is_digest_of, parse_digest, sha256_digest


def test_a_digest_names_its_algorithm() -> None:
    assert sha256_digest(b"x") == "sha256:" + hashlib.sha256(b"x").hexdigest()


@pytest.mark.parametrize("text", ["", "sha256:", "sha256:" + "A" * 64, "md5:" + "0" * 32])
def test_what_is_no_sha256_digest_is_refused(text: str) -> None:
    with pytest.raises(InvalidParameter):
        parse_digest(text)


def test_the_chain_id_of_the_bottom_layer_is_its_diff_id() -> None:
    bottom, second = DiffId(sha256_digest(b"1")), DiffId(sha256_digest(b"2"))
    chain = chain_ids([bottom, second])
    assert str(chain[0]) == bottom
    assert str(chain[1]) == sha256_digest(f"{bottom} {second}".encode())


@pytest.mark.parametrize("algorithm", ["sha256", "sha384", "sha512"])
def test_a_digest_of_any_algorithm_is_compared(algorithm: str) -> None:
    digest = f"{algorithm}:{hashlib.new(algorithm, b'text').hexdigest()}"
    assert is_digest_of(digest, b"text")
    assert not is_digest_of(digest, b"other")


def test_an_algorithm_that_nobody_knows_is_no_proof() -> None:
    assert not is_digest_of(f"md5:{hashlib.md5(b'text').hexdigest()}", b"text")
