"""Edge: `image bootstrap`: a base image from the host's own packages."""

from __future__ import annotations

from pogu.cli.context import Context
from pogu.cli.failure import CliError
from pogu.cli.flags import Command, Flag, Values
from pogu.cli.http import quote
from pogu.cli.images import split_tag
from pogu.cli.progress import status_lines

__all__ = ["COMMANDS"]


def _bootstrap(context: Context, values: Values) -> int:
    """Progress goes to standard error, the image ID to standard output."""
    parameters: dict[str, object] = {
        "name": values.args[0],
        "include": values.texts("include"),
    }
    last = ""
    for line in status_lines(context.request("POST", "/pogu/bootstrap", parameters)):
        if last and not values.flag("quiet"):
            context.error(last)
        last = line
    if not last:
        raise CliError("the engine ended without an image")
    for name in values.texts("tag"):
        repository, tag = split_tag(name)
        target: dict[str, object] = {"repo": repository, "tag": tag or None}
        context.request("POST", f"/images/{quote(last)}/tag", target).read()
    context.out(last)
    return 0


COMMANDS = {
    "image bootstrap": Command(
        "image bootstrap",
        "[OPTIONS] NAME",
        "Make busybox or debian:SUITE from the host's own packages",
        _bootstrap,
        [
            Flag("--include", "list", "More Debian packages, separated by commas"),
            Flag("-q, --quiet", "bool", "Print the image ID only"),
            Flag("-t, --tag", "list", "Another name for the image"),
        ],
        least=1,
        most=1,
    ),
}
