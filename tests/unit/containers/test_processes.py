"""Which processes are a container's, and the table of `top`."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from tests.engine_process import eventually

from pogu.containers.processes import belongs, parse_table, process_table
from pogu.errors import InvalidParameter
from pogu.linux.process_list import long_list

GROUP = "1:cpu:/pogu/abc\n0::/pogu/abc\n"


@pytest.mark.parametrize(
    ("one", "does"),
    [
        (GROUP, True),
        ("1:cpu:/pogu/abc/system.slice\n0::/pogu/abc/system.slice\n", True),
        ("1:cpu:/pogu/abcd\n0::/pogu/abcd\n", False),
        ("1:cpu:/\n0::/pogu/abc\n", False),
        ("0::/pogu/abc\n", False),
        ("", False),
    ],
)
def test_a_process_below_the_control_group_belongs_to_the_container(one: str, does: bool) -> None:
    assert belongs(one, GROUP) is does


def test_threads_follow_their_process() -> None:
    text = "  PID   LWP CMD\n    7     - a b\n    -     7 -\n    8     - c\n    -     8 -\n"
    titles, rows = parse_table(text, {7})
    assert (titles, rows) == (["PID", "LWP", "CMD"], [["7", "-", "a b"], ["-", "7", "-"]])


def test_a_table_without_pids_is_refused() -> None:
    with pytest.raises(InvalidParameter, match="Couldn't find PID field"):
        parse_table("COMMAND\nsh\n", {7})


async def test_a_column_that_claims_to_be_the_pid_is_refused() -> None:
    with pytest.raises(InvalidParameter, match=r'specifying "ppid=PID" is not allowed'):
        await process_table(os.getpid(), ["-o", "ppid=PID"], container_id="abc")


async def test_without_ps_the_usual_table_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    titles, rows = await process_table(os.getpid(), [], container_id="abc")
    assert titles[:3] == ["UID", "PID", "PPID"]
    assert str(os.getpid()) in [row[1] for row in rows]
    with pytest.raises(InvalidParameter, match="program not found"):
        await process_table(os.getpid(), ["aux"], container_id="abc")


def test_our_table_says_what_ps_says() -> None:
    with subprocess.Popen(["sleep", "1000"]) as child:
        try:
            eventually(Path(f"/proc/{child.pid}/cmdline").read_bytes, what="it is executed")
            _, (ours,) = long_list([child.pid])
            said = subprocess.check_output(["ps", "-f", "-p", str(child.pid)], text=True)
        finally:
            child.kill()
    theirs = said.splitlines()[1].split(None, 7)
    assert (ours[:3], ours[5:]) == (theirs[:3], theirs[5:])
