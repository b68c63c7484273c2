"""Images and their names, by Docker's rules."""

from __future__ import annotations

import asyncio
import io
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import pytest
from tests.archives import a_file, a_tar

from pogu.config import Paths
from pogu.db import Database
from pogu.errors import Conflict, InvalidParameter, NotFound
from pogu.events import EventBus
from pogu.images.store import Image, ImageStore
from pogu.model.container import ContainerConfig
from pogu.oci.digest import Digest, sha256_digest
from pogu.oci.image import HistoryEntry, ImageConfig, RootFs, encode_image_config
from pogu.oci.reference import Reference, parse_reference
from pogu.storage.blobs import BlobStore
from pogu.storage.layers import LayerStore
from pogu.storage.tarstream import BadArchive


class Here:
    """A store with what stands around it, and builders."""

    def __init__(self, path: Path) -> None:
        self.paths = Paths(root=path / "root", run_root=path / "run")
        self.paths.create()
        self.events = EventBus(clock_ns=lambda: 0)
        self.users: dict[Digest, Sequence[tuple[str, bool]]] = {}
        self._numbers = itertools.count()
        self.open()

    def open(self) -> None:
        """Open the store, or open it again as a restart does."""
        self.db = Database(self.paths.database)
        self.layers = LayerStore(self.paths, self.db)
        self.images = ImageStore(
            db=self.db,
            blobs=BlobStore(self.paths),
            layers=self.layers,
            events=self.events,
            clock_ns=lambda: 1_000_000_000_000_000_000,
        )
        self.images.in_use_by(lambda image_id: self.users.get(image_id, ()))

    async def image(
        self, *names: str, text: str = "", parent: Image | None = None, on: Image | None = None
    ) -> Image:
        """Make an image of one layer, more with `on` below it; `text` makes its config."""
        text = text or f"image {next(self._numbers)}"
        below = on.config.rootfs.diff_ids if on else ()
        layer = self.layers.commit_tar(
            a_tar([a_file("f", text.encode())]), parent=on.top_layer if on else None
        )
        config = ImageConfig(
            architecture="amd64",
            os="linux",
            created=f"20{len(self.images.all()):02}-01-01T00:00:00Z",
            config=ContainerConfig(labels={"text": text}),
            rootfs=RootFs(diff_ids=(*below, layer.diff_id)),
            history=(*(on.config.history if on else ()), HistoryEntry(created_by=text)),
        )
        return await self.images.create(
            config, parent=parent.id if parent else None, references=[*map(parse_reference, names)]
        )

    async def removed(self, name: str, *, force: bool = False, prune: bool = True) -> list[str]:
        """Return what `rmi` says: names taken away, images deleted; not the layers."""
        known = {image.id for image in self.images.all()}
        lines = await self.images.remove(name, force=force, prune=prune)
        return [
            line.untagged or str(line.deleted) for line in lines if line.deleted in known | {None}
        ]

    def names(self) -> set[str]:
        return {name for image in self.images.all() for name in image.familiar_tags}


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Here]:
    here = Here(tmp_path)
    yield here
    here.db.close()


# ---- finding ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["web", "web:latest", "docker.io/library/web", "index.docker.io/library/web:latest"]
)
async def test_an_image_is_found_by_every_spelling_of_its_name(here: Here, name: str) -> None:
    image = await here.image("web")
    assert here.images.resolve(name).id == image.id


async def test_an_image_is_found_by_its_id_and_by_a_prefix(here: Here) -> None:
    image = await here.image()
    digits = image.id.removeprefix("sha256:")
    for name in (image.id, digits, digits[:12], f"sha256:{digits[:5]}", digits[:2]):
        assert here.images.resolve(name).id == image.id


async def test_a_prefix_of_several_ids_is_refused_and_lists_them(here: Here) -> None:
    images = [await here.image(f"image{number}") for number in range(17)]
    digits = [image.id.removeprefix("sha256:") for image in images]
    shared = next(one[0] for one in digits if sum(other[0] == one[0] for other in digits) > 1)
    with pytest.raises(InvalidParameter, match="Multiple IDs found") as caught:
        here.images.resolve(shared)
    assert "image" in caught.value.message
    assert caught.value.hint == "give more digits of the ID"


