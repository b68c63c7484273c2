"""`docker run` and its options."""

from __future__ import annotations

import hashlib
import json
import os
import socket
from pathlib import Path

import pytest
from tests.conformance.clients import DockerCli, needs_docker_cli
from tests.engine_process import eventually

pytestmark = [pytest.mark.root, needs_docker_cli]


@pytest.mark.parametrize("code", [0, 1, 7, 125, 255])
def test_exit_code_of_the_process_is_that_of_run(docker: DockerCli, code: int) -> None:
    assert docker.call("run", "--rm", "busybox", "sh", "-c", f"exit {code}").returncode == code


def test_signal_that_ends_the_process_gives_128_and_its_number(docker: DockerCli) -> None:
    # Init of a PID namespace ignores signals of its own, so its child dies and it tells.
    assert (
        docker.call("run", "--rm", "busybox", "sh", "-c", "sh -c 'kill -9 $$'; exit $?").returncode
        == 137
    )


def test_engine_refusal_gives_125(docker: DockerCli) -> None:
    said = docker.refused("run", "--memory", "1m", "busybox", code=125)
    assert "docker: Error response from daemon: Minimum memory limit allowed is 6MB" in said


def test_missing_image_gives_125(docker: DockerCli) -> None:
    said = docker.refused("run", "localhost:1/no-such-image", code=125)
    assert "Unable to find image 'localhost:1/no-such-image:latest' locally" in said
    said = docker.refused("run", "--pull=never", "no-such-image", code=125)
    assert "No such image: no-such-image:latest" in said


def test_program_that_cannot_be_executed_gives_126(docker: DockerCli) -> None:
    assert "permission denied" in docker.refused("run", "busybox", "/etc/passwd", code=126)
    docker.refused("run", "busybox", "/etc", code=126)


@pytest.mark.parametrize("program", ["no-such-program", "/no/such/program"])
def test_missing_program_gives_127(docker: DockerCli, program: str) -> None:
    docker.refused("run", "--name", "absent", "busybox", program, code=127)
    state = docker.inspect("absent")["State"]
    assert (state["Status"], state["ExitCode"]) == ("created", 127)
    assert program in state["Error"]


def test_start_of_a_missing_program_says_why_and_gives_1(docker: DockerCli) -> None:
    docker.ok("create", "--name", "absent", "busybox", "no-such-program")
    said = docker.refused("start", "absent", code=1)
    assert 'exec: "no-such-program": executable file not found in $PATH' in said


def test_failed_start_is_said_once(docker: DockerCli) -> None:
    for options in ((), ("--rm",), ("-i",)):
        said = docker.refused("run", *options, "busybox", "nope", code=127)
        assert said.count("executable file not found") == 1
        assert said.startswith("docker: Error response from daemon: ")


def test_stdout_and_stderr_stay_apart(docker: DockerCli) -> None:
    done = docker.call("run", "--rm", "busybox", "sh", "-c", "echo out; echo err >&2")
    assert (done.stdout, done.stderr) == ("out\n", "err\n")


def test_environment_is_set_inherited_and_read_from_a_file(
    docker: DockerCli, tmp_path: Path
) -> None:
    (tmp_path / "env").write_text("# comment\nC=from file\n")
    options = ["-e", "A=1=2", "-e", "B", "--env-file", str(tmp_path / "env"), "-e", "EMPTY="]
    said = docker.ok("run", "--rm", *options, "busybox", "env", env={"B": "outer"})
    assert {"A=1=2", "B=outer", "C=from file", "EMPTY="} < set(said.splitlines())
    assert any(line.startswith("HOSTNAME=") for line in said.splitlines())
    assert "HOME=/root" in said.splitlines()


def test_working_directory_is_made(docker: DockerCli) -> None:
    assert docker.run("-w", "/new/dir", "busybox", "pwd") == "/new/dir"


@pytest.mark.parametrize(
    ("user", "ids"),
    [("1000", "1000:0"), ("1000:50", "1000:50"), ("root", "0:0"), ("nobody", "65534:65534")],
)
def test_user_is_a_number_or_a_name(docker: DockerCli, user: str, ids: str) -> None:
    assert docker.sh("echo $(id -u):$(id -g)", "-u", user) == ids


def test_unknown_user_is_refused(docker: DockerCli) -> None:
    said = docker.refused("run", "-u", "who", "busybox", "true", code=125)
    assert "unable to find user who" in said


def test_group_add(docker: DockerCli) -> None:
    assert "77" in docker.sh("id -G", "--group-add", "77").split()


def test_entrypoint_option_drops_the_command_of_the_image(docker: DockerCli) -> None:
    assert docker.run("--entrypoint", "echo", "busybox", "a", "b") == "a b"
    assert docker.run("--entrypoint", "pwd", "busybox") == "/"


