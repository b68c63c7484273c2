"""conmon: its command line, what it reports, what it leaves in its directory."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from tests.builders import CONTAINER_ID
from tests.fakes.program import a_program, calls_of

from pogu.config import Config, Paths
from pogu.errors import EngineError, SystemFailure
from pogu.runtime import conmon as conmon_module
from pogu.runtime.attach_stream import AttachStream
from pogu.runtime.conmon import Conmon, conmon_argv
from pogu.runtime.journal_entries import JournalFields
from pogu.runtime.oci_runtime import OciRuntime

CRUN = OciRuntime(Path("/usr/bin/crun"), Path("/run/pogu/runtime"))


def pairs(argv: list[str]) -> set[tuple[str, str]]:
    return set(pairwise(argv))


def an_argv(
    *,
    terminal: bool = False,
    stdin: bool = False,
    stdin_once: bool = False,
    log_path: Path | None = Path("/c/ctr.log"),
    log_max_bytes: int = 0,
    journal: JournalFields | None = None,
    systemd_cgroup: bool = False,
) -> list[str]:
    return conmon_argv(
        "conmon",
        CRUN,
        "abc",
        Path("/run/abc"),
        Path("/run/exits"),
        terminal=terminal,
        stdin=stdin,
        stdin_once=stdin_once,
        log_path=log_path,
        log_max_bytes=log_max_bytes,
        journal=journal,
        systemd_cgroup=systemd_cgroup,
    )


def test_a_monitor_knows_its_container_runtime_and_places() -> None:
    argv = an_argv()
    assert argv[0] == "conmon"
    assert {("-c", "abc"), ("-r", "/usr/bin/crun"), ("-b", "/run/abc")} <= pairs(argv)
    assert {("-p", "/run/abc/pidfile"), ("--exit-dir", "/run/exits")} <= pairs(argv)
    assert ("--runtime-arg", "--root=/run/pogu/runtime") in pairs(argv)
    assert ("-l", "k8s-file:/c/ctr.log") in pairs(argv)
    assert not {"-t", "-i", "-s", "--leave-stdin-open", "--log-size-max"} & set(argv)


def test_a_monitor_tells_the_runtime_that_systemd_makes_the_group() -> None:
    assert "-s" in an_argv(systemd_cgroup=True)


@pytest.mark.parametrize(
    ("stdin", "once", "expected"),
    [(False, False, set()), (True, True, {"-i"}), (True, False, {"-i", "--leave-stdin-open"})],
)
def test_stdin_stays_open_unless_it_is_for_one_client(
    stdin: bool, once: bool, expected: set[str]
) -> None:
    argv = an_argv(stdin=stdin, stdin_once=once)
    assert {"-i", "--leave-stdin-open"} & set(argv) == expected


def test_a_monitor_writes_to_the_journal_under_the_container_s_name() -> None:
    fields = JournalFields(name="web", tag="t", extra=(("IMAGE_NAME", "busybox"), ("A", "b=c")))
    argv = an_argv(log_path=None, journal=fields)
    assert {("-l", "journald:"), ("-n", "web"), ("-c", "abc"), ("--log-tag", "t")} <= pairs(argv)
    assert {("--log-label", "IMAGE_NAME=busybox"), ("--log-label", "A=b=c")} <= pairs(argv)


@pytest.mark.parametrize(("said", "expected"), [("  --log-label  x", True), ("--log-tag", False)])
def test_only_a_conmon_that_says_so_takes_fields(
    said: str, expected: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "conmon"
    program.write_text(f"#!/bin/sh\necho '{said}'\n")
    program.chmod(0o755)
    monkeypatch.setattr(conmon_module, "_find_conmon", lambda: str(program))
    conmon = Conmon(Config(paths=Paths(root=tmp_path, run_root=tmp_path)), CRUN)
    assert asyncio.run(conmon.takes_fields()) is expected


def test_a_terminal_is_asked_for() -> None:
    assert "-t" in an_argv(terminal=True)


def test_a_log_may_be_bounded_or_left_out() -> None:
    assert ("--log-size-max", "9") in pairs(an_argv(log_max_bytes=9))
    argv = an_argv(log_path=None, log_max_bytes=9)
    assert ("-l", "none") in pairs(argv)
    assert "--log-size-max" not in argv


# ---- create ----------------------------------------------------------------------------------


class Host:
    """An engine's directories with a conmon and a runtime that are scripts."""

    def __init__(self, root: Path) -> None:
        self.paths = Paths(root=root / "root", run_root=root / "run")
        self.paths.create()
        self.bundle = root / "bundle"
        self.bundle.mkdir()
        self.program = root / "conmon"
        self.runtime = a_program(root / "crun")
        self.directory = self.paths.run_containers / CONTAINER_ID

    def conmon(self, body: str = "") -> Conmon:
        """Monitors run `body` in their directory."""
        a_program(self.program, body=f"cd {self.directory}\n{body}")
        runtime = OciRuntime(self.runtime, self.paths.runtime_state)
        return Conmon(Config(paths=self.paths), runtime)


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    found = Host(tmp_path)
    monkeypatch.setattr(conmon_module, "_find_conmon", lambda: str(found.program))
    return found


