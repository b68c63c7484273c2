"""Cases of what containers say and use: 200 MB of log, and the figures of 50 containers."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

from bench import api
from bench.containers import FIFTY, expect, fifty, remove, staged
from bench.engines import Engine
from bench.measure import Case, fresh, timed
from bench.workspace import Workspace

__all__ = ["CASES"]

_LINE = "0123456789" * 9 + "abcdefghi\n"
_LINES = 2_000_000
_SIZE = len(_LINE) * _LINES
_WRITE = ("sh", "-c", f"yes {_LINE.strip()} | head -n {_LINES}")
_BLOCK = 1 << 20
_STREAM_S = 10


def unbounded(engine: Engine) -> tuple[str, ...]:
    """A file that keeps it all: Docker's by default does, Podman's and Pogu's when told."""
    if engine.name == "podman":
        return ("--log-driver", "k8s-file", "--log-opt", "max-size=1g")
    return ("--log-driver", "json-file", "--log-opt", "max-size=1g")


def write_log(engine: Engine, name: str) -> None:
    engine.run("run", "-d", *unbounded(engine), "--name", name, "bench-busybox", *_WRITE)
    code = engine.run("wait", name).strip()
    expect(code == "0", engine, f"the writer ended with {code}")


def logs_written(engine: Engine, _: Workspace) -> float:
    name = fresh("bench")
    try:
        seconds = timed(lambda: write_log(engine, name))
        last = engine.run("logs", "--tail", "1", name)
        expect(last == _LINE, engine, f"the last line of the log is {last!r}")
    finally:
        remove(engine, name)
    return seconds


@contextmanager
def written(engine: Engine, _: Workspace) -> Iterator[None]:
    """An ended container, `staged()`, with its log."""
    try:
        write_log(engine, staged())
        os.sync()
        yield
    finally:
        remove(engine, staged())


def logs_read(engine: Engine, _: Workspace) -> float:
    """Through a pipe; every byte is compared on the way, which costs little."""
    argv = [*engine.cli, "logs", staged()]
    wanted = memoryview((_LINE * (2 * _BLOCK // len(_LINE))).encode())
    same, size = True, 0
    started = time.perf_counter()
    with subprocess.Popen(argv, env=os.environ | engine.env, stdout=subprocess.PIPE) as reader:
        assert reader.stdout is not None
        while block := os.read(reader.stdout.fileno(), _BLOCK):
            at = size % len(_LINE)
            same = same and wanted[at : at + len(block)] == block
            size += len(block)
    seconds = time.perf_counter() - started
    expect(reader.returncode == 0, engine, f"logs ended with {reader.returncode}")
    expect(size == _SIZE, engine, f"logs gave {size} bytes of {_SIZE}")
    expect(same, engine, "logs gave other bytes than were written")
    return seconds


def stats_share(engine: Engine, workspace: Workspace) -> float:
    """Processor time while all 50 are streamed: of the engine; of the command where none is."""
    each_second = ("-i", "1") if engine.name == "podman" else ()
    argv = [*engine.cli, "stats", *each_second, "--format", "{{.Name}} {{.PIDs}}"]
    path = workspace.path / "stats"
    with path.open("wb") as output:
        reader = subprocess.Popen(argv, env=os.environ | engine.env, stdout=output)
        pid = api.server_pid(engine.socket) if engine.socket else reader.pid
        try:
            time.sleep(2)
            started, before = time.perf_counter(), api.cpu_s(pid)
            time.sleep(_STREAM_S)
            share = (api.cpu_s(pid) - before) / (time.perf_counter() - started)
        finally:
            reader.send_signal(signal.SIGINT)
            reader.wait()
    words = path.read_text().split()
    for number in range(FIFTY):
        told = sum(word.endswith(staged(number)) for word in words)
        expect(told >= _STREAM_S // 2, engine, f"{shlex.join(argv)} told {told} times of {number}")
    return share


CASES = [
    Case(
        name="logs-write",
        what="200 MB of log written, lines of 100 bytes",
        goal="≤ 1/2 docker",
        once=logs_written,
        by_any_client=False,
        warm=False,
        rounds=3,
    ),
    Case(
        name="logs-read",
        what="`logs` of these 200 MB",
        goal="≤ 1/2 docker",
        stage=written,
        once=logs_read,
        rounds=3,
    ),
    Case(
        name="stats",
        what="`stats` of 50, streaming: the engine's share of a core",
        goal="≤ 10 %",
        stage=fifty,
        once=stats_share,
        unit="%",
        warm=False,
        rounds=2,
    ),
]
