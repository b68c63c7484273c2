"""A blob arrives at a registry whole, whatever the connection does: a registry that keeps parts."""

from __future__ import annotations

import hashlib
import socket
import threading
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from pogu.errors import Unavailable
from pogu.oci.digest import Digest
from pogu.registry.client import Repository
from pogu.registry.credentials import Credentials
from pogu.registry.endpoint import Endpoint
from pogu.registry.transport import Transport
from pogu.registry.upload import upload_file

BLOB = bytes(range(256)) * 16384
DIGEST = Digest("sha256:" + hashlib.sha256(BLOB).hexdigest())


@dataclass(slots=True)
class UploadRegistry:
    """Keeps what came before a cut, as the distribution-spec allows."""

    cuts: list[int] = field(default_factory=list)
    """After so many bytes the next requests with a body are cut."""
    largest: int = 1 << 40
    forgets: int = 0
    """So many questions how far it came are answered with 404."""
    parts: dict[str, bytes] = field(default_factory=dict)
    stored: dict[str, bytes] = field(default_factory=dict)
    offsets: list[int] = field(default_factory=list)
    url: str = ""


@pytest.fixture
def registry() -> Iterator[UploadRegistry]:
    state = UploadRegistry()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _say(self, status: int, **headers: str) -> None:
            self.send_response(status)
            self.send_header("Content-Length", "0")
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()

        @property
        def _session(self) -> str:
            return self.path.partition("?")[0].rpartition("/")[2]

        def _here(self) -> str:
            return f"/v2/repo/blobs/uploads/{self._session}"

        def do_POST(self) -> None:
            name = str(len(state.parts))
            state.parts[name] = b""
            self._say(202, Location=f"/v2/repo/blobs/uploads/{name}")

        def do_GET(self) -> None:
            if state.forgets:
                state.forgets -= 1
                self._say(404)
                return
            last = max(0, len(state.parts[self._session]) - 1)
            self._say(204, Location=self._here(), Range=f"0-{last}")

        def do_HEAD(self) -> None:
            self._say(200 if self.path.rpartition("/")[2] in state.stored else 404)

        def do_PATCH(self) -> None:
            size = int(self.headers["Content-Length"])
            if size > state.largest:
                self.rfile.read(size)
                self._say(413)
                return
            begins = int(self.headers.get("Content-Range", "0-").partition("-")[0])
            state.offsets.append(begins)
            assert begins == len(state.parts[self._session])
            cut = state.cuts.pop(0) if state.cuts else size
            state.parts[self._session] += self.rfile.read(min(size, cut))
            if cut < size:
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            self._say(202, Location=self._here())

        def do_PUT(self) -> None:
            data = state.parts[self._session]
            digest = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)["digest"][0]
            if f"sha256:{hashlib.sha256(data).hexdigest()}" != digest:
                self._say(400)
                return
            state.stored[digest] = data
            self._say(201)

        def handle_one_request(self) -> None:
            try:
                super().handle_one_request()
            except OSError:
                self.close_connection = True

        def log_message(self, *_words: object) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        state.url = f"http://127.0.0.1:{listening.server_address[1]}"
        thread = threading.Thread(target=listening.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield state
        listening.shutdown()
        thread.join()


async def upload(registry: UploadRegistry, tmp_path: Path) -> None:
    path = tmp_path / "blob"
    path.write_bytes(BLOB)

    async def quiet(_current: int, _total: int) -> None:
        return

    endpoint = Endpoint(url=registry.url, domain="test", tls=None)
    async with Transport(
        "test", [endpoint], Credentials(), tries=2, first_pause_s=0.001
    ) as transport:
        repository = Repository(transport, "repo", actions="pull,push")
        await upload_file(repository, path, DIGEST, progress=quiet, first_pause_s=0.001)


async def test_an_upload_is_one_request_where_nothing_breaks(
    registry: UploadRegistry, tmp_path: Path
) -> None:
    await upload(registry, tmp_path)
    assert registry.stored[DIGEST] == BLOB
    assert registry.offsets == [0]


async def test_a_cut_upload_goes_on_with_where_it_broke(
    registry: UploadRegistry, tmp_path: Path
) -> None:
    registry.cuts = [1_000_000, 500_000] + [100_000] * 8
    await upload(registry, tmp_path)
    assert registry.stored[DIGEST] == BLOB
    assert registry.offsets[:4] == [0, 1_000_000, 1_500_000, 1_600_000]


async def test_what_the_registry_has_forgotten_begins_anew(
    registry: UploadRegistry, tmp_path: Path
) -> None:
    registry.cuts, registry.forgets = [1_000_000], 1
    await upload(registry, tmp_path)
    assert registry.stored[DIGEST] == BLOB
    assert registry.offsets == [0, 0]


async def test_a_registry_that_takes_less_at_once_gets_parts(
    registry: UploadRegistry, tmp_path: Path
) -> None:
    registry.largest = 2_500_000
    await upload(registry, tmp_path)
    assert registry.stored[DIGEST] == BLOB
    assert registry.offsets == [0, len(BLOB) // 2]


async def test_an_upload_that_gets_nowhere_is_given_up(
    registry: UploadRegistry, tmp_path: Path
) -> None:
    registry.cuts = [0] * 99
    with pytest.raises(Unavailable, match="Patch"):
        await upload(registry, tmp_path)
    assert not registry.stored
