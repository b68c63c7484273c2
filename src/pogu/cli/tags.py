"""Edge: `image tags`: what a repository offers."""

from __future__ import annotations

from pogu.cli.context import Context
from pogu.cli.credentials import CredentialStore, auth_header, server_of
from pogu.cli.flags import Command, Values
from pogu.cli.http import quote

__all__ = ["COMMANDS"]


def _tags(context: Context, values: Values) -> int:
    name = values.args[0]
    headers = auth_header(CredentialStore().get(server_of(name)))
    found = context.request("GET", f"/pogu/tags/{quote(name)}", headers=headers).json()
    for tag in sorted(map(str, found)) if isinstance(found, list) else ():
        context.out(tag)
    return 0


COMMANDS = {
    "image tags": Command(
        "image tags", "REPOSITORY", "List the tags that a registry offers", _tags, least=1, most=1
    )
}