async def test_a_name_wins_over_a_prefix(here: Here) -> None:
    image = await here.image()
    prefix = image.id.removeprefix("sha256:")[:4]
    named = await here.image(prefix)
    assert here.images.resolve(prefix).id == named.id


@pytest.mark.parametrize(
    ("wanted", "said", "hint"),
    [
        ("wweb", "No such image: wweb:latest", "did you mean web"),
        ("web:2", "No such image: web:2", "here is web:1"),
        ("quite-different", "No such image: quite-different:latest", "`pogu images`"),
        ("0" * 64, "No such image: 000", "`pogu images -a`"),
        ("ffff", "No such image: ffff:latest", "`pogu images`"),
    ],
)
async def test_an_absent_image_is_refused_with_the_near_miss(
    here: Here, wanted: str, said: str, hint: str
) -> None:
    await here.image("web:1")
    with pytest.raises(NotFound) as caught:
        here.images.resolve(wanted)
    assert caught.value.message.startswith(said)
    assert (caught.value.hint or "").startswith(hint)


@pytest.mark.parametrize("name", ["", "UPPER", "a b", "a:", "a@sha256:0", "sha256:"])
def test_a_name_that_cannot_be_is_refused(here: Here, name: str) -> None:
    with pytest.raises(InvalidParameter, match="invalid reference format"):
        here.images.resolve(name)


# ---- making and naming ------------------------------------------------------------------


async def test_the_id_is_the_digest_of_the_config(here: Here) -> None:
    image = await here.image("a:1", "b")
    assert image.id == sha256_digest(image.raw_config)
    assert image.familiar_tags == ["a:1", "b:latest"]
    assert image.size_bytes == len("image 0")


async def test_the_same_config_is_one_image_with_all_its_names(here: Here) -> None:
    first = await here.image("a", text="same")
    second = await here.images.create_raw(
        first.raw_config, first.config, references=[parse_reference("b")]
    )
    assert second.id == first.id
    assert here.images.resolve("a").familiar_tags == ["a:latest", "b:latest"]


async def test_fields_that_are_not_known_stay_in_the_config(here: Here) -> None:
    image = await here.image()
    raw = image.raw_config[:-1] + b',"unknown":{"b":1,"a":2}}'
    config = msgspec.json.decode(raw, type=ImageConfig)
    other = await here.images.create_raw(raw, config)
    assert other.id == sha256_digest(raw) != image.id
    here.open()
    assert here.images.get(other.id).raw_config == raw


async def test_an_image_whose_layer_is_missing_is_refused(here: Here) -> None:
    image = await here.image()
    lost = msgspec.structs.replace(
        image.config, rootfs=RootFs(diff_ids=(image.config.rootfs.diff_ids * 2))
    )
    with pytest.raises(NotFound, match="layer"):
        await here.images.create(lost)


async def test_images_and_names_are_there_after_a_restart(here: Here) -> None:
    image = await here.image("a:1")
    here.images.tag(image.id, parse_reference("b"))
    before = here.images.resolve("a:1")
    here.open()
    assert here.images.resolve("b") == before


async def test_an_image_with_a_lost_layer_is_not_shown_but_remembered(here: Here) -> None:
    image, kept = await here.image("a"), await here.image("b")
    assert image.top_layer
    here.layers.remove(image.top_layer)
    here.open()
    assert here.images.all() == [here.images.resolve("b")]
    assert here.images.get(kept.id)
    assert here.images.broken() == [(image.id, "a layer of it is lost", list(image.tags))]


async def test_an_image_whose_layer_came_back_is_whole_again(here: Here) -> None:
    image = await here.image("a", "b", text="x")
    assert image.top_layer
    here.layers.remove(image.top_layer)
    here.open()
    assert (await here.image(text="x")).id == image.id
    assert here.images.broken() == []
    assert here.names() == {"a:latest", "b:latest"}


async def test_a_broken_image_can_be_forgotten(here: Here) -> None:
    image = await here.image("a")
    assert image.top_layer
    here.layers.remove(image.top_layer)
    here.open()
    here.images.forget_broken(image.id)
    here.open()
    assert here.images.broken() == []


