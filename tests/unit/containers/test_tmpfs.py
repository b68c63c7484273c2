"""tmpfs in a container."""

from __future__ import annotations

import pytest

from pogu.containers.tmpfs import check_tmpfs, tmpfs_mounts
from pogu.errors import InvalidParameter
from pogu.model.container import HostConfig, MountSpec


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


@pytest.mark.parametrize("text", ["foo", "size", "size=1m,what=2"])
def test_a_tmpfs_option_that_there_is_not_is_refused(text: str) -> None:
    with pytest.raises(InvalidParameter, match="Invalid tmpfs option"):
        check_tmpfs(text.split(","))
