"""Edge: `pogu`: finds the command and imports its module only."""

from __future__ import annotations

import os
import sys

from pogu.cli.connection import engine_address
from pogu.cli.context import Context, show_error, write
from pogu.cli.failure import CliError, UsageError, near
from pogu.cli.flags import Command, Flag, Values, help_text, parse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]

_GLOBAL = Command(
    "",
    "[OPTIONS] COMMAND",
    "Containers for Linux: build, run and share images",
    lambda context, values: 0,
    [
        Flag("-H, --host", "text", "Socket of the engine (unix:///run/pogu/pogu.sock)"),
        Flag("--root", "text", "Storage root of the engine (/var/lib/pogu)"),
        Flag("--run-root", "text", "Run root of the engine (/run/pogu)"),
        Flag("-D, --debug", "bool", "Show tracebacks of defects"),
        Flag("-v, --version", "bool", "Print the version"),
        Flag("-h, --help", "bool", "Print this help"),
    ],
    stops=True,
)

COMMON = {
    "run": "run",
    "exec": "exec",
    "build": "build",
    "ps": "ps",
    "images": "images",
    "logs": "logs",
    "attach": "attach",
    "pull": "pull",
    "push": "push",
    "login": "login",
    "logout": "login",
    "version": "system",
    "info": "system",
    "doctor": "doctor",
}
CONTAINER = {
    "create": "run",
    "start": "start",
    "stop": "containers",
    "restart": "containers",
    "kill": "containers",
    "pause": "containers",
    "unpause": "containers",
    "update": "update",
    "wait": "containers",
    "rm": "containers",
    "rename": "containers",
    "port": "containers",
    "top": "containers",
    "stats": "stats",
    "why": "why",
    "inspect": "inspect",
    "events": "events",
    "commit": "container_files",
    "cp": "copy",
    "diff": "container_files",
    "export": "container_files",
}
IMAGE = {
    "rmi": "rmi",
    "tag": "images",
    "history": "images",
    "import": "import_image",
    "load": "load",
    "save": "save",
    "search": "search",
}
GROUPS: dict[str, tuple[str, dict[str, str]]] = {
    "container": (
        "Manage containers",
        {
            **{name: CONTAINER[name] for name in CONTAINER if name not in ("events", "inspect")},
            "run": "run",
            "exec": "exec",
            "ls": "ps",
            "logs": "logs",
            "attach": "attach",
            "inspect": "inspect",
            "prune": "containers",
        },
    ),
    "image": (
        "Manage images",
        {
            "ls": "images",
            "inspect": "inspect",
            "history": "images",
            "tag": "images",
            "rm": "rmi",
            "prune": "images",
            "import": "import_image",
            "inventory": "save",
            "load": "load",
            "save": "save",
            "build": "build",
            "bootstrap": "bootstrap",
            "pull": "pull",
            "push": "push",
            "tags": "tags",
            "tree": "image_look",
            "diff": "image_look",
        },
    ),
    "manifest": (
        "Manage image manifests and manifest lists",
        dict.fromkeys(("create", "annotate", "inspect", "push", "rm", "ls"), "manifest"),
    ),
    "volume": (
        "Manage volumes",
        dict.fromkeys(("create", "ls", "inspect", "rm", "prune"), "volumes"),
    ),
    "network": ("Manage networks", dict.fromkeys(("ls", "inspect", "prune"), "networks")),
    "system": (
        "Manage Pogu",
        {
            "info": "system",
            "df": "system",
            "events": "events",
            "prune": "system_prune",
            "install-service": "service",
            "check": "system_check",
        },
    ),
    "builder": ("Manage the build cache", {"prune": "builder", "build": "build"}),
    "engine": ("The engine process", dict.fromkeys(("run", "status", "stop"), "engine")),
}
SYNONYMS = {
    ("container", "list"): "ls",
    ("container", "ps"): "ls",
    ("container", "remove"): "rm",
    ("image", "list"): "ls",
    ("image", "remove"): "rm",
    ("volume", "list"): "ls",
    ("volume", "remove"): "rm",
    ("network", "list"): "ls",
}
# What Docker has and Pogu does not.
# fmt: off
_ABSENT = frozenset((
    "buildx", "compose", "config", "context",
    "node", "plugin", "secret", "service", "stack",
    "swarm", "trust",
))
# fmt: on
_ABSENT_IN = {
    "network": {"connect", "create", "disconnect", "rm"},
    "volume": {"update"},
}
_INSTEAD: dict[str, str] = {}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    debug = False
    try:
        values = parse(_GLOBAL, words)
        debug = values.flag("debug") or bool(os.environ.get("POGU_DEBUG_CLI"))
        return _dispatch(values)
    except CliError as err:
        show_error(err)
        return err.code
    except KeyboardInterrupt:
        if os.isatty(2):
            write(2, "\n")  # the prompt does not stand behind ^C
        return 130
    except BrokenPipeError:
        return 141
    except OSError as err:
        if debug:
            raise
        show_error(CliError(f"{err.filename or 'pogu'}: {err.strerror or err}"))
        return 1
    except Exception as err:
        if debug:
            raise
        show_error(
            CliError(
                f"unexpected error: {type(err).__name__}: {err}",
                hint="this is a defect of Pogu; `pogu --debug …` shows where",
            )
        )
        return 1


