"""Images, volumes and the engine itself with the docker CLI."""

from __future__ import annotations

import io
import json
import tarfile
import time
from pathlib import Path

import pytest
from tests.conformance.clients import DockerCli, needs_docker_cli
from tests.fakes.web_server import a_web_server

pytestmark = [pytest.mark.root, needs_docker_cli]


def an_image(docker: DockerCli, name: str, *lines: str) -> str:
    """Build a small image of its own and return its ID."""
    text = "\n".join(["FROM busybox", *lines]).encode()
    return docker.ok("build", "-q", "-t", name, "-", stdin=text)


def a_root(**files: str) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))
    return packed.getvalue()


# ---- images ----------------------------------------------------------------------------------


def test_images_lists_names_and_ids(docker: DockerCli) -> None:
    image = an_image(docker, "listed:v1", "LABEL a=b")
    shown = docker.ok("images", "--no-trunc", "--format", "{{.Repository}}:{{.Tag}} {{.ID}}")
    assert f"listed:v1 {image}" in shown.splitlines()
    assert docker.ok("images", "-q", "--no-trunc", "listed") == image
    assert docker.ok("images", "-q", "--filter", "label=a=b", "--no-trunc") == image
    assert docker.ok("images", "-q", "--filter", "reference=list*:v1", "--no-trunc") == image
    assert docker.ok("images", "-q", "--filter", "since=listed:v1") == ""


def test_image_inspect_has_what_tools_read(docker: DockerCli) -> None:
    image = an_image(docker, "seen", "ENV A=b", 'CMD ["sh"]', "RUN true")
    found = docker.inspect("seen", "image")
    assert (found["Id"], found["RepoTags"]) == (image, ["seen:latest"])
    assert found["RootFS"]["Type"] == "layers"
    assert len(found["RootFS"]["Layers"]) >= 1
    assert (found["Os"], found["Architecture"]) == ("linux", "amd64")
    assert found["Size"] > 0
    assert "A=b" in found["Config"]["Env"]
    assert docker.ok("image", "inspect", "-f", "{{.Id}}", image[7:19]) == image


def test_tag_gives_a_second_name(docker: DockerCli) -> None:
    image = an_image(docker, "tagged")
    docker.ok("tag", "tagged", "example.test:5000/team/tagged:v2")
    assert docker.inspect("example.test:5000/team/tagged:v2", "image")["Id"] == image
    assert "not a valid repository" in docker.refused("tag", "tagged", "UPPER")
    assert "No such image: nope:latest" in docker.refused("tag", "nope", "x")


def test_rmi_untags_and_deletes_with_the_last_name(docker: DockerCli) -> None:
    image = an_image(docker, "twice", "LABEL only=this")
    docker.ok("tag", "twice", "twice:b")
    assert docker.ok("rmi", "twice") == "Untagged: twice:latest"
    said = docker.ok("rmi", "twice:b").splitlines()
    assert said[:2] == ["Untagged: twice:b", f"Deleted: {image}"]
    assert "No such image: twice:b" in docker.refused("rmi", "twice:b")


def test_rmi_refuses_an_image_in_use(docker: DockerCli) -> None:
    image = an_image(docker, "used", "LABEL only=that")
    docker.ok("run", "--name", "user", "used", "true")
    said = docker.refused("rmi", "used")
    container = docker.inspect("user")["Id"][:12]
    assert "conflict: unable to remove repository reference" in said
    assert f"container {container} is using its referenced image {image[7:19]}" in said
    assert "must be forced" in docker.refused("rmi", image)
    assert "Untagged: used:latest" in docker.ok("rmi", "-f", "used")
    assert docker.ok("start", "-a", "user") == ""


def test_rmi_refuses_an_image_that_runs_even_when_forced(docker: DockerCli) -> None:
    image = an_image(docker, "running", "LABEL only=run")
    docker.ok("run", "-d", "--name", "user", "running", "sleep", "1000")
    assert "cannot be forced" in docker.refused("rmi", "-f", image)


def test_history_has_sizes_and_commands(docker: DockerCli) -> None:
    an_image(docker, "told", "RUN head -c 4096 /dev/zero > /f", "ENV A=b")
    lines = docker.ok("history", "--format", "{{.Size}} {{.CreatedBy}}", "--no-trunc", "told")
    first, second = lines.splitlines()[:2]
    assert first == "0B ENV A=b"
    assert second.startswith("4.1kB RUN /bin/sh -c head")


