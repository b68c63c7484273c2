"""The life of containers with the docker CLI: create to rm, ps, inspect, top, wait."""

from __future__ import annotations

import json
import time

import pytest
from tests.conformance.clients import DockerCli, needs_docker_cli
from tests.engine_process import eventually

pytestmark = [pytest.mark.root, needs_docker_cli]

TRAP = "trap 'exit 9' TERM; echo ready; while :; do sleep 0.05; done"
IDLE = "while :; do sleep 0.05; done"
DEAF = "trap '' TERM; echo ready; while :; do sleep 0.05; done"


# ---- stop, kill, restart, wait --------------------------------------------------------------


def test_stop_lets_a_trap_give_the_exit_code(docker: DockerCli) -> None:
    docker.start("traps", TRAP)
    assert docker.ok("stop", "traps") == "traps"
    state = docker.inspect("traps")["State"]
    assert (state["Status"], state["ExitCode"], state["Running"]) == ("exited", 9, False)


def test_stop_kills_after_its_timeout(docker: DockerCli) -> None:
    docker.start("deaf", DEAF)
    began = time.monotonic()
    docker.ok("stop", "-t", "1", "deaf")
    assert 0.9 < time.monotonic() - began < 5
    assert docker.show("{{.State.ExitCode}}", "deaf") == "137"


def test_stop_timeout_and_signal_of_the_container_hold(docker: DockerCli) -> None:
    script = "trap 'exit 3' USR2; echo ready; while :; do sleep 0.05; done"
    docker.start("usr2", script, "--stop-signal", "SIGUSR2", "--stop-timeout", "20")
    docker.ok("stop", "usr2")
    assert docker.show("{{.State.ExitCode}}", "usr2") == "3"


def test_stop_of_a_stopped_container_is_fine(docker: DockerCli) -> None:
    docker.ok("create", "--name", "never", "busybox")
    assert docker.ok("stop", "never") == "never"


def test_kill_sends_the_signal_that_is_named(docker: DockerCli) -> None:
    script = "trap 'echo got' USR1; echo ready; while :; do sleep 0.05; done"
    docker.start("usr1", script)
    docker.ok("kill", "-s", "USR1", "usr1")
    eventually(lambda: "got" in docker.ok("logs", "usr1"))
    assert docker.status("usr1") == "running"
    docker.ok("kill", "usr1")
    assert docker.show("{{.State.ExitCode}}", "usr1") == "137"


def test_kill_refuses_what_it_cannot(docker: DockerCli) -> None:
    docker.ok("create", "--name", "never", "busybox")
    said = docker.refused("kill", "never")
    assert "is not running" in said
    assert "invalid signal: NOPE" in docker.refused("kill", "-s", "NOPE", "never").replace(
        "Invalid", "invalid"
    )


def test_restart_gives_a_new_process(docker: DockerCli) -> None:
    docker.start("traps", TRAP)
    before = docker.show("{{.State.Pid}}", "traps")
    assert docker.ok("restart", "-t", "5", "traps") == "traps"
    assert docker.status("traps") == "running"
    assert docker.show("{{.State.Pid}}", "traps") != before
    docker.ok("kill", "traps")
    docker.ok("restart", "traps")
    assert docker.status("traps") == "running"


def test_writable_layer_outlives_a_stop(docker: DockerCli) -> None:
    script = "test -e /mark && echo again || touch /mark"
    docker.ok("run", "--name", "keeps", "busybox", "sh", "-c", script)
    assert docker.ok("start", "-a", "keeps") == "again"


def test_wait_gives_the_codes_in_order(docker: DockerCli) -> None:
    for name, code in (("one", 4), ("two", 5)):
        docker.ok("run", "-d", "--name", name, "busybox", "sh", "-c", f"sleep 0.2; exit {code}")
    assert docker.ok("wait", "one", "two") == "4\n5"
    assert docker.ok("wait", "two") == "5"


# ---- start and attach ------------------------------------------------------------------------


def test_start_attaches_with_input_and_gives_the_exit_code(docker: DockerCli) -> None:
    docker.ok("create", "-i", "--name", "reads", "busybox", "sh", "-c", "cat; exit 3")
    done = docker.call("start", "-ai", "reads", stdin=b"typed\n")
    assert (done.stdout, done.returncode) == ("typed\n", 3)


def test_start_of_a_running_container_is_fine(docker: DockerCli) -> None:
    docker.start("traps", TRAP)
    assert docker.ok("start", "traps") == "traps"


def test_attach_shows_what_comes_and_gives_the_exit_code(docker: DockerCli) -> None:
    script = "echo ready; read go; echo went; echo err >&2; exit 6"
    docker.start("waits", script, "-i")
    done = docker.call("attach", "waits", stdin=b"go\n")
    assert (done.stdout, done.stderr, done.returncode) == ("went\n", "err\n", 6)


