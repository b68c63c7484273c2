"""Edge: what `build` does with the image beside keeping it: push it, write its files somewhere."""

from __future__ import annotations

import os

from pogu.cli.context import Context
from pogu.cli.failure import CliError, UsageError
from pogu.cli.flags import Values, parse
from pogu.cli.wire import encode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Outputs"]


class Outputs:
    """`--output` and `--push`, read before the build and done after it."""

    def __init__(self, values: Values) -> None:
        """Raises: UsageError, CliError in the words of docker's builders."""
        self.tags = list(values.texts("tag"))
        """Of `--tag`, and the names that an output gives."""
        self._pushes = values.flag("push")
        self._directories: list[str] = []
        self._archives: list[str] = []
        self._metadata = values.text("metadata-file")
        for text in values.texts("output"):
            self._add(text)
        if self._pushes and not self.tags:
            raise CliError("tag is needed when pushing to registry", hint="add -t NAME:TAG")

    def _add(self, text: str) -> None:
        if text == "-":
            self._archives.append("-")
            return
        if "=" not in text:
            self._directories.append(text)
            return
        words = dict(word.partition("=")[::2] for word in text.split(","))
        kind, target = words.get("type", ""), words.get("dest", "")
        if kind in ("docker", "image", "registry") and words.get("name"):
            self.tags.append(words["name"])
        if kind in ("docker", "image") and not target:
            self._pushes = self._pushes or words.get("push") == "true"
        elif kind == "registry":
            self._pushes = True
        elif kind in ("local", "tar") and not target:
            raise UsageError(f"dest is required for {kind} exporter", hint=f"{text},dest=PATH")
        elif kind == "local":
            self._directories.append(target)
        elif kind == "tar":
            self._archives.append(target)
        elif kind in ("docker", "oci"):
            raise CliError(
                f"{kind} exporter to a file is not supported for the docker driver",
                hint=f"build it with -t NAME, then pogu save -o {target or 'FILE'} NAME",
            )
        else:
            raise UsageError(
                f"unsupported output type {kind!r}" if kind else "type is required for output",
                hint="local, tar, docker, image or registry",
            )

    def give(self, context: Context, image_id: str) -> int:
        """Return the exit code. Raises: CliError."""
        if self._directories or self._archives:
            self._write_files(context, image_id)
        if self._metadata:
            self._write_metadata(image_id)
        return max([_push(context, tag) for tag in self.tags if self._pushes], default=0)

    def _write_files(self, context: Context, image_id: str) -> None:
        body = {"Image": image_id, "Cmd": ["nothing is run"]}
        made = context.post("/containers/create", body=body)
        assert isinstance(made, dict)
        try:
            for directory in self._directories:
                _unpack(_files(context, made["Id"]), directory)
            for target in self._archives:
                _write_archive(context, made["Id"], target)
        finally:
            context.delete(f"/containers/{made['Id']}", {"v": True})

    def _write_metadata(self, image_id: str) -> None:
        from pogu.oci.reference import parse_reference

        names = [str(parse_reference(tag).with_default_tag()) for tag in self.tags]
        found = {
            "containerimage.config.digest": image_id,
            "containerimage.digest": image_id,
            "image.name": ",".join(names),
        }
        with open(self._metadata, "w", encoding="utf-8") as file:
            file.write(encode({key: value for key, value in found.items() if value}))


def _files(context: Context, container_id: str) -> Iterator[bytes]:
    return context.request("GET", f"/containers/{container_id}/export").pieces()


def _unpack(pieces: Iterator[bytes], directory: str) -> None:
    from pogu.cli.copy_tar import unpack

    try:
        os.makedirs(directory, exist_ok=True)
    except OSError as err:
        raise CliError(f"failed to create {directory}: {(err.strerror or '').lower()}") from err
    unpack(pieces, "/", directory, ".", keep_owner=False)


def _write_archive(context: Context, container_id: str, target: str) -> None:
    from pogu.cli.host_file import write_archive

    def write(fd: int) -> None:
        for piece in _files(context, container_id):
            view = memoryview(piece)
            while view:
                view = view[os.write(fd, view) :]

    write_archive(target, write)


def _push(context: Context, tag: str) -> int:
    from pogu.cli.push import COMMANDS

    command = COMMANDS["push"]
    return command.run(context, parse(command, [tag]))
