"""Options of the local driver, as Docker's reads them."""

from __future__ import annotations

from pathlib import Path

import pytest

from pogu.errors import InvalidParameter
from pogu.volumes.options import check_options, mount_argv, without_password

TARGET = Path("/v/_data")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"foo": "1"}, 'create v: invalid option: "foo"'),
        ({"type": "nfs"}, 'create v: missing required option: "device"'),
        ({"device": "/x"}, 'create v: missing required option: "type"'),
        ({"o": "bind"}, 'create v: missing required option: "device"'),
        ({"size": "1g"}, "create v: quota size requested but no quota support"),
    ],
)
def test_options_that_cannot_be_are_refused(options: dict[str, str], words: str) -> None:
    with pytest.raises(InvalidParameter) as refused:
        check_options("v", options)
    assert refused.value.message == words


def test_without_options_nothing_is_mounted() -> None:
    check_options("v", {})
    assert mount_argv({}, TARGET) == []


def test_a_bind_is_mounted_by_the_kernel_alone() -> None:
    options = {"type": "none", "device": "/data", "o": "bind"}
    check_options("v", options)
    assert mount_argv(options, TARGET) == [
        *("mount", "-i", "-t", "none", "-o", "bind", "--", "/data", "/v/_data")
    ]


def test_a_device_that_looks_like_a_flag_is_none() -> None:
    argv = mount_argv({"type": "tmpfs", "device": "--help"}, TARGET)
    assert argv[argv.index("--") :] == ["--", "--help", "/v/_data"]


def test_passwords_are_not_shown() -> None:
    assert without_password("o=user=a,password=secret,vers=3") == (
        "o=user=a,password=********,vers=3"
    )
