"""Transfers through connections that break, throttle and lie: the right result or a clear error."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.engine_process import EngineProcess, eventually
from tests.fakes.cutting_proxy import CuttingProxy, Rule, a_cutting_proxy
from tests.registry_process import RegistryProcess, a_registry

pytestmark = pytest.mark.root

SIZE = 3 << 20
BLOBS = "GET .*/blobs/sha256"
TAG = "big:1"


@pytest.fixture(scope="module")
def engine_environment() -> dict[str, str]:
    return {"POGU_REGISTRY_TIMEOUT_S": "1"}


@pytest.fixture(scope="module")
def proxies(registry: RegistryProcess) -> Iterator[CuttingProxy]:
    with a_cutting_proxy(registry.address) as running:
        yield running


@pytest.fixture(scope="module")
def stored(
    engine: EngineProcess,
    registry: RegistryProcess,
    tmp_path_factory: pytest.TempPathFactory,
) -> str:
    """An image with one layer of 3 MiB that cannot be compressed; its ID."""
    directory = tmp_path_factory.mktemp("context")
    (directory / "big").write_bytes(os.urandom(SIZE))
    (directory / "Dockerfile").write_text("FROM scratch\nCOPY big /big\n")
    engine.ok("build", "-q", "-t", registry.name(TAG), str(directory))
    engine.ok("push", registry.name(TAG))
    return engine.ok("image", "inspect", "-f", "{{.Id}}", registry.name(TAG))


@pytest.fixture
def proxy(
    engine: EngineProcess, registry: RegistryProcess, proxies: CuttingProxy, stored: str
) -> Iterator[CuttingProxy]:
    """A proxy without rules, and nothing of the image here."""
    forget_all(engine)
    proxies.forget()
    yield proxies
    proxies.forget()


def forget_all(engine: EngineProcess) -> None:
    names = engine.ok("images", "--format", "{{.Repository}}:{{.Tag}}").split()
    mine = [name for name in names if "/" in name]
    if mine:
        engine.ok("rmi", *mine)
    engine.ok("builder", "prune", "-a", "-f")
    for part in (engine.root / "tmp").glob("part-*"):
        part.unlink()


def parts(engine: EngineProcess) -> list[Path]:
    return list((engine.root / "tmp").glob("part-*"))


def assert_pulled(engine: EngineProcess, proxy: CuttingProxy, stored: str) -> None:
    name = proxy.name(TAG)
    engine.ok("pull", name)
    assert engine.ok("image", "inspect", "-f", "{{.Id}}", name) == stored
    assert parts(engine) == []


# ---- pull --------------------------------------------------------------------------------------


def test_a_pull_that_is_cut_goes_on_by_byte_range(
    engine: EngineProcess, proxy: CuttingProxy, stored: str
) -> None:
    for cut in (0, 700_000, 1_000_000):
        proxy.rules.append(Rule(match=BLOBS, times=2, cut_answer_after=cut))
    assert_pulled(engine, proxy, stored)
    assert any("Range" in one.headers for one in proxy.those(BLOBS))
    assert proxy.served(BLOBS) < SIZE + 100_000


def test_a_tag_that_has_not_moved_is_only_asked_about(
    engine: EngineProcess, proxy: CuttingProxy, stored: str
) -> None:
    assert_pulled(engine, proxy, stored)
    proxy.forget()
    assert "Image is up to date" in engine.ok("pull", proxy.name(TAG))
    assert proxy.those("GET .*/(manifests|blobs)/") == []
    assert len(proxy.those("HEAD .*/manifests/")) == 1


def test_what_is_here_by_its_digest_is_not_asked_for(
    engine: EngineProcess, proxy: CuttingProxy, stored: str
) -> None:
    assert_pulled(engine, proxy, stored)
    name = engine.ok("image", "inspect", "-f", "{{index .RepoDigests 0}}", proxy.name(TAG))
    proxy.forget()
    assert "Image is up to date" in engine.ok("pull", name)
    assert proxy.seen == []


def test_a_pull_that_stands_still_goes_on_over_another_connection(
    engine: EngineProcess, proxy: CuttingProxy, stored: str
) -> None:
    proxy.rules.append(Rule(match=BLOBS, times=2, cut_answer_after=100_000, hang=True))
    assert_pulled(engine, proxy, stored)
    assert proxy.served(BLOBS) < SIZE + 100_000


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_registry_is_asked_again(
    engine: EngineProcess, proxy: CuttingProxy, stored: str, status: int
) -> None:
    headers = {"Retry-After": "0"} if status == 429 else {}
    proxy.rules.append(Rule(match="GET", times=2, status=status, headers=headers))
    assert_pulled(engine, proxy, stored)


def test_a_long_limit_is_not_waited_for_and_says_what_to_do(
    engine: EngineProcess, proxy: CuttingProxy
) -> None:
    headers = {"Retry-After": "3600"}
    proxy.rules.append(Rule(match="GET .*/manifests/", times=99, status=429, headers=headers))
    said = engine.refused("pull", proxy.name(TAG))
    assert "toomanyrequests" in said
    assert "wait 3600 s" in said
    assert "pogu login" in said
    assert len(proxy.those("/manifests/")) == 1


def test_a_limit_amid_the_layers_is_the_error(engine: EngineProcess, proxy: CuttingProxy) -> None:
    proxy.rules.append(Rule(match=BLOBS, times=99, status=429, headers={"Retry-After": "3600"}))
    assert "toomanyrequests" in engine.refused("pull", proxy.name(TAG))


def test_a_wrong_length_leaves_a_part_that_a_later_pull_goes_on_with(
    engine: EngineProcess, proxy: CuttingProxy, stored: str
) -> None:
    short = Rule(match=BLOBS, times=1, headers={"Content-Length": "2000"}, cut_answer_after=2000)
    long = Rule(match=BLOBS, times=1, headers={"Content-Length": "99999999"})
    proxy.rules += [short, long]
    assert_pulled(engine, proxy, stored)


def test_damaged_bytes_are_refused_and_leave_nothing(
    engine: EngineProcess, proxy: CuttingProxy, stored: str
) -> None:
    proxy.rules.append(Rule(match=BLOBS, times=1, damage=True))
    assert "verification failed" in engine.refused("pull", proxy.name(TAG))
    assert proxy.name("big") not in engine.ok("images", "--format", "{{.Repository}}")
    assert not list((engine.root / "tmp").glob("layer-*"))
    assert_pulled(engine, proxy, stored)


def test_a_redirect_to_another_host_does_not_learn_who_we_are(
    engine: EngineProcess,
    proxy: CuttingProxy,
    registry: RegistryProcess,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    with (
        a_registry(tmp_path, user="ann", password="word") as private,
        a_cutting_proxy(private.address) as front,
        a_cutting_proxy(registry.address) as elsewhere,
    ):
        engine.ok("pull", proxy.name(TAG))
        engine.ok("tag", proxy.name(TAG), front.name(TAG))
        engine.ok("login", "-u", "ann", "--password-stdin", front.address, stdin=b"word")
        engine.ok("push", front.name(TAG))
        forget_all(engine)
        digest = next(one for one in proxy.those(BLOBS) if one.served > SIZE).path.split("/")[-1]
        front.rules.append(
            Rule(
                match=f"{BLOBS}.*{digest[7:19]}",
                status=307,
                headers={"Location": f"http://{elsewhere.address}/v2/big/blobs/{digest}"},
            )
        )
        engine.ok("pull", front.name(TAG))
        assert elsewhere.served(BLOBS) > SIZE
        assert all("Authorization" not in one.headers for one in elsewhere.seen)
        assert any("Authorization" in one.headers for one in front.seen)
        engine.ok("rmi", front.name(TAG))


def test_after_a_kill_of_the_engine_a_pull_goes_on_where_it_was(
    engine: EngineProcess, proxy: CuttingProxy, stored: str
) -> None:
    proxy.rules.append(Rule(match=BLOBS, times=2, piece_pause_s=0.02))
    pulling = engine.popen("pull", proxy.name(TAG))
    eventually(lambda: any(part.stat().st_size > SIZE // 3 for part in parts(engine)))
    engine.kill()
    pulling.communicate()
    assert pulling.returncode != 0
    assert_pulled(engine, proxy, stored)
    assert int(proxy.those(BLOBS)[-1].headers["Range"].strip("bytes=-")) > SIZE // 3


def test_ctrl_c_ends_the_transfer_and_leaves_only_its_part(
    engine: EngineProcess, proxy: CuttingProxy, stored: str
) -> None:
    proxy.rules.append(Rule(match=BLOBS, times=2, piece_pause_s=0.02))
    pulling = engine.popen("pull", proxy.name(TAG))
    eventually(lambda: any(part.stat().st_size > SIZE // 3 for part in parts(engine)))
    pulling.send_signal(signal.SIGINT)
    pulling.communicate()
    assert pulling.returncode == 130
    sizes = [part.stat().st_size for part in parts(engine)]
    eventually(lambda: not list((engine.root / "tmp").glob("layer-*")))
    assert len(sizes) == 1
    assert sizes[0] < SIZE
    assert_pulled(engine, proxy, stored)
    assert re.fullmatch(r"bytes=\d+-", proxy.those(BLOBS)[-1].headers["Range"])


def test_two_pulls_share_the_transfer_and_one_that_leaves_does_not_end_it(
    engine: EngineProcess, proxy: CuttingProxy, stored: str
) -> None:
    proxy.rules.append(Rule(match=BLOBS, times=2, piece_pause_s=0.01))
    leaving = engine.popen("pull", proxy.name(TAG))
    eventually(lambda: any(part.stat().st_size > SIZE // 3 for part in parts(engine)))
    staying = engine.popen("pull", proxy.name(TAG))
    eventually(lambda: len(proxy.those("GET .*/manifests/")) == 2)
    leaving.kill()
    leaving.communicate()
    out, err = staying.communicate()
    assert staying.returncode == 0, err
    assert b"Downloaded newer image" in out
    assert proxy.served(BLOBS) < SIZE * 2


# ---- push --------------------------------------------------------------------------------------


def assert_pushed(
    engine: EngineProcess, proxy: CuttingProxy, registry: RegistryProcess, stored: str, name: str
) -> None:
    """Push by the proxy, and read it from the registry itself."""
    engine.ok("push", proxy.name(name))
    forget_all(engine)
    engine.ok("pull", registry.name(name))
    assert engine.ok("image", "inspect", "-f", "{{.Id}}", registry.name(name)) == stored


PUSHES = {
    "cut": [Rule(match="PATCH", times=2, cut_request_after=1_000_000)],
    "cut-at-once": [Rule(match="PATCH", times=2, cut_request_after=0)],
    "stands-still": [Rule(match="PATCH", times=1, cut_request_after=500_000, hang=True)],
    "answer-lost": [Rule(match="PATCH", times=1, cut_answer_after=0)],
    "last-answer-lost": [Rule(match="PUT .*/uploads/", times=1, cut_answer_after=0)],
    "busy": [Rule(match="POST|PATCH|PUT|HEAD", times=2, status=503)],
    "limited": [Rule(match="PATCH", times=2, status=429, headers={"Retry-After": "0"})],
    "forgotten": [Rule(match="PATCH|PUT", times=2, status=404)],
    "too-large": [Rule(match="PATCH", times=1, status=413)],
    "no-parts": [Rule(match="PATCH", times=1, status=405)],
    "manifest-busy": [Rule(match="PUT .*/manifests/", times=1, status=500)],
}


@pytest.mark.parametrize("case", PUSHES)
def test_a_push_that_is_disturbed_arrives_whole(
    engine: EngineProcess, proxy: CuttingProxy, registry: RegistryProcess, stored: str, case: str
) -> None:
    engine.ok("pull", registry.name(TAG))
    # Nothing to skip and nothing to mount: another content would be needed for each case.
    proxy.rules += [Rule(match="HEAD .*/blobs/", times=2, status=404)]
    proxy.rules += [Rule(match="POST .*mount=", times=9, status=404), *PUSHES[case]]
    engine.ok("tag", registry.name(TAG), proxy.name(f"{case}:1"))
    assert_pushed(engine, proxy, registry, stored, f"{case}:1")


def test_a_push_that_never_gets_through_says_so(
    engine: EngineProcess, proxy: CuttingProxy, registry: RegistryProcess
) -> None:
    engine.ok("pull", registry.name(TAG))
    engine.ok("tag", registry.name(TAG), proxy.name("never:1"))
    proxy.rules.append(Rule(match="HEAD .*/blobs/|POST .*mount=", times=99, status=404))
    proxy.rules.append(Rule(match="PATCH", times=99, status=500))
    said = engine.refused("push", proxy.name("never:1"))
    assert "unexpected HTTP status: 500" in said
    assert "manifest" in engine.refused("pull", registry.name("never:1"))


def test_ctrl_c_ends_a_push_and_a_later_one_arrives_whole(
    engine: EngineProcess, proxy: CuttingProxy, registry: RegistryProcess, stored: str
) -> None:
    engine.ok("pull", registry.name(TAG))
    engine.ok("tag", registry.name(TAG), proxy.name("left:1"))
    proxy.rules.append(Rule(match="HEAD .*/blobs/|POST .*mount=", times=3, status=404))
    proxy.rules.append(Rule(match="PATCH", times=1, piece_pause_s=0.05))
    pushing = engine.popen("push", proxy.name("left:1"))
    eventually(lambda: proxy.those("PATCH"))
    pushing.send_signal(signal.SIGINT)
    pushing.communicate()
    assert pushing.returncode == 130
    assert not proxy.those("PUT")
    proxy.forget()
    assert_pushed(engine, proxy, registry, stored, "left:1")
