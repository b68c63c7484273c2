"""Edge: `start`."""

from __future__ import annotations

from pogu.cli.context import Context
from pogu.cli.exit_code import exit_code_of
from pogu.cli.failure import UsageError
from pogu.cli.flags import Command, Flag, Values
from pogu.cli.foreign_flags import CHECKPOINT_FLAGS, refuse_checkpoint
from pogu.cli.http import quote
from pogu.cli.streams import DETACHED, Attachment

__all__ = ["COMMANDS"]


def _start(context: Context, values: Values) -> int:
    refuse_checkpoint(values)
    if not (values.flag("attach") or values.flag("interactive")):
        return context.each(
            values.args,
            lambda name: context.request("POST", f"/containers/{quote(name)}/start").read(),
        )
    if len(values.args) > 1:
        raise UsageError("you cannot start and attach multiple containers at once")
    return _start_attached(context, values)


def _start_attached(context: Context, values: Values) -> int:
    found = context.get(f"/containers/{quote(values.args[0])}/json")
    assert isinstance(found, dict)
    config, container_id = found["Config"], str(found["Id"])
    terminal = bool(config["Tty"])
    running = found["State"]["Running"]
    attachment = Attachment(
        context,
        container_id,
        terminal=terminal,
        stdin=values.flag("interactive") and bool(config["OpenStdin"]),
        detach_keys=values.text("detach-keys"),
    )
    removed = found["HostConfig"]["AutoRemove"]
    condition = "removed" if removed else "not-running" if running else "next-exit"
    waiting = context.connection().request(
        "POST", f"/containers/{container_id}/wait", {"condition": condition}
    )
    if not terminal and values.flag("sig-proxy"):
        attachment.proxy_signals()
    context.request("POST", f"/containers/{container_id}/start").read()
    outcome = attachment.run()
    attachment.close()
    return 0 if outcome == DETACHED else exit_code_of(waiting, values.args[0])


COMMANDS = {
    "start": Command(
        "start",
        "[OPTIONS] CONTAINER [CONTAINER...]",
        "Start one or more stopped containers",
        _start,
        [
            Flag("-a, --attach", "bool", "Attach STDOUT and STDERR and pass signals on"),
            Flag("-i, --interactive", "bool", "Attach the container's STDIN"),
            *CHECKPOINT_FLAGS,
            Flag("--detach-keys", "text", "Key sequence that detaches (ctrl-p,ctrl-q)"),
            Flag("--sig-proxy", "bool", "Pass received signals on to the process", True),
        ],
        least=1,
    )
}