def test_attach_passes_signals_on(docker: DockerCli) -> None:
    docker.start("traps", TRAP)
    with docker.running("attach", "traps") as client:
        eventually(lambda: client.poll() is None and attached(docker, "traps"))
        client.terminate()
        assert client.wait(timeout=20) == 9


def attached(docker: DockerCli, name: str) -> bool:
    """True when an attach event of the container was published."""
    filters = ["--filter", f"container={name}", "--filter", "event=attach"]
    until = str(time.time())
    return docker.ok("events", "--since", "1", "--until", until, *filters) != ""


def test_attach_to_a_stopped_container_is_refused(docker: DockerCli) -> None:
    docker.ok("run", "--name", "over", "busybox", "true")
    assert "cannot attach to a stopped container" in docker.refused("attach", "over")


# ---- rename, rm ------------------------------------------------------------------------------


def test_rename_frees_the_old_name(docker: DockerCli) -> None:
    container = docker.ok("create", "--name", "old", "busybox")
    docker.ok("rename", "old", "new")
    assert docker.inspect("new")["Name"] == "/new"
    assert docker.inspect(container)["Name"] == "/new"
    docker.ok("create", "--name", "old", "busybox")
    assert 'The container name "/new" is already in use' in docker.refused("rename", "old", "new")


def test_rm_refuses_a_running_container_unless_forced(docker: DockerCli) -> None:
    docker.start("runs", DEAF)
    said = docker.refused("rm", "runs")
    assert 'cannot remove container "runs": container is running' in said
    assert docker.ok("rm", "-f", "runs") == "runs"
    assert "No such container: runs" in docker.refused("rm", "runs")
    assert docker.ok("rm", "-f", "runs") == ""


def test_missing_container_is_said_in_dockers_words(docker: DockerCli) -> None:
    for words in (("start", "nope"), ("logs", "nope"), ("stop", "nope"), ("top", "nope")):
        assert "No such container: nope" in docker.refused(*words)
    assert "no such object: nope" in docker.refused("inspect", "nope").lower()


def test_an_id_may_be_cut_short(docker: DockerCli) -> None:
    container = docker.ok("create", "busybox")
    assert docker.inspect(container[:6])["Id"] == container


def test_container_prune_removes_what_is_stopped(docker: DockerCli) -> None:
    docker.ok("run", "--name", "ended", "busybox", "sh", "-c", "echo 12345 > /f")
    docker.start("runs", DEAF)
    said = docker.ok("container", "prune", "-f")
    assert "Deleted Containers:" in said
    assert docker.ok("ps", "-a", "--format", "{{.Names}}") == "runs"


# ---- ps --------------------------------------------------------------------------------------


def test_ps_shows_what_runs_and_all_with_a(docker: DockerCli) -> None:
    docker.start("runs", DEAF, "-l", "tier=web")
    docker.call("run", "--name", "ended", "busybox", "sh", "-c", "exit 3")
    assert docker.ok("ps", "--format", "{{.Names}}") == "runs"
    assert docker.ok("ps", "-a", "--format", "{{.Names}}") == "ended\nruns"
    assert docker.ok("ps", "-aq", "--no-trunc").split()[0] == docker.inspect("ended")["Id"]
    columns = '{{.Names}}|{{.Image}}|{{.Command}}|{{.State}}|{{.Status}}|{{.Label "tier"}}'
    ended, runs = docker.ok("ps", "-a", "--no-trunc", "--format", columns).splitlines()
    assert ended.startswith("ended|busybox|\"sh -c 'exit 3'\"|exited|Exited (3) ")
    assert runs.split("|")[4].startswith("Up ")
    assert runs.endswith("|web")


@pytest.mark.parametrize(
    ("option", "names"),
    [
        ("status=exited", "ended"),
        ("status=running", "runs"),
        ("status=created", ""),
        ("exited=3", "ended"),
        ("exited=4", ""),
        ("name=run", "runs"),
        ("name=^/ended$", "ended"),
        ("label=tier", "runs"),
        ("label=tier=db", ""),
        ("ancestor=busybox", "ended\nruns"),
        ("volume=/data", "runs"),
        ("network=bridge", "ended\nruns"),
        ("network=host", ""),
        ("before=ended", "runs"),
        ("since=runs", "ended"),
        ("expose=80", "runs"),
        ("health=none", "ended\nruns"),
    ],
)
def test_ps_filters(docker: DockerCli, option: str, names: str) -> None:
    docker.ok(
        "run",
        "-d",
        "--name",
        "runs",
        "-l",
        "tier=web",
        "-v",
        "/data",
        "--expose",
        "80",
        "busybox",
        "sleep",
        "1000",
    )
    docker.call("run", "--name", "ended", "busybox", "sh", "-c", "exit 3")
    assert docker.ok("ps", "-a", "--filter", option, "--format", "{{.Names}}") == names


