"""Image configs: stable bytes, Docker's fields kept."""

from __future__ import annotations

import pytest

from pogu.errors import InvalidParameter
from pogu.model.container import ContainerConfig, HealthConfig
from pogu.oci.image import (
    HistoryEntry,
    ImageConfig,
    check_depth,
    decode_image_config,
    encode_image_config,
)

CONFIG = ImageConfig(
    architecture="amd64",
    os="linux",
    config=ContainerConfig(
        cmd=("sh",),
        env=("A=1",),
        labels={"b": "2", "a": "1"},
        healthcheck=HealthConfig(test=("CMD", "true"), interval=5),
    ),
    history=(HistoryEntry(created_by="CMD sh", empty_layer=True),),
)


def test_encoding_and_decoding_gives_the_same_config() -> None:
    assert decode_image_config(encode_image_config(CONFIG)) == CONFIG


def test_the_bytes_do_not_depend_on_the_order_of_labels() -> None:
    labels = {"a": "1", "b": "2"}
    other = ContainerConfig(
        cmd=("sh",), env=("A=1",), labels=labels, healthcheck=CONFIG.config.healthcheck
    )
    twin = ImageConfig(architecture="amd64", os="linux", config=other, history=CONFIG.history)
    assert encode_image_config(twin) == encode_image_config(CONFIG)


def test_fields_without_a_value_are_left_out() -> None:
    raw = encode_image_config(ImageConfig(architecture="amd64", os="linux"))
    assert raw == (
        b'{"architecture":"amd64","config":{},"os":"linux",'
        b'"rootfs":{"diff_ids":[],"type":"layers"}}'
    )


def test_more_layers_than_docker_stacks_are_refused() -> None:
    check_depth(127)
    with pytest.raises(InvalidParameter, match="max depth exceeded"):
        check_depth(128)
