"""Format: flags of `run` and `create` → the body of `POST /containers/create`. Nearly pure."""

from __future__ import annotations

import os

from pogu.cli.failure import UsageError
from pogu.cli.flags import Flag, Values

__all__ = ["CREATE_FLAGS", "create_body"]

Json = dict[str, object]

CREATE_FLAGS = [
    Flag("--add-host", "list", "Add a host-to-IP mapping (host:ip)"),
    Flag("--annotation", "list", "Add an annotation to the OCI runtime"),
    Flag("-a, --attach", "list", "Attach to STDIN, STDOUT or STDERR"),
    Flag("--blkio-weight", "int", "Block IO weight, between 10 and 1000"),
    Flag("--cap-add", "list", "Add Linux capabilities"),
    Flag("--cap-drop", "list", "Drop Linux capabilities"),
    Flag("--cgroup-parent", "text", "Parent cgroup of the container"),
    Flag("--cgroupns", "text", "Cgroup namespace: host or private"),
    Flag("--cidfile", "text", "Write the container ID to the file"),
    Flag("--cpu-period", "int", "Limit CPU CFS period"),
    Flag("--cpu-quota", "int", "Limit CPU CFS quota"),
    Flag("-c, --cpu-shares", "int", "CPU shares (relative weight)"),
    Flag("--cpus", "text", "Number of CPUs"),
    Flag("--cpuset-cpus", "text", "CPUs in which to allow execution (0-3, 0,1)"),
    Flag("--cpuset-mems", "text", "MEMs in which to allow execution (0-3, 0,1)"),
    Flag("--device", "list", "Add a host device"),
    Flag("--device-cgroup-rule", "list", "Add a rule to the allowed devices"),
    Flag("--dns", "list", "Set DNS servers"),
    Flag("--dns-option", "list", "Set DNS options"),
    Flag("--dns-search", "list", "Set DNS search domains"),
    Flag("--domainname", "text", "NIS domain name"),
    Flag("--entrypoint", "optional", "Overwrite the ENTRYPOINT of the image"),
    Flag("-e, --env", "list", "Set environment variables"),
    Flag("--env-file", "list", "Read environment variables from a file"),
    Flag("--expose", "list", "Expose a port or a range of ports"),
    Flag("--group-add", "list", "Add groups to join"),
    Flag("-h, --hostname", "text", "Host name of the container"),
    Flag("--init", "bool", "Run an init inside that forwards signals and reaps processes"),
    Flag("-i, --interactive", "bool", "Keep STDIN open even if not attached"),
    Flag("--ipc", "text", "IPC mode"),
    Flag("--ip", "text", "IPv4 address"),
    Flag("-l, --label", "list", "Set metadata"),
    Flag("--label-file", "list", "Read labels from a file"),
    Flag("--log-driver", "text", "Log driver: json-file, local or none"),
    Flag("--log-opt", "list", "Log options: max-size, max-file"),
    Flag("--mac-address", "text", "MAC address"),
    Flag("-m, --memory", "text", "Memory limit"),
    Flag("--memory-reservation", "text", "Memory soft limit"),
    Flag("--memory-swap", "text", "Memory and swap together; -1 = unlimited"),
    Flag("--memory-swappiness", "int", "Swappiness, 0 to 100"),
    Flag("--mount", "list", "Attach a filesystem mount"),
    Flag("--name", "text", "Name of the container"),
    Flag("--network", "text", "Network: bridge, none, host or container:NAME"),
    Flag("--net", "text", "As --network"),
    Flag("--no-healthcheck", "bool", "Disable any HEALTHCHECK of the image"),
    Flag("--oom-kill-disable", "bool", "Disable the OOM killer"),
    Flag("--oom-score-adj", "int", "Tune the host's OOM preferences, -1000 to 1000"),
    Flag("--pid", "text", "PID namespace"),
    Flag("--pids-limit", "int", "Limit of processes; -1 = unlimited"),
    Flag("--platform", "text", "Platform, as linux/amd64"),
    Flag("--privileged", "bool", "Give extended privileges"),
    Flag("-p, --publish", "list", "Publish a port to the host"),
    Flag("-P, --publish-all", "bool", "Publish all exposed ports to random ports"),
    Flag("--pull", "text", "Pull before creating: always, missing, never", "missing"),
    Flag("-q, --quiet", "bool", "Suppress the output of the pull"),
    Flag("--read-only", "bool", "Mount the root filesystem read only"),
    Flag("--restart", "text", "Restart policy: no, on-failure[:n], always, unless-stopped"),
    Flag("--rm", "bool", "Remove the container when it exits"),
    Flag("--runtime", "text", "OCI runtime"),
    Flag("--security-opt", "list", "Security options"),
    Flag("--shm-size", "text", "Size of /dev/shm"),
    Flag("--stop-signal", "text", "Signal that stops the container"),
    Flag("--stop-timeout", "int", "Seconds to wait before it is killed"),
    Flag("--sysctl", "list", "Sysctl options"),
    Flag("--tmpfs", "list", "Mount a tmpfs directory"),
    Flag("-t, --tty", "bool", "Allocate a pseudo-TTY"),
    Flag("--ulimit", "list", "Ulimit options"),
    Flag("-u, --user", "text", "User name or UID (name|uid[:group|gid])"),
    Flag("--userns", "text", "User namespace"),
    Flag("--uts", "text", "UTS namespace"),
    Flag("-v, --volume", "list", "Bind mount a directory or mount a volume"),
    Flag("--volumes-from", "list", "Mount the volumes of another container"),
    Flag("-w, --workdir", "text", "Working directory inside the container"),
]

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