def test_bind_is_writable_and_read_only_where_asked(docker: DockerCli, tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a\n")
    assert docker.sh("cat /m/a; echo b > /m/b", "-v", f"{tmp_path}:/m") == "a"
    assert (tmp_path / "b").read_text() == "b\n"
    said = docker.refused("run", "-v", f"{tmp_path}:/m:ro", "busybox", "touch", "/m/c", code=1)
    assert "Read-only file system" in said


def test_bind_of_a_file_and_of_a_missing_directory(docker: DockerCli, tmp_path: Path) -> None:
    (tmp_path / "f").write_text("file\n")
    assert docker.run("-v", f"{tmp_path}/f:/etc/f", "busybox", "cat", "/etc/f") == "file"
    docker.sh("touch /m/x", "-v", f"{tmp_path}/made/here:/m")
    assert (tmp_path / "made/here/x").exists()


def test_mount_of_a_missing_path_is_refused(docker: DockerCli, tmp_path: Path) -> None:
    mount = f"type=bind,source={tmp_path}/none,target=/m"
    said = docker.refused("run", "--mount", mount, "busybox", "true", code=125)
    assert "bind source path does not exist" in said


def test_named_volume_gets_the_content_of_the_image_and_keeps_what_is_written(
    docker: DockerCli,
) -> None:
    script = "test -e /etc/passwd && echo copied; echo new > /etc/added"
    assert docker.sh(script, "-v", "kept:/etc") == "copied"
    assert docker.sh("cat /v/added", "-v", "kept:/v") == "new"
    assert docker.run("-v", "kept:/v:ro", "busybox", "sh", "-c", "touch /v/x || echo no") == "no"
    docker.ok("volume", "rm", "kept")


def test_anonymous_volume_goes_with_rm(docker: DockerCli) -> None:
    docker.run("-v", "/data", "busybox", "true")
    assert docker.ok("volume", "ls", "-q") == ""
    docker.ok("run", "--name", "anon", "-v", "/data", "busybox", "true")
    assert len(docker.ok("volume", "ls", "-q")) == 64
    docker.ok("rm", "-v", "anon")
    assert docker.ok("volume", "ls", "-q") == ""


def test_volumes_from_another_container(docker: DockerCli) -> None:
    docker.ok("run", "--name", "first", "-v", "/data", "busybox", "sh", "-c", "echo x > /data/x")
    assert docker.run("--volumes-from", "first", "busybox", "cat", "/data/x") == "x"


def test_tmpfs_has_its_options(docker: DockerCli) -> None:
    said = docker.sh("grep ' /t ' /proc/mounts", "--tmpfs", "/t:size=1m,mode=700,exec")
    assert said.startswith("tmpfs /t tmpfs rw,nosuid,nodev")
    assert "size=1024k" in said
    assert "noexec" not in said
    mount = "type=tmpfs,target=/t,tmpfs-size=2m,tmpfs-mode=1770"
    assert "mode=1770" in docker.sh("grep ' /t ' /proc/mounts", "--mount", mount)


def test_read_only_root_leaves_volumes_and_tmpfs_writable(docker: DockerCli) -> None:
    script = "touch /x 2>/dev/null || echo ro; touch /t/x /v/x && echo rw"
    assert docker.sh(script, "--read-only", "--tmpfs", "/t", "-v", "/v") == "ro\nrw"


def test_hostname_and_hosts(docker: DockerCli) -> None:
    script = "hostname; cat /etc/hostname; grep -c box.test /etc/hosts; grep extra /etc/hosts"
    said = docker.sh(script, "--hostname", "box.test", "--add-host", "extra:10.9.8.7")
    assert said == "box.test\nbox.test\n1\n10.9.8.7\textra"
    host_gateway = docker.sh("grep gw /etc/hosts", "--add-host", "gw:host-gateway")
    assert host_gateway.split()[0].count(".") == 3


def test_default_hostname_is_the_short_id(docker: DockerCli) -> None:
    container = docker.ok("run", "-d", "busybox", "hostname")
    docker.ok("wait", container)
    assert docker.ok("logs", container) == container[:12]


def test_dns_options_are_in_resolv_conf(docker: DockerCli) -> None:
    options = ["--dns", "192.0.2.1", "--dns-search", "example.test", "--dns-option", "ndots:3"]
    said = docker.sh("cat /etc/resolv.conf", *options)
    assert "nameserver 192.0.2.1" in said
    assert "search example.test" in said
    assert "ndots:3" in said


def cgroup_value(docker: DockerCli, option: str, files: tuple[str, str]) -> str:
    """Read a limit from inside: cgroup 2 or 1."""
    script = f"cat /sys/fs/cgroup/{files[0]} 2>/dev/null || cat /sys/fs/cgroup/{files[1]}"
    return docker.sh(script, *option.split())


def test_memory_limit_is_set(docker: DockerCli) -> None:
    files = ("memory.max", "memory/memory.limit_in_bytes")
    assert cgroup_value(docker, "--memory 64m", files) == str(64 << 20)


def test_process_that_needs_too_much_memory_is_killed_and_said_so(docker: DockerCli) -> None:
    eat = "x=a; while :; do x=$x$x; done"
    options = ["--memory", "16m", "--memory-swap", "16m"]
    done = docker.call("run", "--name", "eats", *options, "busybox", "sh", "-c", eat)
    assert done.returncode == 137
    assert docker.inspect("eats")["State"]["OOMKilled"] is True


def test_pids_limit_is_set(docker: DockerCli) -> None:
    assert cgroup_value(docker, "--pids-limit 50", ("pids.max", "pids/pids.max")) == "50"


def test_cpus_are_set(docker: DockerCli) -> None:
    files = ("cpu.max", "cpu/cpu.cfs_quota_us")
    assert cgroup_value(docker, "--cpus 0.5", files) in ("50000 100000", "50000")


def test_ulimit_is_set(docker: DockerCli) -> None:
    assert docker.sh("ulimit -n; ulimit -Hn", "--ulimit", "nofile=100:200") == "100\n200"


def test_capabilities_are_dropped_and_added(docker: DockerCli) -> None:
    script = "grep CapEff /proc/self/status | cut -f2"
    assert docker.sh(script) == "00000000a80425fb"
    assert docker.sh(script, "--cap-drop", "ALL") == "0000000000000000"
    assert docker.sh(script, "--cap-drop", "all", "--cap-add", "CHOWN") == "0000000000000001"
    assert docker.sh(script, "--cap-add", "NET_ADMIN") == "00000000a80435fb"


def test_privileged_may_mount_and_sees_devices(docker: DockerCli) -> None:
    script = "mount -t tmpfs none /mnt && echo mounted; test -e /dev/kmsg && echo devices"
    assert docker.sh("mkdir -p /mnt; " + script, "--privileged") == "mounted\ndevices"
    assert docker.sh("mkdir -p /mnt; " + script + "; true") == ""


def test_no_new_privileges_and_seccomp(docker: DockerCli) -> None:
    script = "grep -E '^(NoNewPrivs|Seccomp):' /proc/self/status | cut -f2 | xargs"
    assert docker.sh(script) == "0 2"
    assert docker.sh(script, "--security-opt", "no-new-privileges") == "1 2"
    assert docker.sh(script, "--security-opt", "seccomp=unconfined") == "0 0"


def test_sysctl_shm_size_and_init(docker: DockerCli) -> None:
    options = ["--sysctl", "net.ipv4.ip_unprivileged_port_start=1", "--shm-size", "8m"]
    script = "cat /proc/sys/net/ipv4/ip_unprivileged_port_start; grep -c size=8192k /proc/mounts"
    assert docker.sh(script, *options) == "1\n1"


def test_device_is_there_with_its_permissions(docker: DockerCli) -> None:
    assert docker.sh("test -c /dev/other && echo yes", "--device", "/dev/null:/dev/other") == "yes"


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("--link=other", "could not get container for other: No such container: other"),
        ("--gpus=all", "could not select device driver"),
        ("--log-driver=syslog", "no log driver named 'syslog' is registered"),
        ("--runtime=kata", "unknown or invalid runtime name: kata"),
        ("--volume-driver=nfs", 'plugin "nfs" not found'),
        ("--ip=10.1.2.3", "user specified IP address is supported on user defined networks only"),
        ("--cpuset-cpus=9999", "Requested CPUs are not available - requested 9999"),
        ("--isolation=hyperv", "invalid isolation 'hyperv' on linux"),
        ("--cap-add=NOPE", "NOPE"),
        ("--security-opt=nope=1", "invalid --security-opt"),
    ],
)
def test_option_that_cannot_be_had_is_refused_not_ignored(
    docker: DockerCli, option: str, words: str
) -> None:
    assert words in docker.refused("run", option, "-v", "vol:/v", "busybox", code=125)