def test_ps_refuses_an_unknown_filter(docker: DockerCli) -> None:
    assert "invalid filter 'nope'" in docker.refused("ps", "--filter", "nope=1")


def test_ps_last_size_and_json(docker: DockerCli) -> None:
    docker.ok("run", "--name", "first", "busybox", "sh", "-c", "head -c 5000 /dev/zero > /f")
    docker.ok("create", "--name", "last", "busybox")
    assert docker.ok("ps", "-l", "--format", "{{.Names}}") == "last"
    assert docker.ok("ps", "-n", "2", "--format", "{{.Names}}") == "last\nfirst"
    sizes = docker.ok("ps", "-as", "--format", "{{.Size}}", "--filter", "name=first")
    assert sizes.startswith("5kB (virtual ")
    line = json.loads(docker.ok("ps", "-l", "--format", "json"))
    assert (line["Names"], line["State"], line["Networks"]) == ("last", "created", "bridge")


# ---- inspect, top ----------------------------------------------------------------------------


def test_inspect_has_what_tools_read(docker: DockerCli) -> None:
    options = ["-e", "A=b", "-w", "/srv", "-u", "7:8", "--hostname", "box", "-v", "named:/n:ro"]
    options += ["--memory", "32m", "--cpu-shares", "512", "--restart", "unless-stopped"]
    container = docker.ok("run", "-d", "--name", "full", *options, "busybox", "sleep", "1000")
    found = docker.inspect("full")
    assert (found["Id"], found["Path"], found["Args"]) == (container, "sleep", ["1000"])
    assert found["Image"] == docker.inspect("busybox", "image")["Id"]
    state = found["State"]
    assert state["Running"] is True
    assert state["Pid"] > 0
    assert state["StartedAt"] > found["Created"]
    assert state["FinishedAt"] == "0001-01-01T00:00:00Z"
    config = found["Config"]
    assert "A=b" in config["Env"]
    assert (config["WorkingDir"], config["User"], config["Hostname"]) == ("/srv", "7:8", "box")
    assert (config["Image"], config["Cmd"], config["Tty"]) == ("busybox", ["sleep", "1000"], False)
    host = found["HostConfig"]
    assert (host["Memory"], host["CpuShares"], host["NetworkMode"]) == (32 << 20, 512, "bridge")
    assert host["RestartPolicy"] == {"Name": "unless-stopped", "MaximumRetryCount": 0}
    assert host["LogConfig"] == {"Type": "json-file", "Config": {}}
    (mount,) = found["Mounts"]
    assert (mount["Type"], mount["Name"], mount["RW"]) == ("volume", "named", False)
    assert found["NetworkSettings"]["Networks"]["bridge"]["IPAddress"]
    assert found["RestartCount"] == 0
    docker.ok("rm", "-f", "full")
    docker.ok("volume", "rm", "named")


def test_inspect_of_an_ended_container_has_its_times(docker: DockerCli) -> None:
    docker.ok("run", "--name", "over", "busybox", "true")
    found = docker.inspect("over")
    assert found["State"]["FinishedAt"] > found["State"]["StartedAt"]
    assert found["State"]["Pid"] == 0
    assert found["NetworkSettings"]["Networks"]["bridge"]["IPAddress"] == ""


def test_inspect_size_counts_the_writable_layer(docker: DockerCli) -> None:
    docker.ok("run", "--name", "wrote", "busybox", "sh", "-c", "head -c 5000 /dev/zero > /f")
    assert docker.ok("inspect", "-s", "-f", "{{.SizeRw}}", "wrote") == "5000"


def test_top_lists_the_processes(docker: DockerCli) -> None:
    docker.start("runs", DEAF)
    titles, *rows = docker.ok("top", "runs").splitlines()
    assert titles.split() == ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"]
    assert any("trap" in row for row in rows)
    assert docker.ok("top", "runs", "-o", "pid,comm").split()[:2] == ["PID", "COMMAND"]


# ---- pause -----------------------------------------------------------------------------------


def test_pause_stops_the_clock_of_a_container(docker: DockerCli) -> None:
    docker.start("ticks", "echo ready; while :; do echo tick; sleep 0.05; done")
    docker.ok("pause", "ticks")
    assert docker.status("ticks") == "paused"
    assert "(Paused)" in docker.ok("ps", "--format", "{{.Status}}")
    before = docker.ok("logs", "ticks")
    assert "is already paused" in docker.refused("pause", "ticks")
    assert docker.ok("logs", "ticks") == before
    docker.ok("unpause", "ticks")
    eventually(lambda: docker.ok("logs", "ticks") != before, what="it ticks again")
    assert "is not paused" in docker.refused("unpause", "ticks")