def _size(values: Values, flag: str) -> int:
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


def _environment(values: Values) -> list[str]:
    """Files first, then -e; a name without value takes ours, or is left out."""
    found = []
    for path in values.texts("env-file"):
        for number, line in enumerate(_lines(path), 1):
            text = line.strip("\r")
            if not text.strip() or text.lstrip().startswith("#"):
                continue
            name = text.partition("=")[0].lstrip()
            if not name or any(char in " \t" for char in name):
                raise UsageError(
                    f"invalid env file ({path}): line {number}: variable '{name}' contains"
                    " whitespaces"
                    if name
                    else f"invalid env file ({path}): line {number}: no variable name",
                    hint="lines are NAME=value",
                )
            found.append(text.lstrip())
    found += values.texts("env")
    ready = []
    for pair in found:
        name, equals, _ = pair.partition("=")
        if not name:
            raise UsageError(
                f'invalid argument "{pair}" for "-e, --env" flag: invalid environment variable:'
                f" {pair}",
                hint="write NAME=value",
            )
        if equals:
            ready.append(pair)
        elif name in os.environ:
            ready.append(f"{name}={os.environ[name]}")
    return ready


def _lines(path: str) -> list[str]:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.read().split("\n")
    except OSError as err:
        raise UsageError(f"open {path}: {(err.strerror or '').lower()}") from err


def _labels(values: Values) -> dict[str, str]:
    pairs = [
        line
        for path in values.texts("label-file")
        for line in _lines(path)
        if line.strip() and not line.startswith("#")
    ]
    return dict(_pair(pair) for pair in pairs + values.texts("label"))


def _pair(text: str) -> tuple[str, str]:
    key, _, value = text.partition("=")
    return key, value


def _words(text: str) -> list[str]:
    """`--entrypoint` is one word."""
    return [text]


def _port_bindings(values: Values) -> tuple[dict[str, object], dict[str, object]]:
    """`-p [[ip:][host]:]container[/proto]` → (PortBindings, ExposedPorts). Ranges run along."""
    bindings: dict[str, object] = {}
    exposed: dict[str, object] = {}
    for spec in values.texts("publish"):
        for port, binding in _published(spec):
            found = bindings.setdefault(port, [])
            assert isinstance(found, list)
            found.append(binding)
            exposed[port] = {}
    for spec in values.texts("expose"):
        ports, _, protocol = spec.partition("/")
        first, last = _range(ports, spec)
        for number in range(first, last + 1):
            exposed[f"{number}/{protocol.lower() or 'tcp'}"] = {}
    return bindings, exposed


def _published(spec: str) -> list[tuple[str, Json]]:
    body, _, protocol = spec.partition("/")
    protocol = protocol.lower() or "tcp"
    if protocol not in ("tcp", "udp", "sctp"):
        raise _bad_port(spec, f"invalid proto: {protocol}")
    host_ip = ""
    if body.startswith("["):
        host_ip, _, body = body[1:].partition("]:")
    parts = body.rsplit(":", 2)
    if len(parts) == 3:
        host_ip = parts[0]
    container = parts[-1]
    host = parts[-2] if len(parts) > 1 else ""
    if not container:
        raise _bad_port(spec, "no port specified")
    first, last = _range(container, spec)
    if not host:
        return [
            (f"{number}/{protocol}", {"HostIp": host_ip, "HostPort": ""})
            for number in range(first, last + 1)
        ]
    low, high = _range(host, spec, zero=True)
    if first == last:
        text = str(low) if low == high else f"{low}-{high}"
        return [(f"{first}/{protocol}", {"HostIp": host_ip, "HostPort": text if low else ""})]
    if last - first != high - low:
        raise _bad_port(spec, "invalid ranges specified for container and host Ports")
    return [
        (f"{first + step}/{protocol}", {"HostIp": host_ip, "HostPort": str(low + step)})
        for step in range(last - first + 1)
    ]


