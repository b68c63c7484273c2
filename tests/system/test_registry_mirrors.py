"""Mirrors: asked in turn, left when they fail, never told who we are, never pushed to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest
from tests.engine_process import EngineProcess, an_engine
from tests.fakes.cutting_proxy import CuttingProxy, Rule, a_cutting_proxy
from tests.registry_process import a_registry

pytestmark = pytest.mark.root


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """A registry by its own address and by those of its mirrors."""

    engine: EngineProcess
    own: CuttingProxy
    first: CuttingProxy
    second: CuttingProxy

    @property
    def name(self) -> str:
        return self.own.name("web:1")

    def pull(self) -> None:
        self.engine.ok("pull", self.name)
        assert self.engine.ok("run", "--rm", self.name, "cat", "/here") == "it is"

    def forget(self) -> None:
        if self.name in self.engine.ok("images", "--format", "{{.Repository}}:{{.Tag}}"):
            self.engine.ok("rmi", self.name)
        self.engine.ok("builder", "prune", "-a", "-f")
        for proxy in (self.own, self.first, self.second):
            proxy.forget()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with ExitStack() as stack:
        registry = stack.enter_context(a_registry(tmp_path_factory.mktemp("registry")))
        own, first, second = (
            stack.enter_context(a_cutting_proxy(registry.address)) for _ in range(3)
        )
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        urls = ("http://127.0.0.1:1", f"http://{first.address}", f"http://{second.address}")
        mirrors = ",".join(f"{own.address}={url}" for url in urls)
        patch.setenv("POGU_REGISTRY_MIRRORS", mirrors)
        engine = stack.enter_context(an_engine(tmp_path_factory.mktemp("pogu")))
        world = World(engine=engine, own=own, first=first, second=second)
        context = tmp_path_factory.mktemp("context")
        (context / "Dockerfile").write_text("FROM busybox\nRUN echo it is > /here\n")
        engine.ok("build", "-q", "-t", world.name, str(context))
        engine.ok("push", world.name)
        assert not first.seen + second.seen, "what is pushed goes to the registry itself"
        yield world


@pytest.fixture
def world(running: World) -> World:
    running.forget()
    return running


def test_a_mirror_that_has_it_is_enough(world: World) -> None:
    world.pull()
    assert world.first.seen
    assert not world.second.seen + world.own.seen


@pytest.mark.parametrize("status", [401, 403, 404, 429, 500])
def test_a_mirror_that_refuses_is_left_for_the_next(world: World, status: int) -> None:
    world.first.rules.append(Rule(match="GET", times=99, status=status))
    world.pull()
    assert world.second.seen
    assert not world.own.seen


def test_mirrors_that_send_damaged_bytes_are_left_for_the_registry_itself(world: World) -> None:
    for mirror in (world.first, world.second):
        mirror.rules.append(Rule(match="GET .*/blobs/", times=99, damage=True))
    world.pull()
    assert world.own.those("GET .*/blobs/")


def test_a_mirror_is_not_told_the_login(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(world.engine.root / "docker"))
    words = ("login", "-u", "ann", "--password-stdin", world.own.address)
    world.engine.ok(*words, stdin=b"word")
    challenge = {"WWW-Authenticate": 'Basic realm="x"'}
    for proxy in (world.first, world.second):
        proxy.rules.append(Rule(match="GET", times=99, status=401, headers=challenge))
    world.own.rules.append(Rule(match="GET", times=1, status=401, headers=challenge))
    world.pull()
    assert all("Authorization" not in one.headers for one in world.first.seen)
    assert any("Authorization" in one.headers for one in world.own.seen)


def test_when_nobody_has_it_the_registrys_own_answer_is_given(world: World) -> None:
    said = world.engine.refused("pull", world.own.name("web:nowhere"))
    assert f"manifest for {world.own.name('web:nowhere')} not found" in said
    assert len(world.own.seen) == 1