async def test_a_tag_leaves_the_image_it_named(here: Here) -> None:
    old, new = await here.image("web"), await here.image()
    here.images.tag(new.id, parse_reference("web"))
    assert here.images.resolve("web").id == new.id
    assert here.images.get(old.id).tags == ()
    assert here.images.is_dangling(here.images.get(old.id))
    here.open()
    assert here.images.get(old.id).tags == ()


async def test_a_digest_cannot_be_chosen_as_a_tag(here: Here) -> None:
    image = await here.image()
    with pytest.raises(InvalidParameter, match="refusing to create a tag with a digest"):
        here.images.tag(image.id, parse_reference(f"a@{image.id}"))
    with pytest.raises(NotFound):
        here.images.tag(Digest("sha256:" + "0" * 64), parse_reference("a"))


async def test_making_and_naming_is_told_as_events(here: Here) -> None:
    image = await here.image("a", text="x")
    here.images.tag(image.id, parse_reference("b"))
    await here.removed("a")
    await here.removed("b")
    seen = [(event.action, event.attributes["name"]) for event in here.events.past(since_ns=0)]
    tags = [("tag", "a:latest"), ("tag", "b:latest"), ("untag", image.id)]
    assert seen == [*tags, ("untag", image.id), ("delete", image.id)]
    assert here.events.past(since_ns=0)[0].attributes["text"] == "x"


async def test_all_images_come_newest_first(here: Here) -> None:
    for name in ("old", "middle", "new"):
        await here.image(name)
    assert [image.familiar_tags[0] for image in here.images.all()] == [
        "new:latest",
        "middle:latest",
        "old:latest",
    ]


# ---- import -----------------------------------------------------------------------------


async def test_an_import_makes_an_image_of_one_layer(here: Here) -> None:
    config = ContainerConfig(cmd=("sh",))
    image = await here.images.import_tar(
        a_tar([a_file("bin/sh", b"x")]),
        reference=parse_reference("imported:1"),
        message="by hand",
        config=config,
    )
    assert image.familiar_tags == ["imported:1"]
    assert image.config.config == config
    assert len(image.config.rootfs.diff_ids) == 1
    entry = image.config.history[0]
    assert (entry.comment, entry.created) == ("by hand", "2001-09-09T01:46:40.000000000Z")
    assert here.events.past(since_ns=0)[-1].action == "import"


async def test_an_import_without_a_message_says_where_from(here: Here) -> None:
    image = await here.images.import_tar(a_tar())
    assert image.config.history[0].comment == "Imported from -"
    assert image.tags == ()


async def test_a_broken_import_leaves_nothing(here: Here) -> None:
    with pytest.raises(BadArchive):
        await here.images.import_tar(io.BytesIO(b"no tar"), reference=parse_reference("a"))
    assert here.images.all() == []
    assert here.layers.all() == []
    assert list(here.paths.tmp.iterdir()) == []


# ---- removing ---------------------------------------------------------------------------


async def test_the_last_name_takes_the_image_and_its_layers_with_it(here: Here) -> None:
    image = await here.image("a")
    assert await here.removed("a") == ["a:latest", image.id]
    assert here.images.all() == []
    assert here.layers.all() == []


async def test_a_push_of_an_image_that_was_removed_meanwhile_names_nothing(here: Here) -> None:
    image = await here.image("a", text="one")
    await here.removed("a")
    here.images.tag_pushed(image.id, parse_reference("reg.example/a:1"), image.id)
    assert here.images.all() == []
    here.db.close()
    here.open()
    assert here.images.all() == []


async def test_one_of_two_names_is_only_a_name(here: Here) -> None:
    await here.image("a", "b")
    assert await here.removed("a") == ["a:latest"]
    assert here.names() == {"b:latest"}


async def test_by_id_an_image_with_one_name_goes(here: Here) -> None:
    image = await here.image("a")
    assert await here.removed(image.id[7:19]) == ["a:latest", image.id]


@pytest.mark.parametrize("names", [("a", "b"), ("a:1", "a:2")])
async def test_by_id_an_image_with_several_names_must_be_forced(
    here: Here, names: tuple[str, ...]
) -> None:
    image = await here.image(*names)
    with pytest.raises(Conflict, match=r"must be forced.* - image is referenced in multiple"):
        await here.images.remove(image.id)
    assert len(here.names()) == 2
    assert (await here.removed(image.id, force=True))[-1] == image.id