def test_import_makes_an_image_of_a_root(docker: DockerCli, tmp_path: Path) -> None:
    changes = ["-c", "ENV A=b", "-c", 'CMD ["/x"]', "-m", "hello"]
    image = docker.ok("import", *changes, "-", "imported:v1", stdin=a_root(hello="hi\n"))
    found = docker.inspect("imported:v1", "image")
    assert (found["Id"], found["Comment"]) == (image, "hello")
    assert (found["Config"]["Env"], found["Config"]["Cmd"]) == (["A=b"], ["/x"])
    (tmp_path / "root.tar").write_bytes(a_root(hello="hi\n"))
    assert docker.ok("import", str(tmp_path / "root.tar")).startswith("sha256:")


def test_import_takes_a_url_and_a_platform(docker: DockerCli) -> None:
    with a_web_server({"/root.tar": a_root(hello="hi\n")}) as url:
        said = docker.ok("import", "--platform", "linux/arm64", f"{url}/root.tar", "fetched:v1")
        refused = docker.refused("import", f"{url}/none.tar")
    found = docker.inspect("fetched:v1", "image")
    assert said.splitlines()[-1] == found["Id"]
    assert (found["Architecture"], found["Comment"]) == ("arm64", f"Imported from {url}/root.tar")
    assert "with status 404" in refused
    assert "failed to GET" in docker.refused("import", f"{url}/root.tar")


def test_import_refuses_what_is_no_tar(docker: DockerCli) -> None:
    assert "tar" in docker.refused("import", "-", "broken", stdin=b"no tar at all")


def test_image_prune_takes_dangling_images(docker: DockerCli) -> None:
    first = an_image(docker, "moves", "RUN echo 1 > /moved")
    an_image(docker, "moves", "RUN echo 2 > /moved")
    assert first in docker.ok("images", "-q", "--no-trunc", "--filter", "dangling=true")
    assert first in docker.ok("image", "prune", "-f")
    assert docker.ok("images", "-q", "--filter", "dangling=true") == ""


def test_missing_image_is_said_in_dockers_words(docker: DockerCli) -> None:
    assert "No such image: nope" in docker.refused("image", "inspect", "nope")
    assert "No such image: nope" in docker.refused("history", "nope")


# ---- volumes ---------------------------------------------------------------------------------


def test_volumes_are_made_listed_inspected_and_removed(docker: DockerCli) -> None:
    assert docker.ok("volume", "create", "--label", "a=b", "data") == "data"
    assert docker.ok("volume", "create", "data") == "data"
    assert docker.ok("volume", "ls", "--format", "{{.Driver}} {{.Name}}") == "local data"
    assert docker.ok("volume", "ls", "-q", "--filter", "label=a=c") == ""
    found = json.loads(docker.ok("volume", "inspect", "data"))[0]
    assert (found["Name"], found["Driver"], found["Labels"]) == ("data", "local", {"a": "b"})
    assert Path(found["Mountpoint"]).is_dir()
    assert docker.ok("volume", "rm", "data") == "data"
    assert "get data: no such volume" in docker.refused("volume", "rm", "data")


def test_volume_in_use_is_not_removed(docker: DockerCli) -> None:
    container = docker.ok("create", "-v", "held:/data", "busybox")
    said = docker.refused("volume", "rm", "held")
    assert "volume is in use" in said
    assert container in said
    docker.ok("rm", container)
    docker.ok("volume", "rm", "held")


def test_volume_prune_takes_anonymous_ones_only(docker: DockerCli) -> None:
    docker.ok("volume", "create", "named")
    anonymous = docker.ok("volume", "create")
    assert anonymous in docker.ok("volume", "prune", "-f")
    assert docker.ok("volume", "ls", "-q") == "named"
    assert "named" in docker.ok("volume", "prune", "-af")


# ---- system ----------------------------------------------------------------------------------


def test_version_and_info_are_shown(docker: DockerCli) -> None:
    template = "{{.Server.APIVersion}} {{.Server.MinAPIVersion}} {{.Server.Os}}"
    assert docker.ok("version", "--format", template) == "1.51 1.24 linux"
    docker.ok("create", "busybox")
    info = json.loads(docker.ok("info", "--format", "json"))
    assert (info["Containers"], info["ContainersStopped"]) == (1, 1)
    assert (info["OSType"], info["Driver"]) == ("linux", "overlay2")
    assert (info["CgroupDriver"], info["CgroupVersion"]) in (
        ("cgroupfs", "1"),
        ("cgroupfs", "2"),
        ("systemd", "2"),
    )
    assert docker.ok("info", "-f", "{{.CgroupDriver}}").strip() == info["CgroupDriver"]
    assert info["Swarm"]["LocalNodeState"] == "inactive"
    assert "ServerErrors" not in info or not info["ServerErrors"]


