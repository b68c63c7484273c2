"""Format: flags that limit memory, CPU, devices and processes → their part of HostConfig."""

from __future__ import annotations

from pogu.cli.failure import UsageError
from pogu.cli.flags import Values

__all__ = ["changeable_limits", "limits", "size_bytes", "size_of", "ulimits"]

Json = dict[str, object]

_UNITS = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
_NO_LIMIT = "-1"


def size_bytes(text: str, flag: str) -> int:
    """`64m`, `1.5g`, `512` → bytes. Raises: UsageError in Docker's words."""
    word = text.strip().lower()
    number = word.rstrip("kmgtib ")
    unit = word[len(number) :].strip().removesuffix("b").removesuffix("i")
    try:
        return int(float(number) * _UNITS[unit])
    except (ValueError, KeyError) as err:
        raise UsageError(
            f'invalid argument "{text}" for "--{flag}" flag: invalid size: \'{text}\'',
            hint="for example 64m or 2g",
        ) from err


def size_of(values: Values, flag: str) -> int:
    """Return a flag's bytes: 0 when it is not given, -1 for no limit. Raises: UsageError."""
    text = values.text(flag)
    if not text:
        return 0
    return -1 if text == _NO_LIMIT else size_bytes(text, flag)


def _nano_cpus(text: str) -> int:
    if not text:
        return 0
    try:
        return round(float(text) * 1_000_000_000)
    except ValueError as err:
        raise UsageError(
            f'invalid argument "{text}" for "--cpus" flag: failed to parse {text} as a rational'
            " number",
            hint="for example 1.5",
        ) from err


def ulimits(values: Values) -> list[Json]:
    """Raises: UsageError in Docker's words."""
    found: list[Json] = []
    for text in values.texts("ulimit"):
        name, _, both = text.partition("=")
        soft, colon, hard = both.partition(":")
        try:
            low = int(soft)
            found.append({"Name": name, "Soft": low, "Hard": int(hard) if colon else low})
        except ValueError as err:
            raise UsageError(
                f'invalid argument "{text}" for "--ulimit" flag: invalid ulimit argument: {text}',
                hint="--ulimit nofile=1024:2048",
            ) from err
    return found


def _per_device(values: Values, flag: str, key: str, example: str) -> list[Json] | None:
    """`/dev/sda:1mb` → Path with a rate or weight. Raises: UsageError in Docker's words."""
    found: list[Json] = []
    for text in values.texts(flag):
        path, _, value = text.partition(":")
        bad = f'invalid argument "{text}" for "--{flag}" flag'
        if not path.startswith("/dev/") or not value:
            raise UsageError(f"{bad}: bad format: {text}", hint=f"--{flag} /dev/sda:{example}")
        try:
            number = size_bytes(value, flag) if flag.endswith("bps") else int(value)
        except (ValueError, UsageError) as err:
            number = 0
            if value != "0":
                raise UsageError(
                    f"{bad}: invalid rate for device: {text}. The correct format is"
                    f" <device-path>:<number>{'[<unit>]' if flag.endswith('bps') else ''}. Number"
                    " must be a positive integer",
                    hint=f"--{flag} /dev/sda:{example}",
                ) from err
        found.append({"Path": path, key: number})
    return found or None


def _devices(values: Values) -> list[Json]:
    found: list[Json] = []
    for text in values.texts("device"):
        if _is_cdi(text):
            continue
        parts = text.split(":")
        inside, permissions = parts[0], "rwm"
        if len(parts) == 2 and set(parts[1]) <= set("rwm"):
            permissions = parts[1]
        elif len(parts) > 1:
            inside = parts[1]
            permissions = parts[2] if len(parts) > 2 else "rwm"
        found.append(
            {
                "PathOnHost": parts[0],
                "PathInContainer": inside,
                "CgroupPermissions": permissions,
            }
        )
    return found


