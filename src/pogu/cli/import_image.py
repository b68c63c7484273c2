"""Edge: `import`: an image from a tar archive of a root file system."""

from __future__ import annotations

from pogu.cli.context import Context
from pogu.cli.failure import CliError
from pogu.cli.flags import Command, Flag, Values
from pogu.cli.host_file import open_file, send_file
from pogu.cli.images import split_tag
from pogu.cli.progress import status_lines

__all__ = ["COMMANDS"]


def _import(context: Context, values: Values) -> int:
    source, name = values.args[0], "".join(values.args[1:])
    if "://" in source:
        raise CliError(
            f"cannot import {source}: Pogu does not fetch URLs",
            hint=f"curl -L {source} | pogu import - {name}".rstrip(),
        )
    repository, tag = split_tag(name)
    parameters: dict[str, object] = {
        "fromSrc": "-",
        "repo": repository or None,
        "tag": tag or None,
        "message": values.text("message") or None,
        "changes": values.texts("change"),
        "platform": values.text("platform") or None,
    }
    fd = 0 if source == "-" else open_file(source)
    for line in status_lines(send_file(context, "/images/create", parameters, fd)):
        context.out(line)
    return 0


COMMANDS = {
    "import": Command(
        "import",
        "[OPTIONS] file|URL|- [REPOSITORY[:TAG]]",
        "Import the contents of a tar archive as an image",
        _import,
        [
            Flag("-c, --change", "list", "Apply a Dockerfile instruction to the image"),
            Flag("-m, --message", "text", "Comment of the image's history"),
            Flag("--platform", "text", "Platform of the image"),
        ],
        least=1,
        most=2,
    )
}
