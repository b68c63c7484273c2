"""Format: the API's objects under the names of Docker's Go structs, for `--format`."""

from __future__ import annotations

from pogu.cli.failure import CliError
from pogu.cli.template import TemplateError, compile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["go_view", "template_function"]

_BAD_TEMPLATE = 64
_GO_NAMES = {
    "Id": "ID",
    "ApiVersion": "APIVersion",
    "Dns": "DNS",
    "DnsOptions": "DNSOptions",
    "DnsSearch": "DNSSearch",
    "HostIp": "HostIP",
    "CpuCount": "CPUCount",
    "CpuPercent": "CPUPercent",
    "CpuPeriod": "CPUPeriod",
    "CpuQuota": "CPUQuota",
    "CpuRealtimePeriod": "CPURealtimePeriod",
    "CpuRealtimeRuntime": "CPURealtimeRuntime",
    "CpuShares": "CPUShares",
    "NanoCpus": "NanoCPUs",
    "status": "Status",
    "from": "From",
    "scope": "Scope",
    "time": "Time",
    "timeNano": "TimeNano",
}
_LISTS = frozenset(
    (
        *("Aliases", "Args", "Binds", "CapAdd", "CapDrop", "Cmd", "DNSNames", "DeviceCgroupRules"),
        *("DeviceRequests", "Devices", "Dns", "DnsOptions", "DnsSearch", "Entrypoint", "Env"),
        *("ExecIDs", "ExtraHosts", "GroupAdd", "Layers", "Links", "MaskedPaths", "Mounts"),
        *("OnBuild", "ReadonlyPaths", "RepoDigests", "RepoTags", "SecurityOpt", "Ulimits"),
        "VolumesFrom",
    )
)
_MAPS = frozenset(
    (
        *("Annotations", "Containers", "DriverOpts", "ExposedPorts", "Labels", "Networks"),
        *("Options", "PortBindings", "Ports", "StorageOpt", "Sysctls", "Tmpfs", "Volumes"),
    )
)
_LEFT_OUT = {"State": "Health", "Config": "Healthcheck"}
"""Pointers that the JSON leaves out when they are nil; a template may ask for them."""


def go_view(value: object, *, nulls: bool = False) -> object:
    """Return a copy that has Docker's Go names (`.ID`) beside those of its JSON (`.Id`).

    `nulls`: lists and maps that are null become empty, because Go prints these as `[]`.
    """
    if isinstance(value, list):
        return [go_view(one, nulls=nulls) for one in value]
    if not isinstance(value, dict):
        return value
    view = {key: go_view(item, nulls=nulls) for key, item in value.items()}
    for key, field in _LEFT_OUT.items():
        inner = view.get(key)
        if isinstance(inner, dict):
            inner.setdefault(field, None)
    if nulls:
        view |= {key: [] for key in view.keys() & _LISTS if view[key] is None}
        view |= {key: {} for key in view.keys() & _MAPS if view[key] is None}
    return view | {_GO_NAMES[key]: view[key] for key in value if key in _GO_NAMES}


def template_function(template: str) -> Callable[[object], str]:
    """Compile a template for objects of the API. Raises: CliError, also from the function."""
    try:
        execute = compile("{{json .}}" if template == "json" else template, strict=True)
    except TemplateError as err:
        raise CliError(str(err), code=_BAD_TEMPLATE) from err

    def run(value: object) -> str:
        try:
            return execute(value if "json" in template else go_view(value, nulls=True))
        except TemplateError as err:
            if "json" in template:
                try:
                    return execute(go_view(value))
                except TemplateError:
                    pass
            raise CliError(str(err)) from err

    return run
