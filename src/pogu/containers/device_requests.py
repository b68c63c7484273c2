"""Format: `--gpus` and CDI devices of a request → names of CDI devices, in Docker's words. Pure."""

from __future__ import annotations

from collections.abc import Collection

from pogu.errors import InvalidParameter
from pogu.model.container import DeviceRequest, HostConfig

__all__ = ["cdi_names"]

_GPU = "nvidia.com/gpu"


def cdi_names(host: HostConfig, known: Collection[str]) -> list[str]:
    """Return the CDI devices that are asked for; `known` are those of this host.

    A GPU is one of NVIDIA's. Raises: InvalidParameter for what no driver here can give.
    """
    names: list[str] = []
    for request in host.device_requests or ():
        if request.driver == "cdi":
            names += request.device_ids or ()
        else:
            names += _gpus(request, known)
    return names


def _gpus(request: DeviceRequest, known: Collection[str]) -> list[str]:
    capabilities = [list(words) for words in request.capabilities or ()]
    has_driver = any(name.startswith(f"{_GPU}=") for name in known)
    is_gpu = any("gpu" in words for words in capabilities)
    if request.driver not in ("", "nvidia") or not is_gpu or not has_driver:
        said = " ".join(f"[{' '.join(words)}]" for words in capabilities)
        raise InvalidParameter(
            f'could not select device driver "{request.driver}" with capabilities: [{said}]',
            hint="GPUs come through CDI: nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml",
        )
    if request.count and request.device_ids:
        raise InvalidParameter("cannot set both Count and DeviceIDs on device request")
    if request.device_ids:
        return [f"{_GPU}={name}" for name in request.device_ids]
    if request.count < 0:
        return [f"{_GPU}=all"]
    return [f"{_GPU}={number}" for number in range(request.count or 1)]
