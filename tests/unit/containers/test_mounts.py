"""What is mounted, in which order, and as the runtime is told."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from pogu.containers.model import MountPoint
from pogu.containers.mount_spec import WantedMount
from pogu.containers.mounts import by_depth, oci_mounts, plan_mounts, with_source
from pogu.errors import InvalidParameter
from pogu.model.container import ContainerConfig, HostConfig, MountSpec
from pogu.runtime.workload import BindMount


def planned(
    host: HostConfig, *, volumes: Sequence[str] = (), others: Sequence[MountPoint] = ()
) -> list[tuple[str, str]]:
    """(destination, source) of every planned mount."""
    config = ContainerConfig(volumes={path: {} for path in volumes})
    return [
        (mount.destination, mount.source) for mount in plan_mounts(config, host, lambda _: others)
    ]


def test_the_outer_mount_comes_before_the_inner() -> None:
    host = HostConfig(binds=("/1:/a/b/c", "/2:/b", "/3:/a/b"), tmpfs={"/a": ""})
    assert [place for place, _ in planned(host)] == ["/a", "/b", "/a/b", "/a/b/c"]


@pytest.mark.parametrize(
    "host",
    [
        HostConfig(binds=("/1:/d", "/2:/d/")),
        HostConfig(binds=("/1:/d",), mounts=(MountSpec(source="/2", target="/d"),)),
        HostConfig(binds=("/1:/d",), tmpfs={"/d": ""}),
    ],
)
def test_one_place_is_mounted_once(host: HostConfig) -> None:
    with pytest.raises(InvalidParameter, match="Duplicate mount point: /d"):
        planned(host)


def test_own_mounts_hide_inherited_ones_and_these_the_images() -> None:
    others = [
        MountPoint(type="volume", name="a", source="/va", destination="/a"),
        MountPoint(type="volume", name="b", source="/vb", destination="/b"),
        MountPoint(type="tmpfs", source="", destination="/t"),
    ]
    host = HostConfig(binds=("/own:/a",), volumes_from=("other",))
    found = planned(host, volumes=("/a", "/b", "/c"), others=others)
    assert found == [("/a", "/own"), ("/b", "/vb"), ("/c", "")]


def test_an_inherited_image_is_the_same_part_of_the_same_tree() -> None:
    other = MountPoint(type="image", source="sha256:1", destination="/d", rw=False, subpath="a")
    host = HostConfig(volumes_from=("o:rw",))
    (mount,) = plan_mounts(ContainerConfig(), host, lambda _: [other])
    assert isinstance(mount, MountPoint)
    assert (mount.rw, mount.subpath, mount.source) == (False, "a", "sha256:1")


@pytest.mark.parametrize(
    ("text", "source_rw", "rw"),
    [("o", True, True), ("o:ro", True, False), ("o:rw", False, False), ("o", False, False)],
)
def test_inherited_mounts_are_never_more_writable(text: str, source_rw: bool, rw: bool) -> None:
    other = MountPoint(type="bind", source="/s", destination="/d", rw=source_rw)
    host = HostConfig(volumes_from=(text,))
    (mount,) = plan_mounts(ContainerConfig(), host, lambda _: [other])
    assert isinstance(mount, MountPoint)
    assert mount.rw is rw


@pytest.mark.parametrize("text", ["", ":ro", "other:what", "other:nocopy", "other:rslave"])
def test_a_wrong_volumes_from_is_refused(text: str) -> None:
    with pytest.raises(InvalidParameter, match=r"volumes-from|invalid mode"):
        planned(HostConfig(volumes_from=(text,)))


@pytest.mark.parametrize(
    ("mount", "options"),
    [
        (MountPoint(type="volume", source="/s", destination="/d"), ("rbind", "rprivate")),
        (
            MountPoint(type="bind", source="/s", destination="/d", rw=False, propagation="rslave"),
            ("rbind", "rslave", "ro", "rro"),
        ),
        (
            MountPoint(type="bind", source="/s", destination="/d", mode="nonrecursive"),
            ("bind", "rprivate"),
        ),
    ],
)
def test_a_mount_becomes_a_bind(mount: MountPoint, options: tuple[str, ...]) -> None:
    made = oci_mounts([mount], is_directory=lambda path: path == "/s")
    assert made == [BindMount(destination="/d", source="/s", options=options)]


def test_a_tmpfs_is_no_bind() -> None:
    assert oci_mounts([MountPoint(type="tmpfs", source="", destination="/d")]) == []


def test_mounts_are_made_from_the_outside_in() -> None:
    mounts = [BindMount(destination=place, source="/s") for place in ("/a/b", "/c", "/a")]
    assert [mount.destination for mount in by_depth(mounts)] == ["/c", "/a", "/a/b"]


def test_a_volume_gets_its_place_and_name() -> None:
    wanted = WantedMount(
        type="volume", source="", destination="/d", mode="z", subpath="x", read_only=True
    )
    assert with_source(wanted, "/volumes/v/_data", "v") == MountPoint(
        type="volume",
        source="/volumes/v/_data/x",
        destination="/d",
        name="v",
        driver="local",
        mode="z",
        rw=False,
    )


def test_a_wrong_tmpfs_option_is_found_before_anything_is_made() -> None:
    with pytest.raises(InvalidParameter, match="Invalid tmpfs option"):
        plan_mounts(ContainerConfig(), HostConfig(tmpfs={"/d": "foo"}), lambda _: ())