def _dispatch(values: Values) -> int:
    if values.flag("version"):
        from pogu import __version__

        write(1, f"Pogu version {__version__}\n")
        return 0
    if values.flag("help") or not values.args:
        write(1, overview())
        return 0
    if values.args[0] == "help":
        return _help(values.args[1:])
    command, rest = find(values.args)
    if _wants_help(command, rest):
        write(1, help_text(command))
        return 0
    address = engine_address(
        values.text("host"), root=values.text("root"), run_root=values.text("run-root")
    )
    context = Context(address)
    try:
        return command.run(context, parse(command, rest))
    finally:
        context.drop()


def _wants_help(command: Command, rest: list[str]) -> bool:
    for word in rest:
        if word == "--help" or (word == "-h" and not any(f.short == "h" for f in command.flags)):
            return True
        if word == "--" or (command.stops and not word.startswith("-")):
            return False
    return False


def _help(words: list[str]) -> int:
    if not words:
        write(1, overview())
        return 0
    command, _ = find(words)
    write(1, help_text(command))
    return 0


def find(words: Sequence[str]) -> tuple[Command, list[str]]:
    """Return the command and the words behind it. Raises: UsageError with the near miss."""
    name, rest = words[0], list(words[1:])
    top = {**COMMON, **CONTAINER, **IMAGE}
    if name in top:
        return _load(top[name], name), rest
    if name not in GROUPS:
        close = near(name, [*top, *GROUPS])
        did = f"did you mean {close}? " if close else ""
        if name in _ABSENT:
            raise UsageError(
                f"pogu: '{name}' is a docker command that Pogu does not have yet.",
                hint=_INSTEAD.get(name, "See 'pogu --help'"),
            )
        raise UsageError(f"pogu: '{name}' is not a pogu command.", hint=f"{did}See 'pogu --help'")
    summary, members = GROUPS[name]
    if not rest or rest[0].startswith("-"):
        write(1, _group_help(name, summary, members))
        sys.exit(0)
    word = SYNONYMS.get((name, rest[0]), rest[0])
    if word not in members:
        close = near(word, members)
        did = f"did you mean {close}? " if close else ""
        if word in _ABSENT_IN.get(name, _ABSENT):
            raise UsageError(
                f"pogu: '{name} {word}' is a docker command that Pogu does not have yet.",
                hint=_INSTEAD.get(word, f"See 'pogu {name} --help'"),
            )
        raise UsageError(
            f"pogu: 'pogu {name} {word}' is not a command.",
            hint=f"{did}See 'pogu {name} --help'",
        )
    return _load(members[word], f"{name} {word}"), rest[1:]


def _load(module_name: str, name: str) -> Command:
    module = __import__(f"pogu.cli.{module_name}", fromlist=["COMMANDS"])
    commands: dict[str, Command] = module.COMMANDS
    command = commands.get(name)
    if command is None:
        group, _, short = name.partition(" ")
        same = {"container ls": "ps", "image ls": "images", "image rm": "rmi"}
        command = commands.get(same.get(name, short)) or commands[f"{group} {short}"]
    command.name = name
    return command


def _summary(module_name: str, name: str) -> str:
    return _load(module_name, name).summary


def overview() -> str:
    """What `pogu --help` prints."""
    lines = ["Usage:  pogu [OPTIONS] COMMAND", "", _GLOBAL.summary, ""]
    for title, table in (("Common Commands", COMMON), ("Commands", {**CONTAINER, **IMAGE})):
        lines.append(f"{title}:")
        rows = table.items() if title.startswith("Common") else sorted(table.items())
        lines += [f"  {name:<12}{_summary(module, name)}" for name, module in rows]
        lines.append("")
    lines.append("Management Commands:")
    lines += [f"  {name:<12}{GROUPS[name][0]}" for name in sorted(GROUPS)]
    options = help_text(_GLOBAL).partition("Options:")[2]
    lines += ["", "Global Options:" + options.rstrip()]
    lines += ["", "Run 'pogu COMMAND --help' for more on a command."]
    return "\n".join(lines) + "\n"


def _group_help(name: str, summary: str, members: dict[str, str]) -> str:
    lines = [f"Usage:  pogu {name} COMMAND", "", summary, "", "Commands:"]
    width = max(12, *(len(word) + 2 for word in members))
    lines += [
        f"  {word:<{width}}{_summary(module, f'{name} {word}')}"
        for word, module in sorted(members.items())
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
