"""What is sent is what is there when its layers are sure to stay."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from pogu.config import Config
from pogu.errors import NotFound
from pogu.images.push import Pusher
from pogu.oci.reference import parse_reference


class Images:
    """Loses its only image while somebody waits for the hold, as `rmi` may take it."""

    def __init__(self) -> None:
        self.image: Any = SimpleNamespace(id="sha256:1", top_layer="gone")

    def find(self, _reference: object) -> Any:
        return self.image

    def get(self, image_id: str) -> Any:
        if self.image is None:
            raise NotFound(f"No such image: {image_id}")
        return self.image

    @asynccontextmanager
    async def hold(self) -> AsyncIterator[None]:
        self.image = None
        yield


@pytest.mark.parametrize("by_tag", [True, False])
async def test_an_image_that_goes_before_its_layers_are_held_is_not_there(by_tag: bool) -> None:
    none: Any = None
    images: Any = Images()
    pusher = Pusher(
        config=Config(), images=images, layers=none, blobs=none, provenance=none, forms=none
    )

    async def quiet(_event: object) -> None:
        return

    with pytest.raises(NotFound, match="An image does not exist locally with the tag"):
        image = None if by_tag else images.image
        await pusher.push(parse_reference("127.0.0.1:1/a:1"), image=image, emit=quiet)
