"""Format: images as `images`, `image inspect` and `history` show them. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from pogu.api.call import Version
from pogu.api.reply import API_VERSION
from pogu.api.units import unix
from pogu.images.history import HistoryLine
from pogu.images.image import Image
from pogu.images.variants import Variant
from pogu.model.container import ContainerConfig

__all__ = ["history", "inspected", "manifests", "summary"]


def summary(
    image: Image, *, containers: int = -1, version: Version = API_VERSION
) -> dict[str, object]:
    """Return one entry of `GET /images/json`."""
    answer: dict[str, object] = {
        "Id": image.id,
        "ParentId": image.parent or "",
        "RepoTags": image.familiar_tags,
        "RepoDigests": [reference.familiar for reference in image.repo_digests],
        "Created": unix(image.config.created),
        "Size": image.size_bytes,
        "SharedSize": -1,
        "Labels": image.config.config.labels,
        "Containers": containers,
    }
    return answer | _virtual_size(image, version)


def manifests(
    variants: Sequence[Variant], users: Mapping[str, Sequence[str]]
) -> list[dict[str, object]]:
    """Return `Manifests` of a summary; `users` are the containers of each image."""
    return [_manifest(one, users) for one in variants]


def _manifest(one: Variant, users: Mapping[str, Sequence[str]]) -> dict[str, object]:
    unpacked = one.image.size_bytes if one.image else 0
    platform = {
        "architecture": one.platform.architecture,
        "os": one.platform.os,
        "variant": one.platform.variant,
    }
    return {
        "ID": one.digest,
        "Descriptor": {
            "mediaType": one.media_type,
            "digest": one.digest,
            "size": one.size_bytes,
        },
        "Available": one.image is not None,
        "Kind": "image",
        "Size": {"Content": one.content_bytes, "Total": one.content_bytes + unpacked},
        "ImageData": {
            "Platform": {key: value for key, value in platform.items() if value},
            "Containers": list(users.get(one.image.id, ())) if one.image else [],
            "Size": {"Unpacked": unpacked},
        },
    }


def _virtual_size(image: Image, version: Version) -> dict[str, object]:
    """What clients before 1.44 read the size from."""
    return {"VirtualSize": image.size_bytes} if version < (1, 44) else {}


def _config(config: ContainerConfig) -> dict[str, Any]:
    kept = (
        *("User", "ExposedPorts", "Env", "Cmd", "Healthcheck", "ArgsEscaped", "Volumes"),
        *("WorkingDir", "Entrypoint", "OnBuild", "Labels", "StopSignal", "Shell"),
    )
    tree: dict[str, Any] = msgspec.to_builtins(config)
    always = ("Env", "Cmd", "WorkingDir", "Entrypoint", "Labels", "Volumes", "OnBuild", "User")
    chosen = {key: tree[key] for key in kept if tree[key] or key in always}
    if not chosen.get("Healthcheck"):
        chosen.pop("Healthcheck", None)
    return chosen


class _Rest(msgspec.Struct, frozen=True):
    """What Docker writes into a config beside what the image-spec knows."""

    comment: str = ""
    docker_version: str = ""


def _rest(image: Image) -> _Rest:
    try:
        return msgspec.json.decode(image.raw_config, type=_Rest)
    except msgspec.MsgspecError:
        return _Rest()


def inspected(
    image: Image, *, lower: Sequence[object], version: Version = API_VERSION
) -> dict[str, object]:
    """Return the answer to `GET /images/{name}/json`; `lower` are the layers, top first."""
    config, rest = image.config, _rest(image)
    directories = [str(path) for path in lower]
    data = {"UpperDir": directories[0]} if directories else {}
    if len(directories) > 1:
        data["LowerDir"] = ":".join(directories[1:])
    answer: dict[str, object] = {
        "Id": image.id,
        "RepoTags": image.familiar_tags,
        "RepoDigests": [reference.familiar for reference in image.repo_digests],
        "Parent": image.parent or "",
        "Comment": rest.comment or (config.history[-1].comment if config.history else ""),
        "Created": config.created,
        "DockerVersion": rest.docker_version,
        "Author": config.author,
        "Config": _config(config.config),
        "Architecture": config.architecture,
        "Os": config.os,
        "Size": image.size_bytes,
        "GraphDriver": {"Name": "overlay2", "Data": data},
        "RootFS": {"Type": "layers", "Layers": list(config.rootfs.diff_ids)},
        "Metadata": {"LastTagTime": image.last_tagged_at or "0001-01-01T00:00:00Z"},
    }
    if config.variant:
        answer["Variant"] = config.variant
    if config.os_version:
        answer["OsVersion"] = config.os_version
    if version < (1, 45):
        answer |= {"Container": "", "ContainerConfig": None}
    return answer | _virtual_size(image, version)


def history(lines: Sequence[HistoryLine]) -> list[dict[str, object]]:
    """Return the answer to `GET /images/{name}/history`."""
    return [
        {
            "Id": image_id or "<missing>",
            "Created": unix(entry.created),
            "CreatedBy": entry.created_by,
            "Tags": tags or None,
            "Size": size,
            "Comment": entry.comment,
        }
        for entry, size, image_id, tags in lines
    ]
