"""TLS of registries, and the proxy on the way to them. Real registries behind names of our own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.certificates import Certificate, an_authority, signed
from tests.engine_process import EngineProcess, an_engine
from tests.fakes.connect_proxy import ConnectProxy, a_connect_proxy
from tests.registry_process import a_registry

pytestmark = pytest.mark.root


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    engine: EngineProcess
    proxy: ConnectProxy
    certs: Path
    authority: Certificate

    def trust(self, name: str, authority: Certificate | None = None) -> Path:
        """Believe in an authority for one registry; return its directory."""
        directory = self.certs / name
        directory.mkdir(exist_ok=True)
        (directory / "ca.crt").write_bytes((authority or self.authority).pem)
        return directory


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    authority = an_authority()
    certs = tmp_path_factory.mktemp("certs.d")
    with ExitStack() as stack:
        proxy = stack.enter_context(a_connect_proxy(login="me:proxy-secret"))
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setenv("HTTPS_PROXY", f"http://me:proxy-secret@{proxy.address}")
        patch.setenv("NO_PROXY", "direct.test")
        patch.setenv("POGU_REGISTRY_CERTS", str(certs))

        def serve(name: str, tls: Certificate | None, clients: Certificate | None = None) -> None:
            directory = tmp_path_factory.mktemp("registry")
            registry = stack.enter_context(a_registry(directory, tls=tls, clients=clients))
            proxy.names[f"{name}:443"] = registry.address

        serve("good.test", signed(authority, names=("good.test", "other.test")))
        proxy.names["mismatch.test:443"] = proxy.names["good.test:443"]
        proxy.names["unknown.test:443"] = proxy.names["good.test:443"]
        serve("expired.test", signed(authority, names=("expired.test",), expired=True))
        serve("clients.test", signed(authority, names=("clients.test",)), authority)
        serve("plain.test", None)
        engine = stack.enter_context(an_engine(tmp_path_factory.mktemp("pogu")))
        yield World(engine=engine, proxy=proxy, certs=certs, authority=authority)


def test_an_own_authority_is_believed_and_the_proxy_is_used(world: World) -> None:
    world.trust("good.test")
    world.engine.ok("tag", "busybox", "good.test/web:1")
    world.engine.ok("push", "good.test/web:1")
    world.engine.ok("rmi", "good.test/web:1")
    assert "Downloaded newer image" in world.engine.ok("pull", "good.test/web:1")
    world.engine.ok("rmi", "good.test/web:1")
    assert "good.test:443" in world.proxy.asked
    assert "proxy-secret" not in (world.engine.root / "engine.log").read_text()


def test_an_unknown_authority_is_refused_and_the_hint_says_where_it_belongs(world: World) -> None:
    said = world.engine.refused("pull", "unknown.test/web:1")
    assert (
        "tls: failed to verify certificate: x509: certificate signed by unknown authority" in said
    )
    assert "/etc/pogu/certs.d/unknown.test/ca.crt" in said
    world.trust("unknown.test", an_authority("Another"))
    assert "unknown authority" in world.engine.refused("pull", "unknown.test/web:1")


def test_expired_and_mismatching_certificates_are_explained(world: World) -> None:
    world.trust("expired.test")
    world.trust("mismatch.test")
    assert "x509: certificate has expired" in world.engine.refused("pull", "expired.test/web:1")
    said = world.engine.refused("pull", "mismatch.test/web:1")
    assert "x509: certificate is not valid for any names that match mismatch.test" in said


def test_a_registry_that_wants_a_certificate_gets_ours(world: World) -> None:
    directory = world.trust("clients.test")
    said = world.engine.refused("pull", "clients.test/web:1")
    assert "certificate required" in said
    assert "client.cert" in said
    own = signed(world.authority, names=("me",))
    (directory / "client.cert").write_bytes(own.pem)
    assert "missing key client.key" in world.engine.refused("pull", "clients.test/web:1")
    own.write(directory / "client.cert", directory / "client.key")
    world.engine.ok("tag", "busybox", "clients.test/web:1")
    world.engine.ok("push", "clients.test/web:1")
    world.engine.ok("rmi", "clients.test/web:1")


def test_plain_http_is_refused_where_nobody_allowed_it(world: World) -> None:
    said = world.engine.refused("pull", "plain.test/web:1")
    assert "http: server gave HTTP response to HTTPS client" in said
    assert 'insecure = ["plain.test"]' in said


def test_what_no_proxy_names_is_asked_directly(world: World) -> None:
    said = world.engine.refused("pull", "direct.test/web:1")
    assert "dial tcp: lookup direct.test" in said
    assert not [name for name in world.proxy.asked if name.startswith("direct.test")]


def test_a_broken_authority_file_is_named(world: World) -> None:
    directory = world.trust("broken.test")
    (directory / "ca.crt").write_text("no certificate")
    assert str(directory / "ca.crt") in world.engine.refused("pull", "broken.test/web:1")


def test_a_manifest_is_read_of_an_unknown_registry_only_when_that_is_allowed(world: World) -> None:
    name = "other.test/never:1"
    world.proxy.names["other.test:443"] = world.proxy.names["good.test:443"]
    assert "certificate" in world.engine.refused("manifest", "inspect", name)
    said = world.engine.refused("manifest", "inspect", "--insecure", name)
    assert f"no such manifest: {name}" in said


def test_a_proxy_that_refuses_is_named_without_its_password(world: World) -> None:
    before, world.proxy.login = world.proxy.login, "me:another"
    try:
        said = world.engine.refused("pull", "good.test/web:1")
    finally:
        world.proxy.login = before
    assert 'Get "https://good.test/v2/web/manifests/1": proxyconnect tcp: 407' in said
    assert "HTTPS_PROXY" in said
    assert "proxy-secret" not in said + (world.engine.root / "engine.log").read_text()
