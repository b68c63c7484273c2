"""-v and --mount."""

from __future__ import annotations

import pytest

from pogu.containers.mount_spec import WantedMount, parse_bind, parse_mount
from pogu.errors import InvalidParameter
from pogu.model.container import MountSpec


def a_bind(source: str, destination: str, **fields: object) -> WantedMount:
    values: dict[str, object] = {"propagation": "rprivate", **fields}
    return WantedMount(type="bind", source=source, destination=destination, **values)  # type: ignore[arg-type]


def a_volume(source: str, destination: str, **fields: object) -> WantedMount:
    values: dict[str, object] = {"mode": "z", **fields}
    return WantedMount(type="volume", source=source, destination=destination, **values)  # type: ignore[arg-type]


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
