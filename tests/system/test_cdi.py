"""A device of the Container Device Interface arrives in the container."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.engine_process import EngineProcess, an_engine

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineProcess]:
    directory = tmp_path_factory.mktemp("cdi")
    hooked = directory / "hooked"
    (directory / "library").write_text("library\n")
    (directory / "nvidia.yaml").write_text(f"""
cdiVersion: 0.6.0
kind: nvidia.com/gpu
containerEdits:
  mounts:
  - {{hostPath: {directory}/library, containerPath: /opt/library, options: [ro]}}
  hooks:
  - {{hookName: createRuntime, path: /usr/bin/touch, args: [touch, {hooked}]}}
devices:
- name: all
  containerEdits:
    env: [GPUS=all]
    deviceNodes:
    - {{path: /dev/gpu0, hostPath: /dev/null, fileMode: 432, gid: 44}}
""")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("POGU_CDI_SPEC_DIRS", str(directory))
        with an_engine(tmp_path_factory.mktemp("pogu")) as running:
            yield running


@pytest.mark.parametrize("option", ["--gpus=all", "--device=nvidia.com/gpu=all"])
def test_it_has_node_mount_environment_and_hook(engine: EngineProcess, option: str) -> None:
    script = "stat -c '%a %g' /dev/gpu0; echo x >/dev/gpu0 && echo $GPUS; cat /opt/library"
    said = engine.ok("run", "--rm", option, "busybox", "sh", "-c", script)
    assert said.split("\n") == ["660 44", "all", "library"]


def test_the_hook_of_the_vendor_has_run(
    engine: EngineProcess, tmp_path_factory: pytest.TempPathFactory
) -> None:
    engine.ok("run", "--rm", "--gpus", "all", "busybox", "true")
    assert list(Path(tmp_path_factory.getbasetemp()).glob("cdi*/hooked"))


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("--device=nvidia.com/gpu=9", "unresolvable CDI devices nvidia.com/gpu=9"),
        ("--gpus=9", "unresolvable CDI devices nvidia.com/gpu=0"),
        ("--gpus=what", "invalid count (what)"),
        ("--gpus=driver=amd", 'could not select device driver "amd"'),
    ],
)
def test_a_device_that_there_is_not_is_refused(
    engine: EngineProcess, option: str, words: str
) -> None:
    assert words in engine.refused("run", "--rm", option, "busybox", "true", code=125)