async def create(conmon: Conmon, host: Host) -> conmon_module.Monitored:
    return await conmon.create(
        CONTAINER_ID,
        host.bundle,
        terminal=False,
        stdin=False,
        stdin_once=False,
        log_path=None,
    )


def report(text: str) -> str:
    """What the script writes to its sync pipe."""
    return f"""printf '%s\\n' '{text}' > "/proc/self/fd/$_OCI_SYNCPIPE\""""


CREATED = "echo 42 > conmon.pid; " + report('{"data": 41}')


async def test_a_created_process_is_known_by_its_pids(host: Host) -> None:
    made = await create(host.conmon(CREATED), host)
    assert (made.pid, made.conmon_pid, made.container_id) == (41, 42, CONTAINER_ID)
    assert (host.directory / "config.json").readlink() == host.bundle / "config.json"
    assert ("-c", CONTAINER_ID) in pairs(calls_of(host.program)[0])


async def test_what_an_earlier_run_left_does_not_count(host: Host) -> None:
    host.directory.mkdir()
    (host.directory / "oom").touch()
    (host.paths.exits / CONTAINER_ID).write_text("3")
    conmon = host.conmon(CREATED)
    await create(conmon, host)
    assert not conmon.oom_killed(CONTAINER_ID)
    assert conmon.exit_code(CONTAINER_ID) is None


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (report('{"data": -1, "message": "said by conmon"}'), "crun: said by conmon"),
        (report("no json"), "it ended without a word"),
        (report('{"data": null}'), "it ended without a word"),
        (report("[]"), "it ended without a word"),
        ("echo 'said on stderr' >&2", "crun: said on stderr"),
        (
            """echo '{"level": "error", "msg": "said in the log"}' > runtime.log;"""
            + report('{"data": -1, "message": "said by conmon"}'),
            "crun: said in the log",
        ),
    ],
)
async def test_a_failed_create_says_why_and_leaves_nothing(
    host: Host, body: str, message: str
) -> None:
    with pytest.raises(EngineError, match=message):
        await create(host.conmon(body), host)
    assert not host.directory.exists()


async def test_a_failed_create_takes_the_runtimes_state_away(host: Host) -> None:
    (host.paths.runtime_state / CONTAINER_ID).mkdir()
    with pytest.raises(EngineError):
        await create(host.conmon(), host)
    assert calls_of(host.runtime)[0][-3:] == ["delete", "--force", CONTAINER_ID]


async def test_a_missing_conmon_is_named(host: Host) -> None:
    conmon = host.conmon()
    host.program.unlink()
    with pytest.raises(SystemFailure, match="conmon: program not found") as caught:
        await create(conmon, host)
    assert "apt-get install conmon" in str(caught.value.hint)


# ---- the end ---------------------------------------------------------------------------------


@pytest.fixture
def monitor() -> Iterator[int]:
    """A process that looks like the container's monitor."""
    script = "import time; time.sleep(1000)"
    argv = ["conmon", "-c", script, CONTAINER_ID]
    child = subprocess.Popen(argv, executable=sys.executable)
    while CONTAINER_ID.encode() not in Path(f"/proc/{child.pid}/cmdline").read_bytes():
        assert child.poll() is None
    yield child.pid
    child.kill()
    child.wait()


