"""Format: values of `run` and `create` → the body of `POST /containers/create`. Nearly pure.

Each group of flags has a module: `environment`, `limits`, `ports`, `mounts`. The last two are
imported only where they are used: `run` pays for every import.
"""

from __future__ import annotations

from pogu.cli.environment import environment, labels, pair, read_lines
from pogu.cli.failure import UsageError
from pogu.cli.flags import Values
from pogu.cli.limits import limits, size_of

__all__ = ["create_body", "restart_policy"]

Json = dict[str, object]

_NETWORK_FLAGS = frozenset(
    ("network", "net", "network-alias", "net-alias", "link", "link-local-ip", "ip", "ip6")
)


def restart_policy(text: str) -> Json:
    """`on-failure:3` → RestartPolicy. Raises: UsageError."""
    name, colon, count = text.partition(":")
    if colon and not count.isdecimal():
        raise UsageError("invalid restart policy format: maximum retry count must be an integer")
    return {"Name": name, "MaximumRetryCount": int(count or 0)}


def _security(values: Values) -> list[str]:
    """A seccomp profile is sent as its text."""
    ready = []
    for option in values.texts("security-opt"):
        key, equals, value = option.partition("=")
        if key == "seccomp" and equals and value not in ("unconfined", "builtin", ""):
            value = "\n".join(read_lines(value))
        ready.append(f"{key}{equals}{value}")
    return ready


def _ports(values: Values) -> tuple[Json, Json]:
    """PortBindings and ExposedPorts."""
    if not values.texts("publish") and not values.texts("expose"):
        return {}, {}
    from pogu.cli.ports import port_bindings

    return port_bindings(values)


def _volumes(values: Values) -> tuple[list[str], Json]:
    """Binds and Volumes."""
    if not values.texts("volume"):
        return [], {}
    from pogu.cli.mounts import volumes

    return volumes(values)


def _mounts(values: Values) -> list[Json]:
    if not values.texts("mount"):
        return []
    from pogu.cli.mounts import mounts

    return mounts(values)


def _network(values: Values) -> tuple[str, list[str], Json]:
    """NetworkMode, Links of the default network and EndpointsConfig."""
    if not values.given & _NETWORK_FLAGS:
        return "default", [], {}
    from pogu.cli import network_flags

    links = [network_flags.link(text) for text in values.texts("link")]
    mode = network_flags.network_mode(values)
    own = network_flags.is_user_defined(mode)
    return mode, [] if own else links, network_flags.networking(values)


def _storage_options(values: Values) -> Json | None:
    """Raises: UsageError."""
    given = values.texts("storage-opt")
    if any("=" not in text for text in given):
        raise UsageError("invalid storage option", hint="--storage-opt size=10G")
    return dict(pair(text) for text in given) or None


def _host_config(values: Values, console: tuple[int, int]) -> tuple[Json, Json, Json, Json]:
    bindings, exposed = _ports(values)
    binds, anonymous = _volumes(values)
    network, links, endpoints = _network(values)
    host: Json = {
        "Binds": binds or None,
        "ContainerIDFile": values.text("cidfile"),
        "LogConfig": {
            "Type": values.text("log-driver"),
            "Config": dict(pair(text) for text in values.texts("log-opt")),
        },
        "NetworkMode": network,
        "PortBindings": bindings,
        "RestartPolicy": restart_policy(values.text("restart") or "no"),
        "AutoRemove": values.flag("rm"),
        "VolumeDriver": values.text("volume-driver"),
        "VolumesFrom": values.texts("volumes-from") or None,
        "ConsoleSize": list(console),
        "Annotations": dict(pair(text) for text in values.texts("annotation")) or None,
        "CapAdd": values.texts("cap-add") or None,
        "CapDrop": values.texts("cap-drop") or None,
        "CgroupnsMode": values.text("cgroupns"),
        "Dns": values.texts("dns") or None,
        "DnsOptions": values.texts("dns-option") or None,
        "DnsSearch": values.texts("dns-search") or None,
        "ExtraHosts": [text.replace("=", ":", 1) for text in values.texts("add-host")] or None,
        "GroupAdd": values.texts("group-add") or None,
        "IpcMode": values.text("ipc"),
        "Isolation": values.text("isolation"),
        "Links": links or None,
        "PidMode": values.text("pid"),
        "Privileged": values.flag("privileged"),
        "PublishAllPorts": values.flag("publish-all"),
        "ReadonlyRootfs": values.flag("read-only"),
        "SecurityOpt": _security(values) or None,
        "StorageOpt": _storage_options(values),
        "Tmpfs": dict(text.partition(":")[::2] for text in values.texts("tmpfs")) or None,
        "UTSMode": values.text("uts"),
        "UsernsMode": values.text("userns"),
        "ShmSize": size_of(values, "shm-size"),
        "Sysctls": dict(pair(text) for text in values.texts("sysctl")) or None,
        "Runtime": values.text("runtime"),
        "Mounts": _mounts(values) or None,
        "Init": True if values.flag("init") else None,
        **limits(values),
    }
    return host, exposed, anonymous, endpoints


def create_body(values: Values, *, attach: set[str], console: tuple[int, int] = (0, 0)) -> Json:
    """Return the body; `attach` are the streams that this client will read or feed.

    Raises: UsageError.
    """
    host, exposed, anonymous, endpoints = _host_config(values, console)
    stdin = values.flag("interactive")
    body: Json = {
        "Hostname": values.text("hostname"),
        "Domainname": values.text("domainname"),
        "User": values.text("user"),
        "AttachStdin": "stdin" in attach,
        "AttachStdout": "stdout" in attach,
        "AttachStderr": "stderr" in attach,
        "ExposedPorts": exposed,
        "Tty": values.flag("tty"),
        "OpenStdin": stdin,
        "StdinOnce": stdin and "stdin" in attach,
        "Env": environment(values),
        "Cmd": values.args[1:] or None,
        "Image": values.args[0],
        "Volumes": anonymous,
        "WorkingDir": values.text("workdir"),
        "Labels": labels(values),
        "StopSignal": values.text("stop-signal"),
        "StopTimeout": values.number("stop-timeout"),
        "MacAddress": values.text("mac-address"),
        "HostConfig": host,
        "NetworkingConfig": {"EndpointsConfig": endpoints},
    }
    if "entrypoint" in values.given:
        body["Entrypoint"] = [values.text("entrypoint")]
    if any("health" in name for name in values.given):
        from pogu.cli.health import health_config

        body["Healthcheck"] = health_config(values)
    return body
