"""Edge: `run` and `create`."""

from __future__ import annotations

import os

from pogu.cli.context import Context
from pogu.cli.create_body import create_body
from pogu.cli.create_flags import CREATE_FLAGS
from pogu.cli.exit_code import exit_code_of, start_exit_code
from pogu.cli.failure import ApiError, CliError, UsageError
from pogu.cli.flags import Command, Flag, Values
from pogu.cli.foreign_flags import refuse_foreign
from pogu.cli.streams import DETACHED, Attachment
from pogu.cli.terminal import is_terminal, terminal_size

__all__ = ["COMMANDS"]

_STREAMS = ("stdin", "stdout", "stderr")


def _attached_streams(values: Values) -> set[str]:
    """What `-a`, `-i` and `-d` come to."""
    if values.flag("detach"):
        return set()
    named = {name.lower() for name in values.texts("attach")}
    for name in named - set(_STREAMS):
        raise UsageError(
            f'invalid argument "{name}" for "-a, --attach" flag: valid streams are STDIN, STDOUT'
            " and STDERR"
        )
    if named:
        return named
    return {"stdout", "stderr", *(["stdin"] if values.flag("interactive") else [])}


def _run(context: Context, values: Values) -> int:
    try:
        return _run_it(context, values)
    except CliError as err:
        err.code = 125 if err.code == 1 else err.code  # 1 would be the container's own
        raise


def _run_it(context: Context, values: Values) -> int:
    if values.flag("detach") and values.texts("attach"):
        raise UsageError("conflicting options: cannot specify both --attach and --detach")
    attach = _attached_streams(values)
    terminal, stdin = values.flag("tty"), "stdin" in attach
    if attach and values.flag("wait-healthy"):
        raise UsageError("--wait-healthy needs -d", hint="it returns when the container is healthy")
    if terminal and stdin and not is_terminal(0):
        raise CliError(
            "the input device is not a TTY",
            hint="leave out -t when input comes from a pipe",
            code=125,
        )
    container_id = _create(context, values, attach)
    if not attach:
        _start(context, container_id)
        context.out(container_id)
        if values.flag("wait-healthy"):
            from pogu.cli.health import wait_healthy

            wait_healthy(context, container_id, timeout_s=values.number("wait-timeout"))
        return 0
    attachment = Attachment(
        context,
        container_id,
        terminal=terminal,
        stdin=stdin,
        stdout="stdout" in attach,
        stderr="stderr" in attach,
        detach_keys=values.text("detach-keys"),
    )
    condition = "removed" if values.flag("rm") else "next-exit"
    waiting = context.connection().request(
        "POST", f"/containers/{container_id}/wait", {"condition": condition}
    )
    if not terminal and values.flag("sig-proxy"):
        attachment.proxy_signals()
    _start(context, container_id)
    outcome = attachment.run()
    attachment.close()
    return (
        0
        if outcome == DETACHED
        else exit_code_of(waiting, values.text("name") or container_id[:12])
    )


def _start(context: Context, container_id: str) -> None:
    try:
        context.request("POST", f"/containers/{container_id}/start").read()
    except ApiError as err:
        err.code = start_exit_code(err.engine_message)
        raise


def _create(context: Context, values: Values, attach: set[str]) -> str:
    """Create, pulling first where that is asked for; return the ID."""
    if values.flag("rm") and values.text("restart") not in ("", "no"):
        raise UsageError("conflicting options: cannot specify both --restart and --rm")
    if values.flag("replace") and not values.text("name"):
        raise UsageError("cannot replace container without --name being set")
    refuse_foreign(values)
    console = terminal_size() if values.flag("tty") else (0, 0)
    body = create_body(values, attach=attach, console=console)
    if values.flag("use-api-socket"):
        from pogu.cli.api_socket import with_api_socket

        with_api_socket(context, body)
    policy = values.text("pull")
    if policy not in ("always", "missing", "never"):
        raise UsageError(
            f'invalid pull option: \'{policy}\': must be one of "always", "missing" or "never"'
        )
    cid_file = _CidFile(values.text("cidfile"))
    try:
        container_id = _created(context, values, body, policy)
        if values.flag("use-api-socket"):
            from pogu.cli.api_socket import give_logins

            give_logins(context, container_id)
    except BaseException:
        cid_file.drop()
        raise
    cid_file.write(container_id)
    return container_id


def _created(context: Context, values: Values, body: dict[str, object], policy: str) -> str:
    try:
        if policy == "always":
            _pull(context, values)
        container = _post_with_images(context, values, body, policy)
    except ApiError as err:
        err.code = 125
        words = err.engine_message.lower()
        missing = err.status == 404 and ("no such image" in words or "its platform" in words)
        if not missing or policy != "missing":
            raise
        container = _pull_and_post(context, values, body, err)
    for warning in container.get("Warnings") or ():  # type: ignore[attr-defined]
        context.error(f"WARNING: {warning}")
    return str(container["Id"])


