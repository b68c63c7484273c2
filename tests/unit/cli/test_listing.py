"""Filters, cut and quoted texts, and the rows of ps, images and history."""

from __future__ import annotations

import time
from typing import Any

import pytest

from pogu.cli.disk_usage import summary_rows
from pogu.cli.events import event_text
from pogu.cli.failure import UsageError
from pogu.cli.images import history_row, image_rows, split_tag
from pogu.cli.listing import cut, filters, natural, quoted, short_id
from pogu.cli.networks import network_row
from pogu.cli.ps import container_row, image_text, ports_text

NOW = 1_800_000_000


@pytest.fixture(autouse=True)
def a_fixed_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    monkeypatch.setattr(time, "time", lambda: float(NOW))


def a_port(
    private: int, public: int | None = None, ip: str = "0.0.0.0", kind: str = "tcp"
) -> dict[str, Any]:
    port: dict[str, Any] = {"PrivatePort": private, "Type": kind}
    return port if public is None else port | {"PublicPort": public, "IP": ip}


@pytest.mark.parametrize(
    ("ports", "text"),
    [
        ([], ""),
        ([a_port(80)], "80/tcp"),
        ([a_port(80, 8080)], "0.0.0.0:8080->80/tcp"),
        (
            [a_port(80, 8080, "::"), a_port(80, 8080)],
            "0.0.0.0:8080->80/tcp, [::]:8080->80/tcp",
        ),
        ([a_port(n) for n in (92, 90, 91)], "90-92/tcp"),
        ([a_port(90), a_port(91, kind="udp"), a_port(92)], "90/tcp, 92/tcp, 91/udp"),
        (
            [a_port(n, n, ip) for n in (90, 91, 95) for ip in ("0.0.0.0", "::")],
            "0.0.0.0:90-91->90-91/tcp, [::]:90-91->90-91/tcp, 0.0.0.0:95->95/tcp, [::]:95->95/tcp",
        ),
        (
            [a_port(80, 8080), a_port(33), a_port(53, 53, "127.0.0.1", "udp"), a_port(81, 8081)],
            "33/tcp, 127.0.0.1:53->53/udp, 0.0.0.0:8080->80/tcp, 0.0.0.0:8081->81/tcp",
        ),
    ],
)
def test_ports_collapse_into_ranges(ports: list[dict[str, Any]], text: str) -> None:
    assert ports_text(ports) == text


def a_listed_container(**changed: object) -> dict[str, Any]:
    return {
        "Id": "0123456789abcdef",
        "Names": ["/web"],
        "Image": "busybox",
        "ImageID": "sha256:feedfeedfeedfeed",
        "Command": "sh -c 'echo \"hi there\"; sleep 99'",
        "Created": NOW - 600,
        "Ports": [],
        "Labels": {"b": "2", "a": "1"},
        "State": "running",
        "Status": "Up 9 minutes",
        "NetworkSettings": {"Networks": {"bridge": {}}},
        "Mounts": [
            {"Type": "bind", "Source": "/a/rather/long/path"},
            {"Type": "volume", "Name": "v1", "Source": "/x", "Driver": "local"},
        ],
        **changed,
    }


def test_a_container_s_row_is_cut() -> None:
    row = container_row(a_listed_container(SizeRw=5, SizeRootFs=1_980_000), full=False)
    label = row.pop("Label")
    assert callable(label)
    assert (label("a"), label("z")) == ("1", "")
    assert row == {
        "ID": "0123456789ab",
        "Image": "busybox",
        "Command": '"sh -c \'echo \\"hi the…"',
        "CreatedAt": "2027-01-15 07:50:00 +0000 UTC",
        "RunningFor": "10 minutes ago",
        "Ports": "",
        "State": "running",
        "Status": "Up 9 minutes",
        "Size": "5B (virtual 1.98MB)",
        "Names": "web",
        "Labels": "a=1,b=2",
        "Mounts": "/a/rather/long…,v1",
        "LocalVolumes": "1",
        "Networks": "bridge",
        "Platform": None,
    }


def test_nothing_is_cut_in_full() -> None:
    row = container_row(a_listed_container(), full=True)
    assert row["ID"] == "0123456789abcdef"
    assert row["Command"] == '"sh -c \'echo \\"hi there\\"; sleep 99\'"'
    assert row["Mounts"] == "/a/rather/long/path,v1"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("", "<no image>"),
        ("docker.io/library/busybox:1", "busybox:1"),
        ("docker.io/me/app", "me/app"),
        ("reg.io/library/x", "reg.io/library/x"),
        ("busybox@sha256:0011", "busybox"),
        ("sha256:feedfeedfeedfeed", "feedfeedfeed"),
        ("sha256:feedfeedfeed", "feedfeedfeed"),
    ],
)
def test_the_image_column_is_familiar(name: str, text: str) -> None:
    assert image_text(a_listed_container(Image=name), full=False) == text


def an_image(**changed: object) -> dict[str, Any]:
    return {
        "Id": "sha256:0123456789abcdef",
        "RepoTags": [],
        "RepoDigests": [],
        "Created": NOW - 86400 * 30,
        "Size": 1_983_000,
        "SharedSize": -1,
        "Containers": 2,
        **changed,
    }


def names(image: dict[str, Any], *, digests: bool = False) -> list[tuple[object, ...]]:
    rows = image_rows(image, full=False, digests=digests)
    return [(row["Repository"], row["Tag"], row["Digest"]) for row in rows]


