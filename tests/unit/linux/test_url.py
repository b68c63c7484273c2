"""What a URL gives arrives whole, or is an error in words."""

from __future__ import annotations

import pytest
from tests.fakes.web_server import a_web_server

from pogu.errors import InvalidParameter
from pogu.linux.url import opened_url


def read(url: str) -> bytes:
    with opened_url(url) as content:
        return b"".join(iter(lambda: content.read(1000), b""))


def test_the_content_is_read() -> None:
    with a_web_server({"/x": b"abc" * 1000}) as url:
        assert read(f"{url}/x") == b"abc" * 1000


def test_a_connection_that_ends_early_is_told() -> None:
    with (
        a_web_server({"/x": b"abc" * 1000}, cut_bytes=10) as url,
        pytest.raises(InvalidParameter, match="unexpected EOF"),
    ):
        read(f"{url}/x")


@pytest.mark.parametrize(
    ("path", "said"), [("/none", "with status 404 Not Found"), ("/with space", "URL can't contain")]
)
def test_what_cannot_be_had_is_told(path: str, said: str) -> None:
    with a_web_server({}) as url, pytest.raises(InvalidParameter, match=said):
        read(url + path)


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://x/y", "http://", "http://[::1"])
def test_only_the_web_is_read(url: str) -> None:
    with pytest.raises(InvalidParameter, match="failed to GET"):
        read(url)
