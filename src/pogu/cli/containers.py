"""Edge: the verbs of a container's life: `stop`, `pause`, `wait`, `rm`, `port`, `top`, …"""

from __future__ import annotations

from pogu.cli.context import Context, show_error
from pogu.cli.failure import ApiError, CliError
from pogu.cli.flags import Command, Flag, Values
from pogu.cli.http import quote
from pogu.cli.listing import filters, join_address, natural, print_lines
from pogu.cli.prune import DRY_RUN, prune
from pogu.cli.table import print_table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pogu.cli.http import Reply

__all__ = ["COMMANDS"]

_AT_ONCE = 50
_TOP_WIDTH = 20


def _together(
    context: Context,
    names: Sequence[str],
    method: str,
    path: str,
    parameters: dict[str, object],
    *,
    show: Callable[[str, Reply], str] = lambda name, reply: name,
    ignored: Sequence[int] = (),
) -> int:
    """Do the same to every container at once; print names and errors in the order of `names`.

    `{}` in `path` is the name; statuses in `ignored` are told but are no failure.
    """
    code = 0
    for start in range(0, len(names), _AT_ONCE):
        some = names[start : start + _AT_ONCE]
        connections = [context.http, *(context.connection() for _ in some[1:])]
        answers = [
            http.begin(method, path.replace("{}", quote(name)), parameters)
            for http, name in zip(connections, some, strict=True)
        ]
        for name, answer in zip(some, answers, strict=True):
            try:
                context.out(show(name, answer()))
            except ApiError as err:
                show_error(err)
                code = code if err.status in ignored else 1
        for http in connections[1:]:
            http.close()
    return code


def _signal_names(values: Values) -> dict[str, object]:
    seconds = values.number("timeout")
    if seconds is None:
        seconds = values.number("time")
    return {"t": seconds, "signal": values.text("signal") or None}


def _stop(context: Context, values: Values) -> int:
    parameters = _signal_names(values)
    return _together(context, values.args, "POST", "/containers/{}/stop", parameters)


def _restart(context: Context, values: Values) -> int:
    parameters = _signal_names(values)
    return _together(context, values.args, "POST", "/containers/{}/restart", parameters)


def _kill(context: Context, values: Values) -> int:
    parameters: dict[str, object] = {"signal": values.text("signal") or None}
    return _together(context, values.args, "POST", "/containers/{}/kill", parameters)


def _pause(context: Context, values: Values) -> int:
    return _together(context, values.args, "POST", "/containers/{}/pause", {})


def _unpause(context: Context, values: Values) -> int:
    return _together(context, values.args, "POST", "/containers/{}/unpause", {})


def _wait(context: Context, values: Values) -> int:
    return _together(context, values.args, "POST", "/containers/{}/wait", {}, show=_exit_code)


def _exit_code(name: str, reply: Reply) -> str:
    answer = reply.json()
    assert isinstance(answer, dict)
    failure = answer.get("Error") or {}
    if failure.get("Message"):
        raise ApiError(500, str(failure["Message"]), "")
    return str(answer["StatusCode"])


def _rm(context: Context, values: Values) -> int:
    parameters: dict[str, object] = {
        "force": values.flag("force") or None,
        "v": values.flag("volumes") or None,
        "link": values.flag("link") or None,
    }
    names = [name.strip("/") for name in values.args]
    if not all(names):
        raise CliError("container name cannot be empty")
    ignored = (404,) if values.flag("force") else ()
    return _together(context, names, "DELETE", "/containers/{}", parameters, ignored=ignored)


def _rename(context: Context, values: Values) -> int:
    old, new = (text.strip("/") for text in values.args)
    if not old or not new:
        raise CliError("Error: Neither old nor new names may be empty")
    context.request("POST", f"/containers/{quote(old)}/rename", {"name": new}).read()
    return 0


def _port(context: Context, values: Values) -> int:
    name, wanted = values.args[0], "".join(values.args[1:])
    found = context.get(f"/containers/{quote(name)}/json")
    assert isinstance(found, dict)
    published = found["NetworkSettings"]["Ports"] or {}
    if wanted:
        lines = _one_port(published, wanted, name)
    else:
        lines = [
            f"{port} -> {join_address(binding['HostIp'], binding['HostPort'])}"
            for port, bindings in published.items()
            for binding in bindings or ()
        ]
    print_lines(context, sorted(lines, key=natural))
    return 0


