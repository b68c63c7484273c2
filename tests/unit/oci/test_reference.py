"""References are normalised as Docker's distribution/reference does."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pogu.errors import InvalidParameter
from pogu.oci.reference import parse_reference

DIGEST = "sha256:" + "a" * 64
SHA512 = "sha512:" + "f" * 128
IDENTIFIER = "1a3f5e7d9c1b3a5f7e9d1c3b5a7f9e1d3c5b7a9f1e3d5d7c9b1a3f5e7d9c1b3a"


@pytest.mark.parametrize(
    ("text", "full", "familiar"),
    [
        ("node", "docker.io/library/node", "node"),
        ("node:18", "docker.io/library/node:18", "node:18"),
        ("docker.io/node", "docker.io/library/node", "node"),
        ("index.docker.io/library/node", "docker.io/library/node", "node"),
        ("you/app", "docker.io/you/app", "you/app"),
        ("localhost/app", "localhost/app", "localhost/app"),
        ("localhost:5000/a/b:1.0", "localhost:5000/a/b:1.0", "localhost:5000/a/b:1.0"),
        ("[::1]:5000/app", "[::1]:5000/app", "[::1]:5000/app"),
        (f"quay.io/x@{DIGEST}", f"quay.io/x@{DIGEST}", f"quay.io/x@{DIGEST}"),
        (f"a:1@{DIGEST}", f"docker.io/library/a:1@{DIGEST}", f"a:1@{DIGEST}"),
        ("a__b/c.d/e--f", "docker.io/a__b/c.d/e--f", "a__b/c.d/e--f"),
        ("a:Upper_1.x", "docker.io/library/a:Upper_1.x", "a:Upper_1.x"),
        ("test.com:5000", "docker.io/library/test.com:5000", "test.com:5000"),
        ("192.168.1.1", "docker.io/library/192.168.1.1", "192.168.1.1"),
        ("192.168.0.1:8/a", "192.168.0.1:8/a", "192.168.0.1:8/a"),
        ("host:5000/a:5050", "host:5000/a:5050", "host:5000/a:5050"),
        ("test_com/foo", "docker.io/test_com/foo", "test_com/foo"),
        ("library/foo/bar", "docker.io/library/foo/bar", "library/foo/bar"),
        ("docker.io/library/foo", "docker.io/library/foo", "foo"),
        ("index.docker.io/foo", "docker.io/library/foo", "foo"),
        ("Docker/docker", "Docker/docker", "Docker/docker"),
        ("FOO/bar", "FOO/bar", "FOO/bar"),
        ("xn--n3h.com/a:xn--n3h.com", "xn--n3h.com/a:xn--n3h.com", "xn--n3h.com/a:xn--n3h.com"),
        (f"x.io/a:1@{SHA512}", f"x.io/a:1@{SHA512}", f"x.io/a:1@{SHA512}"),
        ("[2001:db8::1]/a", "[2001:db8::1]/a", "[2001:db8::1]/a"),
        ("[fc00:1:2::7]:5000/a/b:t", "[fc00:1:2::7]:5000/a/b:t", "[fc00:1:2::7]:5000/a/b:t"),
        (f"docker.io/{IDENTIFIER}", f"docker.io/library/{IDENTIFIER}", IDENTIFIER),
        ("docker---rules/d", "docker.io/docker---rules/d", "docker---rules/d"),
        ("x" * 247, "docker.io/library/" + "x" * 247, "x" * 247),
        ("host.test/" + "x" * 255, "host.test/" + "x" * 255, "host.test/" + "x" * 255),
    ],
)
def test_names_are_normalised_and_shown_familiar(text: str, full: str, familiar: str) -> None:
    reference = parse_reference(text)
    assert str(reference) == full
    assert reference.familiar == familiar


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":",
        "a:",
        "a/",
        "/a",
        "a//b",
        "-a",
        "a:-x",
        "a b",
        "a@sha256:12",
        "a@",
        "a:b:c",
        "a_",
        ":justtag",
        f"@{DIGEST}",
        "aa/asdf$$^/aa",
        "https://github.com/docker/docker",
        "-docker.io/docker/docker",
        "docker-/docker",
        "docker///docker",
        "____/____",
        "_docker/_docker",
        "dock..er/docker",
        "dock_.er/docker",
        "dock-.er/docker",
        "foo___bar",
        "[fc00::1]",
        "[fc00::1]:5000",
        "[2001:db8::1]:tag",
        "fc00::1:5000/debian",
        "[fe80::1%eth0]:5000/debian",
        "[fe80::1%@invalidzone]:5000/repo",
        "[2001:db8:3:4::192.0.2.33]:5000/debian",
        "a:" + "t" * 129,
        "localhost:port/a",
    ],
)
def test_what_the_grammar_does_not_hold_is_refused(text: str) -> None:
    with pytest.raises(InvalidParameter, match="invalid reference format"):
        parse_reference(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("repo@sha256:" + "f" * 34, "invalid checksum digest length"),
        ("repo@sha512:" + "f" * 64, "invalid checksum digest length"),
        ("repo@sha256:" + "A" * 64, "invalid checksum digest format"),
        ("repo@invaliddigest:" + "f" * 64, "unsupported digest algorithm"),
        (IDENTIFIER, "cannot specify 64-byte hexadecimal strings"),
        ("x" * 248, "repository name must not be more than 255 characters"),
        ("a/" * 128 + "a:tag", "repository name must not be more than 255 characters"),
        ("host.test/" + "x" * 256, "repository name must not be more than 255 characters"),
        ("docker/Docker", r"repository name \(docker/Docker\) must be lowercase"),
        ("host:5000/Upper/lower:tag", r"repository name \(Upper/lower\) must be lowercase"),
    ],
)
def test_what_is_nearly_a_reference_is_refused_in_dockers_words(text: str, words: str) -> None:
    with pytest.raises(InvalidParameter, match=words):
        parse_reference(text)


def test_upper_case_is_refused_with_the_lower_case_name_as_hint() -> None:
    with pytest.raises(InvalidParameter, match="must be lowercase") as caught:
        parse_reference("myApp:1")
    assert caught.value.hint == "try myapp:1"


def test_a_missing_tag_becomes_latest_unless_a_digest_names_the_image() -> None:
    assert parse_reference("a").with_default_tag().tag == "latest"
    assert parse_reference(f"a@{DIGEST}").with_default_tag().tag is None


@given(st.text(max_size=80))
def test_any_text_parses_or_is_refused_and_parses_again_to_itself(text: str) -> None:
    try:
        reference = parse_reference(text)
    except InvalidParameter:
        return
    assert parse_reference(str(reference)) == reference
