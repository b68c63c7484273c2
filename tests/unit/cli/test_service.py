"""The units that `system install-service` writes."""

from __future__ import annotations

import configparser
import shutil
import subprocess
from pathlib import Path

import pytest

from pogu.cli.service import service_unit, socket_unit


def parsed(text: str) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None, delimiters=("=",))
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(text)
    return parser


def test_the_socket_is_the_engines_and_only_its_groups() -> None:
    unit = parsed(socket_unit("/run/pogu/pogu.sock", "docker"))
    assert dict(unit["Socket"]) == {
        "ListenStream": "/run/pogu/pogu.sock",
        "SocketMode": "0660",
        "SocketGroup": "docker",
    }
    assert "SocketGroup" not in socket_unit("/run/pogu/pogu.sock", "")


def test_containers_outlive_the_service() -> None:
    unit = parsed(service_unit(["/usr/bin/python3", "-m", "pogu.daemon"], "/opt/pogu/src"))
    assert unit["Service"]["KillMode"] == "process"
    assert unit["Service"]["Type"] == "notify"
    assert unit["Service"]["ExecStart"] == "/usr/bin/python3 -m pogu.daemon"
    assert unit["Service"]["Environment"] == "PYTHONPATH=/opt/pogu/src"
    assert unit["Unit"]["Requires"] == "pogu.socket"


def test_paths_are_quoted_as_systemd_reads_them() -> None:
    unit = parsed(service_unit(["/usr/bin/python3", "--root", "/a b/50%"], "/x"))
    assert unit["Service"]["ExecStart"] == '/usr/bin/python3 --root "/a b/50%%"'


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
def test_systemd_finds_nothing_to_say_about_the_units(tmp_path: Path) -> None:
    (tmp_path / "pogu.socket").write_text(socket_unit("/run/pogu/pogu.sock", ""))
    (tmp_path / "pogu.service").write_text(service_unit(["/bin/true"], "/opt/pogu/src"))
    units = [str(tmp_path / name) for name in ("pogu.socket", "pogu.service")]
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *units], capture_output=True, text=True
    )
    assert [line for line in done.stderr.splitlines() if "pogu" in line] == []
    assert done.returncode == 0, done.stderr