def _one_port(
    published: dict[str, list[dict[str, str]] | None], wanted: str, name: str
) -> list[str]:
    number, _, protocol = wanted.partition("/")
    if not number.isdecimal() or int(number) > 65535:
        raise CliError(f"Error: invalid port ({number})", hint="like 80, 80/tcp or 53/udp")
    bindings = published.get(f"{number}/{protocol or 'tcp'}")
    if not bindings:
        raise CliError(f"Error: No public port '{wanted}' published for {name}")
    return [join_address(binding["HostIp"], binding["HostPort"]) for binding in bindings]


def _top(context: Context, values: Values) -> int:
    name, words = values.args[0], values.args[1:]
    parameters: dict[str, object] = {"ps_args": " ".join(words) or None}
    found = context.get(f"/containers/{quote(name)}/top", parameters)
    assert isinstance(found, dict)
    rows = found["Processes"] or []
    context.out(print_table(found["Titles"], rows, min_width=_TOP_WIDTH).removesuffix("\n"))
    return 0


def _prune(context: Context, values: Values) -> int:
    wanted = filters(values.texts("filter"), flag="--filter")
    return prune(
        context,
        values,
        "/containers/prune",
        {"filters": wanted},
        warning="This will remove all stopped containers.",
        what="Containers",
        key="ContainersDeleted",
    )


_TIMING = [
    Flag("-s, --signal", "text", "Signal to send"),
    Flag("-t, --timeout", "int", "Seconds to wait before SIGKILL (-1: for ever)"),
    Flag("--time", "int", "The same as --timeout"),
]
_SOME = "CONTAINER [CONTAINER...]"

COMMANDS = {
    "stop": Command(
        "stop",
        f"[OPTIONS] {_SOME}",
        "Stop one or more running containers",
        _stop,
        _TIMING,
        least=1,
    ),
    "restart": Command(
        "restart",
        f"[OPTIONS] {_SOME}",
        "Restart one or more containers",
        _restart,
        _TIMING,
        least=1,
    ),
    "kill": Command(
        "kill",
        f"[OPTIONS] {_SOME}",
        "Kill one or more running containers",
        _kill,
        [Flag("-s, --signal", "text", "Signal to send (KILL)")],
        least=1,
    ),
    "pause": Command(
        "pause", _SOME, "Pause all processes within one or more containers", _pause, least=1
    ),
    "unpause": Command(
        "unpause", _SOME, "Unpause all processes within one or more containers", _unpause, least=1
    ),
    "wait": Command(
        "wait",
        _SOME,
        "Block until one or more containers stop, then print their exit codes",
        _wait,
        least=1,
    ),
    "rm": Command(
        "rm",
        f"[OPTIONS] {_SOME}",
        "Remove one or more containers",
        _rm,
        [
            Flag("-f, --force", "bool", "Kill a running container first"),
            Flag("-l, --link", "bool", "Remove the link of that name"),
            Flag("-v, --volumes", "bool", "Remove its anonymous volumes too"),
        ],
        least=1,
    ),
    "rename": Command(
        "rename", "CONTAINER NEW_NAME", "Rename a container", _rename, least=2, most=2
    ),
    "port": Command(
        "port",
        "CONTAINER [PRIVATE_PORT[/PROTO]]",
        "List port mappings or a specific mapping for the container",
        _port,
        least=1,
        most=2,
    ),
    "top": Command(
        "top",
        "CONTAINER [ps OPTIONS]",
        "Display the running processes of a container",
        _top,
        least=1,
        stops=True,
    ),
    "container prune": Command(
        "container prune",
        "[OPTIONS]",
        "Remove all stopped containers",
        _prune,
        [
            DRY_RUN,
            Flag("--filter", "list", "Only what fits, like until=24h or label=key=value"),
            Flag("-f, --force", "bool", "Do not ask"),
        ],
        most=0,
    ),
}
