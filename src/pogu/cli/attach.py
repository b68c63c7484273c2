"""Edge: `attach`."""

from __future__ import annotations

from pogu.cli.context import Context
from pogu.cli.exit_code import exit_code_of
from pogu.cli.failure import CliError
from pogu.cli.flags import Command, Flag, Values
from pogu.cli.http import quote
from pogu.cli.streams import DETACHED, Attachment
from pogu.cli.terminal import is_terminal

__all__ = ["COMMANDS"]


def _attach(context: Context, values: Values) -> int:
    found = context.get(f"/containers/{quote(values.args[0])}/json")
    assert isinstance(found, dict)
    config, container_id, state = found["Config"], str(found["Id"]), found["State"]
    if not state["Running"]:
        raise CliError(
            "You cannot attach to a stopped container, start it first",
            hint=f"pogu start -ai {values.args[0]}",
        )
    if state["Paused"]:
        raise CliError(
            "You cannot attach to a paused container, unpause it first",
            hint=f"pogu unpause {values.args[0]}",
        )
    if state["Restarting"]:
        raise CliError(
            "You cannot attach to a restarting container, wait until it is running",
            hint=f"why it ends: pogu logs {values.args[0]}",
        )
    terminal = bool(config["Tty"])
    stdin = bool(config["OpenStdin"]) and not values.flag("no-stdin")
    if terminal and stdin and not is_terminal(0):
        raise CliError(
            "the input device is not a TTY", hint="--no-stdin shows what the container writes"
        )
    waiting = context.connection().request("POST", f"/containers/{container_id}/wait")
    attachment = Attachment(
        context,
        container_id,
        terminal=terminal,
        stdin=stdin,
        detach_keys=values.text("detach-keys"),
        running=True,
    )
    if not terminal and values.flag("sig-proxy"):
        attachment.proxy_signals()
    outcome = attachment.run()
    attachment.close()
    if outcome == DETACHED:
        context.error("read escape sequence")
        return 1
    return exit_code_of(waiting, values.args[0])


COMMANDS = {
    "attach": Command(
        "attach",
        "[OPTIONS] CONTAINER",
        "Attach local standard input, output and error to a running container",
        _attach,
        [
            Flag("--detach-keys", "text", "Key sequence that detaches (ctrl-p,ctrl-q)"),
            Flag("--no-stdin", "bool", "Do not attach STDIN"),
            Flag("--sig-proxy", "bool", "Pass received signals on to the process", True),
        ],
        least=1,
        most=1,
    )
}
