"""Images as Docker's clients of every version read them."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest
from tests.builders import an_image

from pogu.api import image_view


def test_a_config_of_docker_tells_comment_and_version() -> None:
    image = an_image()
    raw = msgspec.json.encode({"docker_version": "20.10.7", "comment": "by hand"})
    found = image_view.inspected(replace(image, raw_config=raw), lower=())
    assert (found["DockerVersion"], found["Comment"]) == ("20.10.7", "by hand")


@pytest.mark.parametrize(("version", "shown"), [((1, 43), True), ((1, 44), False)])
def test_old_clients_read_the_virtual_size(version: tuple[int, int], shown: bool) -> None:
    image = an_image()
    assert ("VirtualSize" in image_view.summary(image, version=version)) == shown
    assert ("VirtualSize" in image_view.inspected(image, lower=(), version=version)) == shown
