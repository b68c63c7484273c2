"""Service: what registries say of a reference, without bringing it here; owns nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import msgspec

from pogu.config import Config
from pogu.errors import DataLoss
from pogu.oci.image import Manifest
from pogu.oci.index import INDEXES, Platform, decode_index
from pogu.oci.reference import Reference
from pogu.registry.client import FetchedManifest, Repository
from pogu.registry.credentials import Credentials, credentials_for
from pogu.registry.transport import open_transport

__all__ = ["Access", "Remote"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """How a caller comes to registries: who they are at each, and whether any may be insecure."""

    credentials: Mapping[str, Credentials] = field(default_factory=dict)
    insecure: bool = False


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
        reads = "push" not in actions
        async with open_transport(domain, config, own, mirrors=reads) as transport:
            yield Repository(transport, reference.path, actions=actions)

    async def manifest(self, reference: Reference, access: Access) -> FetchedManifest:
        """Fetch the manifest or index of a reference. Raises: NotFound; Unauthorized."""
        named = reference.with_default_tag()
        async with self.repository(named, access) as repository:
            return await repository.manifest(named.digest or named.tag or "latest")

    async def platforms(
        self, reference: Reference, access: Access
    ) -> tuple[FetchedManifest, list[Platform]]:
        """Fetch the manifest or index and the platforms it is for."""
        named = reference.with_default_tag()
        async with self.repository(named, access) as repository:
            fetched = await repository.manifest(named.digest or named.tag or "latest")
            if fetched.media_type in INDEXES:
                entries = decode_index(fetched.raw).manifests
                return fetched, [one.platform for one in entries if one.platform is not None]
            return fetched, [await platform_in(repository, fetched.raw)]


async def platform_in(repository: Repository, raw_manifest: bytes) -> Platform:
    """What the config of a manifest says it is for. Raises: DataLoss when it cannot be read."""
    try:
        config = msgspec.json.decode(raw_manifest, type=Manifest).config
        async with repository.blob(config.digest) as (_, stream):
            return msgspec.json.decode(await stream.read(), type=Platform)
    except msgspec.MsgspecError as err:
        raise DataLoss(f"the image config in {repository.path} cannot be read: {err}") from err
