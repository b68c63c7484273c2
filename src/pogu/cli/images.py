"""Edge: `images`, `tag`, `history`, `image prune`."""

from __future__ import annotations

import time

from pogu.cli.context import Context
from pogu.cli.failure import UsageError
from pogu.cli.flags import Command, Flag, Values
from pogu.cli.http import quote
from pogu.cli.listing import (
    FILTER,
    FORMAT,
    ago,
    cut,
    filters,
    local_time,
    print_lines,
    print_rows,
    short_id,
)
from pogu.cli.prune import DRY_RUN, prune
from pogu.cli.table import human_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Json = dict[str, Any]

__all__ = [
    "COMMANDS",
    "HEADERS",
    "HISTORY_HEADERS",
    "history_row",
    "image_rows",
    "split_tag",
]

HEADERS = {
    "Repository": "REPOSITORY",
    "Tag": "TAG",
    "Digest": "DIGEST",
    "ID": "IMAGE ID",
    "CreatedSince": "CREATED",
    "CreatedAt": "CREATED AT",
    "Size": "SIZE",
    "Containers": "CONTAINERS",
    "VirtualSize": "SIZE",
    "SharedSize": "SHARED SIZE",
    "UniqueSize": "UNIQUE SIZE",
}
HISTORY_HEADERS = {
    "ID": "IMAGE",
    "CreatedSince": "CREATED",
    "CreatedAt": "CREATED AT",
    "CreatedBy": "CREATED BY",
    "Size": "SIZE",
    "Comment": "COMMENT",
}
_NONE = "<none>"
_BEFORE_IMAGES = 946_684_800  # 2000: a time before this is none
_CREATED_BY_WIDTH = 45


def _images(context: Context, values: Values) -> int:
    wanted = list(values.texts("filter"))
    if values.args:
        wanted.append(f"reference={values.args[0]}")
    template, digests = values.text("format"), values.flag("digests")
    if values.flag("tree"):
        return _image_tree(context, values, wanted)
    parameters: dict[str, object] = {
        "all": values.flag("all") or None,
        "filters": filters(wanted),
        "digests": digests or None,
    }
    found = context.get("/images/json", parameters)
    assert isinstance(found, list)
    full = values.flag("no-trunc")
    with_digest = digests or "{{.Digest}}" in template
    rows = [row for one in found for row in image_rows(one, full=full, digests=with_digest)]
    if values.flag("quiet") and template in ("", "table"):
        print_lines(context, [row["ID"] for row in rows])
        return 0
    columns = ["Repository", "Tag", "ID", "CreatedSince", "Size"]
    if digests:
        columns.insert(2, "Digest")
        if template.startswith("table ") and "{{.Digest}}" not in template:
            template += "\t{{.Digest}}"
    print_rows(context, rows, headers=HEADERS, columns=columns, template=template)
    return 0


def _image_tree(context: Context, values: Values, wanted: list[str]) -> int:
    from pogu.cli.image_platforms import platform_lines

    for name in ("quiet", "no-trunc", "digests", "format"):
        if name in values.given:
            raise UsageError(f"--{name} is not yet supported with --tree")
    found = context.get(
        "/images/json",
        {"all": values.flag("all") or None, "filters": filters(wanted), "manifests": True},
    )
    assert isinstance(found, list)
    context.out("\n".join(platform_lines(found)))
    return 0


def image_rows(image: Json, *, full: bool, digests: bool) -> list[dict[str, object]]:
    """Return one row for every tag, else for every repository known by digest, else one."""
    by_repository: dict[str, list[str]] = {}
    for name in image.get("RepoDigests") or ():
        repository, _, digest = name.partition("@")
        by_repository.setdefault(repository, []).append(digest)
    names: list[tuple[str, str, str]] = []
    tagged = set()
    for name in image.get("RepoTags") or ():
        repository, tag = split_tag(name)
        tagged.add(repository)
        known = by_repository.get(repository, []) if digests else []
        names += [(repository, tag, digest) for digest in known or [_NONE]]
    for repository, known in by_repository.items():
        if repository not in tagged:
            names += [(repository, _NONE, one) for one in (known if digests else [""])]
    same = _same_fields(image, full=full)
    rows = names or [(_NONE, _NONE, _NONE)]
    return [{"Repository": name, "Tag": tag, "Digest": one, **same} for name, tag, one in rows]