def _post_with_images(
    context: Context, values: Values, body: dict[str, object], policy: str
) -> dict[str, object]:
    """Create; the images that are to be mounted are pulled by the same rule."""
    left = mounted_images(body)
    for name in left if policy == "always" else ():
        _pull_mounted(context, values, name)
    while True:
        try:
            return _post(context, values, body)
        except ApiError as err:
            name = next((one for one in left if missing_image(err.engine_message, one)), "")
            if not name or policy != "missing" or missing_image(err.engine_message, values.args[0]):
                raise
            left.remove(name)
            context.error(f"Unable to find image '{name}' locally")
            _pull_mounted(context, values, name)


def mounted_images(body: dict[str, object]) -> list[str]:
    """The images that a create body wants mounted, each once."""
    host = body.get("HostConfig")
    specs = host.get("Mounts") if isinstance(host, dict) else None
    found = [str(one.get("Source", "")) for one in specs or () if one["Type"] == "image"]
    return list(dict.fromkeys(found))


def missing_image(message: str, name: str) -> bool:
    """True when the engine says that it has no image of that name."""
    return message in (f"No such image: {name}", f"No such image: {name}:latest")


def _pull_mounted(context: Context, values: Values, name: str) -> None:
    from pogu.cli.pull import pull_image

    try:
        pull_image(context, name, platform="", quiet=values.flag("quiet"))
    except CliError as err:
        err.code = 125
        raise


class _CidFile:
    """`--cidfile`: made before the container, so that none is made that it cannot name."""

    def __init__(self, path: str) -> None:
        """Without a path it does nothing. Raises: CliError."""
        self._path = path
        self._fd = -1
        if not path:
            return
        try:
            self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        except FileExistsError as err:
            raise CliError(
                "container ID file found, make sure the other container isn't running or delete"
                f" {path}",
                code=125,
            ) from err
        except OSError as err:
            raise CliError(
                f"failed to create the container ID file: open {path}: {err.strerror}", code=125
            ) from err

    def write(self, container_id: str) -> None:
        if self._fd >= 0:
            os.write(self._fd, container_id.encode())
            os.close(self._fd)

    def drop(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            os.unlink(self._path)


def _post(context: Context, values: Values, body: dict[str, object]) -> dict[str, object]:
    parameters: dict[str, object] = {
        "name": values.text("name") or None,
        "replace": values.flag("replace") or None,
    }
    if values.text("platform"):
        parameters["platform"] = values.text("platform")
    answer = context.post("/containers/create", parameters, body=body)
    return answer if isinstance(answer, dict) else {}


def _pull_and_post(
    context: Context, values: Values, body: dict[str, object], missing: ApiError
) -> dict[str, object]:
    """The near miss of the missing image is the better hint when the pull fails too."""
    from pogu.cli.images import split_tag

    name = values.args[0]
    if "@" not in name and not split_tag(name)[1]:
        name += ":latest"
    context.error(f"Unable to find image '{name}' locally")
    try:
        _pull(context, values)
    except CliError as err:
        if missing.hint.startswith(("did you mean", "here is")):
            err.hint = f"{missing.hint}\n{err.hint}"
        elif "its platform" in missing.engine_message:
            err.hint = f"{missing.engine_message}\n{err.hint}"
        err.code = 125
        raise
    return _post_with_images(context, values, body, "missing")


def _pull(context: Context, values: Values) -> None:
    from pogu.cli.pull import pull_image

    pull_image(
        context, values.args[0], platform=values.text("platform"), quiet=values.flag("quiet")
    )


def _create_only(context: Context, values: Values) -> int:
    context.out(_create(context, values, _attached_streams(values)))
    return 0


_RUN_FLAGS = [
    Flag("-d, --detach", "bool", "Run in the background and print the container ID"),
    Flag("--detach-keys", "text", "Key sequence that detaches (ctrl-p,ctrl-q)"),
    Flag("--sig-proxy", "bool", "Pass received signals on to the process", True),
    Flag("--wait-healthy", "bool", "With -d: return when the health check succeeds, or fail"),
    Flag("--wait-timeout", "int", "Seconds to wait for that (0 = as long as it takes)", 0),
]

COMMANDS = {
    "run": Command(
        "run",
        "[OPTIONS] IMAGE [COMMAND] [ARG...]",
        "Create and run a new container from an image",
        _run,
        [*CREATE_FLAGS, *_RUN_FLAGS],
        least=1,
        stops=True,
    ),
    "create": Command(
        "create",
        "[OPTIONS] IMAGE [COMMAND] [ARG...]",
        "Create a new container",
        _create_only,
        [*CREATE_FLAGS, Flag("-d, --detach", "bool", "")],
        least=1,
        stops=True,
    ),
}
