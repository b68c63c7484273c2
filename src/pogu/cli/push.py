"""Edge: `push`."""

from __future__ import annotations

from pogu.cli.context import Context
from pogu.cli.credentials import CredentialStore, auth_header, server_of
from pogu.cli.failure import CliError
from pogu.cli.flags import Command, Flag, Values
from pogu.cli.foreign_flags import CONTENT_TRUST, refuse_content_trust
from pogu.cli.http import quote
from pogu.cli.images import split_tag
from pogu.cli.progress import show_progress, status_lines

__all__ = ["COMMANDS"]


def _push(context: Context, values: Values) -> int:
    refuse_content_trust(values)
    if "@" in values.args[0]:
        raise CliError("cannot push a digest reference", hint="push a tag: NAME:TAG")
    if not values.args[0]:
        raise CliError("invalid reference format", hint="a name is like you/app:1.0")
    repository, tag = split_tag(values.args[0])
    everything = values.flag("all-tags")
    if tag and everything:
        raise CliError("tag can't be used with --all-tags/-a")
    if not tag and not everything:
        tag = "latest"
        if not values.flag("quiet"):
            context.out("Using default tag: latest")
    headers = auth_header(CredentialStore().get(server_of(repository)))
    headers = headers or {"X-Registry-Auth": "e30="}
    parameters: dict[str, object] = {"tag": tag or None}
    for name in ("platform", "compression", "compression-level"):
        parameters[name] = values.text(name) or None
    reply = context.request(
        "POST", f"/images/{quote(repository)}/push", parameters, headers=headers
    )
    if not values.flag("quiet"):
        show_progress(reply, context.out, fd=1)
    else:
        for _ in status_lines(reply):
            pass
        context.out(f"{repository}:{tag}" if tag else repository)
    return 0


COMMANDS = {
    "push": Command(
        "push",
        "[OPTIONS] NAME[:TAG]",
        "Upload an image to a registry",
        _push,
        [
            Flag("-a, --all-tags", "bool", "Push all tags of an image"),
            Flag("--compression", "text", "Compress every layer anew where needed: gzip or zstd"),
            Flag("--compression-level", "text", "1 to 9 for gzip, 1 to 22 for zstd"),
            CONTENT_TRUST,
            Flag("--platform", "text", "Push the image of that platform"),
            Flag("-q, --quiet", "bool", "Suppress verbose output"),
        ],
        least=1,
        most=1,
    )
}
