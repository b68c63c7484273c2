"""`search`: Docker's index (one of the tests' own), and registries that only have a catalogue."""

from __future__ import annotations

import json
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from tests.certificates import Certificate, an_authority, signed
from tests.engine_process import EngineProcess, an_engine
from tests.fakes.connect_proxy import ConnectProxy, a_connect_proxy
from tests.registry_process import a_registry

pytestmark = pytest.mark.root

RESULTS = [
    ("node-of-ann", 7, False, "A node,\nby ann"),
    ("node", 14000, True, "Node.js is a JavaScript-based platform for server-side applications"),
    ("bitnami/node", 200, False, None),
]


@contextmanager
def an_index(directory: Path, certificate: Certificate) -> Iterator[str]:
    """Answer `/v1/search` under TLS, as index.docker.io does."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            assert self.path.startswith("/v1/search?q=node&n="), self.path
            found = [
                {
                    "name": name,
                    "star_count": stars,
                    "is_official": official,
                    "is_automated": False,
                    "description": text,
                }
                for name, stars, official, text in RESULTS
            ]
            raw = json.dumps({"num_results": 3, "query": "node", "results": found}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        def log_message(self, *_words: object) -> None:
            return

    certificate.write(directory / "cert.pem", directory / "key.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory / "cert.pem", directory / "key.pem")
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        listening.socket = context.wrap_socket(listening.socket, server_side=True)
        thread = threading.Thread(target=listening.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield f"127.0.0.1:{listening.server_address[1]}"
        listening.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def world(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[EngineProcess, ConnectProxy]]:
    authority = an_authority()
    certs = tmp_path_factory.mktemp("certs.d")
    (certs / "index.docker.io").mkdir()
    (certs / "index.docker.io" / "ca.crt").write_bytes(authority.pem)
    with ExitStack() as stack:
        proxy = stack.enter_context(a_connect_proxy())
        own = signed(authority, names=("index.docker.io",))
        address = stack.enter_context(an_index(tmp_path_factory.mktemp("index"), own))
        proxy.names["index.docker.io:443"] = address
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setenv("HTTPS_PROXY", f"http://{proxy.address}")
        patch.setenv("POGU_REGISTRY_CERTS", str(certs))
        patch.setenv("POGU_REGISTRY_TRIES", "2")
        yield stack.enter_context(an_engine(tmp_path_factory.mktemp("pogu"))), proxy


@pytest.fixture
def engine(world: tuple[EngineProcess, ConnectProxy]) -> EngineProcess:
    return world[0]


def test_what_is_liked_most_comes_first(engine: EngineProcess) -> None:
    lines = engine.ok("search", "node").splitlines()
    assert lines[0].split() == ["NAME", "DESCRIPTION", "STARS", "OFFICIAL"]
    assert [line.split()[0] for line in lines[1:]] == ["node", "bitnami/node", "node-of-ann"]
    assert "Node.js is a JavaScript-based platform for s…" in lines[1]
    assert lines[1].rstrip().endswith("[OK]")
    assert "server-side applications" in engine.ok("search", "--no-trunc", "node")
    assert "A node, by ann" in engine.ok("search", "library/node")


def test_filters_and_format(engine: EngineProcess) -> None:
    names = ("search", "--format", "{{.Name}}", "node")
    assert engine.ok(*names, "--filter", "is-official=true").split() == ["node"]
    assert engine.ok(*names, "--filter", "stars=100").split() == ["node", "bitnami/node"]
    assert engine.ok(*names, "--limit", "1").split() == ["node-of-ann"]
    assert "invalid filter" in engine.refused(*names, "--filter", "stars=many")
    assert "invalid filter" in engine.refused(*names, "--filter", "colour=red")
    assert "outside the range of [1, 100]" in engine.refused(*names, "--limit", "101")


def test_the_docker_cli_searches_too(engine: EngineProcess) -> None:
    done = subprocess.run(
        ["docker", "-H", f"unix://{engine.socket}", "search", "--filter", "stars=100", "node"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert [line.split()[0] for line in done.stdout.splitlines()[1:]] == ["node", "bitnami/node"]


def test_a_registry_without_an_index_is_searched_by_its_catalogue(
    engine: EngineProcess, tmp_path: Path
) -> None:
    with a_registry(tmp_path) as registry:
        for name in ("team/web", "team/db"):
            engine.ok("tag", "busybox", registry.name(f"{name}:1"))
            engine.ok("push", registry.name(f"{name}:1"))
            engine.ok("rmi", registry.name(f"{name}:1"))
        words = ("search", "--format", "{{.Name}}")
        assert engine.ok(*words, registry.name("we")).split() == [registry.name("team/web")]
        assert len(engine.ok(*words, registry.name("")).split()) == 2


def test_an_index_that_cannot_be_reached_is_a_clear_error(
    world: tuple[EngineProcess, ConnectProxy],
) -> None:
    engine, proxy = world
    there = proxy.names.pop("index.docker.io:443")
    try:
        said = engine.refused("search", "node")
    finally:
        proxy.names["index.docker.io:443"] = there
    assert 'Get "https://index.docker.io/v1/search"' in said
