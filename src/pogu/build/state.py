"""Format: what a stage is after each instruction; metadata instructions as pure functions.

A state is the config-to-be, the top layer and the history; an instruction gives the next state.
"""

from __future__ import annotations

import platform
import posixpath
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import msgspec

from pogu.dockerfile.expand import expand_word, expand_words
from pogu.dockerfile.instructions import (
    Arg,
    Cmd,
    CommandLine,
    Entrypoint,
    Env,
    Expose,
    Healthcheck,
    Instruction,
    Label,
    Maintainer,
    Onbuild,
    Shell,
    StopSignal,
    User,
    Volume,
    Workdir,
)
from pogu.errors import InvalidParameter
from pogu.model.container import ContainerConfig, HealthConfig
from pogu.oci.digest import ChainId, DiffId, Digest, sha256_digest
from pogu.oci.image import HistoryEntry, ImageConfig, RootFs, encode_image_config

__all__ = [
    "DEFAULT_PATH",
    "PREDEFINED_ARGS",
    "StageState",
    "apply_metadata",
    "platform_args",
]

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
DEFAULT_SHELL = ("/bin/sh", "-c")
PREDEFINED_ARGS = frozenset(
    name
    for base in ("http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "all_proxy")
    for name in (base, base.upper())
)
"""Build args that need no ARG and stand neither in the history nor in the cache key."""

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i686": "386"}
_PORT = re.compile(r"(\d+)(?:-(\d+))?(?:/(tcp|udp|sctp))?", re.IGNORECASE)
_SIGNAL = re.compile(r"(?:SIG)?[A-Z][A-Z0-9+-]*|\d+", re.IGNORECASE)


def architecture() -> str:
    """This machine, in the words of image configs."""
    return _ARCHITECTURES.get(platform.machine(), platform.machine())


def platform_args() -> dict[str, str]:
    """The eight args that each ARG without default may name."""
    arch = architecture()
    values = {"PLATFORM": f"linux/{arch}", "OS": "linux", "ARCH": arch, "VARIANT": ""}
    return {
        f"{side}{name}": value for side in ("TARGET", "BUILD") for name, value in values.items()
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class StageState:
    """A stage after some of its instructions."""

    config: ContainerConfig = field(default_factory=ContainerConfig)
    top_layer: ChainId | None = None
    diff_ids: tuple[DiffId, ...] = ()
    history: tuple[HistoryEntry, ...] = ()
    author: str = ""
    created: str = ""
    args: Mapping[str, str] = field(default_factory=dict)
    """Build args in scope: declared by ARG in this stage, with their values."""
    cmd_set: bool = False
    """CMD was given in this stage: a later ENTRYPOINT does not take it back."""

    @property
    def environment(self) -> dict[str, str]:
        return dict(entry.partition("=")[::2] for entry in self.config.env or ())

    @property
    def variables(self) -> dict[str, str]:
        """What `$name` means now: args, overridden by the environment."""
        return {**self.args, **self.environment}

    @property
    def shell(self) -> tuple[str, ...]:
        return self.config.shell or DEFAULT_SHELL

    def image_config(self) -> ImageConfig:
        return ImageConfig(
            architecture=architecture(),
            os="linux",
            created=self.created,
            author=self.author,
            config=self.config,
            rootfs=RootFs(diff_ids=self.diff_ids),
            history=self.history,
        )

    def image_id(self) -> Digest:
        return sha256_digest(encode_image_config(self.image_config()))

    def identity(self) -> str:
        """What a following step depends on: the layers and the config, not when they were made."""
        body = msgspec.json.encode([self.top_layer, self.config, self.author])
        return sha256_digest(body).removeprefix("sha256:")

    def with_config(self, **changes: object) -> StageState:
        return replace(self, config=msgspec.structs.replace(self.config, **changes))

    def remember(self, text: str, *, created: str, empty: bool, comment: str = "") -> StageState:
        """Add a line of history; its time becomes the image's."""
        entry = HistoryEntry(
            created=created,
            created_by=text,
            empty_layer=empty,
            author=self.author,
            comment=comment,
        )
        return replace(self, history=(*self.history, entry), created=created)


def set_environment(env: tuple[str, ...] | None, pairs: Mapping[str, str]) -> tuple[str, ...]:
    """Set variables in place where they are there already, else at the end."""
    merged = dict(entry.partition("=")[::2] for entry in env or ())
    merged.update(pairs)
    return tuple(f"{key}={value}" for key, value in merged.items())


def command_words(command: CommandLine, shell: tuple[str, ...]) -> tuple[str, ...]:
    """The argv that a CMD, ENTRYPOINT or RUN stands for."""
    return (*shell, *command.words) if command.shell else command.words


class Scope:
    """What an instruction may look up: variables of the state and build args of the request."""

    def __init__(
        self,
        state: StageState,
        *,
        escape: str,
        build_args: Mapping[str, str | None],
        meta_args: Mapping[str, str],
    ) -> None:
        self.state = state
        self.escape = escape
        self.build_args = build_args
        self.meta_args = meta_args

    def word(self, text: str) -> str:
        return expand_word(text, self.state.variables, self.escape)

    def words(self, text: str) -> list[str]:
        return expand_words(text, self.state.variables, self.escape)


def _arg(instruction: Arg, scope: Scope) -> StageState:
    args = dict(scope.state.args)
    for name, default in instruction.pairs:
        given = scope.build_args.get(name)
        if given is not None:
            args[name] = given
        elif default is not None:
            args[name] = expand_word(default, {**args, **scope.state.environment}, scope.escape)
        elif name in scope.meta_args:
            args[name] = scope.meta_args[name]
    return replace(scope.state, args=args)


def _env(instruction: Env, scope: Scope) -> StageState:
    # All values of one instruction see the variables as they were before it.
    pairs = {scope.word(key): scope.word(value) for key, value in instruction.pairs}
    return scope.state.with_config(env=set_environment(scope.state.config.env, pairs))


def _label(instruction: Label, scope: Scope) -> StageState:
    pairs = {scope.word(key): scope.word(value) for key, value in instruction.pairs}
    return scope.state.with_config(labels={**(scope.state.config.labels or {}), **pairs})


def _cmd(instruction: Cmd, scope: Scope) -> StageState:
    words = command_words(instruction.command, scope.state.shell)
    state = scope.state.with_config(cmd=words, args_escaped=False)
    return replace(state, cmd_set=True)


def _entrypoint(instruction: Entrypoint, scope: Scope) -> StageState:
    words = command_words(instruction.command, scope.state.shell)
    state = scope.state.with_config(entrypoint=words)
    return state if state.cmd_set else state.with_config(cmd=None)


def _expose(instruction: Expose, scope: Scope) -> StageState:
    ports = dict(scope.state.config.exposed_ports or {})
    for word in instruction.ports:
        for spec in scope.words(word):
            for port in parse_port_range(spec):
                ports[port] = {}
    return scope.state.with_config(exposed_ports=ports)


def parse_port_range(spec: str) -> list[str]:
    """`8000-8002/udp` → each port with its protocol. Raises: InvalidParameter."""
    match = _PORT.fullmatch(spec)
    if not match:
        raise InvalidParameter(
            f"invalid containerPort: {spec}", hint="EXPOSE port[-port][/tcp|udp|sctp]"
        )
    first, last = int(match[1]), int(match[2] or match[1])
    if not 0 < first <= last <= 65535:
        raise InvalidParameter(f"invalid containerPort: {spec}", hint="ports go from 1 to 65535")
    return [f"{port}/{(match[3] or 'tcp').lower()}" for port in range(first, last + 1)]


def _user(instruction: User, scope: Scope) -> StageState:
    return scope.state.with_config(user=scope.word(instruction.user))


def _workdir(instruction: Workdir, scope: Scope) -> StageState:
    """The directory itself is made by the executor."""
    path = scope.word(instruction.path)
    if not path:
        raise InvalidParameter("WORKDIR requires exactly one argument")
    current = scope.state.config.working_dir or "/"
    return scope.state.with_config(
        working_dir=posixpath.normpath(posixpath.join("/", current, path)).replace("//", "/")
    )


def _volume(instruction: Volume, scope: Scope) -> StageState:
    paths: dict[str, dict[str, str]] = {
        path: {} for word in instruction.paths for path in [scope.word(word)] if path
    }
    volumes: dict[str, dict[str, str]] = {**(scope.state.config.volumes or {}), **paths}
    return scope.state.with_config(volumes=volumes)


def _stop_signal(instruction: StopSignal, scope: Scope) -> StageState:
    name = scope.word(instruction.signal)
    if not _SIGNAL.fullmatch(name):
        raise InvalidParameter(f"Invalid signal: {name}", hint="STOPSIGNAL SIGTERM, or a number")
    return scope.state.with_config(stop_signal=name)


def _shell(instruction: Shell, scope: Scope) -> StageState:
    return scope.state.with_config(shell=instruction.shell)


def _healthcheck(instruction: Healthcheck, scope: Scope) -> StageState:
    if instruction.command is None:
        return scope.state.with_config(healthcheck=HealthConfig(test=("NONE",)))
    command = instruction.command
    test = ("CMD-SHELL", *command.words) if command.shell else ("CMD", *command.words)
    return scope.state.with_config(
        healthcheck=HealthConfig(
            test=test,
            interval=instruction.interval_ns or 0,
            timeout=instruction.timeout_ns or 0,
            start_period=instruction.start_period_ns or 0,
            start_interval=instruction.start_interval_ns or 0,
            retries=instruction.retries or 0,
        )
    )


def _onbuild(instruction: Onbuild, scope: Scope) -> StageState:
    triggers = (*(scope.state.config.on_build or ()), instruction.trigger)
    return scope.state.with_config(on_build=triggers)


def _maintainer(instruction: Maintainer, scope: Scope) -> StageState:
    return replace(scope.state, author=scope.word(instruction.name))


_APPLY: dict[type[Instruction], Callable[..., StageState]] = {
    Arg: _arg,
    Cmd: _cmd,
    Entrypoint: _entrypoint,
    Env: _env,
    Expose: _expose,
    Healthcheck: _healthcheck,
    Label: _label,
    Maintainer: _maintainer,
    Onbuild: _onbuild,
    Shell: _shell,
    StopSignal: _stop_signal,
    User: _user,
    Volume: _volume,
    Workdir: _workdir,
}


def apply_metadata(
    instruction: Instruction,
    state: StageState,
    *,
    escape: str = "\\",
    build_args: Mapping[str, str | None] | None = None,
    meta_args: Mapping[str, str] | None = None,
) -> StageState:
    """Return the state after an instruction that touches the config only (and WORKDIR's config).

    `meta_args`: ARGs before the first FROM and the platform args, which an ARG without default
    takes over. Raises: InvalidParameter.
    """
    scope = Scope(state, escape=escape, build_args=build_args or {}, meta_args=meta_args or {})
    return _APPLY[type(instruction)](instruction, scope)
