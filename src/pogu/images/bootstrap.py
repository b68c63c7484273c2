"""Service: honest base images without a registry, from the host's own Debian packages."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from pogu.config import Paths
from pogu.images.store import ImageStore

__all__ = ["bootstrap"]


def bootstrap(
    name: str, *, include: Sequence[str], images: ImageStore, paths: Paths
) -> AsyncIterator[str]:
    """Make `busybox[:tag]` (busybox-static) or `debian:<suite>` (mmdebstrap); yield progress.

    The image is tagged with `name`. `include` names extra Debian packages. The last line yielded
    is the image ID. Raises: InvalidParameter for another name; SystemFailure with the command
    that mends it when the host lacks mmdebstrap or busybox-static.
    """
    raise NotImplementedError