def _range(text: str, spec: str, *, zero: bool = False) -> tuple[int, int]:
    low, dash, high = text.partition("-")
    try:
        first = int(low)
        last = int(high) if dash else first
    except ValueError as err:
        raise _bad_port(spec, f"invalid containerPort: {text}") from err
    if not (0 if zero else 1) <= first <= last <= 65535:
        raise _bad_port(spec, f"invalid port range: {text}")
    return first, last


def _bad_port(spec: str, why: str) -> UsageError:
    return UsageError(
        f'invalid argument "{spec}" for "-p, --publish" flag: {why}: {spec}',
        hint="-p [[ADDRESS:]HOST:]CONTAINER[/udp], for example -p 8080:80",
    )


def _volumes(values: Values) -> tuple[list[str], dict[str, object]]:
    """Relative host paths become absolute, as Docker's client makes them."""
    binds: list[str] = []
    anonymous: dict[str, object] = {}
    for spec in values.texts("volume"):
        source, colon, rest = spec.partition(":")
        if not colon:
            anonymous[spec] = {}
            continue
        if source.startswith((".", "~")):
            source = os.path.abspath(os.path.expanduser(source))
        binds.append(f"{source}:{rest}")
    return binds, anonymous


def _mounts(values: Values) -> list[Json]:
    return [_mount(text) for text in values.texts("mount")]


def _mount(text: str) -> Json:
    mount: Json = {"Type": "volume"}
    options: dict[str, Json] = {}
    for field in text.split(","):
        key, equals, value = field.strip().partition("=")
        key = key.lower()
        if key == "type":
            mount["Type"] = value.lower()
        elif key in ("source", "src"):
            mount["Source"] = value
        elif key in ("target", "destination", "dst"):
            mount["Target"] = value
        elif key in ("readonly", "ro"):
            mount["ReadOnly"] = not equals or value.lower() in ("true", "1")
        elif key == "consistency":
            mount["Consistency"] = value
        elif key == "bind-propagation":
            options.setdefault("BindOptions", {})["Propagation"] = value
        elif key == "bind-create-src":
            options.setdefault("BindOptions", {})["CreateMountpoint"] = value.lower() != "false"
        elif key == "volume-nocopy":
            on = not equals or value.lower() in ("true", "1")
            options.setdefault("VolumeOptions", {})["NoCopy"] = on
        elif key == "volume-subpath":
            options.setdefault("VolumeOptions", {})["Subpath"] = value
        elif key == "tmpfs-size":
            size = size_bytes(value, "mount")
            options.setdefault("TmpfsOptions", {})["SizeBytes"] = size
        elif key == "tmpfs-mode":
            options.setdefault("TmpfsOptions", {})["Mode"] = _octal(value, text)
        else:
            raise UsageError(
                f'invalid argument "{text}" for "--mount" flag: unexpected key \'{key}\' in'
                f" '{field}'",
                hint="type=bind,source=/host,target=/inside[,readonly]",
            )
    if "Target" not in mount:
        raise UsageError(
            f'invalid argument "{text}" for "--mount" flag: target is required',
            hint="type=bind,source=/host,target=/inside",
        )
    source = mount.get("Source")
    if mount["Type"] == "bind" and isinstance(source, str) and source.startswith((".", "~")):
        mount["Source"] = os.path.abspath(os.path.expanduser(source))
    return {**mount, **options}


def _octal(value: str, text: str) -> int:
    try:
        return int(value, 8)
    except ValueError as err:
        raise UsageError(f'invalid argument "{text}" for "--mount" flag: bad mode') from err


def _ulimits(values: Values) -> list[Json]:
    found: list[Json] = []
    for text in values.texts("ulimit"):
        name, _, limits = text.partition("=")
        soft, colon, hard = limits.partition(":")
        try:
            low = int(soft)
            found.append({"Name": name, "Soft": low, "Hard": int(hard) if colon else low})
        except ValueError as err:
            raise UsageError(
                f'invalid argument "{text}" for "--ulimit" flag: invalid ulimit argument: {text}',
                hint="--ulimit nofile=1024:2048",
            ) from err
    return found


