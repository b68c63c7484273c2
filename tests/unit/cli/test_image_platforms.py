"""`images --tree`."""

from __future__ import annotations

from typing import Any

from pogu.cli.image_platforms import platform_lines

AMD, ARM = "sha256:" + "a" * 64, "sha256:" + "b" * 64


def a_variant(digest: str, architecture: str, *, total: int = 0, **platform: str) -> dict[str, Any]:
    return {
        "ID": digest,
        "Size": {"Content": total // 2, "Total": total},
        "ImageData": {
            "Platform": {"os": "linux", "architecture": architecture, **platform},
            "Containers": ["x"] if total else [],
        },
    }


def an_image(*tags: str, **fields: object) -> dict[str, Any]:
    none: dict[str, Any] = {"RepoDigests": [], "Manifests": []}
    return {"Id": AMD, "RepoTags": list(tags), "Size": 4000, "Containers": 0, **none, **fields}


def test_an_image_stands_above_its_platforms() -> None:
    variants = [a_variant(AMD, "amd64", total=4000), a_variant(ARM, "arm64", variant="v8")]
    lines = platform_lines([an_image("web:1", "web:2", Manifests=variants)])
    assert lines == [
        "IMAGE               ID             DISK USAGE   CONTENT SIZE   USED",
        "web:1",
        "web:2               aaaaaaaaaaaa          4kB            2kB    ✔",
        "├─ linux/amd64      aaaaaaaaaaaa          4kB            2kB    ✔",
        "└─ linux/arm64/v8   bbbbbbbbbbbb           0B             0B",
    ]


def test_a_platform_of_a_tagged_image_does_not_stand_for_itself() -> None:
    named = an_image("web:1", Manifests=[a_variant(ARM, "arm64")])
    sibling = an_image(RepoDigests=[f"web@{ARM}"], Manifests=[a_variant(ARM, "arm64")])
    orphan = an_image(Manifests=[])
    lines = platform_lines([named, sibling, orphan])
    assert [line.split()[0] for line in lines if line] == ["IMAGE", "web:1", "└─", "<untagged>"]
