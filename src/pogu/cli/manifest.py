"""Edge: `manifest`: several platforms under one name."""

from __future__ import annotations

from pogu.cli.context import Context, show_error, write
from pogu.cli.credentials import CredentialStore, auth_header, server_of
from pogu.cli.failure import ApiError, CliError
from pogu.cli.flags import Command, Flag, Values
from pogu.cli.http import quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["COMMANDS"]


def _path(name: str, verb: str = "") -> str:
    """Raises: CliError for an empty name, which would be another path."""
    if not name:
        raise CliError("invalid reference format", hint="a name is like you/app:1.0")
    return f"/pogu/manifests/{quote(name)}" + (f"/{verb}" if verb else "")


def _headers(names: Sequence[str]) -> dict[str, str]:
    """Who we are at each registry that one of the names is of."""
    store = CredentialStore()
    known: dict[str, object] = {}
    for server in {server_of(name) for name in names}:
        found = store.get(server)
        if found:
            known[server] = found
    return auth_header(known, "X-Registry-Config")


def _create(context: Context, values: Values) -> int:
    name, *manifests = values.args
    body = {"Manifests": manifests, "Amend": values.flag("amend")}
    reply = context.request(
        "POST",
        _path(name, "create"),
        {"insecure": values.flag("insecure") or None},
        body=body,
        headers=_headers(values.args),
    ).json()
    made = reply.get("Name") if isinstance(reply, dict) else name
    context.out(f"Created manifest list {made}")
    return 0


def _annotate(context: Context, values: Values) -> int:
    name, manifest = values.args
    features = [one for text in values.texts("os-features") for one in text.split(",") if one]
    body = {
        "Manifest": manifest,
        "Os": values.text("os"),
        "Architecture": values.text("arch"),
        "Variant": values.text("variant"),
        "OsVersion": values.text("os-version"),
        "OsFeatures": features,
    }
    context.post(_path(name, "annotate"), body=body)
    return 0


def _inspect(context: Context, values: Values) -> int:
    name = values.args[0]
    parameters: dict[str, object] = {
        "manifest": values.args[1] if len(values.args) > 1 else None,
        "verbose": values.flag("verbose") or None,
        "insecure": values.flag("insecure") or None,
        "local": values.flag("local") or None,
    }
    reply = context.request("GET", _path(name, "json"), parameters, headers=_headers(values.args))
    write(1, reply.read().decode("utf-8", "replace"))
    return 0


def _push(context: Context, values: Values) -> int:
    name = values.args[0]
    parameters: dict[str, object] = {
        "purge": values.flag("purge") or None,
        "insecure": values.flag("insecure") or None,
    }
    headers = auth_header(CredentialStore().all(), "X-Registry-Config")
    reply = context.request("POST", _path(name, "push"), parameters, headers=headers)
    for line in reply.objects():
        if "error" in line:
            said = line.get("pogu")
            if isinstance(said, dict):
                raise CliError(str(said.get("message")), hint=str(said.get("hint") or ""))
            raise CliError(str(line["error"]))
        aux = line.get("aux")
        context.out(str(aux["Digest"] if isinstance(aux, dict) else line.get("status")))
    return 0


def _remove(context: Context, values: Values) -> int:
    code = 0
    for name in values.args:
        try:
            context.delete(_path(name))
        except ApiError as err:
            show_error(err)
            code = 1
    return code


def _list(context: Context, values: Values) -> int:
    found = context.get("/pogu/manifests")
    for name in found if isinstance(found, list) else ():
        context.out(str(name))
    return 0


_INSECURE = Flag(
    "--insecure", "bool", "Allow a registry without TLS or with an unknown certificate"
)

COMMANDS = {
    "manifest create": Command(
        "manifest create",
        "[OPTIONS] MANIFEST_LIST MANIFEST [MANIFEST...]",
        "Create a local manifest list for annotating and pushing to a registry",
        _create,
        [Flag("-a, --amend", "bool", "Amend an existing manifest list"), _INSECURE],
        least=2,
    ),
    "manifest annotate": Command(
        "manifest annotate",
        "[OPTIONS] MANIFEST_LIST MANIFEST",
        "Add additional information to a local image manifest",
        _annotate,
        [
            Flag("--arch", "text", "Set architecture"),
            Flag("--os", "text", "Set operating system"),
            Flag("--os-features", "list", "Set operating system feature"),
            Flag("--os-version", "text", "Set operating system version"),
            Flag("--variant", "text", "Set architecture variant"),
        ],
        least=2,
        most=2,
    ),
    "manifest inspect": Command(
        "manifest inspect",
        "[OPTIONS] [MANIFEST_LIST] MANIFEST",
        "Display an image manifest, or manifest list",
        _inspect,
        [
            _INSECURE,
            Flag("--local", "bool", "Show what the image of this machine came from or went out as"),
            Flag("-v, --verbose", "bool", "Output additional info including layers and platform"),
        ],
        least=1,
        most=2,
    ),
    "manifest push": Command(
        "manifest push",
        "[OPTIONS] MANIFEST_LIST",
        "Push a manifest list to a repository",
        _push,
        [_INSECURE, Flag("-p, --purge", "bool", "Remove the local manifest list after push")],
        least=1,
        most=1,
    ),
    "manifest rm": Command(
        "manifest rm",
        "MANIFEST_LIST [MANIFEST_LIST...]",
        "Delete one or more manifest lists from local storage",
        _remove,
        least=1,
    ),
    "manifest ls": Command("manifest ls", "", "List the local manifest lists", _list, most=0),
}