def _devices(values: Values) -> list[Json]:
    found: list[Json] = []
    for text in values.texts("device"):
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


def _restart(text: str) -> Json:
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
            value = "\n".join(_lines(value))
        ready.append(f"{key}{equals}{value}")
    return ready


def _host_config(values: Values, console: tuple[int, int]) -> tuple[Json, Json, Json]:
    bindings, exposed = _port_bindings(values)
    binds, anonymous = _volumes(values)
    network = values.text("network") or values.text("net") or "default"
    host: Json = {
        "Binds": binds or None,
        "ContainerIDFile": values.text("cidfile"),
        "LogConfig": {
            "Type": values.text("log-driver"),
            "Config": dict(_pair(text) for text in values.texts("log-opt")),
        },
        "NetworkMode": network,
        "PortBindings": bindings,
        "RestartPolicy": _restart(values.text("restart") or "no"),
        "AutoRemove": values.flag("rm"),
        "VolumesFrom": values.texts("volumes-from") or None,
        "ConsoleSize": list(console),
        "Annotations": dict(_pair(text) for text in values.texts("annotation")) or None,
        "CapAdd": values.texts("cap-add") or None,
        "CapDrop": values.texts("cap-drop") or None,
        "CgroupnsMode": values.text("cgroupns"),
        "Dns": values.texts("dns") or None,
        "DnsOptions": values.texts("dns-option") or None,
        "DnsSearch": values.texts("dns-search") or None,
        "ExtraHosts": [text.replace("=", ":", 1) for text in values.texts("add-host")] or None,
        "GroupAdd": values.texts("group-add") or None,
        "IpcMode": values.text("ipc"),
        "PidMode": values.text("pid"),
        "Privileged": values.flag("privileged"),
        "PublishAllPorts": values.flag("publish-all"),
        "ReadonlyRootfs": values.flag("read-only"),
        "SecurityOpt": _security(values) or None,
        "Tmpfs": dict(text.partition(":")[::2] for text in values.texts("tmpfs")) or None,
        "UTSMode": values.text("uts"),
        "UsernsMode": values.text("userns"),
        "ShmSize": _size(values, "shm-size"),
        "Sysctls": dict(_pair(text) for text in values.texts("sysctl")) or None,
        "Runtime": values.text("runtime"),
        "Mounts": _mounts(values) or None,
        "Init": True if values.flag("init") else None,
        **_limits(values),
    }
    return host, exposed, anonymous


def _limits(values: Values) -> Json:
    return {
        "OomScoreAdj": values.number("oom-score-adj") or 0,
        "CpuShares": values.number("cpu-shares") or 0,
        "Memory": _size(values, "memory"),
        "NanoCpus": _nano_cpus(values.text("cpus")),
        "CgroupParent": values.text("cgroup-parent"),
        "BlkioWeight": values.number("blkio-weight") or 0,
        "CpuPeriod": values.number("cpu-period") or 0,
        "CpuQuota": values.number("cpu-quota") or 0,
        "CpusetCpus": values.text("cpuset-cpus"),
        "CpusetMems": values.text("cpuset-mems"),
        "Devices": _devices(values) or None,
        "DeviceCgroupRules": values.texts("device-cgroup-rule") or None,
        "MemoryReservation": _size(values, "memory-reservation"),
        "MemorySwap": _size(values, "memory-swap"),
        "MemorySwappiness": values.number("memory-swappiness"),
        "OomKillDisable": values.flag("oom-kill-disable"),
        "PidsLimit": values.number("pids-limit"),
        "Ulimits": _ulimits(values) or None,
    }


def create_body(values: Values, *, attach: set[str], console: tuple[int, int] = (0, 0)) -> Json:
    """Return the body; `attach` are the streams that this client will read or feed.

    Raises: UsageError.
    """
    host, exposed, anonymous = _host_config(values, console)
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
        "Env": _environment(values),
        "Cmd": values.args[1:] or None,
        "Image": values.args[0],
        "Volumes": anonymous,
        "WorkingDir": values.text("workdir"),
        "Labels": _labels(values),
        "StopSignal": values.text("stop-signal"),
        "StopTimeout": values.number("stop-timeout"),
        "MacAddress": values.text("mac-address"),
        "HostConfig": host,
        "NetworkingConfig": {"EndpointsConfig": {}},
    }
    if "entrypoint" in values.given:
        body["Entrypoint"] = _words(values.text("entrypoint"))
    if values.flag("no-healthcheck"):
        body["Healthcheck"] = {"Test": ["NONE"]}
    return body
