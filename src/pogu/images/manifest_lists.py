"""Service: manifest lists that people put together; owns the table `manifest_lists`.

A list is a draft: manifests under the names by which they were given, each with its platform. Its
bytes, an index, are made when somebody looks or pushes. The manifests' own bytes and configs lie in
the blob store, and of images of this machine their layers too.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from msgspec.structs import replace

from pogu.db import Database
from pogu.errors import Conflict, EngineError, InvalidParameter, NotFound
from pogu.images.forms import Forms
from pogu.images.indexes import StoredIndex
from pogu.images.platform import is_known, platform_of
from pogu.images.provenance import Provenance
from pogu.images.remote import Access, Remote
from pogu.images.store import ImageStore
from pogu.linux.blocking import in_thread
from pogu.oci.digest import Digest, sha256_digest
from pogu.oci.index import INDEXES, IndexEntry, Platform, encode_index, kind_of_index
from pogu.oci.reference import Reference
from pogu.storage.blobs import BlobStore

__all__ = ["ListEntry", "ManifestLists"]

_MIGRATIONS = [
    """
    CREATE TABLE manifest_lists (
        reference TEXT PRIMARY KEY,
        body TEXT NOT NULL
    )
    """
]


class ListEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One manifest of a list. `name` is its reference in full, as it was given."""

    name: str
    entry: IndexEntry

    @property
    def platform(self) -> Platform:
        return self.entry.platform or Platform()


