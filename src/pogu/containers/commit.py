"""Format: the image that a commit makes of a container, by Docker's rules. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from pogu.containers.merge import merge_config
from pogu.images.image import host_architecture
from pogu.model.container import ContainerConfig, CreateRequest
from pogu.oci.digest import DiffId
from pogu.oci.image import HistoryEntry, ImageConfig, RootFs

__all__ = ["committed_config", "committed_image"]


def committed_config(changed: ContainerConfig, container: ContainerConfig) -> ContainerConfig:
    """Return `changed`; what it leaves open comes from the container, as `run` does with an image.

    An entrypoint in `changed` puts the container's command aside.
    """
    request = CreateRequest(
        **{field: getattr(changed, field) for field in ContainerConfig.__struct_fields__}
    )
    merged = merge_config(request, container)
    return msgspec.structs.replace(merged, on_build=changed.on_build)


def committed_image(
    parent: ImageConfig | None,
    *,
    below: Sequence[DiffId],
    layer: DiffId | None,
    config: ContainerConfig,
    command: Sequence[str],
    author: str,
    comment: str,
    created: str,
) -> ImageConfig:
    """Return the config of the image; without a layer its history says so."""
    entry = HistoryEntry(
        created=created,
        created_by=" ".join(command),
        author=author,
        comment=comment,
        empty_layer=layer is None,
    )
    base = parent or ImageConfig(architecture=host_architecture(), os="linux")
    return msgspec.structs.replace(
        base,
        created=created,
        author=author,
        config=config,
        rootfs=RootFs(diff_ids=(*below, *([layer] if layer else ()))),
        history=(*base.history, entry),
    )
