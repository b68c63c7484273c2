"""Format: what a create request may not say, in Docker's words with our hints. Pure."""

from __future__ import annotations

import re
from ipaddress import ip_address

from pogu.containers.limit_rules import check_limits, check_sysctls, kernel_memory_warnings
from pogu.containers.links import parse_link
from pogu.containers.log_options import check_log_config
from pogu.containers.ports import parse_exposed, requested_ports
from pogu.containers.signals import parse_signal
from pogu.errors import InvalidParameter
from pogu.model.container import CreateRequest, HostConfig

__all__ = ["check_changeable", "check_name", "check_request", "network_mode"]

_NAME = re.compile(r"/?[a-zA-Z0-9][a-zA-Z0-9_.-]+")
_RESTART = ("no", "always", "on-failure", "unless-stopped")
_RUNTIMES = frozenset(("", "crun", "runc", "io.containerd.runc.v2"))


def check_name(name: str) -> None:
    """Raises: InvalidParameter when a container may not be called so."""
    if not _NAME.fullmatch(name):
        raise InvalidParameter(
            f"Invalid container name ({name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed",
            hint="at least two characters, the first a letter or a digit",
        )


def network_mode(host: HostConfig) -> str:
    """Return the network's name, `host`, `none` or `container:<name>`."""
    mode = host.network_mode
    return "bridge" if mode in ("", "default") else mode


def check_request(request: CreateRequest, *, remapped: bool = False) -> list[str]:
    """Return warnings; `remapped` = it gets a user namespace.

    Raises: InvalidParameter at the first thing that cannot be.
    """
    host = request.host_config
    warnings: list[str] = []
    _check_config(request)
    _check_isolation(host)
    if remapped:
        _check_remapped(host)
    _check_network(request, warnings)
    warnings += check_changeable(host)
    check_sysctls(host, network=network_mode(host))
    _check_drivers(host, warnings)
    return warnings


def check_changeable(host: HostConfig) -> list[str]:
    """What may change later too: limits and restart policy. As `check_request`."""
    warnings = check_limits(host)
    _check_restart(host)
    return warnings


def _refuse(message: str, hint: str | None = None) -> None:
    raise InvalidParameter(message, hint=hint)


def _check_config(request: CreateRequest) -> None:
    for pair in request.env or ():
        if not pair or pair.startswith("="):
            _refuse(f"invalid environment variable: {pair}", "write NAME=value")
    if request.working_dir and not request.working_dir.startswith("/"):
        _refuse(
            f"the working directory '{request.working_dir}' is invalid, it needs to be an"
            " absolute path",
            f"write /{request.working_dir.lstrip('./')}",
        )
    if request.stop_signal:
        parse_signal(request.stop_signal)
    if len(request.hostname) > 63:
        _refuse(f"invalid hostname: {request.hostname}", "a hostname has at most 63 characters")
    for port in request.exposed_ports or ():
        parse_exposed(port)
    health = request.healthcheck
    if health is not None:
        for name in ("interval", "timeout", "start_period", "start_interval"):
            if 0 < getattr(health, name) < 1_000_000 or getattr(health, name) < 0:
                word = name.title().replace("_", "")
                _refuse(f"{word} in Healthcheck cannot be less than 1ms")
        if health.retries < 0:
            _refuse("Retries in Healthcheck cannot be negative")


def _check_mode(value: str, words: tuple[str, ...], name: str, *, joins: bool) -> None:
    if joins and value.startswith("container:") and value.removeprefix("container:"):
        return
    if value not in words:
        choices = [word for word in words if word] + (["container:<name|id>"] if joins else [])
        _refuse(f"invalid {name} mode: {value}", f"choose {' or '.join(choices)}")


def _check_isolation(host: HostConfig) -> None:
    _check_mode(host.pid_mode, ("", "host", "private"), "PID", joins=True)
    ipc = ("", "none", "private", "shareable", "host")
    _check_mode(host.ipc_mode, ipc, "IPC", joins=True)
    _check_mode(host.uts_mode, ("", "host"), "UTS", joins=False)
    _check_mode(host.cgroupns_mode, ("", "private", "host"), "cgroup namespace", joins=False)
    _check_mode(host.userns_mode, ("", "host", "remap"), "user namespace", joins=False)
    if host.isolation not in ("", "default"):
        _refuse(f"invalid isolation '{host.isolation}' on linux")


def _check_remapped(host: HostConfig) -> None:
    """What a container with a user namespace cannot have of the host."""
    hint = "--userns=host runs it without a user namespace"
    if host.privileged:
        _refuse(
            "privileged mode is incompatible with user namespaces.  You must run the container in"
            " the host namespace when running privileged mode",
            hint,
        )
    if network_mode(host) == "host":
        _refuse("cannot share the host's network namespace when user namespaces are enabled", hint)
    if host.pid_mode == "host":
        _refuse("cannot share the host PID namespace when user namespaces are enabled", hint)


