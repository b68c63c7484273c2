"""Platforms are read, compared and chosen as Docker does it."""

from __future__ import annotations

import msgspec
import pytest

from pogu.errors import InvalidParameter, NotFound
from pogu.images.platform import (
    amd64_variant,
    choose,
    fits,
    host_platform,
    normalized,
    parse_platform,
    runs_as,
)
from pogu.oci.index import Platform

V2 = "cx16 lahf_lm popcnt pni sse4_1 sse4_2 ssse3"
V3 = f"{V2} avx avx2 bmi1 bmi2 f16c fma abm movbe xsave"


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("linux/amd64", "linux/amd64"),
        ("linux/x86_64", "linux/amd64"),
        ("x86-64", "linux/amd64"),
        ("AMD64", "linux/amd64"),
        ("linux/amd64/v1", "linux/amd64"),
        ("linux/amd64/v3", "linux/amd64/v3"),
        ("i386", "linux/386"),
        ("linux/aarch64", "linux/arm64"),
        ("arm64", "linux/arm64"),
        ("linux/arm64/v8", "linux/arm64/v8"),
        ("linux/arm64/8", "linux/arm64/v8"),
        ("linux/arm64/v9.1", "linux/arm64/v9.1"),
        ("arm", "linux/arm"),
        ("armhf", "linux/arm"),
        ("armel", "linux/arm/v6"),
        ("linux/armhf", "linux/arm"),
        ("linux/arm/7", "linux/arm/v7"),
        ("linux/arm/v6", "linux/arm/v6"),
        ("linux/arm/5", "linux/arm/v5"),
        ("linux/s390x", "linux/s390x"),
        ("macos/arm64", "darwin/arm64"),
        ("windows(10.0.17763)/amd64", "windows(10.0.17763)/amd64"),
        ("linux/of-my-own", "linux/of-my-own"),
    ],
)
def test_a_platform_is_read_in_every_spelling(text: str, read: str) -> None:
    assert str(parse_platform(text)) == read


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("fruit", '"fruit": unknown operating system or architecture: invalid argument'),
        ("a/b/c/d", '"a/b/c/d": cannot parse platform specifier: invalid argument'),
        ("linux/", '"" is an invalid component of "linux/"'),
        ("linux/am d", '"am d" is an invalid component of "linux/am d"'),
        ("*", r'"\*" is an invalid component'),
        ("/", '"" is an invalid component of "/"'),
    ],
)
def test_what_is_no_platform_is_refused_in_containerds_words(text: str, words: str) -> None:
    with pytest.raises(InvalidParameter, match=words):
        parse_platform(text)


def test_no_platform_is_this_hosts_and_a_system_alone_has_its_processor() -> None:
    assert parse_platform("") == host_platform()
    assert parse_platform("linux").architecture == host_platform().architecture


@pytest.mark.parametrize(
    ("flags", "level"),
    [
        ("fpu sse2", "v1"),
        (V2, "v2"),
        (V3, "v3"),
        (V3.replace(" fma", ""), "v2"),
        (f"{V3} avx512f avx512bw avx512cd avx512dq avx512vl", "v4"),
    ],
)
def test_the_level_of_a_processor_is_what_all_its_flags_reach(flags: str, level: str) -> None:
    assert amd64_variant(f"processor\t: 0\nflags\t\t: {flags}\nbugs\t:\n") == level


@pytest.mark.parametrize(
    ("wanted", "found", "answer"),
    [
        ("linux/amd64", "linux/amd64", True),
        ("linux/amd64", "linux/amd64/v2", False),
        ("linux/amd64/v3", "linux/amd64/v2", True),
        ("linux/amd64/v3", "linux/amd64", True),
        ("linux/amd64/v2", "linux/amd64/v3", False),
        ("linux/amd64", "linux/386", True),
        ("linux/arm64", "linux/arm64/v8", True),
        ("linux/arm64/v8", "linux/arm64", True),
        ("linux/arm64", "linux/arm/v7", True),
        ("linux/arm64/v9", "linux/arm64/v8.5", True),
        ("linux/arm64/v9", "linux/arm64/v8.6", False),
        ("linux/arm64/v8.2", "linux/arm64/v8.1", True),
        ("linux/arm/v7", "linux/arm/v6", True),
        ("linux/arm", "linux/arm/v7", True),
        ("linux/arm/v6", "linux/arm/v7", False),
        ("linux/amd64", "linux/arm64", False),
        ("linux/amd64", "windows/amd64", False),
    ],
)
def test_what_runs_where(wanted: str, found: str, answer: bool) -> None:
    assert fits(parse_platform(found), parse_platform(wanted)) is answer


def test_an_image_that_names_no_variant_fits_any() -> None:
    assert fits(Platform(os="linux", architecture="arm"), parse_platform("linux/arm/v6"))


def test_what_a_machine_runs_is_ordered_best_first() -> None:
    shown = [str(one) for one in runs_as(parse_platform("linux/amd64/v3"))]
    assert shown == ["linux/amd64/v3", "linux/amd64/v2", "linux/amd64", "linux/386"]


def test_normalizing_twice_changes_nothing() -> None:
    for text in ("linux/arm/7", "linux/arm64/v8", "linux/x86_64/v1", "macos/aarch64"):
        once = normalized(parse_platform(text))
        assert normalized(once) == once


def an_entry(at: int, platform: str | None) -> dict[str, object]:
    entry: dict[str, object] = {"digest": f"sha256:{at:064x}", "size": 1}
    if platform:
        system, architecture, *variant = platform.split("/")
        parts = {"os": system, "architecture": architecture, "variant": "".join(variant)}
        entry["platform"] = parts
    return entry


def an_index(*platforms: str | None) -> bytes:
    entries = [an_entry(at, one) for at, one in enumerate(platforms)]
    return msgspec.json.encode({"schemaVersion": 2, "manifests": entries})


@pytest.mark.parametrize(
    ("offered", "wanted", "place"),
    [
        (("linux/arm64", "linux/amd64"), "linux/amd64", 1),
        (("linux/amd64", "linux/amd64/v2", "linux/amd64/v3"), "linux/amd64/v3", 2),
        (("linux/amd64/v3", "linux/amd64"), "linux/amd64/v2", 1),
        (("linux/arm/v5", "linux/arm/v6", "linux/arm/v7"), "linux/arm/v6", 1),
        (("linux/arm/v7", "linux/arm64/v8"), "linux/arm64", 1),
        (("unknown/unknown", "linux/386"), "linux/amd64", 1),
        (("linux/amd64", "linux/amd64"), "linux/amd64", 0),
        (("linux/arm64", None), "linux/amd64", 1),
        ((None,), "linux/s390x", 0),
    ],
)
def test_the_best_entry_is_chosen(offered: tuple[str | None, ...], wanted: str, place: int) -> None:
    entry = choose(an_index(*offered), parse_platform(wanted), "x")
    assert int(entry.digest.removeprefix("sha256:"), 16) == place


def test_what_an_index_offers_is_said_when_nothing_fits() -> None:
    with pytest.raises(NotFound, match="no matching manifest for linux/s390x in the") as caught:
        choose(an_index("linux/arm64", "unknown/unknown"), parse_platform("s390x"), "x:1")
    assert caught.value.hint == "x:1 is offered for: linux/arm64"
