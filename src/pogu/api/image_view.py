"""Format: images as `images`, `image inspect` and `history` show them. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from pogu.api.units import unix
from pogu.images.history import HistoryLine
from pogu.images.image import Image
from pogu.model.container import ContainerConfig

__all__ = ["history", "inspected", "summary"]


def summary(image: Image, *, containers: int = -1) -> dict[str, object]:
    """Return one entry of `GET /images/json`."""
    return {
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


def inspected(image: Image, *, lower: Sequence[object]) -> dict[str, object]:
    """Return the answer to `GET /images/{name}/json`; `lower` are the layers, top first."""
    config = image.config
    directories = [str(path) for path in lower]
    data = {"UpperDir": directories[0]} if directories else {}
    if len(directories) > 1:
        data["LowerDir"] = ":".join(directories[1:])
    answer: dict[str, object] = {
        "Id": image.id,
        "RepoTags": image.familiar_tags,
        "RepoDigests": [reference.familiar for reference in image.repo_digests],
        "Parent": image.parent or "",
        "Comment": config.history[-1].comment if config.history else "",
        "Created": config.created,
        "DockerVersion": "",
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
    return answer


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
