"""Format: what a client asked for, with the image's defaults merged in, by Docker's rules. Pure."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from pogu.errors import InvalidParameter
from pogu.model.container import ContainerConfig, CreateRequest, HealthConfig
from pogu.runtime.workload import DEFAULT_PATH

__all__ = ["command_line", "effective_env", "merge_config"]


def merge_config(request: CreateRequest, image: ContainerConfig) -> ContainerConfig:
    """Return the request's config; what it leaves open comes from the image.

    An entrypoint in the request puts the image's command aside; `[""]` is no entrypoint at all.
    Raises: InvalidParameter("no command specified").
    """
    merged = ContainerConfig(
        **{field: getattr(request, field) for field in ContainerConfig.__struct_fields__}
    )
    entrypoint, cmd = _merge_command(request, image)
    if not entrypoint and not cmd:
        raise InvalidParameter(
            "no command specified", hint="the image names none: give one behind the image's name"
        )
    return msgspec.structs.replace(
        merged,
        user=request.user or image.user,
        exposed_ports=_merge_keys(request.exposed_ports, image.exposed_ports),
        env=_merge_env(request.env or (), image.env or ()),
        labels=(image.labels or {}) | (request.labels or {}),
        entrypoint=entrypoint,
        cmd=cmd,
        healthcheck=_merge_healthcheck(request.healthcheck, image.healthcheck),
        working_dir=request.working_dir or image.working_dir,
        volumes=_merge_keys(request.volumes, image.volumes),
        stop_signal=request.stop_signal or image.stop_signal,
        on_build=None,
        shell=request.shell or image.shell,
    )


def _merge_command(
    request: CreateRequest, image: ContainerConfig
) -> tuple[tuple[str, ...] | None, tuple[str, ...] | None]:
    entrypoint, cmd = request.entrypoint, request.cmd
    if not entrypoint:
        cmd = cmd or image.cmd
        if entrypoint is None:
            entrypoint = image.entrypoint
    if entrypoint == ("",):
        entrypoint = None
    return entrypoint or None, cmd


def _merge_keys(
    mine: dict[str, dict[str, str]] | None, theirs: dict[str, dict[str, str]] | None
) -> dict[str, dict[str, str]] | None:
    merged = (theirs or {}) | (mine or {})
    return merged or None


def _key(pair: str) -> str:
    return pair.partition("=")[0]


def _merge_env(mine: Iterable[str], theirs: Iterable[str]) -> tuple[str, ...]:
    """The request's variables first, as Docker shows them; an entry without `=` unsets."""
    chosen = tuple(mine)
    taken = {_key(pair) for pair in chosen}
    return chosen + tuple(pair for pair in theirs if _key(pair) not in taken)


def _merge_healthcheck(
    mine: HealthConfig | None, theirs: HealthConfig | None
) -> HealthConfig | None:
    if mine is None or theirs is None:
        return mine or theirs
    return HealthConfig(
        test=mine.test or theirs.test,
        interval=mine.interval or theirs.interval,
        timeout=mine.timeout or theirs.timeout,
        start_period=mine.start_period or theirs.start_period,
        start_interval=mine.start_interval or theirs.start_interval,
        retries=mine.retries or theirs.retries,
    )


def command_line(config: ContainerConfig) -> tuple[str, ...]:
    """Return entrypoint and command joined: what is executed."""
    return (config.entrypoint or ()) + (config.cmd or ())


def effective_env(config: ContainerConfig, *, hostname: str, home: str) -> tuple[str, ...]:
    """Return the process's environment: Docker's defaults below the config's variables."""
    env = {"PATH": DEFAULT_PATH, "HOSTNAME": hostname}
    if config.tty:
        env["TERM"] = "xterm"
    unset = set()
    for pair in config.env or ():
        key, equals, value = pair.partition("=")
        if equals:
            env[key] = value
            unset.discard(key)
        else:
            env.pop(key, None)
            unset.add(key)
    if "HOME" not in env and "HOME" not in unset:
        env["HOME"] = home
    return tuple(f"{key}={value}" for key, value in env.items())
