"""Edge: `image tree` and `image diff`: images by their layers, and what differs between two."""

from __future__ import annotations

from pogu.cli.context import Context
from pogu.cli.failure import UsageError
from pogu.cli.flags import Command, Flag, Values
from pogu.cli.inspect import indented
from pogu.cli.listing import cut, short_id
from pogu.cli.table import human_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Json = dict[str, Any]

__all__ = ["COMMANDS", "config_line", "file_line", "forest_lines", "image_tree_lines"]

_FORMAT = Flag("--format", "text", "json, else text for people")
_INSTRUCTION_WIDTH = 50
_NOP = "/bin/sh -c #(nop) "
_SHELL = "/bin/sh -c "
_LETTERS = {"added": "A", "changed": "C", "removed": "D"}


def _is_json(values: Values) -> bool:
    template = values.text("format")
    if template not in ("", "json"):
        raise UsageError(f'invalid argument "{template}" for "--format" flag', hint="json")
    return template == "json"


# ---- tree ------------------------------------------------------------------------------------


def _tree(context: Context, values: Values) -> int:
    as_json, full = _is_json(values), values.flag("no-trunc")
    found = context.get("/pogu/images/tree", {"name": values.args})
    if as_json:
        context.out(indented(found))
        return 0
    lines: list[str] = []
    if isinstance(found, list):
        for image in found:
            lines += image_tree_lines(image, full=full)
    else:
        assert isinstance(found, dict)
        for node in found["Layers"]:
            lines += forest_lines(node, full=full)
        lines += [f"{', '.join(one['Names'])}  no layers" for one in found["Empty"]]
    if lines:
        context.out("\n".join(lines))
    return 0


def image_tree_lines(image: Json, *, full: bool) -> list[str]:
    """The image, then its layers from the bottom up: size, instruction, shares, waste."""
    layers = image["Layers"]
    hidden = sum(layer["Hidden"] for layer in layers)
    waste = f", {human_size(hidden)} of it hidden by layers above" if hidden else ""
    count = f"{len(layers)} layer{'' if len(layers) == 1 else 's'}"
    head = f"{', '.join(image['Names'])}  {short_id(image['Id'])}"
    lines = [f"{head}  {human_size(image['Size'])} in {count}{waste}"]
    for number, layer in enumerate(layers):
        branch = "└─" if number == len(layers) - 1 else "├─"
        lines.append(f"{branch} {_layer_text(layer, full=full)}")
    return lines


def _layer_text(layer: Json, *, full: bool) -> str:
    notes = []
    if layer.get("Hidden"):
        notes.append(f"{human_size(layer['Hidden'])} hidden")
    if layer.get("SharedWith"):
        names = layer["SharedWith"]
        more = f" and {len(names) - 4} more" if len(names) > 4 and not full else ""
        notes.append(f"shared with {', '.join(names if full else names[:4])}{more}")
    text = f"{short_id(layer['ChainId'])}  {human_size(layer['Size']):>7}  "
    text += _instruction(layer["CreatedBy"], full=full)
    return text + (f"  ({'; '.join(notes)})" if notes else "")


def _instruction(created_by: str, *, full: bool) -> str:
    """What made a layer, as its Dockerfile says it."""
    text = " ".join(created_by.split()).removesuffix(" # buildkit")
    text = text.replace(f"RUN {_SHELL}", "RUN ", 1)
    if text.startswith(_NOP):
        text = text.removeprefix(_NOP).strip()
    elif text.startswith(_SHELL):
        text = f"RUN {text.removeprefix(_SHELL)}"
    text = text or "-"
    return text if full else cut(text, _INSTRUCTION_WIDTH)


def forest_lines(node: Json, *, full: bool) -> list[str]:
    """A layer with all that stand on it, each with the images that end there."""
    lines: list[str] = []
    waiting: list[tuple[Json, str, str]] = [(node, "", "")]
    while waiting:
        one, branch, indent = waiting.pop()
        names = [name for image in one["Images"] for name in image["Names"]]
        ends = f"  = {', '.join(names)}" if names else ""
        lines.append(f"{branch}{_layer_text(one, full=full)}{ends}")
        above = one["Above"]
        if len(above) == 1:  # a run of layers stays in its column
            waiting.append((above[0], indent, indent))
            continue
        for child in reversed(above):
            branch, below = ("└─ ", "   ") if child is above[-1] else ("├─ ", "│  ")
            waiting.append((child, indent + branch, indent + below))
    return lines


# ---- diff ------------------------------------------------------------------------------------


def _diff(context: Context, values: Values) -> int:
    as_json = _is_json(values)
    before, after = values.args
    found = context.get("/pogu/images/diff", {"from": before, "to": after})
    assert isinstance(found, dict)
    files, config = found["Files"], found["Config"]
    if as_json:
        context.out(indented(found))
    else:
        lines = [*map(file_line, files), *map(config_line, config)]
        context.out("\n".join(lines) if lines else "No difference")
    return 1 if values.flag("exit-code") and (files or config) else 0


def file_line(change: Json) -> str:
    """`C /path  size 10B → 12B, mode 0644 → 0755`."""
    before, after = change["From"], change["To"]
    letter = _LETTERS[change["Change"]]
    if before is None or after is None:
        one = after or before
        size = f"  {human_size(one['Size'])}" if one["Kind"] == "file" else ""
        link = f" → {one['Link']}" if one["Link"] else ""
        slash = "/" if one["Kind"] == "directory" else ""
        return f"{letter} {change['Path']}{slash}{link}{size}"
    sizes = f"size {human_size(before['Size'])} → {human_size(after['Size'])}"
    what = [sizes if word == "size" else word for word in change["What"]]
    return f"{letter} {change['Path']}  {', '.join(what)}"


def config_line(change: Json) -> str:
    """`C Env PATH  /bin → /usr/bin`."""
    before, after = change["From"], change["To"]
    if before is None:
        return f"A {change['Name']}  {after}"
    if after is None:
        return f"D {change['Name']}  {before}"
    return f"C {change['Name']}  {before} → {after}"


COMMANDS = {
    "image tree": Command(
        "image tree",
        "[OPTIONS] [IMAGE...]",
        "Show layers: what made each, its size, who shares it, what of it is hidden; without an"
        " image the tree of all",
        _tree,
        [_FORMAT, Flag("--no-trunc", "bool", "Cut nothing short")],
    ),
    "image diff": Command(
        "image diff",
        "[OPTIONS] IMAGE IMAGE",
        "Show which files (A added, C changed, D removed) and settings differ between two images",
        _diff,
        [_FORMAT, Flag("--exit-code", "bool", "Exit with 1 when they differ")],
        least=2,
        most=2,
    ),
}
