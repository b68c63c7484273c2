"""Edge: `search`."""

from __future__ import annotations

from pogu.cli.context import Context
from pogu.cli.credentials import CredentialStore, auth_header, server_of
from pogu.cli.failure import CliError
from pogu.cli.flags import Command, Flag, Values
from pogu.cli.listing import FILTER, FORMAT, cut, filters, print_rows

__all__ = ["COMMANDS"]

HEADERS = {
    "Name": "NAME",
    "Description": "DESCRIPTION",
    "StarCount": "STARS",
    "IsOfficial": "OFFICIAL",
    "IsAutomated": "AUTOMATED",
}
_DESCRIPTION = 45


def _search(context: Context, values: Values) -> int:
    term = values.args[0]
    parameters: dict[str, object] = {
        "term": term,
        "limit": values.number("limit") or None,
        "filters": filters(values.texts("filter")),
    }
    headers = auth_header(CredentialStore().get(server_of(term)))
    found = context.request("GET", "/images/search", parameters, headers=headers).json()
    if not isinstance(found, list):
        raise CliError("the engine sent no list")
    found.sort(key=lambda one: -int(one["star_count"]))
    rows = [_row(one, full=values.flag("no-trunc")) for one in found]
    columns = ("Name", "Description", "StarCount", "IsOfficial")
    print_rows(context, rows, headers=HEADERS, columns=columns, template=values.text("format"))
    return 0


def _row(one: dict[str, object], *, full: bool) -> dict[str, object]:
    description = str(one["description"]).replace("\n", " ").replace("\r", " ")
    return {
        "Name": one["name"],
        "Description": description if full else cut(description, _DESCRIPTION),
        "StarCount": str(one["star_count"]),
        "IsOfficial": "[OK]" if one["is_official"] else "",
        "IsAutomated": "[OK]" if one["is_automated"] else "",
    }


COMMANDS = {
    "search": Command(
        "search",
        "[OPTIONS] TERM",
        "Search Docker Hub, or a registry (REGISTRY/TERM), for images",
        _search,
        [
            FILTER,
            FORMAT,
            Flag("--limit", "int", "Most results (25)"),
            Flag("--no-trunc", "bool", "Print whole descriptions"),
        ],
        least=1,
        most=1,
    )
}
