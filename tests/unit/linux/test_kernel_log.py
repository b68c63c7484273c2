"""OOM kills as Linux 6.1 logs them where systemd makes the control groups."""

from __future__ import annotations

import pytest

from pogu.linux.kernel_log import OomKill, find_oom_kill, read_kernel_log

ID = "fe11af71571621f164c2af0e43bff35aeb1b66758cee68271a4a597aaedbc0b3"
SCOPE = f"/system.slice/pogu-{ID}.scope/container"
GROUP = f"""\
<6>[ 1227.1] oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=container,mems_allowed=0,\
oom_memcg={SCOPE},task_memcg={SCOPE},task=sh,pid=1498,uid=0
<3>[ 1227.1] Memory cgroup out of memory: Killed process 1498 (sh) total-vm:26844kB, UID:0
"""
HOST = f"""\
<6>[ 1300.0] oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),cpuset=/,mems_allowed=0,\
global_oom,task_memcg={SCOPE},task=sh,pid=1498,uid=0
<3>[ 1300.0] Out of memory: Killed process 1498 (sh) total-vm:26844kB, UID:0
"""
SHORT = "<3>[ 9.0] Memory cgroup out of memory: Killed process 1496 (sh) total-vm:26844kB, UID:0\n"


@pytest.mark.parametrize(
    ("log", "pid", "found"),
    [
        (GROUP, 1496, OomKill(at_limit=True)),
        (HOST, 1498, OomKill(at_limit=False)),
        (SHORT, 1496, OomKill(at_limit=True)),
        (SHORT, 1400, None),
        (GROUP, 1600, None),
        (GROUP.replace(ID, "0" * 64), 1496, None),
        ("", 1496, None),
    ],
    ids=["limit", "host", "summary-left-out", "somebody-else", "earlier-run", "other", "no-log"],
)
def test_a_kill_is_found_by_group_or_first_process(log: str, pid: int, found: OomKill) -> None:
    assert find_oom_kill(log.encode(), container_id=ID, pid=pid) == found


def test_the_log_is_read_as_far_as_it_is_filled() -> None:
    log = read_kernel_log()  # empty where we may not
    assert b"\0" not in log
    assert log.startswith(b"<") or not log