def test_pid_and_ipc_and_uts_of_the_host(docker: DockerCli) -> None:
    said = docker.sh(
        "for kind in pid ipc uts; do readlink /proc/self/ns/$kind; done",
        "--pid",
        "host",
        "--ipc",
        "host",
        "--uts",
        "host",
    )
    own = [os.readlink(f"/proc/self/ns/{kind}") for kind in ("pid", "ipc", "uts")]
    assert said.split() == own


def test_cidfile_holds_the_id_and_must_not_exist(docker: DockerCli, tmp_path: Path) -> None:
    path = tmp_path / "cid"
    container = docker.ok("run", "-d", "--cidfile", str(path), "busybox", "true")
    assert path.read_text() == container
    assert "container ID file found" in docker.refused(
        "run", "--cidfile", str(path), "busybox", code=125
    )


def test_labels_come_from_options_and_files(docker: DockerCli, tmp_path: Path) -> None:
    (tmp_path / "labels").write_text("b=2\n")
    options = ["-l", "a=1", "--label-file", str(tmp_path / "labels")]
    docker.ok("create", "--name", "labelled", *options, "busybox")
    assert docker.inspect("labelled")["Config"]["Labels"] == {"a": "1", "b": "2"}


def test_restart_policy_starts_it_again(docker: DockerCli) -> None:
    options = ["-d", "--name", "again", "--restart", "on-failure:2"]
    docker.ok("run", *options, "busybox", "sh", "-c", "echo try; exit 3")
    assert docker.ok("wait", "again") == "3"
    assert docker.ok("logs", "-f", "again").count("try") <= 3
    eventually(lambda: docker.show("{{.RestartCount}} {{.State.Status}}", "again") == "2 exited")
    assert docker.ok("logs", "again") == "try\ntry\ntry"


