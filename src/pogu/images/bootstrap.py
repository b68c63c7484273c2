"""Service: honest base images without a registry, from the host's own Debian packages."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from pogu.config import Paths
from pogu.errors import InvalidParameter
from pogu.images.busybox import busybox_image
from pogu.images.debian import debian_image
from pogu.images.store import ImageStore
from pogu.oci.reference import parse_reference

__all__ = ["bootstrap"]

_POSSIBLE = "possible are busybox[:TAG], debian:SUITE and debian:SUITE-slim (debian:bookworm)"


async def bootstrap(
    name: str, *, include: Sequence[str], images: ImageStore, paths: Paths
) -> AsyncIterator[str]:
    """Make `busybox[:tag]` (busybox-static) or `debian:<suite>` (mmdebstrap); yield progress.

    The image is tagged with `name`. `include` names extra Debian packages. The last line yielded
    is the image ID. Raises: InvalidParameter for another name; SystemFailure with the command
    that mends it when the host lacks mmdebstrap or busybox-static.
    """
    reference = parse_reference(name).with_default_tag()
    if reference.domain != "docker.io" or reference.digest:
        raise InvalidParameter(f"cannot bootstrap {name}", hint=_POSSIBLE)
    if reference.path == "library/busybox":
        if include:
            raise InvalidParameter(
                "busybox takes no packages: --include is for debian:SUITE", hint=_POSSIBLE
            )
        lines = busybox_image(reference, images)
    elif reference.path == "library/debian":
        lines = debian_image(reference, include=include, images=images, paths=paths)
    else:
        raise InvalidParameter(
            f"cannot bootstrap {name}",
            hint=f"{_POSSIBLE}; `pogu tag` gives the result any other name",
        )
    async for line in lines:
        yield line