async def test_an_image_of_a_running_container_cannot_be_deleted(here: Here) -> None:
    image = await here.image("a")
    here.users[image.id] = [("c0ffee", True)]
    with pytest.raises(Conflict, match=r'remove repository reference "a" \(must force\)'):
        await here.images.remove("a")
    for force in (False, True):
        with pytest.raises(Conflict, match=r"cannot be forced.*running container c0ffee"):
            await here.images.remove(image.id, force=force)
    assert here.names() == {"a:latest"}


async def test_with_force_the_name_of_a_used_image_goes_and_the_image_stays(here: Here) -> None:
    image = await here.image("a")
    here.users[image.id] = [("c0ffee", True)]
    assert await here.removed("a", force=True) == ["a:latest"]
    assert here.images.is_dangling(here.images.get(image.id))


async def test_an_image_of_a_stopped_container_must_be_forced(here: Here) -> None:
    image = await here.image("a")
    here.users[image.id] = [("c0ffee", False)]
    with pytest.raises(Conflict, match=r"must be forced.*stopped container c0ffee"):
        await here.images.remove(image.id)
    assert await here.removed(image.id, force=True) == ["a:latest", image.id]


async def test_a_used_image_may_lose_one_of_two_names(here: Here) -> None:
    image = await here.image("a", "b")
    here.users[image.id] = [("c0ffee", True)]
    assert await here.removed("a") == ["a:latest"]


async def test_an_image_with_children_loses_only_its_name(here: Here) -> None:
    parent = await here.image("base")
    await here.image("child", parent=parent, on=parent)
    with pytest.raises(Conflict, match="image has dependent child images") as caught:
        await here.images.remove(parent.id, force=True)
    assert "child:latest" in (caught.value.hint or "")
    assert await here.removed("base") == ["base:latest"]
    assert not here.images.is_dangling(here.images.get(parent.id))


@pytest.mark.parametrize("prune", [True, False])
async def test_dangling_parents_go_with_their_last_child(here: Here, prune: bool) -> None:
    first = await here.image()
    second = await here.image(parent=first, on=first)
    third = await here.image("child", parent=second, on=second)
    gone = [third.id, second.id, first.id] if prune else [third.id]
    assert await here.removed("child", prune=prune) == ["child:latest", *gone]


async def test_a_parent_with_a_name_stays(here: Here) -> None:
    parent = await here.image("base")
    child = await here.image("child", parent=parent, on=parent)
    assert await here.removed("child") == ["child:latest", child.id]
    assert here.names() == {"base:latest"}


async def test_layers_that_another_image_needs_stay(here: Here) -> None:
    base = await here.image("base")
    child = await here.image("child", on=base)
    await here.removed("base")
    assert [layer.chain_id for layer in here.layers.chain(child.top_layer)] == [
        base.top_layer,
        child.top_layer,
    ]


async def test_kept_layers_stay_with_all_below_them(here: Here) -> None:
    base = await here.image("base")
    child = await here.image("child", on=base)
    here.images.keep(lambda: {child.top_layer} if child.top_layer else set())
    await here.removed("child")
    await here.removed("base")
    assert len(here.layers.all()) == 2


async def test_nothing_is_collected_while_layers_are_held(here: Here) -> None:
    async with here.images.hold():
        here.layers.commit_tar(a_tar([a_file("f", b"12345")]), parent=None)
        assert await here.images.collect_layers() == 0
    assert await here.images.collect_layers() == 5


async def test_a_collection_that_was_put_off_follows_by_itself(here: Here) -> None:
    async with here.images.hold():
        here.layers.commit_tar(a_tar([a_file("f", b"12345")]), parent=None)
        await here.images.collect_layers()
        assert len(here.layers.all()) == 1
    async with asyncio.timeout(5):
        while here.layers.all():
            await asyncio.sleep(0.001)


async def test_removing_the_absent_is_refused(here: Here) -> None:
    with pytest.raises(NotFound, match="No such image: nope:latest"):
        await here.images.remove("nope")


def a_digest_reference(name: str) -> Reference:
    return parse_reference(f"{name}@sha256:{'1' * 64}")