def _check_network(request: CreateRequest, warnings: list[str]) -> None:
    host, mode = request.host_config, network_mode(request.host_config)
    requested_ports(host)
    if mode == "container" or (mode.startswith("container:") and len(mode) == len("container:")):
        _refuse("Invalid network mode: invalid container format container:<name|id>")
    if mode == "host":
        if host.links:
            _refuse(
                "conflicting options: host type networking can't be used with links. This would"
                " result in undefined behavior"
            )
        if host.port_bindings:
            warnings.append("Published ports are discarded when using host network mode")
    if host.uts_mode == "host" and request.hostname:
        _refuse("conflicting options: hostname and the UTS mode")
    if mode.startswith("container:"):
        _check_joined_network(request)
    _check_endpoints(request)
    for link in host.links or ():
        parse_link(link)


def _check_endpoints(request: CreateRequest) -> None:
    """What is asked of each network: a MAC address may be, an IP address not."""
    endpoints = request.networking_config.endpoints_config or {}
    for name, asked in endpoints.items():
        addresses = asked.ipam_config or {} if asked else {}
        if addresses.get("IPv4Address") or addresses.get("IPv6Address"):
            _refuse(
                f"invalid config for network {name}: invalid endpoint settings:\n"
                "user specified IP address is supported on user defined networks only"
            )
        if asked and asked.aliases:
            _refuse(
                f"invalid config for network {name}: invalid endpoint settings:\n"
                "network-scoped alias is supported only for containers in user defined networks"
            )
        local = addresses.get("LinkLocalIPs")
        for text in local if isinstance(local, list) else ():
            _check_link_local(name, text)
    for mac in (request.mac_address, *(one.mac_address for one in endpoints.values() if one)):
        if mac and not re.fullmatch(r"[0-9a-fA-F]{2}([:-][0-9a-fA-F]{2}){5}", mac):
            _refuse(f"address {mac}: invalid MAC address", "for example 02:42:ac:11:00:02")


def _check_link_local(network: str, text: object) -> None:
    try:
        address = ip_address(str(text))
    except ValueError:
        address = None
    if address is None or address.is_unspecified:
        _refuse(
            f"invalid config for network {network}: invalid endpoint settings:\n"
            f"invalid link-local IP address: {text}",
            "for example 169.254.10.1",
        )


def _check_joined_network(request: CreateRequest) -> None:
    host = request.host_config
    conflicts = {
        "hostname": request.hostname,
        "links": host.links,
        "dns": host.dns,
        "custom host-to-IP mapping": host.extra_hosts,
        "mac-address": request.mac_address,
    }
    for option, given in conflicts.items():
        if given:
            _refuse(f"conflicting options: {option} and the network mode")
    if host.port_bindings or host.publish_all_ports:
        _refuse(
            "conflicting options: port publishing and the container type network mode",
            "publish the port on the container whose network is joined",
        )


def _check_restart(host: HostConfig) -> None:
    policy = host.restart_policy
    if policy.name and policy.name not in _RESTART:
        _refuse(
            f"invalid restart policy: unknown policy '{policy.name}'; use one of 'no', 'always',"
            " 'on-failure', or 'unless-stopped'"
        )
    if policy.maximum_retry_count and policy.name != "on-failure":
        _refuse(
            "invalid restart policy: maximum retry count can only be used with 'on-failure'",
            f"for example on-failure:{abs(policy.maximum_retry_count)}",
        )
    if policy.maximum_retry_count < 0:
        _refuse("invalid restart policy: maximum retry count cannot be negative")
    if host.auto_remove and policy.name not in ("", "no"):
        _refuse("can't create 'AutoRemove' container with restart policy", "leave out one of them")


def _check_drivers(host: HostConfig, warnings: list[str]) -> None:
    warnings += check_log_config(host)
    if host.runtime not in _RUNTIMES:
        _refuse(
            f"unknown or invalid runtime name: {host.runtime}",
            "the configuration file's key `runtime` chooses between crun and runc",
        )
    if host.volume_driver not in ("", "local"):
        _refuse(
            f'error looking up volume plugin {host.volume_driver}: plugin "{host.volume_driver}"'
            " not found",
            "Pogu has the driver local",
        )
    if host.storage_opt:
        _refuse(
            "--storage-opt is supported only for overlay over xfs with 'pquota' mount option",
            "Pogu sets no limit to a container's writable layer; `pogu ps -s` shows its size",
        )
    warnings += kernel_memory_warnings(host.kernel_memory)
