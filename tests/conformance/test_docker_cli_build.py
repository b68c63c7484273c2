"""`docker build` with the legacy builder."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Literal

import pytest
from tests.conformance.clients import DockerCli, Wire, needs_docker_cli

pytestmark = [pytest.mark.root, needs_docker_cli]


def a_context(directory: Path, dockerfile: str, **files: str) -> str:
    """Write a Dockerfile and files named by keyword (`__` stands for a dot)."""
    directory.mkdir(exist_ok=True)
    (directory / "Dockerfile").write_text(dockerfile)
    for name, text in files.items():
        (directory / name.replace("__", ".")).write_text(text)
    return str(directory)


def test_every_instruction_that_sets_the_config_is_in_the_image(
    docker: DockerCli, tmp_path: Path
) -> None:
    lines = """FROM busybox
        ENV A=1 B="two words"
        EXPOSE 80 53/udp
        LABEL tier=web "com.example.note"="a b"
        USER 1000:1000
        VOLUME /data /cache
        WORKDIR /srv
        HEALTHCHECK --interval=5s --timeout=2s --retries=4 CMD wget -q localhost
        SHELL ["/bin/ash", "-c"]
        STOPSIGNAL SIGINT
        ONBUILD RUN echo later
        ENTRYPOINT ["echo"]
        CMD ["hi", "there"]"""
    docker.ok("build", "-t", "config", a_context(tmp_path, lines))
    config = docker.inspect("config", "image")["Config"]
    assert {"A=1", "B=two words"} < set(config["Env"])
    assert config["ExposedPorts"] == {"80/tcp": {}, "53/udp": {}}
    assert config["Labels"] == {"tier": "web", "com.example.note": "a b"}
    assert (config["User"], config["WorkingDir"]) == ("1000:1000", "/srv")
    assert config["Volumes"] == {"/data": {}, "/cache": {}}
    health = config["Healthcheck"]
    assert health["Test"] == ["CMD-SHELL", "wget -q localhost"]
    assert (health["Interval"], health["Timeout"], health["Retries"]) == (5 * 10**9, 2 * 10**9, 4)
    assert config["Shell"] == ["/bin/ash", "-c"]
    assert config["StopSignal"] == "SIGINT"
    assert config["OnBuild"] == ["RUN echo later"]
    assert (config["Entrypoint"], config["Cmd"]) == (["echo"], ["hi", "there"])
    assert docker.run("config") == "hi there"


def test_run_and_copy_make_the_file_system(docker: DockerCli, tmp_path: Path) -> None:
    text = "FROM busybox\nWORKDIR /app/x\nCOPY . ./\nRUN cat a.txt > b.txt && pwd >> b.txt\n"
    docker.ok("build", "-t", "files", a_context(tmp_path, text, a__txt="one\n"))
    assert docker.run("files", "cat", "/app/x/b.txt") == "one\n/app/x"


def test_copy_takes_owner_and_mode(docker: DockerCli, tmp_path: Path) -> None:
    text = "FROM busybox\nCOPY --chown=12:34 --chmod=640 a /a\n"
    docker.ok("build", "-t", "owned", a_context(tmp_path, text, a="x"))
    assert docker.run("owned", "stat", "-c", "%u:%g %a", "/a") == "12:34 640"


def test_add_unpacks_an_archive(docker: DockerCli, tmp_path: Path) -> None:
    context = a_context(tmp_path, "FROM busybox\nADD a.tar /into/\n")
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        member = tarfile.TarInfo("inside")
        member.size = 3
        archive.addfile(member, io.BytesIO(b"hi\n"))
    docker.ok("build", "-t", "added", context)
    assert docker.run("added", "cat", "/into/inside") == "hi"


def test_user_and_shell_hold_for_run(docker: DockerCli, tmp_path: Path) -> None:
    text = 'FROM busybox\nRUN mkdir -m 777 /w\nUSER 77\nSHELL ["sh", "-ec"]\nRUN id -u > /w/uid\n'
    docker.ok("build", "-t", "user", a_context(tmp_path, text))
    assert docker.run("user", "cat", "/w/uid") == "77"


def test_build_arg_wins_over_the_default(docker: DockerCli, tmp_path: Path) -> None:
    text = "FROM busybox\nARG WHO=nobody\nARG REST=rest\nRUN echo $WHO $REST > /who\n"
    context = a_context(tmp_path, text)
    docker.ok("build", "-t", "arg", "--build-arg", "WHO=me", context)
    assert docker.run("arg", "cat", "/who") == "me rest"


def test_build_arg_without_a_value_is_taken_from_the_environment(
    docker: DockerCli, tmp_path: Path
) -> None:
    context = a_context(tmp_path, "FROM busybox\nARG WHO\nRUN echo $WHO > /who\n")
    docker.ok("build", "-t", "arg", "--build-arg", "WHO", context, env={"WHO": "env"})
    assert docker.run("arg", "cat", "/who") == "env"


def test_arg_before_from_chooses_the_base(docker: DockerCli, tmp_path: Path) -> None:
    context = a_context(tmp_path, "ARG BASE=missing\nFROM $BASE\nRUN true\n")
    docker.ok("build", "--build-arg", "BASE=busybox", context)


def test_unused_build_arg_is_warned_of(docker: DockerCli, tmp_path: Path) -> None:
    said = docker.ok("build", "--build-arg", "NOPE=1", a_context(tmp_path, "FROM busybox\n"))
    assert "[Warning] One or more build-args [NOPE] were not consumed" in said


def test_multi_stage_copies_from_an_earlier_stage(docker: DockerCli, tmp_path: Path) -> None:
    text = """FROM busybox AS made
        RUN echo built > /out && echo secret > /not-taken
        FROM busybox
        COPY --from=made /out /out
        COPY --from=0 /out /again"""
    docker.ok("build", "-t", "multi", a_context(tmp_path, text))
    shown = docker.run("multi", "sh", "-c", "cat /out /again; ls /not-taken 2>/dev/null || echo no")
    assert shown == "built\nbuilt\nno"


def test_target_builds_only_that_stage(docker: DockerCli, tmp_path: Path) -> None:
    text = "FROM busybox AS first\nCMD echo first\nFROM busybox AS second\nRUN false\n"
    docker.ok("build", "-t", "first", "--target", "first", a_context(tmp_path, text))
    assert docker.run("first") == "first"


def test_missing_target_is_refused(docker: DockerCli, tmp_path: Path) -> None:
    context = a_context(tmp_path, "FROM busybox AS one\n")
    said = docker.refused("build", "--target", "two", context)
    assert 'target stage "two" could not be found' in said


def test_file_may_be_named_and_may_lie_outside_of_the_context(
    docker: DockerCli, tmp_path: Path
) -> None:
    context = a_context(tmp_path / "context", "FROM busybox\nRUN false\n", a="a\n")
    (tmp_path / "context" / "Other").write_text("FROM busybox\nCOPY a /other\n")
    (tmp_path / "Outside").write_text("FROM busybox\nCOPY a /outside\n")
    docker.ok("build", "-t", "other", "-f", f"{context}/Other", context)
    docker.ok("build", "-t", "outside", "-f", str(tmp_path / "Outside"), context)
    assert docker.run("other", "cat", "/other") == "a"
    assert docker.run("outside", "cat", "/outside") == "a"


def test_missing_dockerfile_is_said(docker: DockerCli, tmp_path: Path) -> None:
    assert "Dockerfile" in docker.refused("build", str(tmp_path))


def test_dockerfile_comes_from_stdin(docker: DockerCli) -> None:
    docker.ok("build", "-t", "stdin", "-", stdin=b"FROM busybox\nCMD echo from stdin\n")
    assert docker.run("stdin") == "from stdin"


def test_dockerfile_from_stdin_has_the_context_beside_it(docker: DockerCli, tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a\n")
    docker.ok("build", "-t", "f", "-f-", str(tmp_path), stdin=b"FROM busybox\nCOPY a /a\n")
    assert docker.run("f", "cat", "/a") == "a"


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_context_comes_from_stdin_as_a_tar(
    docker: DockerCli, mode: Literal["w", "w:gz", "w:bz2", "w:xz"]
) -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode=mode) as archive:
        for name, text in (("Dockerfile", b"FROM busybox\nCOPY a /a\n"), ("a", b"packed\n")):
            member = tarfile.TarInfo(name)
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text))
    docker.ok("build", "-t", "packed", "-", stdin=packed.getvalue())
    assert docker.run("packed", "cat", "/a") == "packed"


def test_dockerignore_hides_files_with_exceptions(docker: DockerCli, tmp_path: Path) -> None:
    ignore = "*.log\n!keep.log\nsecret\n"
    files = {"a__log": "", "keep__log": "", "secret": "", "b__txt": "", "__dockerignore": ignore}
    context = a_context(tmp_path, "FROM busybox\nCOPY . /c/\n", **files)
    docker.ok("build", "-t", "ignore", context)
    seen = docker.run("ignore", "ls", "-A", "/c").split()
    assert seen == [".dockerignore", "Dockerfile", "b.txt", "keep.log"]


def test_failing_run_ends_the_build_with_its_code(docker: DockerCli, tmp_path: Path) -> None:
    context = a_context(tmp_path, "FROM busybox\nRUN echo before; exit 7\nRUN echo after\n")
    done = docker.call("build", "-t", "fails", context)
    assert done.returncode == 7
    assert "before\n" in done.stdout
    assert "The command '/bin/sh -c echo before; exit 7' returned a non-zero code: 7" in done.stderr
    assert "fails" not in docker.ok("images")


def test_failing_run_of_a_json_command_is_named_in_words(docker: DockerCli, tmp_path: Path) -> None:
    said = docker.refused("build", a_context(tmp_path, 'FROM busybox\nRUN ["false"]\n'))
    assert "The command 'false' returned a non-zero code: 1" in said


def test_stderr_of_run_is_shown(docker: DockerCli, tmp_path: Path) -> None:
    done = docker.call("build", a_context(tmp_path, "FROM busybox\nRUN echo loud >&2\n"))
    assert "loud" in done.stdout + done.stderr


def test_missing_source_of_copy_is_said(docker: DockerCli, tmp_path: Path) -> None:
    said = docker.refused("build", a_context(tmp_path, "FROM busybox\nCOPY nope /\n"))
    assert "COPY failed: file not found in build context" in said
    assert "nope" in said


def test_syntax_error_is_said(docker: DockerCli, tmp_path: Path) -> None:
    said = docker.refused("build", a_context(tmp_path, "FROM busybox\nRUNN true\n"))
    assert "unknown instruction: RUNN" in said


def test_missing_base_image_is_said(docker: DockerCli, tmp_path: Path) -> None:
    docker.refused("build", a_context(tmp_path, "FROM localhost:1/no-such-image\n"))


def test_second_build_is_taken_from_the_cache(docker: DockerCli, tmp_path: Path) -> None:
    text = "FROM busybox\nCOPY a /\nRUN date +%N > /when\n"
    context = a_context(tmp_path, text, a="a")
    first = docker.ok("build", "-q", context)
    again = docker.ok("build", context)
    assert again.count(" ---> Using cache\n") == 2
    assert docker.ok("build", "-q", context) == first
    assert docker.ok("build", "-q", "--no-cache", context) != first


def test_changed_file_misses_the_cache(docker: DockerCli, tmp_path: Path) -> None:
    text = "FROM busybox\nRUN echo stays\nCOPY a /\nRUN cat /a\n"
    docker.ok("build", a_context(tmp_path, text, a="a"))
    again = docker.ok("build", a_context(tmp_path, text, a="b"))
    assert again.count(" ---> Using cache\n") == 1


def test_output_has_the_lines_that_tools_read(docker: DockerCli, tmp_path: Path) -> None:
    context = a_context(tmp_path, "FROM busybox\nRUN echo output\n")
    said = docker.ok("build", "--no-cache", "-t", "lines:v1", "-t", "more", context)
    assert "Step 1/2 : FROM busybox\n ---> " in said
    assert "Step 2/2 : RUN echo output\n" in said
    assert "\noutput\n" in said
    assert "Successfully built " in said
    assert "Successfully tagged lines:v1\nSuccessfully tagged more:latest" in said


def test_quiet_prints_the_id_only(docker: DockerCli, tmp_path: Path) -> None:
    said = docker.ok("build", "-q", "-t", "quiet", a_context(tmp_path, "FROM busybox\nCMD q\n"))
    assert said == docker.inspect("quiet", "image")["Id"]


def test_iidfile_and_label_options(docker: DockerCli, tmp_path: Path) -> None:
    context = a_context(tmp_path / "c", "FROM busybox\n")
    docker.ok("build", "--iidfile", str(tmp_path / "id"), "--label", "a=b", "-t", "l", context)
    image = docker.inspect("l", "image")
    assert (tmp_path / "id").read_text() == image["Id"]
    assert image["Config"]["Labels"] == {"a": "b"}


def test_onbuild_runs_in_the_child(docker: DockerCli, tmp_path: Path) -> None:
    parent = "FROM busybox\nONBUILD COPY a /a\nONBUILD RUN cat /a > /b\n"
    docker.ok("build", "-t", "parent", a_context(tmp_path / "p", parent))
    said = docker.ok("build", "-t", "child", a_context(tmp_path / "c", "FROM parent\n", a="hi\n"))
    assert "# Executing 2 build triggers" in said
    assert docker.run("child", "cat", "/b") == "hi"
    assert not docker.inspect("child", "image")["Config"]["OnBuild"]


def test_from_scratch_holds_only_what_was_copied(docker: DockerCli, tmp_path: Path) -> None:
    text = "FROM busybox AS b\nFROM scratch\nCOPY --from=b /bin/busybox /busybox\n"
    docker.ok("build", "-t", "scratch-like", a_context(tmp_path, text))
    seen = docker.run("scratch-like", "/busybox", "ls", "/")
    assert "busybox" in seen
    assert "bin" not in seen.split()


def test_volume_of_the_image_becomes_a_mount_with_its_content(
    docker: DockerCli, tmp_path: Path
) -> None:
    text = "FROM busybox\nRUN mkdir /data && echo kept > /data/f\nVOLUME /data\n"
    docker.ok("build", "-t", "volume", a_context(tmp_path, text))
    docker.ok("create", "--name", "vol", "volume", "cat", "/data/f")
    assert docker.ok("start", "-a", "vol") == "kept"
    (mount,) = docker.inspect("vol")["Mounts"]
    assert (mount["Type"], mount["Destination"]) == ("volume", "/data")


def test_stop_signal_of_the_image_stops_it(docker: DockerCli, tmp_path: Path) -> None:
    text = "FROM busybox\nSTOPSIGNAL SIGUSR1\n"
    text += "CMD trap 'exit 9' USR1; echo ready; while :; do sleep 0.05; done\n"
    docker.ok("build", "-t", "usr1", a_context(tmp_path, text))
    docker.ok("run", "-d", "--name", "sig", "usr1")
    docker.ok("stop", "sig")
    assert docker.show("{{.State.ExitCode}}", "sig") == "9"


def test_history_shows_each_step(docker: DockerCli, tmp_path: Path) -> None:
    text = 'FROM busybox\nRUN echo 1 > /one\nENV A=b\nCMD ["sh"]\n'
    docker.ok("build", "-t", "history", a_context(tmp_path, text))
    shown = docker.ok("history", "--no-trunc", "--format", "{{.CreatedBy}}", "history")
    assert shown.splitlines()[:3] == ['CMD ["sh"]', "ENV A=b", "RUN /bin/sh -c echo 1 > /one"]


def test_network_none_and_host_hold_for_run(docker: DockerCli, tmp_path: Path) -> None:
    text = "FROM busybox\nRUN ls /sys/class/net > /links\n"
    context = a_context(tmp_path, text)
    docker.ok("build", "-t", "lonely", "--network", "none", context)
    assert docker.run("lonely", "cat", "/links") == "lo"


def test_stream_gives_the_image_id_in_aux(docker: DockerCli, tmp_path: Path) -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        text = b"FROM busybox\n"
        member = tarfile.TarInfo("Dockerfile")
        member.size = len(text)
        archive.addfile(member, io.BytesIO(text))
    answer = Wire(path=docker.engine.socket).ask("POST", "/build?t=aux", packed.getvalue())
    lines = [json.loads(line) for line in answer.body.splitlines()]
    (aux,) = [line["aux"] for line in lines if "aux" in line]
    assert aux["ID"] == docker.inspect("aux", "image")["Id"]
