"""Edge: `exec`."""

from __future__ import annotations

from pogu.cli.context import Context
from pogu.cli.detach import configured_keys
from pogu.cli.environment import environment
from pogu.cli.exit_code import start_exit_code
from pogu.cli.failure import ApiError, CliError
from pogu.cli.flags import Command, Flag, Values
from pogu.cli.http import quote
from pogu.cli.streams import DETACHED, Session
from pogu.cli.terminal import is_terminal, terminal_size

__all__ = ["COMMANDS"]

_KILLED = 137


def _exec(context: Context, values: Values) -> int:
    terminal, stdin = values.flag("tty"), values.flag("interactive")
    detach = values.flag("detach")
    if terminal and stdin and not detach and not is_terminal(0):
        raise CliError(
            "the input device is not a TTY", hint="leave out -t when input comes from a pipe"
        )
    exec_id = _create(context, values)
    if detach:
        return _start_detached(context, exec_id, terminal=terminal)
    http = context.connection()
    session = Session(
        context,
        http,
        f"/exec/{exec_id}",
        terminal=terminal,
        stdin=stdin,
        detach_keys=values.text("detach-keys"),
    )
    body: dict[str, object] = {"Detach": False, "Tty": terminal}
    size = terminal_size() if terminal else (0, 0)
    if all(size):
        body["ConsoleSize"] = list(size)
    http.upgrade(f"/exec/{exec_id}/start", body=body)
    outcome = session.run()
    session.close()
    if outcome == DETACHED:
        context.error("read escape sequence")
        return 1
    return _exit_code(context, exec_id)


def _create(context: Context, values: Values) -> str:
    attached = not values.flag("detach")
    body: dict[str, object] = {
        "User": values.text("user"),
        "Privileged": values.flag("privileged"),
        "Tty": values.flag("tty"),
        "AttachStdin": attached and values.flag("interactive"),
        "AttachStdout": attached,
        "AttachStderr": attached,
        "DetachKeys": values.text("detach-keys") or _configured(values),
        "Env": environment(values),
        "WorkingDir": values.text("workdir"),
        "Cmd": values.args[1:],
    }
    answer = context.post(f"/containers/{quote(values.args[0])}/exec", body=body)
    assert isinstance(answer, dict)
    return str(answer["Id"])


def _configured(values: Values) -> str:
    """The engine must not look for other keys than we do."""
    return configured_keys() if values.flag("tty") and values.flag("interactive") else ""


def _start_detached(context: Context, exec_id: str, *, terminal: bool) -> int:
    try:
        context.post(f"/exec/{exec_id}/start", body={"Detach": True, "Tty": terminal})
    except ApiError as err:
        code = start_exit_code(err.engine_message)
        err.code = code if code != 125 else 1
        raise
    return 0


def _exit_code(context: Context, exec_id: str) -> int:
    """Raises: CliError when it still runs: the connection broke off."""
    try:
        found = context.get(f"/exec/{exec_id}/json")
    except ApiError as err:
        if err.status != 404:
            raise
        return _KILLED  # with its container, which was removed
    assert isinstance(found, dict)
    code = found["ExitCode"]
    if code is None:
        raise CliError("the connection to the engine broke off", hint="the process goes on")
    return int(str(code))


COMMANDS = {
    "exec": Command(
        "exec",
        "[OPTIONS] CONTAINER COMMAND [ARG...]",
        "Execute a command in a running container",
        _exec,
        [
            Flag("-d, --detach", "bool", "Run the command in the background"),
            Flag("--detach-keys", "text", "Key sequence that detaches (ctrl-p,ctrl-q)"),
            Flag("-e, --env", "list", "Set environment variables"),
            Flag("--env-file", "list", "Read environment variables from a file"),
            Flag("-i, --interactive", "bool", "Keep STDIN open even if not attached"),
            Flag("--privileged", "bool", "Give extended privileges to the command"),
            Flag("-t, --tty", "bool", "Allocate a pseudo-TTY"),
            Flag("-u, --user", "text", "User name or UID (name|uid[:group|gid])"),
            Flag("-w, --workdir", "text", "Working directory inside the container"),
        ],
        least=2,
        stops=True,
    )
}
