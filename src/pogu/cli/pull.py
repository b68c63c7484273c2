"""Edge: `pull`."""

from __future__ import annotations

from pogu.cli.context import Context
from pogu.cli.credentials import CredentialStore, auth_header, server_of
from pogu.cli.failure import CliError
from pogu.cli.flags import Command, Flag, Values
from pogu.cli.foreign_flags import CONTENT_TRUST, refuse_content_trust
from pogu.cli.images import split_tag
from pogu.cli.progress import show_progress, status_lines

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["COMMANDS", "pull_image"]


def pull_image(
    context: Context,
    name: str,
    *,
    platform: str = "",
    quiet: bool = False,
    all_tags: bool = False,
    say: Callable[[str], None] | None = None,
) -> str:
    """Pull and return the full name; `say` prints progress, else it goes to standard error.

    Raises: ApiError, CliError.
    """
    fd = 1 if say is not None else 2
    say = say or context.error
    if not name:
        raise CliError("invalid reference format", hint="pogu pull NAME[:TAG|@DIGEST]")
    repository, _, digest = name.partition("@")
    tag = digest
    if not digest:
        repository, tag = split_tag(name)
    if tag and all_tags:
        raise CliError("tag can't be used with --all-tags/-a")
    if not tag and not all_tags:
        tag = "latest"
        if not quiet:
            say("Using default tag: latest")
    parameters: dict[str, object] = {
        "fromImage": repository,
        "tag": tag or None,
        "platform": platform or None,
    }
    headers = auth_header(CredentialStore().get(server_of(repository)))
    reply = context.request("POST", "/images/create", parameters, headers=headers)
    if quiet:
        for _ in status_lines(reply):
            pass
    else:
        show_progress(reply, say, fd=fd)
    return _full_name(repository) + (f"{'@' if digest else ':'}{tag}" if tag else "")


def _full_name(repository: str) -> str:
    """Put before a familiar name what it leaves out."""
    domain, slash, _ = repository.partition("/")
    if not slash:
        return f"docker.io/library/{repository}"
    if "." in domain or ":" in domain or domain == "localhost":
        return repository
    return f"docker.io/{repository}"


def _pull(context: Context, values: Values) -> int:
    refuse_content_trust(values)
    name = pull_image(
        context,
        values.args[0],
        platform=values.text("platform"),
        quiet=values.flag("quiet"),
        all_tags=values.flag("all-tags"),
        say=context.out,
    )
    context.out(name)
    return 0


COMMANDS = {
    "pull": Command(
        "pull",
        "[OPTIONS] NAME[:TAG|@DIGEST]",
        "Download an image from a registry",
        _pull,
        [
            Flag("-a, --all-tags", "bool", "All tagged images of the repository"),
            CONTENT_TRUST,
            Flag("--platform", "text", "Platform of the image"),
            Flag("-q, --quiet", "bool", "Print the name only"),
        ],
        least=1,
        most=1,
    )
}