def test_a_reused_pid_is_not_taken_for_the_monitor(host: Host, monitor: int) -> None:
    conmon = host.conmon()
    assert conmon.is_alive(monitor, CONTAINER_ID)
    assert not conmon.is_alive(monitor, "b" * 64)
    assert not conmon.is_alive(os.getpid(), CONTAINER_ID)
    assert not conmon.is_alive(2**22 + 1, CONTAINER_ID)


async def test_the_end_of_a_monitor_ends_the_wait(host: Host, monitor: int) -> None:
    conmon = host.conmon()
    waiting = asyncio.create_task(conmon.wait(monitor, CONTAINER_ID))
    await asyncio.sleep(0)
    (host.paths.exits / CONTAINER_ID).write_text("7")
    os.kill(monitor, 9)
    assert await asyncio.wait_for(waiting, 5) == 7


async def test_a_monitor_that_died_silently_gives_no_code(host: Host) -> None:
    assert await host.conmon().wait(2**22 + 1, CONTAINER_ID) is None


@pytest.mark.parametrize(("text", "expected"), [("0", 0), ("137\n", 137), ("", None), ("x", None)])
def test_the_exit_file_holds_the_code(host: Host, text: str, expected: int | None) -> None:
    (host.paths.exits / CONTAINER_ID).write_text(text)
    assert host.conmon().exit_code(CONTAINER_ID) == expected


def test_forgetting_takes_all_files_and_may_be_repeated(host: Host) -> None:
    conmon = host.conmon()
    host.directory.mkdir()
    (host.directory / "oom").touch()
    assert conmon.oom_killed(CONTAINER_ID)
    for _ in range(2):
        conmon.forget(CONTAINER_ID)
    assert not host.directory.exists()


async def test_control_messages_go_through_the_fifo(host: Host) -> None:
    conmon = host.conmon()
    await conmon.resize(CONTAINER_ID, height=1, width=2)  # none there: silent
    host.directory.mkdir()
    os.mkfifo(host.directory / "ctl")
    await conmon.reopen_log(CONTAINER_ID)  # nobody reads: silent
    reader = os.open(host.directory / "ctl", os.O_RDONLY | os.O_NONBLOCK)
    await conmon.resize(CONTAINER_ID, height=24, width=80)
    await conmon.reopen_log(CONTAINER_ID)
    assert os.read(reader, 100) == b"1 24 80\n2 0 0\n"
    os.close(reader)


# ---- attach ----------------------------------------------------------------------------------


@pytest.fixture
def wire() -> Iterator[tuple[AttachStream, socket.socket]]:
    """An attachment and conmon's end of it."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)
    with ours, theirs:
        yield AttachStream(ours), theirs


async def test_packets_name_their_stream(wire: tuple[AttachStream, socket.socket]) -> None:
    stream, conmon = wire
    conmon.send(b"\x02out")
    conmon.send(b"\x03err\x00\xff")
    conmon.close()
    assert [one async for one in stream.batches()] == [[(1, b"out"), (2, b"err\x00\xff")]]


async def test_stdin_goes_in_packets_that_conmon_can_read(
    wire: tuple[AttachStream, socket.socket],
) -> None:
    stream, conmon = wire
    data = bytes(range(256)) * 70
    await stream.write(data)
    await stream.close_stdin()
    await stream.close_stdin()
    packets = []
    while packet := conmon.recv(1 << 20):
        packets.append(packet)
    assert b"".join(packets) == data
    assert max(map(len, packets)) <= 8192


async def test_stdin_after_the_end_is_dropped(wire: tuple[AttachStream, socket.socket]) -> None:
    stream, conmon = wire
    conmon.close()
    await stream.write(b"late")
    stream.close()
    stream.close()


async def test_attaching_reaches_a_deep_directory(host: Host) -> None:
    conmon = host.conmon()
    with pytest.raises(SystemFailure, match="cannot attach"):
        conmon.attach(CONTAINER_ID)
    host.directory.mkdir()
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as server:
        directory = os.open(host.directory, os.O_PATH)
        server.bind(f"/proc/self/fd/{directory}/attach")
        os.close(directory)
        server.listen()
        stream = conmon.attach(CONTAINER_ID)
        await stream.write(b"hello")
        accepted, _ = server.accept()
        with accepted:
            assert accepted.recv(100) == b"hello"
        stream.close()
