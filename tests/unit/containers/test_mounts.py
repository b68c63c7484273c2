"""Binds, --mount, tmpfs, volumes and --volumes-from."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from pogu.containers.model import MountPoint
from pogu.containers.mounts import (
    WantedMount,
    anonymous,
    by_depth,
    oci_mounts,
    parse_bind,
    parse_mount,
    plan_mounts,
    renamed,
    tmpfs_mounts,
    with_source,
)
from pogu.errors import InvalidParameter
from pogu.model.container import ContainerConfig, HostConfig, MountSpec
from pogu.runtime.workload import BindMount


def a_bind(source: str, destination: str, **fields: object) -> WantedMount:
    values: dict[str, object] = {"propagation": "rprivate", **fields}
    return WantedMount(type="bind", source=source, destination=destination, **values)  # type: ignore[arg-type]


def a_volume(source: str, destination: str, **fields: object) -> WantedMount:
    values: dict[str, object] = {"mode": "z", **fields}
    return WantedMount(type="volume", source=source, destination=destination, **values)  # type: ignore[arg-type]


# ---- -v --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("/d", a_volume("", "/d", mode="")),
        ("/s:/d", a_bind("/s", "/d")),
        ("/s/../t/:/d/./e/", a_bind("/t", "/d/e")),
        ("/s:/d:ro", a_bind("/s", "/d", mode="ro", read_only=True)),
        (
            "/s:/d:ro,rslave",
            a_bind("/s", "/d", mode="ro,rslave", read_only=True, propagation="rslave"),
        ),
        ("name:/d", a_volume("name", "/d")),
        ("name:/d:ro,nocopy", a_volume("name", "/d", mode="ro,nocopy", read_only=True)),
    ],
)
def test_a_bind_is_parsed(spec: str, expected: WantedMount) -> None:
    assert parse_bind(spec) == expected


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("", "invalid volume specification"),
        ("/s:", "invalid volume specification"),
        (":/d", "invalid volume specification"),
        ("/a:/b:ro:x", "invalid volume specification"),
        ("/s:/d:rw,what", "invalid mode: rw,what"),
        ("/s:/d:ro,rw", "invalid mode: ro,rw"),
        ("/s:/d:z,Z", "invalid mode: z,Z"),
        ("/d:ro", "invalid volume specification"),
        ("/s:d", "mount path must be absolute"),
        ("d", "mount path must be absolute"),
        ("/s:/", "destination can't be '/'"),
        ("/s://..", "destination can't be '/'"),
        ("./s:/d", "use absolute path"),
    ],
)
def test_a_wrong_bind_is_refused_in_dockers_words(spec: str, message: str) -> None:
    with pytest.raises(InvalidParameter, match=message):
        parse_bind(spec)


def a_part(subpath: str) -> MountSpec:
    options: dict[str, object] = {"Subpath": subpath}
    return MountSpec(source="vol", target="/d", type="volume", volume_options=options)


# ---- --mount ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (MountSpec(source="/s", target="/d"), a_bind("/s", "/d", must_exist=True)),
        (
            MountSpec(
                source="/s",
                target="/d",
                read_only=True,
                bind_options={"Propagation": "rshared", "NonRecursive": True},
            ),
            a_bind(
                "/s",
                "/d",
                must_exist=True,
                read_only=True,
                propagation="rshared",
                mode="nonrecursive",
            ),
        ),
        (
            MountSpec(source="/s", target="/d", bind_options={"CreateMountpoint": True}),
            a_bind("/s", "/d"),
        ),
        (MountSpec(type="volume", target="/d"), a_volume("", "/d")),
        (
            MountSpec(
                type="volume",
                source="vol",
                target="/d",
                volume_options={"NoCopy": True, "Labels": {"a": "b"}, "Subpath": "x/y"},
            ),
            a_volume("vol", "/d", mode="nocopy", labels=(("a", "b"),), subpath="x/y"),
        ),
        (
            MountSpec(type="tmpfs", target="/d", read_only=True),
            WantedMount(type="tmpfs", source="", destination="/d", read_only=True),
        ),
        (
            MountSpec(type="image", source="web:1", target="/d", image_options={"Subpath": "a/b"}),
            WantedMount(
                type="image", source="web:1", destination="/d", read_only=True, subpath="a/b"
            ),
        ),
    ],
)
def test_a_mount_object_is_parsed(spec: MountSpec, expected: WantedMount) -> None:
    assert parse_mount(spec) == expected


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (MountSpec(target="", source="/s"), "field Target must not be empty"),
        (MountSpec(target="d", source="/s"), "mount path must be absolute"),
        (MountSpec(target="/..", source="/s"), "destination can't be '/'"),
        (MountSpec(target="/d"), "field Source must not be empty"),
        (MountSpec(target="/d", source="s"), "mount path must be absolute"),
        (MountSpec(target="/d", source="/s", bind_options={"Propagation": "x"}), "propagation"),
        (MountSpec(target="/d", type="tmpfs", source="/s"), "field Source must not be specified"),
        (MountSpec(target="/d", type="npipe"), "mount type unknown"),
        (MountSpec(target="/d", type="volume", source="no/name"), "volume name"),
        (MountSpec(target="/d", type="image"), "field Source must not be empty"),
        (
            MountSpec(target="/d", type="image", source="web", volume_options={}),
            "field VolumeOptions must not",
        ),
        (
            MountSpec(target="/d", type="image", source="w", image_options={"Subpath": "a/../b"}),
            "relative",
        ),
        (a_part("../x"), "relative"),
        (a_part("/x"), "relative"),
        (MountSpec(target="/d", type="volume", volume_options={"Subpath": "x"}), "anonymous"),
        (MountSpec(target="/d", type="volume", read_only=True), "must not set ReadOnly mode"),
        (MountSpec(target="/d", type="volume", bind_options={}), "field BindOptions must not"),
        (MountSpec(target="/d", source="/s", volume_options={}), "field VolumeOptions must not"),
        (
            MountSpec(target="/d", type="volume", volume_options={"DriverConfig": {"Name": "nfs"}}),
            'plugin "nfs" not found',
        ),
    ],
)
def test_a_wrong_mount_object_is_refused(spec: MountSpec, message: str) -> None:
    with pytest.raises(InvalidParameter, match=message):
        parse_mount(spec)


# ---- the plan --------------------------------------------------------------------------------


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


# ---- into the runtime spec -------------------------------------------------------------------


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


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("", ("nosuid", "nodev", "noexec")),
        ("size=64m,mode=700", ("nosuid", "nodev", "noexec", "size=64m", "mode=700")),
        ("exec,rw", ("nosuid", "nodev", "exec", "rw")),
        ("noexec", ("nosuid", "nodev", "noexec")),
    ],
)
def test_a_tmpfs_has_dockers_options_below_the_given(text: str, options: tuple[str, ...]) -> None:
    (mount,) = tmpfs_mounts(HostConfig(tmpfs={"/d/": text}))
    assert (mount.destination, mount.type) == ("/d", "tmpfs")
    assert mount.options == options


@pytest.mark.parametrize(
    ("options", "read_only", "expected"),
    [
        (None, False, ("mode=1777",)),
        ({"SizeBytes": 1024, "Mode": 0o700}, False, ("size=1024", "mode=700")),
        ({}, True, ("ro", "mode=1777")),
    ],
)
def test_a_tmpfs_object_says_size_and_mode(
    options: dict[str, object] | None, read_only: bool, expected: tuple[str, ...]
) -> None:
    spec = MountSpec(type="tmpfs", target="/d", tmpfs_options=options, read_only=read_only)
    (mount,) = tmpfs_mounts(HostConfig(mounts=(spec,)))
    assert mount.options == ("nosuid", "nodev", "noexec", *expected)


def test_mounts_are_made_from_the_outside_in() -> None:
    mounts = [BindMount(destination=place, source="/s") for place in ("/a/b", "/c", "/a")]
    assert [mount.destination for mount in by_depth(mounts)] == ["/c", "/a", "/a/b"]


def test_a_volume_gets_its_place_and_name() -> None:
    wanted = a_volume("", "/d", subpath="x", read_only=True)
    assert anonymous(wanted)
    assert not anonymous(renamed(wanted, "v"))
    assert with_source(wanted, "/volumes/v/_data", "v") == MountPoint(
        type="volume",
        source="/volumes/v/_data/x",
        destination="/d",
        name="v",
        driver="local",
        mode="z",
        rw=False,
    )


@pytest.mark.parametrize("text", ["foo", "size", "size=1m,what=2"])
def test_a_tmpfs_option_that_there_is_not_is_refused(text: str) -> None:
    with pytest.raises(InvalidParameter, match="Invalid tmpfs option"):
        plan_mounts(ContainerConfig(), HostConfig(tmpfs={"/d": text}), lambda _: ())
