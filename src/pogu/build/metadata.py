"""Format: instructions that change the config only, each as a function from state to state.

Start reading at `apply_metadata`.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Mapping
from dataclasses import replace

from pogu.build.state import StageState
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
from pogu.model.container import HealthConfig

__all__ = ["apply_metadata", "command_words", "parse_port_range"]

_PORT = re.compile(r"(\d+)(?:-(\d+))?(?:/(tcp|udp|sctp))?", re.IGNORECASE)
_SIGNAL = re.compile(r"(?:SIG)?[A-Z][A-Z0-9+-]*|\d+", re.IGNORECASE)


def _set_environment(env: tuple[str, ...] | None, pairs: Mapping[str, str]) -> tuple[str, ...]:
    """Set variables in place where they are there already, else at the end."""
    merged = dict(entry.partition("=")[::2] for entry in env or ())
    merged.update(pairs)
    return tuple(f"{key}={value}" for key, value in merged.items())


def command_words(command: CommandLine, shell: tuple[str, ...]) -> tuple[str, ...]:
    """The argv that a CMD, ENTRYPOINT or RUN stands for."""
    return (*shell, *command.words) if command.shell else command.words


class _Scope:
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


def _arg(instruction: Arg, scope: _Scope) -> StageState:
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


def _env(instruction: Env, scope: _Scope) -> StageState:
    # All values of one instruction see the variables as they were before it.
    pairs = {scope.word(key): scope.word(value) for key, value in instruction.pairs}
    return scope.state.with_config(env=_set_environment(scope.state.config.env, pairs))


def _label(instruction: Label, scope: _Scope) -> StageState:
    pairs = {scope.word(key): scope.word(value) for key, value in instruction.pairs}
    return scope.state.with_config(labels={**(scope.state.config.labels or {}), **pairs})


def _cmd(instruction: Cmd, scope: _Scope) -> StageState:
    words = command_words(instruction.command, scope.state.shell)
    state = scope.state.with_config(cmd=words, args_escaped=False)
    return replace(state, cmd_set=True)


def _entrypoint(instruction: Entrypoint, scope: _Scope) -> StageState:
    words = command_words(instruction.command, scope.state.shell)
    state = scope.state.with_config(entrypoint=words)
    return state if state.cmd_set else state.with_config(cmd=None)


def _expose(instruction: Expose, scope: _Scope) -> StageState:
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


def _user(instruction: User, scope: _Scope) -> StageState:
    return scope.state.with_config(user=scope.word(instruction.user))


def _workdir(instruction: Workdir, scope: _Scope) -> StageState:
    """The directory itself is made by the executor."""
    path = scope.word(instruction.path)
    if not path:
        raise InvalidParameter("WORKDIR requires exactly one argument")
    current = scope.state.config.working_dir or "/"
    return scope.state.with_config(
        working_dir=posixpath.normpath(posixpath.join("/", current, path)).replace("//", "/")
    )


def _volume(instruction: Volume, scope: _Scope) -> StageState:
    paths: dict[str, dict[str, str]] = {
        path: {} for word in instruction.paths for path in [scope.word(word)] if path
    }
    volumes: dict[str, dict[str, str]] = {**(scope.state.config.volumes or {}), **paths}
    return scope.state.with_config(volumes=volumes)


def _stop_signal(instruction: StopSignal, scope: _Scope) -> StageState:
    name = scope.word(instruction.signal)
    if not _SIGNAL.fullmatch(name):
        raise InvalidParameter(f"Invalid signal: {name}", hint="STOPSIGNAL SIGTERM, or a number")
    return scope.state.with_config(stop_signal=name)


def _shell(instruction: Shell, scope: _Scope) -> StageState:
    return scope.state.with_config(shell=instruction.shell)


def _healthcheck(instruction: Healthcheck, scope: _Scope) -> StageState:
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


def _onbuild(instruction: Onbuild, scope: _Scope) -> StageState:
    triggers = (*(scope.state.config.on_build or ()), instruction.trigger)
    return scope.state.with_config(on_build=triggers)


def _maintainer(instruction: Maintainer, scope: _Scope) -> StageState:
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
    scope = _Scope(state, escape=escape, build_args=build_args or {}, meta_args=meta_args or {})
    return _APPLY[type(instruction)](instruction, scope)