def test_a_paused_container_is_removed_only_by_force_and_can_be_stopped(docker: DockerCli) -> None:
    docker.start("traps", TRAP)
    docker.ok("pause", "traps")
    assert "container is paused and must be unpaused first" in docker.refused("rm", "traps")
    docker.ok("stop", "traps")
    assert docker.show("{{.State.ExitCode}}", "traps") == "9"
    docker.start("again", TRAP)
    docker.ok("pause", "again")
    docker.ok("rm", "-f", "again")


def test_a_paused_container_survives_the_engine(docker: DockerCli) -> None:
    docker.start("frozen", TRAP)
    docker.ok("pause", "frozen")
    docker.engine.kill()
    assert docker.engine.status("frozen") == "paused"
    docker.ok("unpause", "frozen")
    docker.ok("stop", "frozen")
    assert docker.show("{{.State.ExitCode}}", "frozen") == "9"


# ---- update ----------------------------------------------------------------------------------


def test_update_changes_the_limits_of_a_running_container(docker: DockerCli) -> None:
    docker.start("small", f"echo ready; {IDLE}", "-m", "64m", "--pids-limit", "50")
    options = ("--memory", "128m", "--memory-swap", "-1", "--pids-limit", "60", "--cpus", "0.5")
    docker.ok("update", *options, "small")
    shown = "{{.HostConfig.Memory}} {{.HostConfig.PidsLimit}} {{.HostConfig.NanoCpus}}"
    assert docker.show(shown, "small") == f"{128 << 20} 60 500000000"
    usage = json.loads(docker.ok("stats", "--no-stream", "--format", "json", "small"))
    assert usage["MemUsage"].endswith("/ 128MiB")
    docker.engine.kill()
    assert docker.engine.ok("inspect", "-f", shown, "small") == f"{128 << 20} 60 500000000"


def test_update_of_the_restart_policy_holds_from_the_next_end_on(docker: DockerCli) -> None:
    docker.ok("run", "-d", "--name", "again", "busybox", "sh", "-c", "sleep 0.5; exit 3")
    docker.ok("update", "--restart", "on-failure:1", "again")
    docker.ok("wait", "again")
    eventually(lambda: docker.show("{{.RestartCount}}", "again") == "1", what="it started again")
    eventually(lambda: docker.status("again") == "exited", what="it ended for good")


def test_update_refuses_what_cannot_be_and_changes_nothing(docker: DockerCli) -> None:
    docker.ok("run", "-d", "--rm", "--name", "once", "-m", "64m", "busybox", "sleep", "1000")
    said = docker.refused("update", "--restart", "always", "once")
    assert "Restart policy cannot be updated because AutoRemove is enabled" in said
    assert "Minimum memory limit allowed is 6MB" in docker.refused("update", "-m", "1m", "once")
    assert docker.show("{{.HostConfig.Memory}}", "once") == str(64 << 20)
    assert "you must provide one or more flags" in docker.engine.refused("update", "once")


# ---- ours: --replace -------------------------------------------------------------------------


def test_replace_takes_the_place_of_a_running_container(docker: DockerCli) -> None:
    pogu = docker.engine
    old = docker.ok("run", "-d", "--name", "web", "busybox", "sleep", "1000")
    new = pogu.ok("run", "-d", "--replace", "--name", "web", "busybox", "sleep", "1000")
    assert new != old
    assert docker.ok("ps", "-aq", "--no-trunc") == new
    assert docker.show("{{.Name}} {{.State.Status}}", "web") == "/web running"


def test_a_replacement_that_cannot_be_made_leaves_the_old_container(docker: DockerCli) -> None:
    pogu = docker.engine
    old = docker.ok("run", "-d", "--name", "web", "busybox", "sleep", "1000")
    for options in (["--memory", "1m", "busybox"], ["nobody/knows:1"]):
        pogu.refused("create", "--pull", "never", "--replace", "--name", "web", *options)
    assert docker.ok("ps", "-q", "--no-trunc") == old
    assert "without --name" in pogu.refused("run", "--replace", "busybox")


# ---- events ----------------------------------------------------------------------------------


def test_events_since_know_what_happened_before_the_engine_was_killed(docker: DockerCli) -> None:
    since = str(int(time.time()) - 1)
    docker.ok("run", "--name", "gone", "busybox", "true")
    docker.engine.kill()
    options = ("--since", since, "--until", "0s", "--filter", "container=gone")
    shown = docker.engine.ok("events", *options, "--format", "{{.Action}}").splitlines()
    assert [word for word in shown if word in ("create", "start", "die")] == [
        "create",
        "start",
        "die",
    ]
