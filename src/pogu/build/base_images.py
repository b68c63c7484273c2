"""Service: the images that FROM and --from name: those that are here, else pulled, each once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from pogu.build.events import BuildEvent, Pulling
from pogu.errors import EngineError, NotFound
from pogu.images.image import Image
from pogu.images.indexes import Indexes
from pogu.images.platform import parse_platform
from pogu.images.progress import TransferEvent
from pogu.images.pull import Puller
from pogu.images.store import ImageStore
from pogu.oci.reference import parse_reference
from pogu.registry.credentials import Credentials, credentials_for

__all__ = ["BaseImages"]


class BaseImages:
    """For one build."""

    def __init__(
        self,
        images: ImageStore,
        indexes: Indexes,
        puller: Puller,
        *,
        credentials: Mapping[str, Credentials],
        platform: str,
        always: bool,
        emit: Callable[[BuildEvent], Awaitable[None]],
    ) -> None:
        self._images = images
        self._indexes = indexes
        self._puller = puller
        self._credentials = credentials
        self._platform = platform
        self._always = always
        self._emit = emit
        self._locks: dict[tuple[str, str], asyncio.Lock] = {}
        self._found: dict[tuple[str, str], Image] = {}

    async def get(self, name: str, platform: str = "") -> Image:
        """Return the same at every call. `platform` overrides the build's.

        Raises: NotFound in Docker's words, with the near miss or why it could not be pulled.
        """
        wanted = name, platform or self._platform
        async with self._locks.setdefault(wanted, asyncio.Lock()):
            if wanted not in self._found:
                self._found[wanted] = await self._find(*wanted)
            return self._found[wanted]

    async def _find(self, name: str, platform: str) -> Image:
        missing: NotFound | None = None
        try:
            image = self._here(name, platform)
            if not self._always:
                return image
        except NotFound as err:
            missing = err
        return await self._pull(name, platform, missing)

    def _here(self, name: str, platform: str) -> Image:
        """What is here under the name, for the platform that is asked for. Raises: NotFound."""
        if not platform:
            return self._images.resolve(name)
        return self._indexes.for_platform(name, parse_platform(platform))

    async def _pull(self, name: str, platform: str, missing: NotFound | None) -> Image:
        reference = parse_reference(name)

        async def emit(event: TransferEvent) -> None:
            await self._emit(
                Pulling(status=event.status, id=event.id, current=event.current, total=event.total)
            )

        try:
            return await self._puller.pull(
                reference,
                platform=platform,
                credentials=credentials_for(reference.domain, self._credentials),
                emit=emit,
            )
        except EngineError as err:
            if missing is None:
                return self._here(name, platform)  # --pull without a registry: what is here
            near = missing.hint if (missing.hint or "").startswith("did you mean") else None
            raise NotFound(f"{missing.message}: {err.message}", hint=near or err.hint) from err
