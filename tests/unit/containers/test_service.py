"""Containers as the API sees them, on a host without a kernel's part in it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import cast

import pytest
import pytest_asyncio
from tests.builders import a_host_config, a_request, k8s_line
from tests.fakes.host import FakeHost, sh, until

from pogu.containers.entry import ExitStatus
from pogu.containers.model import Status
from pogu.containers.service import Containers
from pogu.errors import Conflict, InvalidParameter, NotFound, SystemFailure
from pogu.model.container import HostConfig, LogConfig, MountSpec
from pogu.oci.digest import Digest
from pogu.runtime.logformat import LogView


@pytest_asyncio.fixture
async def containers(host: FakeHost) -> AsyncIterator[Containers]:
    """The service, with one image `web` that sleeps."""
    found = Containers(host.parts)
    yield found
    for one in found.all():
        await found.remove(one.id, force=True)
    await found.close()


async def ended(waiting: object) -> ExitStatus:
    return await asyncio.wait_for(cast("asyncio.Future[ExitStatus]", waiting), 5)


async def make(containers: Containers, name: str = "web", host: HostConfig | None = None) -> str:
    container, _ = await containers.create(a_request(host), name=name)
    return container.id


# ---- create and find -------------------------------------------------------------------------


async def test_a_container_is_made_of_request_and_image(containers: Containers) -> None:
    container, warnings = await containers.create(a_request(env=("A=b",)), name="/web")
    assert (container.name, container.state.status, warnings) == ("web", Status.CREATED, [])
    assert container.record.args == ("sleep", "1000")
    assert container.record.config.hostname == container.id[:12]
    assert containers.resolve("web") == container


async def test_a_missing_image_is_named_and_nothing_is_left(
    containers: Containers, host: FakeHost
) -> None:
    with pytest.raises(NotFound, match="No such image: nope"):
        await containers.create(a_request(image="nope"))
    assert list(host.paths.containers.iterdir()) == []


async def test_a_taken_name_names_its_owner(containers: Containers) -> None:
    owner = await make(containers, "web")
    with pytest.raises(Conflict, match=f'"/web" is already in use by container "{owner}"'):
        await make(containers, "web")
    assert len(containers.all()) == 1


async def test_a_name_is_found_when_none_is_given(containers: Containers) -> None:
    container, _ = await containers.create(a_request())
    assert "_" in container.name


@pytest.mark.parametrize(
    "asked",
    [
        HostConfig(network_mode="nope"),
        HostConfig(network_mode="container:nope"),
        HostConfig(volumes_from=("nope",)),
    ],
)
async def test_only_a_missing_image_is_not_found(containers: Containers, asked: HostConfig) -> None:
    with pytest.raises(InvalidParameter, match="nope"):
        await containers.create(a_request(asked))


async def test_a_joined_container_may_be_renamed(containers: Containers) -> None:
    joined = await make(containers, "one")
    host = HostConfig(network_mode="container:one", pid_mode="container:one")
    container, _ = await containers.create(a_request(host), name="two")
    modes = container.record.host_config.network_mode, container.record.host_config.pid_mode
    assert modes == (f"container:{joined}",) * 2


async def test_a_failed_create_takes_its_volumes_back(
    containers: Containers, host: FakeHost
) -> None:
    missing = MountSpec(source="/no/such/directory", target="/z")
    request = a_request(HostConfig(binds=("data:/a", "/b"), mounts=(missing,)))
    with pytest.raises(
        InvalidParameter, match="bind source path does not exist: /no/such/directory"
    ):
        await containers.create(request)
    assert list(host.paths.volumes.iterdir()) == []
    assert list(host.paths.containers.iterdir()) == []


async def test_a_rename_moves_the_name(containers: Containers, host: FakeHost) -> None:
    made = await make(containers, "old")
    await containers.rename("old", "new")
    assert containers.resolve("new").id == made
    with pytest.raises(NotFound):
        containers.resolve("old")
    assert [name for name, _, _ in host.rows.load()] == ["new"]


@pytest.mark.parametrize(
    ("new", "error"), [("", InvalidParameter), ("one", InvalidParameter), ("two", Conflict)]
)
async def test_a_name_that_cannot_be_is_refused(
    containers: Containers, new: str, error: type[Exception]
) -> None:
    await make(containers, "one")
    await make(containers, "two")
    with pytest.raises(error):
        await containers.rename("one", new)


# ---- wait ------------------------------------------------------------------------------------


async def test_what_does_not_run_need_not_be_waited_for(containers: Containers) -> None:
    await make(containers)
    assert await ended(containers.wait("web")) == ExitStatus(exit_code=0)
    assert await ended(containers.wait("web", "")) == ExitStatus(exit_code=0)


async def test_not_running_waits_for_the_end(containers: Containers) -> None:
    await make(containers)
    await containers.start("web")
    waiting = containers.wait("web", "not-running")
    await containers.kill("web")
    assert (await ended(waiting)).exit_code == 137


async def test_next_exit_waits_for_an_end_to_come(containers: Containers, host: FakeHost) -> None:
    await make(containers)
    waiting = containers.wait("web", "next-exit")
    await asyncio.sleep(0)
    assert not waiting.done()
    host.next = [sh("exit 6")]
    await containers.start("web")
    assert (await ended(waiting)).exit_code == 6


async def test_removed_waits_beyond_the_end(containers: Containers, host: FakeHost) -> None:
    await make(containers)
    waiting = containers.wait("web", "removed")
    host.next = [sh("exit 6")]
    await containers.start("web")
    await until(lambda: containers.resolve("web").state.status is Status.EXITED)
    assert not waiting.done()
    await containers.remove("web")
    assert (await ended(waiting)).exit_code == 6


async def test_a_removal_ends_every_wait(containers: Containers) -> None:
    await make(containers)
    waiting = [containers.wait("web", condition) for condition in ("next-exit", "removed")]
    await containers.remove("web")
    for one in waiting:
        await ended(one)


async def test_an_unknown_condition_is_refused(containers: Containers) -> None:
    await make(containers)
    with pytest.raises(InvalidParameter, match="invalid condition"):
        containers.wait("web", "tomorrow")


# ---- remove ----------------------------------------------------------------------------------


async def test_what_runs_is_not_removed(containers: Containers) -> None:
    await make(containers)
    await containers.start("web")
    with pytest.raises(Conflict, match="container is running: stop the container before") as caught:
        await containers.remove("web")
    assert caught.value.hint == "pogu rm -f web"
    assert containers.running == 1


async def test_force_ends_what_runs(containers: Containers, host: FakeHost) -> None:
    await make(containers, host=a_host_config(restart="always"))
    await containers.start("web")
    await containers.remove("web", force=True)
    assert containers.all() == []
    assert (host.children, host.launches) == ({}, 1)


async def test_two_removals_at_once_remove_once(containers: Containers, host: FakeHost) -> None:
    await make(containers)
    await containers.start("web")
    await asyncio.gather(*(containers.remove("web", force=True) for _ in range(2)))
    assert host.happened().count("destroy") == 1


@pytest.mark.parametrize("force", [True, False])
async def test_a_removal_waits_for_a_start_under_way(
    containers: Containers, host: FakeHost, force: bool
) -> None:
    await make(containers)
    launcher = host.launcher
    launcher.may_launch.clear()
    starting = asyncio.create_task(containers.start("web"))
    await until(lambda: host.launches)
    removing = asyncio.create_task(containers.remove("web", force=force))
    await asyncio.sleep(0)
    launcher.may_launch.set()
    await starting
    if force:
        await asyncio.wait_for(removing, 5)
        assert containers.all() == []
    else:
        with pytest.raises(Conflict, match="container is running"):
            await removing


async def test_anonymous_volumes_go_with_their_last_container(
    containers: Containers, host: FakeHost
) -> None:
    await make(containers, "one", HostConfig(binds=("/data", "named:/n")))
    await make(containers, "two", HostConfig(volumes_from=("one",)))
    await containers.remove("one", volumes=True)
    assert len(list(host.paths.volumes.iterdir())) == 2
    await containers.remove("two", volumes=True)
    assert [path.name for path in host.paths.volumes.iterdir()] == ["named"]


async def test_prune_takes_what_does_not_run(containers: Containers, host: FakeHost) -> None:
    idle, running = await make(containers, "idle"), await make(containers, "running")
    await containers.start("running")
    upper = host.paths.containers / idle / "upper"
    (upper / "file").write_bytes(b"x" * 10)
    (upper / "link").hardlink_to(upper / "file")
    assert await containers.prune() == [(idle, 10)]
    assert [one.id for one in containers.all()] == [running]


async def test_uses_of_images_are_known(containers: Containers) -> None:
    made = await make(containers)
    image = Digest(containers.resolve("web").record.image_id)
    assert containers.using_image(image) == [(made[:12], False)]
    await containers.start("web")
    assert containers.using_image(image) == [(made[:12], True)]


# ---- life ------------------------------------------------------------------------------------


async def test_a_restart_stops_and_starts(containers: Containers, host: FakeHost) -> None:
    await make(containers)
    await containers.restart("web")
    first = containers.resolve("web").state.pid
    await containers.restart("web")
    assert containers.resolve("web").state.pid != first
    assert host.happened()[-5:] == ["kill", "die", "stop", "start", "restart"]


async def test_a_failed_start_shows_in_its_state(containers: Containers, host: FakeHost) -> None:
    await make(containers)
    host.next = [SystemFailure('exec: "x": executable file not found in $PATH')]
    with pytest.raises(SystemFailure):
        await containers.start("web")
    state = containers.resolve("web").state
    assert (state.status, state.exit_code) == (Status.CREATED, 127)
    assert (await ended(containers.wait("web"))).error == state.error


async def test_attaching_to_a_created_container_waits_for_its_start(
    containers: Containers, host: FakeHost
) -> None:
    await make(containers)
    attaching = asyncio.create_task(containers.attach("web"))
    await asyncio.sleep(0)
    await containers.start("web")
    stream = await asyncio.wait_for(attaching, 5)
    host.conmon.attached[0].send(b"\x02hello")
    assert await anext(aiter(stream)) == (1, b"hello")
    await stream.aclose()


async def test_a_terminal_that_does_not_run_has_no_size(containers: Containers) -> None:
    await make(containers)
    with pytest.raises(Conflict, match="is not running"):
        await containers.resize("web", height=1, width=1)
    with pytest.raises(Conflict, match="is not running"):
        await containers.usage.top("web")


# ---- logs ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stdout", "stderr", "expected"),
    [
        (True, True, [b"out\n", b"err\n"]),
        (True, False, [b"out\n"]),
        (False, True, [b"err\n"]),
    ],
)
async def test_the_streams_of_a_log_can_be_chosen(
    containers: Containers, host: FakeHost, stdout: bool, stderr: bool, expected: list[bytes]
) -> None:
    made = await make(containers)
    log = host.paths.containers / made / "ctr.log"
    log.write_bytes(k8s_line("out") + k8s_line("err", stream="stderr"))
    chosen = frozenset(number for number, on in ((1, stdout), (2, stderr)) if on)
    pieces = containers.logs("web", LogView(streams=chosen))
    assert b"".join([piece async for piece in pieces]) == b"".join(expected)


async def test_a_log_without_streams_or_driver_is_refused(containers: Containers) -> None:
    await make(containers, "silent", HostConfig(log_config=LogConfig(type="none")))
    await make(containers, "web")
    with pytest.raises(InvalidParameter, match="does not support reading"):
        containers.logs("silent", LogView())
    with pytest.raises(InvalidParameter, match="choose at least one stream"):
        containers.logs("web", LogView(streams=frozenset()))


async def test_following_what_does_not_run_ends_at_once(containers: Containers) -> None:
    await make(containers)
    assert [record async for record in containers.logs("web", LogView(), follow=True)] == []
