"""Devices of the Container Device Interface."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.builders import a_workload

from pogu.errors import InvalidParameter
from pogu.runtime.cdi import edited, read_devices
from pogu.runtime.workload import BindMount, Device, Hook

YAML = """
cdiVersion: 0.6.0
kind: vendor.com/card
annotations: {unknown: fields}
containerEdits:
  env: [LIBRARY=/opt/lib]
  mounts:
  - hostPath: /opt/vendor
    containerPath: /opt/lib
    options: [ro, nosuid]
  hooks:
  - hookName: createContainer
    path: /usr/bin/vendor-hook
    args: [vendor-hook, chmod]
devices:
- name: "0"
  containerEdits:
    deviceNodes:
    - path: /dev/card0
      hostPath: /dev/null
      permissions: rw
      fileMode: 438
      gid: 44
- name: all
  containerEdits:
    env: [CARDS=all]
    additionalGids: [44]
"""


def a_file(directory: Path, name: str, kind: str = "vendor.com/card", device: str = "0") -> None:
    directory.mkdir(exist_ok=True)
    edits = {"env": [f"FROM={directory.name}/{name}"]}
    devices = [{"name": device, "containerEdits": edits}]
    text = json.dumps({"cdiVersion": "0.6.0", "kind": kind, "devices": devices})
    (directory / name).write_text(text)


def test_a_device_brings_its_edits_and_those_of_its_file_once(tmp_path: Path) -> None:
    (tmp_path / "vendor.yaml").write_text(YAML)
    devices = read_devices([str(tmp_path)])
    names = ["vendor.com/card=0", "vendor.com/card=all"]
    made = edited(a_workload(env=("A=b", "CARDS=none")), names, devices)
    assert made.env == ("A=b", "LIBRARY=/opt/lib", "CARDS=all")
    card = Device(
        path_on_host="/dev/null", path="/dev/card0", permissions="rw", file_mode=438, gid=44
    )
    assert made.devices == (card,)
    options = ("rbind", "ro", "nosuid")
    assert made.mounts == (
        BindMount(destination="/opt/lib", source="/opt/vendor", options=options),
    )
    hook = Hook(name="createContainer", path="/usr/bin/vendor-hook", args=("vendor-hook", "chmod"))
    assert made.hooks == (hook,)
    assert made.user.additional_gids == (44,)


def test_the_last_directory_wins(tmp_path: Path) -> None:
    for name in ("etc", "run"):
        a_file(tmp_path / name, "vendor.json")
    devices = read_devices([str(tmp_path / "etc"), str(tmp_path / "run")])
    assert edited(a_workload(), ["vendor.com/card=0"], devices).env[-1] == "FROM=run/vendor.json"


def test_a_device_of_two_files_is_refused_when_it_is_asked_for(tmp_path: Path) -> None:
    a_file(tmp_path, "a.json")
    a_file(tmp_path, "b.json")
    a_file(tmp_path, "c.json", device="1")
    devices = read_devices([str(tmp_path)])
    assert edited(a_workload(), ["vendor.com/card=1"], devices)
    with pytest.raises(InvalidParameter, match=r"conflicting device vendor.com/card=0"):
        edited(a_workload(), ["vendor.com/card=0"], devices)


def test_a_device_that_there_is_not_is_named_beside_those_there_are(tmp_path: Path) -> None:
    a_file(tmp_path, "a.json")
    devices = read_devices([str(tmp_path), str(tmp_path / "missing")])
    with pytest.raises(
        InvalidParameter, match=r"unresolvable CDI devices vendor.com/card=9"
    ) as err:
        edited(a_workload(), ["vendor.com/card=9"], devices)
    assert err.value.hint == "here is: vendor.com/card=0"


@pytest.mark.parametrize("text", ["", "{", "[]", '{"kind": "a.b/c"}', '{"cdiVersion": 6}'])
@pytest.mark.parametrize("name", ["bad.json", "bad.yaml"])
def test_a_broken_file_is_named(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(InvalidParameter, match=f"failed to read CDI file .*{name}"):
        read_devices([str(tmp_path)])


def test_other_files_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "README").write_text("nothing")
    assert read_devices([str(tmp_path)]) == {}
