"""Service: image indexes that are kept here; owns the tables `indexes` and `index_names`.

The bytes lie in the blob store, exactly as they came. An index stays while an image has its digest
as a name (`repo@sha256:…`, from a pull) or, with a name of its own (from an OCI layout), while one
of its images is here. Of a named index every blob that is here stays too: it can be pushed whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import msgspec

from pogu.db import Database
from pogu.errors import EngineError, NotFound
from pogu.images.image import Image
from pogu.images.platform import choose, fits, platform_of
from pogu.images.provenance import Provenance
from pogu.images.store import ImageStore
from pogu.linux.blocking import in_thread
from pogu.oci.digest import Digest
from pogu.oci.image import Manifest
from pogu.oci.index import Platform, decode_index
from pogu.oci.reference import Reference
from pogu.storage.blobs import BlobStore

__all__ = ["Indexes", "StoredIndex", "blobs_below"]

_MIGRATIONS = [
    """
    CREATE TABLE indexes (
        digest TEXT PRIMARY KEY,
        media_type TEXT NOT NULL
    );
    CREATE TABLE index_names (
        reference TEXT PRIMARY KEY,
        digest TEXT NOT NULL REFERENCES indexes (digest) ON DELETE CASCADE
    )
    """
]


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredIndex:
    """An index whose bytes are here. `source` is a repository that has all of it, where known."""

    digest: Digest
    media_type: str
    raw: bytes
    source: Reference | None = None


class Indexes:
    """Async where it writes blobs, plain where it reads rows. Event-loop thread only."""

    def __init__(
        self, db: Database, blobs: BlobStore, images: ImageStore, provenance: Provenance
    ) -> None:
        self._db = db
        self._blobs = blobs
        self._images = images
        self._provenance = provenance
        db.migrate("indexes", _MIGRATIONS)

    async def keep(self, raw: bytes, media_type: str, *, name: Reference | None = None) -> Digest:
        """Store an index durably; with `name` (the tag that an archive has for it) together with
        those of its manifests and layers whose blobs are here. Idempotent. Return its digest.
        """
        digest = await in_thread(self._blobs.write, raw)
        with self._db.transaction() as tx:
            tx.execute("INSERT OR IGNORE INTO indexes VALUES (?, ?)", (digest, media_type))
            if name is not None:
                tx.execute("INSERT OR REPLACE INTO index_names VALUES (?, ?)", (str(name), digest))
        return digest

    # ---- finding -------------------------------------------------------------------------

    def of(self, image: Image, tag: Reference) -> StoredIndex | None:
        """Return the index that the image came from, best the one that `tag` itself names."""
        own, others = self._loaded(image, tag)
        if own:
            return own[0]
        names = sorted(image.repo_digests, key=lambda one: one.repository != tag.repository)
        for name in names:
            found = self._read(name.digest, name) if name.digest else None
            if found is not None:
                return found
        return others[0] if others else None

    def _loaded(self, image: Image, tag: Reference) -> tuple[list[StoredIndex], list[StoredIndex]]:
        """The named indexes that hold the image: those of that name, the others."""
        own: list[StoredIndex] = []
        others: list[StoredIndex] = []
        for row in self._db.query("SELECT * FROM index_names ORDER BY rowid DESC"):
            found = self._read(Digest(row["digest"]), None)
            if found is not None and image.id in self._images_of(found):
                (own if row["reference"] == str(tag) else others).append(found)
        return own, others

    def _read(self, digest: Digest, source: Reference | None) -> StoredIndex | None:
        rows = self._db.query("SELECT * FROM indexes WHERE digest = ?", (digest,))
        if not rows:
            return None
        try:
            raw = self._blobs.read(digest)
        except EngineError:
            return None
        return StoredIndex(digest=digest, media_type=rows[0]["media_type"], raw=raw, source=source)

    def _images_of(self, index: StoredIndex) -> set[Digest]:
        entries = decode_index(index.raw).manifests
        return {one for entry in entries if (one := self._provenance.image_of(entry.digest))}

    def for_platform(self, name: str, wanted: Platform) -> Image:
        """Return the image that `name` means for a platform: the one it names, or another of the
        same index that is here too.

        Raises: NotFound in Docker's words: clients pull then.
        """
        image = self._images.resolve(name)
        if fits(platform_of(image.config), wanted):
            return image
        for other in image.repo_digests:
            found = self._read(other.digest, other) if other.digest else None
            sibling = self._chosen(found, wanted) if found is not None else None
            if sibling is not None:
                return sibling
        raise NotFound(
            f"image with reference {name} was found but its platform"
            f" ({platform_of(image.config)}) does not match the specified platform ({wanted})",
            hint="leave --platform out, or bring the image of that platform:"
            f" pogu pull --platform {wanted} {name}",
        )

    def _chosen(self, index: StoredIndex, wanted: Platform) -> Image | None:
        try:
            entry = choose(index.raw, wanted, "")
            image_id = self._provenance.image_of(entry.digest)
            return self._images.get(image_id) if image_id else None
        except EngineError:
            return None

    def manifest_name(self, image: Image, name: Reference) -> Reference | None:
        """Return `repo@sha256:…` of the image's own manifest in the index that `name` names by its
        digest: by it the image stays known when another platform's takes `name` over."""
        index = self._read(name.digest, name) if name.digest else None
        if index is None:
            return None
        own = {stored.digest for stored in self._provenance.manifests(image.id)}
        for entry in decode_index(index.raw).manifests:
            if entry.digest in own:
                return replace(name, tag=None, digest=entry.digest)
        return None

    def all(self) -> list[Digest]:
        """Every index that is recorded."""
        return [Digest(row["digest"]) for row in self._db.query("SELECT digest FROM indexes")]

    def forget(self, digest: Digest) -> None:
        """Its bytes are lost. Idempotent."""
        self._execute("DELETE FROM indexes WHERE digest = ?", digest)

    # ---- collection ----------------------------------------------------------------------

    async def forget_unused(self) -> set[Digest]:
        """Drop the indexes that nothing names any more; return every blob the others need."""
        kept, whole = self.forget_rows(self._images.all())
        return kept | await in_thread(blobs_below, self._blobs, whole)

    def forget_rows(self, images: Sequence[Image]) -> tuple[set[Digest], set[Digest]]:
        """Drop the rows that would be unused were these all images; return the indexes that stay,
        and those of them of which every blob stays."""
        named = {name.digest for image in images for name in image.repo_digests}
        for row in self._db.query("SELECT reference, digest FROM index_names"):
            if not self._is_needed(Digest(row["digest"]), images):
                self._execute("DELETE FROM index_names WHERE reference = ?", row["reference"])
        whole = {Digest(row["digest"]) for row in self._db.query("SELECT digest FROM index_names")}
        for row in self._db.query("SELECT digest FROM indexes"):
            if row["digest"] not in named | whole:
                self._execute("DELETE FROM indexes WHERE digest = ?", row["digest"])
        kept = {Digest(row["digest"]) for row in self._db.query("SELECT digest FROM indexes")}
        return kept, whole

    def _execute(self, sql: str, value: str) -> None:
        with self._db.transaction() as tx:
            tx.execute(sql, (value,))

    def _is_needed(self, digest: Digest, images: Sequence[Image]) -> bool:
        """An image of it is here, under whatever name."""
        found = self._read(digest, None)
        return found is not None and not self._images_of(found).isdisjoint(
            image.id for image in images
        )


def blobs_below(blobs: BlobStore, tops: set[Digest]) -> set[Digest]:
    """Return the blobs that are here of what indexes and manifests name, these included. Slow."""
    seen: set[Digest] = set()
    waiting = list(tops)
    while waiting:
        digest = waiting.pop()
        if digest in seen or not blobs.has(digest):
            continue
        seen.add(digest)
        try:
            raw = blobs.read(digest)
            waiting += [entry.digest for entry in decode_index(raw).manifests]
            seen |= _parts(raw)
        except (EngineError, msgspec.MsgspecError):
            continue
    return seen


def _parts(raw: bytes) -> set[Digest]:
    """The config and layers of a manifest; nothing of an index."""
    try:
        manifest = msgspec.json.decode(raw, type=Manifest)
    except msgspec.MsgspecError:
        return set()
    return {manifest.config.digest, *(layer.digest for layer in manifest.layers)}
