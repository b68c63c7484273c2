"""`--gpus` and CDI devices become names."""

from __future__ import annotations

import pytest

from pogu.containers.device_requests import cdi_names
from pogu.errors import InvalidParameter
from pogu.model.container import DeviceRequest, HostConfig

HERE = ("nvidia.com/gpu=0", "nvidia.com/gpu=all")
GPU = (("gpu",),)


def names(*requests: DeviceRequest, known: tuple[str, ...] = HERE) -> list[str]:
    return cdi_names(HostConfig(device_requests=requests), known)


def test_cdi_devices_keep_their_names() -> None:
    assert names(DeviceRequest(driver="cdi", device_ids=("a.b/c=d",)), known=()) == ["a.b/c=d"]


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (DeviceRequest(count=-1, capabilities=GPU), ["all"]),
        (DeviceRequest(count=2, capabilities=GPU), ["0", "1"]),
        (DeviceRequest(device_ids=("3", "GPU-x"), capabilities=GPU), ["3", "GPU-x"]),
        (DeviceRequest(driver="nvidia", count=-1, capabilities=(("gpu", "utility"),)), ["all"]),
    ],
)
def test_gpus_are_nvidias_devices(request_: DeviceRequest, expected: list[str]) -> None:
    assert names(request_) == [f"nvidia.com/gpu={one}" for one in expected]


@pytest.mark.parametrize(
    ("request_", "known", "words"),
    [
        (
            DeviceRequest(count=-1, capabilities=GPU),
            (),
            r'driver "" with capabilities: \[\[gpu\]\]',
        ),
        (DeviceRequest(count=1, capabilities=(("tpu",),)), HERE, r"capabilities: \[\[tpu\]\]"),
        (DeviceRequest(driver="amd", count=1, capabilities=GPU), HERE, 'driver "amd"'),
        (DeviceRequest(count=1, device_ids=("0",), capabilities=GPU), HERE, "both Count and"),
    ],
)
def test_what_no_driver_can_give_is_refused(
    request_: DeviceRequest, known: tuple[str, ...], words: str
) -> None:
    with pytest.raises(InvalidParameter, match=words):
        names(request_, known=known)