def _same_fields(image: Json, *, full: bool) -> dict[str, object]:
    size, shared, users = image["Size"], image.get("SharedSize", -1), image.get("Containers", -1)
    return {
        "ID": image["Id"] if full else short_id(image["Id"]),
        "CreatedSince": ago(image["Created"]),
        "CreatedAt": local_time(image["Created"]),
        "Size": human_size(size),
        "VirtualSize": human_size(size, digits=4),
        "SharedSize": "N/A" if shared == -1 else human_size(shared, digits=4),
        "UniqueSize": "N/A" if shared == -1 else human_size(size - shared, digits=4),
        "Containers": "N/A" if users == -1 else str(users),
    }


def split_tag(name: str) -> tuple[str, str]:
    """Split `repo:tag`; the colon of a registry's port is none. No tag is an empty one."""
    repository, colon, tag = name.rpartition(":")
    if not colon or "/" in tag:
        return name, ""
    return repository, tag


def _tag(context: Context, values: Values) -> int:
    source, target = values.args
    repository, tag = split_tag(target)
    parameters: dict[str, object] = {"repo": repository, "tag": tag or None}
    context.request("POST", f"/images/{quote(source)}/tag", parameters).read()
    return 0


def _history(context: Context, values: Values) -> int:
    parameters: dict[str, object] = {"platform": values.text("platform") or None}
    found = context.get(f"/images/{quote(values.args[0])}/history", parameters)
    assert isinstance(found, list)
    full, human = values.flag("no-trunc"), values.flag("human")
    template = values.text("format")
    rows = [history_row(one, full=full, human=human) for one in found]
    if values.flag("quiet") and template in ("", "table"):
        print_lines(context, [row["ID"] for row in rows])
        return 0
    created = "CreatedSince" if human else "CreatedAt"
    columns = ("ID", created, "CreatedBy", "Size", "Comment")
    print_rows(context, rows, headers=HISTORY_HEADERS, columns=columns, template=template)
    return 0


def history_row(entry: Json, *, full: bool, human: bool) -> dict[str, object]:
    """Return the fields of one line of an image's history."""
    created = entry["Created"]
    at = time.strftime("%Y-%m-%dT%H:%M:%S%z", time.localtime(created))
    at = at[:-5] + "Z" if at.endswith("+0000") else f"{at[:-2]}:{at[-2:]}"
    since = ago(created) if created > _BEFORE_IMAGES else ""
    by = entry["CreatedBy"].replace("\t", " ")
    return {
        "ID": entry["Id"] if full else short_id(entry["Id"]),
        "CreatedAt": at,
        "CreatedSince": since if human else at,
        "CreatedBy": by if full else cut(by, _CREATED_BY_WIDTH),
        "Size": human_size(entry["Size"]) if human else str(entry["Size"]),
        "Comment": entry["Comment"],
    }


def _prune(context: Context, values: Values) -> int:
    everything = values.flag("all")
    wanted = [*values.texts("filter"), f"dangling={'false' if everything else 'true'}"]
    what = "all dangling images."
    if everything:
        what = "all images without at least one container associated to them."
    return prune(
        context,
        values,
        "/images/prune",
        {"filters": filters(wanted, flag="--filter")},
        warning=f"This will remove {what}",
        what="Images",
        key="ImagesDeleted",
    )


COMMANDS = {
    "images": Command(
        "images",
        "[OPTIONS] [REPOSITORY[:TAG]]",
        "List images",
        _images,
        [
            Flag("-a, --all", "bool", "Show intermediate images too"),
            Flag("--digests", "bool", "Show digests"),
            FILTER,
            FORMAT,
            Flag("--no-trunc", "bool", "Cut nothing short"),
            Flag("-q, --quiet", "bool", "Print IDs only"),
            Flag("--tree", "bool", "Show each image with its platforms"),
        ],
        most=1,
    ),
    "tag": Command(
        "tag",
        "SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]",
        "Create a tag TARGET_IMAGE that refers to SOURCE_IMAGE",
        _tag,
        least=2,
        most=2,
    ),
    "history": Command(
        "history",
        "[OPTIONS] IMAGE",
        "Show the history of an image",
        _history,
        [
            FORMAT,
            Flag("-H, --human", "bool", "Sizes and dates for people", True),
            Flag("--platform", "text", "Of the image for this platform"),
            Flag("--no-trunc", "bool", "Cut nothing short"),
            Flag("-q, --quiet", "bool", "Print IDs only"),
        ],
        least=1,
        most=1,
    ),
    "image prune": Command(
        "image prune",
        "[OPTIONS]",
        "Remove unused images",
        _prune,
        [
            DRY_RUN,
            Flag("-a, --all", "bool", "Remove all unused images, not just dangling ones"),
            Flag("--filter", "list", "Only what fits, like until=24h or label=key=value"),
            Flag("-f, --force", "bool", "Do not ask"),
        ],
        most=0,
    ),
}