def _is_cdi(text: str) -> bool:
    """`vendor.com/class=name` is no path."""
    return not text.startswith("/") and "=" in text and "/" in text.partition("=")[0]


def _device_requests(values: Values) -> list[Json]:
    """CDI devices and `--gpus`. Raises: UsageError in Docker's words."""
    found: list[Json] = []
    names = [text for text in values.texts("device") if _is_cdi(text)]
    if names:
        found.append({"Driver": "cdi", "DeviceIDs": names})
    if values.text("gpus"):
        found.append(_gpus(values.text("gpus")))
    return found


def _gpus(text: str) -> Json:
    from pogu.cli.mounts import csv_fields

    request: Json = {"Driver": "", "Count": 0, "Capabilities": [["gpu"]], "Options": {}}
    for field in csv_fields(text):
        key, equals, value = field.partition("=")
        if not equals or key == "count":
            request["Count"] = _gpu_count(value or key)
        elif key == "device":
            request["DeviceIDs"] = value.split(",")
        elif key == "driver":
            request["Driver"] = value
        elif key == "capabilities":
            request["Capabilities"] = [[*value.split(","), "gpu"]]
        else:
            raise UsageError(f"unexpected key '{key}' in '{field}'", hint="--gpus all")
    if not request["Count"] and "DeviceIDs" not in request:
        request["Count"] = 1
    return request


def _gpu_count(text: str) -> int:
    if text == "all":
        return -1
    try:
        return int(text)
    except ValueError as err:
        raise UsageError(
            f'invalid argument "{text}" for "--gpus" flag: invalid count ({text}): value must be'
            ' either "all" or an integer',
            hint="--gpus all, --gpus 2 or --gpus device=0",
        ) from err


def changeable_limits(values: Values) -> Json:
    """Return those fields of HostConfig that `update` takes too. Raises: UsageError."""
    return {
        "CpuShares": values.number("cpu-shares") or 0,
        "Memory": size_of(values, "memory"),
        "NanoCpus": _nano_cpus(values.text("cpus")),
        "BlkioWeight": values.number("blkio-weight") or 0,
        "CpuPeriod": values.number("cpu-period") or 0,
        "CpuQuota": values.number("cpu-quota") or 0,
        "CpuRealtimePeriod": values.number("cpu-rt-period") or 0,
        "CpuRealtimeRuntime": values.number("cpu-rt-runtime") or 0,
        "CpusetCpus": values.text("cpuset-cpus"),
        "CpusetMems": values.text("cpuset-mems"),
        "KernelMemory": size_of(values, "kernel-memory"),
        "MemoryReservation": size_of(values, "memory-reservation"),
        "MemorySwap": size_of(values, "memory-swap"),
        "PidsLimit": values.number("pids-limit"),
    }


def limits(values: Values) -> Json:
    """Return the fields of HostConfig. Raises: UsageError in Docker's words."""
    return {
        **changeable_limits(values),
        "BlkioWeightDevice": _per_device(values, "blkio-weight-device", "Weight", "200"),
        "BlkioDeviceReadBps": _per_device(values, "device-read-bps", "Rate", "1mb"),
        "BlkioDeviceWriteBps": _per_device(values, "device-write-bps", "Rate", "1mb"),
        "BlkioDeviceReadIOps": _per_device(values, "device-read-iops", "Rate", "1000"),
        "BlkioDeviceWriteIOps": _per_device(values, "device-write-iops", "Rate", "1000"),
        "OomScoreAdj": values.number("oom-score-adj") or 0,
        "CgroupParent": values.text("cgroup-parent"),
        "Devices": _devices(values) or None,
        "DeviceRequests": _device_requests(values) or None,
        "DeviceCgroupRules": values.texts("device-cgroup-rule") or None,
        "MemorySwappiness": values.number("memory-swappiness"),
        "OomKillDisable": values.flag("oom-kill-disable"),
        "Ulimits": ulimits(values) or None,
    }