def test_detached_run_prints_the_id(docker: DockerCli) -> None:
    container = docker.ok("run", "-d", "--name", "back", "busybox", "sleep", "1000")
    assert len(container) == 64
    assert docker.inspect("back")["Id"] == container
    assert docker.status("back") == "running"


def test_conflicting_name_is_said_in_dockers_words(docker: DockerCli) -> None:
    owner = docker.ok("create", "--name", "taken", "busybox")
    said = docker.refused("run", "--name", "taken", "busybox", code=125)
    assert f'The container name "/taken" is already in use by container "{owner}"' in said


def test_piped_stdin_reaches_the_process_and_ends(docker: DockerCli) -> None:
    assert docker.ok("run", "--rm", "-i", "busybox", "cat", stdin=b"x\n") == "x"
    big = os.urandom(1 << 20)
    said = docker.ok("run", "--rm", "-i", "busybox", "sha256sum", stdin=big)
    assert said.split()[0] == hashlib.sha256(big).hexdigest()


def test_output_after_the_end_of_stdin_is_not_lost(docker: DockerCli) -> None:
    script = "cat > /dev/null; echo all read; echo end >&2; exit 5"
    done = docker.call("run", "--rm", "-i", "busybox", "sh", "-c", script, stdin=b"abc")
    assert (done.stdout, done.stderr, done.returncode) == ("all read\n", "end\n", 5)


def test_without_i_stdin_is_empty(docker: DockerCli) -> None:
    assert docker.ok("run", "--rm", "busybox", "cat", stdin=b"unread") == ""


def test_a_million_lines_of_output_all_arrive(docker: DockerCli) -> None:
    said = docker.run("busybox", "seq", "1", "200000").splitlines()
    assert said == [str(number) for number in range(1, 200001)]


def test_attach_option_chooses_the_streams(docker: DockerCli) -> None:
    done = docker.call("run", "--rm", "-a", "stderr", "busybox", "sh", "-c", "echo o; echo e >&2")
    assert (done.stdout, done.stderr) == ("", "e\n")


def test_sigterm_to_the_client_reaches_the_process(docker: DockerCli) -> None:
    script = "trap 'exit 42' TERM; echo ready; while :; do sleep 0.05; done"
    with docker.running("run", "--rm", "busybox", "sh", "-c", script) as client:
        assert client.stdout
        assert client.stdout.readline() == b"ready\n"
        client.terminate()
        assert client.wait(timeout=20) == 42


def test_platform_of_another_machine_is_refused(docker: DockerCli) -> None:
    said = docker.refused("create", "--platform", "linux/s390x", "--pull=never", "busybox")
    assert "does not match the specified platform" in said


def test_network_none_has_only_loopback(docker: DockerCli) -> None:
    assert docker.sh("ls /sys/class/net", "--network", "none") == "lo"


def test_network_host_is_the_hosts(docker: DockerCli) -> None:
    said = docker.sh("ls /sys/class/net; hostname", "--network", "host").split()
    assert said[-1] == socket.gethostname()
    assert os.readlink("/proc/self/ns/net") == docker.run(
        "--network", "host", "busybox", "readlink", "/proc/self/ns/net"
    )


def test_network_of_another_container_is_shared(docker: DockerCli) -> None:
    docker.serve("web")
    said = docker.run("--network", "container:web", "busybox", "wget", "-qO-", "127.0.0.1")
    assert said == "hello"
    joined = json.loads(docker.ok("inspect", "web"))[0]
    docker.ok("create", "--name", "joins", "--network", "container:web", "busybox")
    assert docker.inspect("joins")["HostConfig"]["NetworkMode"] == f"container:{joined['Id']}"
