"""References are normalised as Docker's distribution/reference does."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pogu.errors import InvalidParameter
from pogu.oci.reference import parse_reference

DIGEST = "sha256:" + "a" * 64


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
        "x" * 300,
    ],
)
def test_what_the_grammar_does_not_hold_is_refused(text: str) -> None:
    with pytest.raises(InvalidParameter, match=r"invalid reference format|more than 255"):
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
