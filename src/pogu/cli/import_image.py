"""Edge: `import`: an image from a tar archive of a root file system."""

from __future__ import annotations

from pogu.cli.context import Context
from pogu.cli.flags import Command, Flag, Values
from pogu.cli.host_file import open_file, send_file
from pogu.cli.images import split_tag
from pogu.cli.progress import status_lines

__all__ = ["COMMANDS"]


def _import(context: Context, values: Values) -> int:
    source, name = values.args[0], "".join(values.args[1:])
    is_url = source.startswith(("http://", "https://"))
    repository, tag = split_tag(name)
    parameters: dict[str, object] = {
        "fromSrc": source if is_url else "-",
        "repo": repository or None,
        "tag": tag or None,
        "message": values.text("message") or None,
        "changes": values.texts("change"),
        "platform": values.text("platform") or None,
    }
    if is_url:
        reply = context.request("POST", "/images/create", parameters)
    else:
        fd = 0 if source == "-" else open_file(source)
        reply = send_file(context, "/images/create", parameters, fd)
    for line in status_lines(reply):
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
