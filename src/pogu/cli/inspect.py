"""Edge: `inspect`, and what the inspect commands of each kind of object share."""

from __future__ import annotations

import _json

from pogu.cli.context import Context, show_error
from pogu.cli.failure import ApiError, CliError
from pogu.cli.flags import Command, Flag, Values
from pogu.cli.http import quote
from pogu.cli.wire import encode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["COMMANDS", "FORMAT", "encode_unescaped", "indented", "inspect_objects", "of_kind"]

FORMAT = Flag("-f, --format", "text", "json, or a Go template for each object")

_PATHS = {
    "container": "/containers/{}/json",
    "image": "/images/{}/json",
    "network": "/networks/{}",
    "volume": "/volumes/{}",
}


def indented(value: object, indent: str = "\n") -> str:
    """Print JSON as Go's encoder indents it, by four spaces."""
    inner = indent + "    "
    if isinstance(value, dict) and value:
        pairs = [f"{_json.encode_basestring(key)}: {indented(value[key], inner)}" for key in value]
        return "{" + inner + f",{inner}".join(pairs) + indent + "}"
    if isinstance(value, list) and value:
        return "[" + inner + f",{inner}".join(indented(one, inner) for one in value) + indent + "]"
    if isinstance(value, str):
        text: str = _json.encode_basestring(value)
        return text
    return encode(value)


def inspect_objects(
    context: Context, names: Sequence[str], template: str, find: Callable[[str], object]
) -> int:
    """Print every object that `find` returns, then say what failed."""
    execute = None
    if template not in ("", "json"):
        from pogu.cli.go_view import template_function

        execute = template_function(template)
    found: list[object] = []
    lines: list[str] = []
    failures: list[CliError] = []
    for name in names:
        try:
            value = find(name)
            found.append(value)
            if execute is not None:
                lines.append(execute(value))
        except CliError as err:
            failures.append(err)
    if execute is not None:
        context.out("\n".join(lines))
    else:
        context.out(encode_unescaped(found) if template == "json" else indented(found))
    for failure in failures:
        show_error(failure)
    return 1 if failures else 0


def encode_unescaped(value: object) -> str:
    """Return compact JSON whose letters stay as they are."""
    if isinstance(value, dict):
        pairs = (f"{_json.encode_basestring(k)}:{encode_unescaped(v)}" for k, v in value.items())
        return "{" + ",".join(pairs) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(encode_unescaped, value)) + "]"
    return indented(value)


def _finder(
    context: Context, kind: str, *, size: bool, platform: str = ""
) -> Callable[[str], object]:
    """Return what finds an object of one kind, or of the first kind that has the name."""

    def find(name: str) -> object:
        for one in [kind] if kind else _PATHS:
            parameters: dict[str, object] = {"size": True} if size and one == "container" else {}
            if platform and one == "image":
                parameters["platform"] = platform
            try:
                value = context.get(_PATHS[one].replace("{}", quote(name)), parameters)
            except ApiError as err:
                if kind or not _skippable(err):
                    raise
                continue
            if size and one != "container":
                context.error(f"WARNING: --size ignored for {one}")
            return value
        raise CliError(f"Error: No such object: {name}", hint="`pogu ps -a`, `pogu images`")

    return find


def _skippable(err: ApiError) -> bool:
    return err.status == 404 or "invalid reference format" in err.engine_message


def _inspect(context: Context, values: Values) -> int:
    kind = values.text("type")
    if kind not in _PATHS and (kind or "type" in values.given):
        known = '", "'.join(_PATHS)
        raise CliError(f'unknown type: "{kind}": must be one of "{known}"')
    find = _finder(context, kind, size=values.flag("size"))
    return inspect_objects(context, values.args, values.text("format"), find)


def of_kind(kind: str) -> Callable[[Context, Values], int]:
    """Return the `inspect` of one kind of object."""

    def run(context: Context, values: Values) -> int:
        size = kind == "container" and values.flag("size")
        platform = values.text("platform") if kind == "image" else ""
        find = _finder(context, kind, size=size, platform=platform)
        return inspect_objects(context, values.args, values.text("format"), find)

    return run


_SIZE = Flag("-s, --size", "bool", "Show sizes of containers")

COMMANDS = {
    "inspect": Command(
        "inspect",
        "[OPTIONS] NAME|ID [NAME|ID...]",
        "Return low-level information on objects",
        _inspect,
        [FORMAT, _SIZE, Flag("--type", "text", f"One of {', '.join(_PATHS)}")],
        least=1,
    ),
    "container inspect": Command(
        "container inspect",
        "[OPTIONS] CONTAINER [CONTAINER...]",
        "Display detailed information on one or more containers",
        of_kind("container"),
        [FORMAT, _SIZE],
        least=1,
    ),
    "image inspect": Command(
        "image inspect",
        "[OPTIONS] IMAGE [IMAGE...]",
        "Display detailed information on one or more images",
        of_kind("image"),
        [FORMAT, Flag("--platform", "text", "Of the image for this platform")],
        least=1,
    ),
}