async def test_the_last_tag_takes_the_digests_of_its_repository_along(here: Here) -> None:
    image = await here.image("a:1")
    here.images._name(image.id, a_digest_reference("a"))
    assert here.images.resolve(f"a@sha256:{'1' * 64}").id == image.id
    assert await here.removed("a:1") == ["a:1", a_digest_reference("a").familiar, image.id]


async def test_by_id_a_tag_and_a_digest_of_one_repository_count_as_one_name(here: Here) -> None:
    image = await here.image("a:1")
    here.images._name(image.id, a_digest_reference("a"))
    assert (await here.removed(image.id))[-1] == image.id


# ---- prune ------------------------------------------------------------------------------


async def test_prune_takes_dangling_images_and_counts_their_bytes(here: Here) -> None:
    await here.image("named")
    dangling = await here.image(text="12345")
    lines, freed = await here.images.prune()
    assert next(line.deleted for line in lines if line.deleted) == dangling.id
    assert freed == 5
    assert here.names() == {"named:latest"}


async def test_prune_of_all_spares_used_images_and_what_they_stand_on(here: Here) -> None:
    base = await here.image("base")
    used = await here.image("used", parent=base, on=base)
    await here.image("unused", "also:1")
    here.users[used.id] = [("c0ffee", False)]
    await here.images.prune(dangling_only=False)
    assert here.names() == {"base:latest", "used:latest"}


async def test_prune_takes_only_what_matches(here: Here) -> None:
    keep, drop = await here.image(), await here.image()
    await here.images.prune(matches=lambda image: image.id == drop.id)
    assert [image.id for image in here.images.all()] == [keep.id]


# ---- history ----------------------------------------------------------------------------


async def test_history_is_newest_first_with_sizes_ids_and_tags(here: Here) -> None:
    base = await here.image("base", text="12345")
    child = await here.image("child", text="123", parent=base, on=base)
    assert [(line[0].created_by, *line[1:]) for line in here.images.history(child)] == [
        ("123", 3, child.id, ["child:latest"]),
        ("12345", 5, base.id, ["base:latest"]),
    ]


async def test_lines_without_a_layer_have_no_size(here: Here) -> None:
    image = await here.image(text="12345")
    empty = HistoryEntry(created_by="CMD x", empty_layer=True)
    history = (empty, *image.config.history, empty)
    config = msgspec.structs.replace(image.config, history=history)
    other = await here.images.create_raw(encode_image_config(config), config)
    lines = here.images.history(other)
    assert [line[1] for line in lines] == [0, 5, 0]
    assert [line[2] for line in lines] == [other.id, None, None]


# ---- rehearsal --------------------------------------------------------------------------


async def test_a_rehearsed_prune_says_what_the_prune_then_does(here: Here) -> None:
    base = await here.image("base")
    await here.image("app", on=base)
    await here.image(text="dangling", on=base)
    with here.images.rehearsal() as rehearsal:
        dangling = rehearsal.prune()
        everything = rehearsal.prune(dangling_only=False)
    assert here.names() == {"base:latest", "app:latest"}
    assert await here.images.prune() == dangling
    assert await here.images.prune(dangling_only=False) == everything
    assert here.layers.all() == []


async def test_a_rehearsal_leaves_rows_and_events_alone(here: Here) -> None:
    await here.image("web")
    seen = len(here.events.past(since_ns=0))
    with here.images.rehearsal() as rehearsal:
        lines, _ = rehearsal.remove("web", force=False, prune=True)
    assert lines[0].untagged == "web:latest"
    assert len(here.events.past(since_ns=0)) == seen
    here.db.close()
    here.open()
    assert here.names() == {"web:latest"}


async def test_a_rehearsed_removal_is_refused_as_the_real_one(here: Here) -> None:
    image = await here.image("web")
    here.users[image.id] = [("c1", True)]
    with here.images.rehearsal() as rehearsal, pytest.raises(Conflict, match="c1"):
        rehearsal.remove("web", force=False, prune=True)
    with here.images.rehearsal(users=lambda _image: ()) as rehearsal:
        assert rehearsal.remove("web", force=False, prune=True)[0]


async def test_nothing_is_collected_while_layers_are_being_made(here: Here) -> None:
    await here.image("web")
    async with here.images.hold():
        with here.images.rehearsal() as rehearsal:
            assert rehearsal.prune(dangling_only=False)[1] == 0
