"""Edge: `commit`, `diff`, `export`."""

from __future__ import annotations

import os

from pogu.cli.context import Context
from pogu.cli.failure import CliError
from pogu.cli.flags import Command, Flag, Values
from pogu.cli.host_file import write_archive
from pogu.cli.http import quote
from pogu.cli.images import split_tag
from pogu.cli.listing import print_lines

__all__ = ["COMMANDS"]

_KINDS = "CAD"


def _container(values: Values) -> str:
    name = values.args[0].strip("/")
    if not name:
        raise CliError("Container name cannot be empty")
    return name


def _commit(context: Context, values: Values) -> int:
    name = _container(values)
    repository, tag = split_tag("".join(values.args[1:]))
    parameters: dict[str, object] = {
        "container": name,
        "repo": repository or None,
        "tag": tag or None,
        "author": values.text("author") or None,
        "comment": values.text("message") or None,
        "changes": values.texts("change"),
        "pause": values.flag("pause") and not values.flag("no-pause"),
    }
    made = context.post("/commit", parameters, body={})
    assert isinstance(made, dict)
    for warning in made.get("Warnings") or ():
        context.error(f"WARNING: {warning}")
    context.out(str(made["Id"]))
    return 0


def _diff(context: Context, values: Values) -> int:
    found = context.get(f"/containers/{quote(_container(values))}/changes")
    changes = found if isinstance(found, list) else []
    print_lines(context, [f"{_KINDS[one['Kind']]} {one['Path']}" for one in changes])
    return 0


def _export(context: Context, values: Values) -> int:
    name, target = _container(values), values.text("output")
    if target not in ("", "-"):
        context.get(f"/containers/{quote(name)}/json")  # no file for a container that is not there
    return write_archive(target, lambda fd: _write(context, name, fd))


def _write(context: Context, name: str, fd: int) -> None:
    for piece in context.request("GET", f"/containers/{quote(name)}/export").pieces():
        view = memoryview(piece)
        while view:
            view = view[os.write(fd, view) :]


COMMANDS = {
    "commit": Command(
        "commit",
        "[OPTIONS] CONTAINER [REPOSITORY[:TAG]]",
        "Create a new image from a container's changes",
        _commit,
        [
            Flag("-a, --author", "text", "Author (John Hannibal Smith <hannibal@a-team.com>)"),
            Flag("-c, --change", "list", "Apply a Dockerfile instruction to the image"),
            Flag("-m, --message", "text", "Comment of the image's history"),
            Flag("-p, --pause", "bool", "Pause the container meanwhile (true)", default=True),
            Flag("--no-pause", "bool", "Do not pause the container meanwhile"),
        ],
        least=1,
        most=2,
    ),
    "diff": Command(
        "diff",
        "CONTAINER",
        "Inspect changes to files or directories on a container's filesystem",
        _diff,
        least=1,
        most=1,
    ),
    "export": Command(
        "export",
        "[OPTIONS] CONTAINER",
        "Export a container's filesystem as a tar archive",
        _export,
        [Flag("-o, --output", "text", "Write to a file instead of standard output")],
        least=1,
        most=1,
    ),
}
