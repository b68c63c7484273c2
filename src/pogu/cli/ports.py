"""Format: `-p` and `--expose` → PortBindings and ExposedPorts of the Docker API."""

from __future__ import annotations

from pogu.cli.failure import UsageError
from pogu.cli.flags import Values

__all__ = ["port_bindings"]

Json = dict[str, object]


def port_bindings(values: Values) -> tuple[dict[str, object], dict[str, object]]:
    """`-p [[ip:][host]:]container[/proto]` → (PortBindings, ExposedPorts). Ranges run along.

    Raises: UsageError in Docker's words.
    """
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
