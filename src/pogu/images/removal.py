"""Service: what `rmi` may take away, by Docker's rules and in Docker's words.

By reference: the name goes; the image goes with its last name. By ID: all names and the image go,
unless several repositories name it. A child image or a running container forbids it whatever
`force` says; a stopped container, or several names, only without `force`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pogu.errors import Conflict
from pogu.events import EventBus
from pogu.images.finding import find_image
from pogu.images.image import Image, Removed, short_id
from pogu.images.index import ImageIndex
from pogu.oci.digest import Digest
from pogu.oci.reference import Reference

__all__ = ["Removal", "Users", "is_dangling", "publish_image_event"]

Users = Callable[[Digest], Sequence[tuple[str, bool]]]


class _Refused(Conflict):
    """A conflict; `used` when a container is the reason."""

    def __init__(self, image: Image, reason: str, *, hard: bool, used: bool, hint: str) -> None:
        how = "cannot be forced" if hard else "must be forced"
        super().__init__(
            f"conflict: unable to delete {short_id(image.id)} ({how}) - {reason}", hint=hint
        )
        self.used = used


class Removal:
    """One `rmi`: `lines` collects the answer."""

    def __init__(self, index: ImageIndex, events: EventBus, users: Users) -> None:
        self._index = index
        self._events = events
        self._users = users
        self.lines: list[Removed] = []

    def by_name(self, name: str, *, force: bool, prune: bool) -> None:
        """What `rmi NAME` does. Raises: NotFound; Conflict."""
        image, reference = find_image(self._index, name)
        if reference is None:
            self.by_id(image, force=force, prune=prune)
        else:
            self.by_reference(image, reference, name, force=force, prune=prune)

    def by_reference(
        self, image: Image, reference: Reference, given: str, *, force: bool, prune: bool
    ) -> None:
        """Take one name away, and the image when it was the last. Raises: Conflict."""
        users = self._users(image.id)
        if not force and users and _is_single(image.references):
            raise Conflict(
                f'conflict: unable to remove repository reference "{given}" (must force) - '
                f"container {users[0][0]} is using its referenced image {short_id(image.id)}",
                hint=f"`pogu rm {users[0][0]}` first, or `pogu rmi -f` to take only the name",
            )
        self._untag(image, reference)
        left = self._current(image)
        if not reference.digest and all(
            tag.repository != reference.repository for tag in left.tags
        ):
            for one in left.repo_digests:
                if one.repository == reference.repository:
                    self._untag(image, one)
        if not self._current(image).references:
            self._delete(self._current(image), force=force, prune=prune, quiet=True)

    def by_id(self, image: Image, *, force: bool, prune: bool) -> None:
        """Delete the image with all its names. Raises: Conflict."""
        if _is_single(image.references):
            self._check(image, force=force, names=False)
            for reference in image.references:
                self._untag(image, reference)
        self._delete(self._current(image), force=force, prune=prune, quiet=False)

    def prune(self, *, dangling_only: bool, matches: Callable[[Image], bool] | None) -> None:
        """Delete what no container uses and `matches` accepts: dangling images, or all."""
        for image in list(self._index.newest_first()):
            if self._index.get(image.id) is None or (matches and not matches(image)):
                continue
            if self._index.children(image.id) or self._users(image.id):
                continue
            if dangling_only and image.references:
                continue
            self.by_id(image, force=True, prune=True)

    def _current(self, image: Image) -> Image:
        return self._index.get(image.id) or image

    def _untag(self, image: Image, reference: Reference) -> None:
        self._index.remove_name(reference)
        self.lines.append(Removed(untagged=reference.familiar))
        publish_image_event(self._events, "untag", image, image.id)

    def _delete(self, image: Image, *, force: bool, prune: bool, quiet: bool) -> None:
        try:
            self._check(image, force=force, names=True)
        except _Refused as refused:
            if quiet and (refused.used or not is_dangling(self._index, image)):
                return
            raise
        for reference in image.references:
            self._untag(image, reference)
        self._index.delete(image.id)
        self.lines.append(Removed(deleted=image.id))
        publish_image_event(self._events, "delete", image, image.id)
        parent = self._index.get(image.parent) if image.parent else None
        if prune and parent is not None:
            self._delete(parent, force=False, prune=True, quiet=True)

    def _check(self, image: Image, *, force: bool, names: bool) -> None:
        children = self._index.children(image.id)
        if children:
            listed = ", ".join(
                (child.familiar_tags or [short_id(child.id)])[0] for child in children
            )
            raise _Refused(
                image,
                "image has dependent child images",
                hard=True,
                used=False,
                hint=f"built on it: {listed}; remove these first",
            )
        users = self._users(image.id)
        for name, running in sorted(users, key=lambda user: not user[1]):
            if force and not running:
                continue
            kind = "running" if running else "stopped"
            raise _Refused(
                image,
                f"image is being used by {kind} container {name}",
                hard=running,
                used=True,
                hint=f"`pogu rm {'-f ' if running else ''}{name}` removes the container",
            )
        if names and not force and image.references:
            raise _Refused(
                image,
                "image is referenced in multiple repositories",
                hard=False,
                used=False,
                hint=f"it is {', '.join(one.familiar for one in image.references)}; "
                "remove one by its name, or all with -f",
            )


def is_dangling(index: ImageIndex, image: Image) -> bool:
    """No name, and no other image has it as its parent."""
    return not image.references and not index.children(image.id)


def publish_image_event(events: EventBus, action: str, image: Image, name: str) -> None:
    """Publish with the image's labels as attributes, as Docker does."""
    labels = image.config.config.labels or {}
    events.publish("image", action, image.id, {**labels, "name": name})


def _is_single(references: Sequence[Reference]) -> bool:
    """At most one tag, and digests only of the same repository."""
    if len(references) <= 1:
        return True
    tags = [one for one in references if not one.digest]
    if len(tags) > 1:
        return False
    return len({one.repository for one in references}) == 1