def test_an_image_has_a_row_for_every_tag() -> None:
    tags = ["localhost:5000/a:1", "b:latest"]
    assert names(an_image(RepoTags=tags)) == [
        ("localhost:5000/a", "1", "<none>"),
        ("b", "latest", "<none>"),
    ]
    assert names(an_image()) == [("<none>", "<none>", "<none>")]


def test_digests_stand_beside_tags_or_alone() -> None:
    image = an_image(RepoTags=["a:1"], RepoDigests=["a@sha256:77", "b@sha256:88"])
    assert names(image) == [("a", "1", "<none>"), ("b", "<none>", "")]
    assert names(image, digests=True) == [("a", "1", "sha256:77"), ("b", "<none>", "sha256:88")]


def test_an_image_s_sizes() -> None:
    row = image_rows(an_image(SharedSize=1_000_000), full=False, digests=False)[0]
    assert (row["ID"], row["Size"], row["UniqueSize"]) == ("0123456789ab", "1.98MB", "983kB")
    assert row["CreatedSince"] == "4 weeks ago"
    assert image_rows(an_image(), full=True, digests=False)[0]["SharedSize"] == "N/A"


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("a", ("a", "")),
        ("a:1", ("a", "1")),
        ("localhost:5000/a", ("localhost:5000/a", "")),
        ("localhost:5000/a:1", ("localhost:5000/a", "1")),
    ],
)
def test_a_port_is_no_tag(name: str, parts: tuple[str, str]) -> None:
    assert split_tag(name) == parts


def a_history_line(**changed: object) -> dict[str, Any]:
    return {
        "Id": "<missing>",
        "Created": NOW - 60,
        "CreatedBy": "RUN\techo " + "x" * 50,
        "Size": 12_345,
        "Comment": "c",
        **changed,
    }


def test_history_for_people_and_for_programs() -> None:
    assert history_row(a_history_line(), full=False, human=True) == {
        "ID": "<missing>",
        "CreatedAt": "2027-01-15T07:59:00Z",
        "CreatedSince": "About a minute ago",
        "CreatedBy": "RUN echo " + "x" * 35 + "…",
        "Size": "12.3kB",
        "Comment": "c",
    }
    row = history_row(a_history_line(Created=0), full=True, human=False)
    assert (row["Size"], row["CreatedSince"]) == ("12345", "1970-01-01T00:00:00Z")
    assert history_row(a_history_line(Created=0), full=True, human=True)["CreatedSince"] == ""


def test_an_event_s_line() -> None:
    event = {
        "Type": "container",
        "Action": "start",
        "Actor": {"ID": "0123", "Attributes": {"name": "web", "image": "busybox"}},
        "timeNano": NOW * 1_000_000_000 + 5,
    }
    assert event_text(event) == (
        "2027-01-15T08:00:00.000000005Z container start 0123 (image=busybox, name=web)"
    )


@pytest.mark.parametrize(
    ("created", "printed"),
    [
        ("2026-01-02T03:04:05Z", "2026-01-02 03:04:05 +0000 UTC"),
        ("2026-01-02T03:04:05.1200Z", "2026-01-02 03:04:05.12 +0000 UTC"),
        ("2026-01-02T03:04:05.5+02:00", "2026-01-02 03:04:05.5 +0200 +0200"),
    ],
)
def test_a_network_s_time_is_go_s(created: str, printed: str) -> None:
    network = {"Id": "0", "Name": "n", "Driver": "bridge", "Scope": "local", "Created": created}
    assert network_row(network, full=False)["CreatedAt"] == printed


def test_disk_usage_counts_what_is_in_use() -> None:
    found = {
        "LayersSize": 4_000_000,
        "Images": [an_image(SharedSize=0), an_image(SharedSize=0, Containers=0)],
        "Containers": [
            {"State": "running", "SizeRw": 1000},
            {"State": "exited", "SizeRw": 3000},
        ],
        "Volumes": [{"UsageData": {"Size": -1, "RefCount": 0}}],
    }
    assert [tuple(row.values()) for row in summary_rows(found)] == [
        ("Images", "2", "1", "4MB", "2.017MB (50%)"),
        ("Containers", "2", "1", "4kB", "3kB (75%)"),
        ("Local Volumes", "1", "0", "0B", "0B"),
        ("Build Cache", "0", "0", "0B", "0B"),
    ]


def test_filters_of_one_name_gather() -> None:
    assert filters([]) is None
    assert filters(["label=a", "Label = b=c", "name=x"]) == ('{"label":["a","b=c"],"name":["x"]}')
    with pytest.raises(UsageError, match=r"bad format of filter \(expected name=value\)"):
        filters(["foo"])


@pytest.mark.parametrize(
    ("text", "width", "printed"),
    [("abc", 3, "abc"), ("abcd", 3, "ab…"), ("äbcd", 3, "äb…"), ("日本語", 5, "日本…")],
)
def test_texts_are_cut_by_columns(text: str, width: int, printed: str) -> None:
    assert cut(text, width) == printed


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("a b", '"a b"'),
        ('a"\\', '"a\\"\\\\"'),
        ("a\tü\n\x01\x7f\u200b", '"a\\tü\\n\\x01\\x7f\\u200b"'),
    ],
)
def test_texts_are_quoted_as_go_quotes(text: str, printed: str) -> None:
    assert quoted(text) == printed


def test_ids_are_short_and_numbers_sort_by_value() -> None:
    assert short_id("sha256:0123456789abcdef") == "0123456789ab"
    assert sorted(["a10", "a9", "b", "a"], key=natural) == ["a", "a9", "a10", "b"]