class ManifestLists:
    """Async where it asks a registry or packs an image, plain where it reads rows."""

    def __init__(
        self,
        *,
        db: Database,
        blobs: BlobStore,
        images: ImageStore,
        provenance: Provenance,
        forms: Forms,
        remote: Remote,
    ) -> None:
        self._db = db
        self._blobs = blobs
        self._images = images
        self._provenance = provenance
        self._forms = forms
        self._remote = remote
        db.migrate("manifest_lists", _MIGRATIONS)

    # ---- reading -------------------------------------------------------------------------

    def find(self, name: Reference) -> tuple[ListEntry, ...] | None:
        """Return the entries of a list in the order in which they were given."""
        rows = self._db.query(
            "SELECT body FROM manifest_lists WHERE reference = ?", (str(name.with_default_tag()),)
        )
        if not rows:
            return None
        return msgspec.json.decode(rows[0]["body"], type=tuple[ListEntry, ...])

    def get(self, name: Reference) -> tuple[ListEntry, ...]:
        """Raises: NotFound."""
        found = self.find(name)
        if found is None:
            raise NotFound(
                f"No such manifest: {name.with_default_tag()}",
                hint="`pogu manifest ls` shows the lists that are here",
            )
        return found

    def names(self) -> list[str]:
        rows = self._db.query("SELECT reference FROM manifest_lists ORDER BY reference")
        return [str(row["reference"]) for row in rows]

    def entry(self, name: Reference, manifest: Reference) -> ListEntry:
        """Raises: NotFound for the list or the manifest in it."""
        found = {one.name: one for one in self.get(name)}
        wanted = str(manifest.with_default_tag())
        if wanted not in found:
            raise NotFound(
                f"manifest for image {manifest.familiar} does not exist in {name.familiar}",
                hint=f"it holds {', '.join(found)}",
            )
        return found[wanted]

    # ---- changing ------------------------------------------------------------------------

    async def create(
        self, name: Reference, manifests: Sequence[Reference], *, amend: bool, access: Access
    ) -> None:
        """Make a list, or with `amend` add to one. What is in it already stays as annotated.

        Raises: Conflict when it is there without `amend`; NotFound for a manifest that neither
        its registry nor this machine has; InvalidParameter for a list in a list.
        """
        before = self.find(name)
        if before is not None and not amend:
            raise Conflict(
                "refusing to amend an existing manifest list with no --amend flag",
                hint=f"--amend adds to it, `pogu manifest rm {name.familiar}` removes it",
            )
        entries = {one.name: one for one in before or ()}
        async with self._images.hold():
            for manifest in manifests:
                full = str(manifest.with_default_tag())
                if full not in entries:
                    entries[full] = await self._resolve(manifest.with_default_tag(), access)
            self._save(name, tuple(entries.values()))

    async def _resolve(self, manifest: Reference, access: Access) -> ListEntry:
        """As its registry has it, else as this machine has it."""
        try:
            return await self._of_registry(manifest, access)
        except InvalidParameter:
            raise
        except EngineError:
            image = self._images.find(manifest)
            if image is None:
                raise
        stored = await in_thread(self._forms.whole, image)
        entry = IndexEntry(
            media_type=stored.media_type,
            size=self._blobs.path(stored.digest).stat().st_size,
            digest=stored.digest,
            platform=platform_of(image.config),
        )
        return ListEntry(name=str(manifest), entry=entry)

    async def _of_registry(self, manifest: Reference, access: Access) -> ListEntry:
        found = await self._remote.image(manifest, access)
        if found.manifest.media_type in INDEXES:
            raise InvalidParameter(
                f"{manifest} is a manifest list",
                hint="name the manifests in it: `pogu manifest inspect` shows their digests",
            )
        await in_thread(self._blobs.write, found.manifest.raw)
        await in_thread(self._blobs.write, found.raw_config)
        self._provenance.seen_at(found.manifest.digest, manifest.repository)
        entry = IndexEntry(
            media_type=found.manifest.media_type,
            size=len(found.manifest.raw),
            digest=found.manifest.digest,
            platform=found.platform,
        )
        return ListEntry(name=str(manifest), entry=entry)

    def annotate(self, name: Reference, manifest: Reference, change: Platform) -> None:
        """Set what `change` has of the manifest's platform; features are added.

        Raises: NotFound; InvalidParameter for a system or processor that nobody knows.
        """
        one = self.entry(name, manifest)
        features = dict.fromkeys((*one.platform.os_features, *change.os_features))
        platform = replace(
            one.platform,
            os=change.os or one.platform.os,
            architecture=change.architecture or one.platform.architecture,
            variant=change.variant or one.platform.variant,
            os_version=change.os_version or one.platform.os_version,
            os_features=tuple(features),
        )
        if not is_known(platform):
            raise InvalidParameter(
                "manifest entry for image has unsupported os/arch combination:"
                f" {platform.os}/{platform.architecture}",
                hint="in Go's words: linux/amd64, linux/arm64, windows/amd64 …",
            )
        changed = replace(one, entry=replace(one.entry, platform=platform))
        entries = self.get(name)
        self._save(name, tuple(changed if old.name == one.name else old for old in entries))

    def remove(self, name: Reference) -> None:
        """Raises: NotFound."""
        self.get(name)
        with self._db.transaction() as tx:
            tx.execute(
                "DELETE FROM manifest_lists WHERE reference = ?", (str(name.with_default_tag()),)
            )

    def _save(self, name: Reference, entries: tuple[ListEntry, ...]) -> None:
        body = msgspec.json.encode(entries).decode()
        with self._db.transaction() as tx:
            tx.execute(
                "INSERT OR REPLACE INTO manifest_lists VALUES (?, ?)",
                (str(name.with_default_tag()), body),
            )

    # ---- what it is ----------------------------------------------------------------------

    def index(self, name: Reference) -> StoredIndex:
        """Return the index that the list stands for.

        Raises: NotFound; InvalidParameter when a platform is not complete.
        """
        entries = self.get(name)
        for one in entries:
            if not (one.platform.os and one.platform.architecture):
                raise InvalidParameter(
                    f"manifest {one.name} must have an OS and Architecture to be pushed to a"
                    " registry",
                    hint=f"pogu manifest annotate --os linux --arch … {name.familiar} {one.name}",
                )
        plain = [one.entry for one in entries]
        raw = encode_index(plain)
        return StoredIndex(digest=sha256_digest(raw), media_type=kind_of_index(plain), raw=raw)

    def manifests(self) -> set[Digest]:
        """The manifests in all lists: they stay here, with what they name."""
        return {
            one.entry.digest
            for row in self._db.query("SELECT body FROM manifest_lists")
            for one in msgspec.json.decode(row["body"], type=tuple[ListEntry, ...])
        }
