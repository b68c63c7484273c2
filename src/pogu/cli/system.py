"""Edge: `version`, `info`, `system df`."""

from __future__ import annotations

import os
import sys

from pogu import __version__
from pogu.cli.context import Context
from pogu.cli.failure import CliError
from pogu.cli.flags import Command, Flag, Values
from pogu.cli.inspect import FORMAT, encode_unescaped

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Json = dict[str, Any]

__all__ = ["COMMANDS", "info_text", "version_text"]

_API_VERSION = "1.51"
_GO_NAMES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i686": "386"}
_LABEL_WIDTH = 20
_JSON = ("json", "{{json .}}")


def client_version() -> Json:
    """Return what Docker's clients say of themselves, in its names."""
    machine = os.uname().machine
    return {
        "Platform": {"Name": "Pogu"},
        "Version": __version__,
        "ApiVersion": _API_VERSION,
        "DefaultAPIVersion": _API_VERSION,
        "GitCommit": "",
        "GoVersion": f"Python {sys.version.split()[0]}",
        "Os": "linux",
        "Arch": _GO_NAMES.get(machine, machine),
        "BuildTime": "",
        "Context": "default",
    }


def _version(context: Context, values: Values) -> int:
    template = values.text("format")
    execute = _function(template)
    client = client_version()
    try:
        server = context.get("/version")
    except CliError:
        both: Json = {"Client": client, "Server": None}
        context.out(_shown(both, template) if execute is None else execute(both))
        raise
    both = {"Client": client, "Server": server}
    context.out(_shown(both, template) if execute is None else execute(both))
    return 0


def _function(template: str) -> Callable[[object], str] | None:
    """Compile the template; None where there is none or it is only JSON."""
    if not template or template in _JSON:
        return None
    from pogu.cli.go_view import template_function

    return template_function(template)


def _shown(both: Json, template: str) -> str:
    return encode_unescaped(both) if template in _JSON else version_text(both)


def version_text(both: Json) -> str:
    """Return client and server for people; the server is None when it does not answer."""
    client, server = both["Client"], both["Server"]
    lines = ["Client: Pogu", *_version_lines(client, client["ApiVersion"], " ")]
    lines.append(_labelled(" Context", client["Context"]))
    if server is not None:
        api = f"{server['ApiVersion']} (minimum version {server['MinAPIVersion']})"
        lines += ["", f"Server: {server['Platform']['Name']}", " Engine:"]
        lines += _version_lines(server, api, "  ")
    return "\n".join(lines)


def _version_lines(said: Json, api: str, indent: str) -> list[str]:
    rows = [
        ("Version", said["Version"]),
        ("API version", api),
        ("Python version", said["GoVersion"].removeprefix("Python ")),
        ("OS/Arch", f"{said['Os']}/{said['Arch']}"),
    ]
    if said.get("KernelVersion"):
        rows.append(("Kernel version", said["KernelVersion"]))
    return [_labelled(f"{indent}{name}", value) for name, value in rows]


def _labelled(name: str, value: str) -> str:
    return f"{name}:".ljust(_LABEL_WIDTH) + value


def _info(context: Context, values: Values) -> int:
    template = values.text("format")
    execute = _function(template)
    server = context.get("/info")
    assert isinstance(server, dict)
    client = {"Debug": False, **client_version(), "Plugins": [], "Warnings": None}
    both = {**server, "ClientInfo": client}
    if template:
        context.out(encode_unescaped(both) if execute is None else execute(both))
        return 0
    context.out(info_text(server))
    for warning in server.get("Warnings") or ():
        context.error(warning)
    return 0


def info_text(server: Json) -> str:
    """Return `/info` for people, in Docker's lines."""
    lines = ["Client: Pogu", f" Version:    {__version__}", " Context:    default"]
    lines += [" Debug Mode: false", "", "Server:"]
    rows = [
        ("Containers", server["Containers"]),
        (" Running", server["ContainersRunning"]),
        (" Paused", server["ContainersPaused"]),
        (" Stopped", server["ContainersStopped"]),
        ("Images", server["Images"]),
        ("Server Version", server["ServerVersion"]),
        ("Storage Driver", server["Driver"]),
        *((f" {name}", value) for name, value in server.get("DriverStatus") or ()),
        ("Logging Driver", server["LoggingDriver"]),
        ("Cgroup Driver", server["CgroupDriver"]),
        ("Cgroup Version", server["CgroupVersion"]),
        ("Plugins", ""),
        *((f" {name}", " ".join(server["Plugins"][name])) for name in ("Volume", "Network", "Log")),
        ("Swarm", server["Swarm"]["LocalNodeState"]),
        ("Runtimes", " ".join(server["Runtimes"])),
        ("Default Runtime", server["DefaultRuntime"]),
        ("Security Options", ""),
        *_security_rows(server["SecurityOptions"]),
        ("Kernel Version", server["KernelVersion"]),
        ("Operating System", server["OperatingSystem"]),
        ("OSType", server["OSType"]),
        ("Architecture", server["Architecture"]),
        ("CPUs", server["NCPU"]),
        ("Total Memory", _memory(server["MemTotal"])),
        ("Name", server["Name"]),
        ("ID", server["ID"]),
        ("Docker Root Dir", server["DockerRootDir"]),
        ("Debug Mode", "true" if server["Debug"] else "false"),
        *_proxy_rows(server),
        ("Live Restore Enabled", "true" if server["LiveRestoreEnabled"] else "false"),
    ]
    lines += [f" {name}" if value is None else f" {name}: {value}".rstrip() for name, value in rows]
    return "\n".join([*lines, ""])


def _memory(size_bytes: int) -> str:
    from pogu.cli.table import binary_size

    return binary_size(size_bytes)


def _security_rows(options: list[str]) -> list[tuple[str, str | None]]:
    """`name=seccomp,profile=builtin` is a line with its profile below it."""
    rows: list[tuple[str, str | None]] = []
    for option in options:
        fields = dict(pair.partition("=")[::2] for pair in option.split(","))
        rows.append((f" {fields.get('name', option)}", None))
        if "profile" in fields:
            rows.append(("  Profile", fields["profile"]))
    return rows


def _proxy_rows(server: Json) -> list[tuple[str, str]]:
    names = {"HttpProxy": "HTTP Proxy", "HttpsProxy": "HTTPS Proxy", "NoProxy": "No Proxy"}
    return [(names[key], server[key]) for key in names if server.get(key)]


def _df(context: Context, values: Values) -> int:
    from pogu.cli.disk_usage import disk_usage

    return disk_usage(context, values)


COMMANDS = {
    "version": Command(
        "version", "[OPTIONS]", "Show the versions of client and engine", _version, [FORMAT], most=0
    ),
    "info": Command(
        "info", "[OPTIONS]", "Display system-wide information", _info, [FORMAT], most=0
    ),
    "system df": Command(
        "system df",
        "[OPTIONS]",
        "Show disk usage",
        _df,
        [
            Flag("--format", "text", "table, table TEMPLATE, json, or a Go template"),
            Flag("-v, --verbose", "bool", "Show every image, container and volume"),
        ],
        most=0,
    ),
}