def test_system_df_counts(docker: DockerCli) -> None:
    docker.ok("run", "-v", "/data", "busybox", "sh", "-c", "head -c 5000 /dev/zero > /data/f")
    lines = docker.ok("system", "df", "--format", "{{.Type}}|{{.TotalCount}}|{{.Size}}")
    rows = {line.split("|")[0]: line.split("|")[1:] for line in lines.splitlines()}
    assert set(rows) == {"Images", "Containers", "Local Volumes", "Build Cache"}
    assert rows["Containers"][0] == "1"
    assert rows["Local Volumes"] == ["1", "5kB"]
    assert "busybox" in docker.ok("system", "df", "-v")


@pytest.mark.parametrize("version", ["1.24", "1.30", "1.41", "1.44", "1.51"])
def test_api_version_of_the_client_is_spoken(docker: DockerCli, version: str) -> None:
    old = {"DOCKER_API_VERSION": version}
    assert docker.ok("run", "--rm", "-i", "busybox", "cat", stdin=b"x", env=old) == "x"
    docker.ok("create", "--name", "speaks", "busybox", "echo", "hi", env=old)
    assert docker.ok("start", "-a", "speaks", env=old) == "hi"
    assert docker.ok("logs", "speaks", env=old) == "hi"
    assert "speaks" in docker.ok("ps", "-a", env=old)


@pytest.mark.parametrize(
    ("version", "words"),
    [
        ("1.20", "client version 1.20 is too old. Minimum supported API version is 1.24"),
        ("1.99", "client version 1.99 is too new. Maximum supported API version is 1.51"),
    ],
)
def test_other_api_versions_are_refused(docker: DockerCli, version: str, words: str) -> None:
    done = docker.call("ps", env={"DOCKER_API_VERSION": version})
    assert done.returncode == 1
    assert words in done.stderr


def test_system_prune_leaves_what_is_used(docker: DockerCli) -> None:
    docker.ok("run", "--name", "gone", "busybox", "true")
    docker.ok("run", "-d", "--name", "stays", "busybox", "sleep", "1000")
    docker.ok("system", "prune", "-f")
    assert docker.ok("ps", "-a", "--format", "{{.Names}}") == "stays"


def test_events_of_images_and_volumes_are_told(docker: DockerCli) -> None:
    since = str(time.time())
    an_image(docker, "event")
    docker.ok("tag", "event", "event:two")
    docker.ok("rmi", "event:two")
    docker.ok("volume", "create", "event")
    docker.ok("volume", "rm", "event")
    asked = ["--since", since, "--until", str(time.time()), "--format", "{{.Type}} {{.Action}}"]
    said = docker.ok("events", *asked).splitlines()
    for one in ("image tag", "image untag", "volume create", "volume destroy"):
        assert one in said


def test_swarm_is_refused_in_dockers_words(docker: DockerCli) -> None:
    assert "This node is not a swarm manager" in docker.refused("service", "ls")


def test_inspect_and_history_of_another_platform_are_refused(docker: DockerCli) -> None:
    for command in (("image", "inspect"), ("history",)):
        said = docker.refused(*command, "--platform", "linux/s390x", "busybox")
        assert "does not match the specified platform" in said
    own = docker.ok("version", "--format", "{{.Server.Os}}/{{.Server.Arch}}")
    found = docker.ok("image", "inspect", "--platform", own, "-f", "{{.Id}}", "busybox")
    assert found == docker.ok("image", "inspect", "-f", "{{.Id}}", "busybox")


def test_system_df_shows_the_build_cache(docker: DockerCli) -> None:
    an_image(docker, "cached", "RUN head -c 5000 /dev/zero > /cached")
    docker.ok("rmi", "cached")
    lines = docker.ok("system", "df", "--format", "{{.Type}}|{{.Size}}").splitlines()
    assert dict(line.split("|") for line in lines)["Build Cache"] == "5kB"
    assert "Build cache usage: 5kB" in docker.ok("system", "df", "-v")
    assert "5kB" in docker.ok("builder", "prune", "-f")
