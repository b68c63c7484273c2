"""Edge: `engine run|status|stop`."""

from __future__ import annotations

import os
import sys
import time

from pogu.cli.context import Context
from pogu.cli.failure import CliError
from pogu.cli.flags import Command, Flag, Values
from pogu.cli.http import Http
from pogu.cli.wire import encode

__all__ = ["COMMANDS", "stop_engine"]

_STOP_S = 10.0


def _run(context: Context, values: Values) -> int:
    """Become the engine, in the foreground."""
    words = [sys.executable, "-m", "pogu.daemon", "--foreground"]
    if context.address.root:
        words += ["--root", context.address.root]
    if context.address.run_root:
        words += ["--run-root", context.address.run_root]
    source = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    os.execve(sys.executable, words, {**os.environ, "PYTHONPATH": source})


def _existing(context: Context) -> Http | None:
    """Connect, but never start an engine."""
    try:
        return Http(context.address.path)
    except (FileNotFoundError, ConnectionRefusedError):
        return None


def _status(context: Context, values: Values) -> int:
    http = _existing(context)
    if http is None:
        if values.flag("json"):
            context.out('{"Running":false}')
        else:
            context.out(f"no engine runs at {context.address.url}; the next command starts it")
        return 3
    found = http.request("GET", "/pogu/status").json()
    assert isinstance(found, dict)
    if values.flag("json"):
        context.out(encode({"Running": True, **found}))
        return 0
    rows = [
        ("pid", found["Pid"]),
        ("up", f"{found['UptimeSeconds']} s"),
        ("memory", f"{int(found['MemoryBytes']) // 1_000_000} MB"),
        ("socket", found["Socket"]),
        ("storage root", found["Root"]),
        ("runtime", found["Runtime"]),
        ("containers", f"{found['Containers']} ({found['Running']} running)"),
        ("images", found["Images"]),
        ("builds", found["Builds"]),
        ("idle exit", f"{found['IdleExitSeconds']} s"),
    ]
    for name, value in rows:
        context.out(f"{name + ':':<14}{value}")
    return 0


def _stop(context: Context, values: Values) -> int:
    if not stop_engine(context):
        context.error(f"no engine runs at {context.address.url}")
    return 0


def stop_engine(context: Context) -> bool:
    """Return when its process has ended; False when none ran. Containers go on."""
    http = _existing(context)
    if http is None:
        return False
    answer = http.request("POST", "/pogu/stop").json()
    http.close()
    assert isinstance(answer, dict)
    pid = int(str(answer["Pid"]))
    deadline = time.monotonic() + _STOP_S
    while os.path.exists(f"/proc/{pid}") and not _is_zombie(pid):
        if time.monotonic() > deadline:
            raise CliError(f"the engine (pid {pid}) has not ended after {_STOP_S:.0f} s")
        time.sleep(0.005)
    return True


def _is_zombie(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return file.read().rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return True


COMMANDS = {
    "engine run": Command("engine run", "", "Run the engine in the foreground", _run, most=0),
    "engine status": Command(
        "engine status",
        "[--json]",
        "Show the engine process",
        _status,
        [Flag("--json", "bool", "Print JSON")],
        most=0,
    ),
    "engine stop": Command("engine stop", "", "Stop the engine; containers go on", _stop, most=0),
}
