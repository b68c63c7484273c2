"""Format: `images --tree`: each image with the platforms that its index has. Pure."""

from __future__ import annotations

from pogu.cli.listing import short_id
from pogu.cli.table import human_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Json = dict[str, Any]

__all__ = ["platform_lines"]

_HEADER = ("IMAGE", "ID", "DISK USAGE", "CONTENT SIZE", "USED")
_UNTAGGED = "<untagged>"


def platform_lines(images: list[Json]) -> list[str]:
    """Return the table; what is a platform of a tagged image does not stand for itself too."""
    below = {one["ID"] for image in images if image["RepoTags"] for one in image["Manifests"] or ()}
    blocks = []
    for image in images:
        digests = {name.partition("@")[2] for name in image["RepoDigests"] or ()}
        if image["RepoTags"] or not digests & below:
            blocks.append(_block(image))
    widths = [
        max(len(row[column]) for row in [_HEADER, *(row for rows in blocks for row in rows)])
        for column in range(len(_HEADER))
    ]
    lines = [_line(_HEADER, widths)]
    for number, rows in enumerate(blocks):
        lines += [""] if number else []
        lines += [_line(row, widths) for row in rows]
    return lines


def _block(image: Json) -> list[tuple[str, ...]]:
    """The names, the last with what the image takes, then its platforms."""
    variants = image["Manifests"] or []
    *others, last = image["RepoTags"] or [_UNTAGGED]
    content = sum(one["Size"]["Content"] for one in variants)
    used = image["Containers"] > 0 or any(one["ImageData"]["Containers"] for one in variants)
    rows: list[tuple[str, ...]] = [(name, "", "", "", "") for name in others]
    rows.append((last, *_sizes(image["Id"], image["Size"], content, used=used)))
    for number, one in enumerate(variants, 1):
        platform = one["ImageData"]["Platform"]
        words = [platform.get(key) for key in ("os", "architecture", "variant")]
        branch = "\u2514\u2500" if number == len(variants) else "\u251c\u2500"
        sizes = one["Size"]
        rows.append(
            (
                f"{branch} {'/'.join(word for word in words if word)}",
                *_sizes(
                    one["ID"],
                    sizes["Total"],
                    sizes["Content"],
                    used=bool(one["ImageData"]["Containers"]),
                ),
            )
        )
    return rows


def _sizes(digest: str, total: int, content: int, *, used: bool) -> tuple[str, ...]:
    mark = "\u2714" if used else ""
    return (short_id(digest), human_size(total), human_size(content), mark)


def _line(row: tuple[str, ...], widths: list[int]) -> str:
    name, image, total, content, used = row
    cells = [
        name.ljust(widths[0]),
        image.ljust(widths[1]),
        total.rjust(widths[2]),
        content.rjust(widths[3]),
        used.center(widths[4]),
    ]
    return "   ".join(cells).rstrip()
