"""Service: what registries say of a reference, without bringing it here; owns nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import msgspec

from pogu.config import Config
from pogu.errors import DataLoss, NotFound
from pogu.oci.digest import sha256_digest
from pogu.oci.image import Manifest
from pogu.oci.index import INDEXES, Platform, decode_index
from pogu.oci.reference import Reference
from pogu.registry.client import FetchedManifest, Repository, open_repository
from pogu.registry.credentials import Credentials, credentials_for

__all__ = ["Access", "Remote", "RemoteImage"]

_LARGEST_CONFIG = 4 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """How a caller comes to registries: who they are at each, and whether any may be insecure."""

    credentials: Mapping[str, Credentials] = field(default_factory=dict)
    insecure: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteImage:
    """A manifest in a registry, with its config where that was asked for."""

    manifest: FetchedManifest
    raw_config: bytes = b""
    platform: Platform = field(default_factory=Platform)


class Remote:
    """Async; each call is a connection of its own."""

    def __init__(self, config: Config) -> None:
        self._config = config

    @asynccontextmanager
    async def repository(
        self, reference: Reference, access: Access, *, actions: str = "pull"
    ) -> AsyncIterator[Repository]:
        """Open the repository of a reference."""
        domain, config = reference.domain, self._config
        if access.insecure:
            config = replace(config, registry_insecure=(*config.registry_insecure, domain))
        own = credentials_for(domain, access.credentials)
        async with open_repository(reference, config, own, actions=actions) as repository:
            yield repository

    async def manifest(self, reference: Reference, access: Access) -> FetchedManifest:
        """Fetch the manifest or index of a reference. Raises: NotFound; Unauthorized."""
        named = reference.with_default_tag()
        async with self.repository(named, access) as repository:
            return await repository.manifest(named.digest or named.tag or "latest")

    async def image(self, reference: Reference, access: Access) -> RemoteImage:
        """Fetch the manifest of a reference with its config; of an index no config.

        Raises: NotFound in the words of Docker's client.
        """
        named = reference.with_default_tag()
        async with self.repository(named, access) as repository:
            try:
                fetched = await repository.manifest(named.digest or named.tag or "latest")
            except NotFound as err:
                raise NotFound(f"no such manifest: {named}: {err.message}", hint=err.hint) from err
            if fetched.media_type in INDEXES:
                return RemoteImage(manifest=fetched)
            return await _with_config(repository, fetched)

    async def images_of(
        self, reference: Reference, index: FetchedManifest, access: Access
    ) -> list[RemoteImage]:
        """Fetch the manifests of an index that lies in the repository of `reference`."""
        async with self.repository(reference, access) as repository:
            return [
                RemoteImage(
                    manifest=await repository.manifest(entry.digest),
                    platform=entry.platform or Platform(),
                )
                for entry in decode_index(index.raw).manifests
            ]

    async def platforms(
        self, reference: Reference, access: Access
    ) -> tuple[FetchedManifest, list[Platform]]:
        """Fetch the manifest or index and the platforms it is for."""
        found = await self.image(reference, access)
        if found.manifest.media_type not in INDEXES:
            return found.manifest, [found.platform]
        entries = decode_index(found.manifest.raw).manifests
        return found.manifest, [one.platform for one in entries if one.platform is not None]


async def _with_config(repository: Repository, fetched: FetchedManifest) -> RemoteImage:
    """Raises: DataLoss when manifest or config cannot be read or are not what was asked for."""
    try:
        config = msgspec.json.decode(fetched.raw, type=Manifest).config
        async with repository.blob(config.digest) as (_, stream):
            raw = await stream.read(_LARGEST_CONFIG)
            while more := await stream.read(_LARGEST_CONFIG - len(raw)):
                raw += more
        if sha256_digest(raw) != config.digest:
            raise DataLoss(f"the image config in {repository.path} is not {config.digest}")
        platform = msgspec.json.decode(raw, type=Platform)
    except msgspec.MsgspecError as err:
        raise DataLoss(f"the image config in {repository.path} cannot be read: {err}") from err
    return RemoteImage(manifest=fetched, raw_config=raw, platform=platform)
