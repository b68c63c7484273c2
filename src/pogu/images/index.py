"""Service: the tables `images` and `tags`, and all of them parsed in memory.

Every change goes to the database first, then to memory; reads touch memory only.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from dataclasses import replace
from datetime import datetime

import msgspec

from pogu.db import Database
from pogu.images.image import Image
from pogu.oci.digest import ChainId, Digest, chain_ids
from pogu.oci.image import ImageConfig, decode_image_config
from pogu.oci.reference import Reference, parse_reference

__all__ = ["ImageIndex"]

log = logging.getLogger(__name__)

_MIGRATIONS = [
    """
    CREATE TABLE images (
        id TEXT PRIMARY KEY,
        config BLOB NOT NULL,
        parent TEXT,
        last_tagged_at TEXT NOT NULL DEFAULT ''
    );
    CREATE TABLE tags (
        reference TEXT PRIMARY KEY,
        image_id TEXT NOT NULL REFERENCES images (id) ON DELETE CASCADE
    );
    CREATE INDEX tags_by_image ON tags (image_id)
    """
]


class ImageIndex:
    """Images by ID, by reference and by parent. `size_of` gives the bytes of a chain of layers,
    or None when a layer is not there: such an image is not shown, it cannot be run."""

    def __init__(self, db: Database, size_of: Callable[[ChainId | None], int | None]) -> None:
        self._db = db
        self._size_of = size_of
        self._images: dict[Digest, Image] = {}
        self._names: dict[str, Digest] = {}
        self._broken: dict[Digest, str] = {}
        self._newest_first: list[Image] | None = None
        db.migrate("images", _MIGRATIONS)
        self._load()

    def _load(self) -> None:
        names: dict[str, list[Reference]] = {}
        for row in self._db.query("SELECT reference, image_id FROM tags"):
            names.setdefault(row["image_id"], []).append(parse_reference(row["reference"]))
        for row in self._db.query("SELECT * FROM images"):
            image = self._from_row(row)
            if image is not None:
                self._put(_with_references(image, names.get(image.id, ())))
        for image in list(self._images.values()):
            if image.parent is not None and image.parent not in self._images:
                self._put(replace(image, parent=None))

    def _from_row(self, row: sqlite3.Row) -> Image | None:
        try:
            config = decode_image_config(row["config"])
        except msgspec.MsgspecError as err:
            self._is_broken(row["id"], f"its config cannot be read: {err}")
            return None
        image = self.describe(row["id"], row["config"], config, parent=row["parent"])
        if image is None:
            self._is_broken(row["id"], "a layer of it is lost")
            return None
        return replace(image, last_tagged_at=row["last_tagged_at"])

    def _is_broken(self, image_id: str, why: str) -> None:
        """Show it no more, but keep its rows: what it was called tells where to get it again."""
        log.warning("image is broken image=%s: %s", image_id, why)
        self._broken[Digest(image_id)] = why

    def broken(self) -> list[tuple[Digest, str, list[Reference]]]:
        """Images that cannot be used: ID, why, and their names."""
        return [(one, why, self._names_of(one)) for one, why in self._broken.items()]

    def _names_of(self, image_id: Digest) -> list[Reference]:
        rows = self._db.query("SELECT reference FROM tags WHERE image_id = ?", (image_id,))
        return [parse_reference(row["reference"]) for row in rows]

    def describe(
        self, image_id: Digest, raw: bytes, config: ImageConfig, *, parent: Digest | None
    ) -> Image | None:
        """Return the image without names, or None when one of its layers is not there."""
        chain = chain_ids(config.rootfs.diff_ids)
        top = chain[-1] if chain else None
        size_bytes = self._size_of(top)
        if size_bytes is None:
            return None
        return Image(
            id=image_id,
            raw_config=raw,
            config=config,
            top_layer=top,
            size_bytes=size_bytes,
            parent=parent,
            tags=(),
            repo_digests=(),
        )

    def copy(self) -> ImageIndex:
        """Return one with a memory of its own on the same rows; for use in a rehearsal."""
        twin = copy(self)
        twin._images, twin._names = dict(self._images), dict(self._names)
        twin._broken = dict(self._broken)
        return twin

    @contextmanager
    def together(self) -> Iterator[None]:
        """Let all changes in the block happen or none, on disk and in memory. No await there."""
        images, names = dict(self._images), dict(self._names)
        try:
            with self._db.transaction():
                yield
        except BaseException:
            self._images, self._names, self._newest_first = images, names, None
            raise

    # ---- reading ------------------------------------------------------------------------

    def get(self, image_id: Digest) -> Image | None:
        return self._images.get(image_id)

    def named(self, reference: Reference) -> Image | None:
        """Return the image of a complete reference (it has a tag or a digest)."""
        image_id = self._names.get(_key(reference))
        return self._images[image_id] if image_id else None

    def with_prefix(self, hex_prefix: str) -> list[Image]:
        prefix = f"sha256:{hex_prefix}"
        return [image for key, image in self._images.items() if key.startswith(prefix)]

    def children(self, image_id: Digest) -> list[Image]:
        return [image for image in self._images.values() if image.parent == image_id]

    def names(self) -> list[Reference]:
        return [name for image in self._images.values() for name in image.tags]

    def newest_first(self) -> list[Image]:
        if self._newest_first is None:
            self._newest_first = sorted(
                self._images.values(), key=lambda image: (_age(image), image.id), reverse=True
            )
        return self._newest_first

    # ---- changing -----------------------------------------------------------------------

    def insert_row(self, image: Image, references: Sequence[Reference], *, time: str) -> None:
        """Write the rows, durably. Slow; `remember` follows in the event loop."""
        with self._db.transaction(durable=True) as tx:
            tx.execute(
                "INSERT OR IGNORE INTO images (id, config, parent) VALUES (?, ?, ?)",
                (image.id, image.raw_config, image.parent),
            )
            for reference in references:
                _write_name(tx, image.id, reference, time)

    def remember(self, image: Image) -> None:
        """Show a new image that `insert_row` wrote. Idempotent."""
        if self._broken.pop(image.id, None):
            image = _with_references(image, self._names_of(image.id))
        if image.id not in self._images:
            self._put(image)

    def set_name(self, image_id: Digest, reference: Reference, *, time: str) -> None:
        """Point `reference` at the image; it leaves the image it named."""
        with self._db.transaction() as tx:
            _write_name(tx, image_id, reference, time)
        before = self.named(reference)
        if before is not None and before.id != image_id:
            self._put(_without(before, reference))
        image = _with_references(self._images[image_id], [reference])
        self._put(replace(image, last_tagged_at=time))

    def remove_name(self, reference: Reference) -> None:
        """Take a name away. Idempotent."""
        image = self.named(reference)
        if image is None:
            return
        with self._db.transaction() as tx:
            tx.execute("DELETE FROM tags WHERE reference = ?", (_key(reference),))
        self._put(_without(image, reference))
        del self._names[_key(reference)]

    def delete(self, image_id: Digest) -> None:
        """Remove an image with its names. Idempotent."""
        with self._db.transaction() as tx:
            tx.execute("DELETE FROM images WHERE id = ?", (image_id,))
        self._broken.pop(image_id, None)
        image = self._images.pop(image_id, None)
        for reference in image.references if image else ():
            self._names.pop(_key(reference), None)
        self._newest_first = None

    def _put(self, image: Image) -> None:
        self._images[image.id] = image
        self._names |= {_key(reference): image.id for reference in image.references}
        self._newest_first = None


def _key(reference: Reference) -> str:
    """Return what names it in the table: a digest makes the tag beside it meaningless."""
    return str(replace(reference, tag=None) if reference.digest else reference)


def _write_name(tx: sqlite3.Connection, image_id: Digest, reference: Reference, time: str) -> None:
    tx.execute(
        "INSERT INTO tags VALUES (?, ?)"
        " ON CONFLICT (reference) DO UPDATE SET image_id = excluded.image_id",
        (_key(reference), image_id),
    )
    tx.execute("UPDATE images SET last_tagged_at = ? WHERE id = ?", (time, image_id))


def _with_references(image: Image, new: Iterable[Reference]) -> Image:
    tags, digests = set(image.tags), set(image.repo_digests)
    for reference in new:
        if reference.digest:
            digests.add(replace(reference, tag=None))
        else:
            tags.add(reference)
    return replace(
        image, tags=tuple(sorted(tags, key=str)), repo_digests=tuple(sorted(digests, key=str))
    )


def _without(image: Image, reference: Reference) -> Image:
    key = _key(reference)
    return replace(
        image,
        tags=tuple(tag for tag in image.tags if _key(tag) != key),
        repo_digests=tuple(one for one in image.repo_digests if _key(one) != key),
    )


def _age(image: Image) -> float:
    try:
        return datetime.fromisoformat(image.config.created).timestamp()
    except ValueError:
        return 0.0
