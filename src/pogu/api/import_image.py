"""Edge: import: `POST /images/create?fromSrc=`: the body, a URL, or a file our own CLI names."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import BinaryIO, cast

from pogu.api.call import Call
from pogu.api.host_file import host_file, opened
from pogu.api.http_server import StreamResponse
from pogu.api.route import finish
from pogu.api.stream import JsonLines
from pogu.api.upload import body_file
from pogu.errors import InvalidParameter
from pogu.images.platform import parse_platform
from pogu.linux.blocking import in_thread
from pogu.linux.url import opened_url
from pogu.model.container import ContainerConfig
from pogu.oci.reference import Reference

__all__ = ["import_image"]


async def import_image(call: Call, reference: Reference | None) -> StreamResponse:
    lines = JsonLines(call)
    source = call.text("fromSrc")
    platform = call.text("platform")
    try:
        config = _changed_config(call.texts("changes"))
        wanted = parse_platform(platform) if platform else None
        async with _archive(call, source, lines) as file:
            image = await finish(
                call.engine.images.import_tar(
                    file,
                    reference=reference,
                    message=call.text("message") or f"Imported from {source}",
                    config=config,
                    platform=wanted,
                )
            )
        await lines.send({"status": image.id})
    except Exception as err:
        return await lines.fail(err)
    return await lines.end()


@asynccontextmanager
async def _archive(call: Call, source: str, lines: JsonLines) -> AsyncIterator[BinaryIO]:
    async with AsyncExitStack() as stack:
        path = host_file(call)
        if path is not None:
            yield stack.enter_context(opened(path))
        elif source == "-":
            yield await stack.enter_async_context(body_file(call))
        elif source:
            url = source if "://" in source else f"http://{source}"
            await lines.send({"status": f"Downloading from {url}"})
            answer = opened_url(url)
            content = await in_thread(answer.__enter__)
            stack.push(answer.__exit__)
            yield cast(BinaryIO, content)
        else:
            raise InvalidParameter("fromSrc is empty", hint="- for the body, or a URL")


def _changed_config(changes: list[str]) -> ContainerConfig:
    """Apply `--change` instructions to an empty config. Raises: InvalidParameter."""
    from pogu.build.changes import apply_changes

    return apply_changes(ContainerConfig(), changes)
