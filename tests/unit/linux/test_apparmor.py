"""AppArmor of recorded trees; the parser is a script, or the real one without the kernel."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from pathlib import Path

import pytest

from pogu.errors import SystemFailure
from pogu.linux.apparmor import DEFAULT_PROFILE, AppArmor, detect_apparmor, profile_text

PROFILES = "/usr/bin/man (enforce)\nlxc-container-default (enforce)\nmy profile (complain)\n"


def a_host(root: Path, *, enabled: str = "Y\n", profiles: str = PROFILES) -> Path:
    """A host with AppArmor whose parser adds what it is given to the loaded profiles."""
    security = root / "sys/kernel/security/apparmor"
    parameters = root / "sys/module/apparmor/parameters"
    for directory in (security, parameters, root / "sbin"):
        directory.mkdir(parents=True)
    (parameters / "enabled").write_text(enabled)
    (security / "profiles").write_text(profiles)
    parser = root / "sbin/apparmor_parser"
    parser.write_text(
        f"""#!/bin/sh
test "$1" = -Kr || exit 2
sed -n 's/^profile \\([^ ]*\\) .*/\\1 (enforce)/p' >> {security}/profiles
echo once >> {root}/loads
"""
    )
    parser.chmod(0o755)
    return root


def test_the_kernel_the_switch_and_the_parser_make_a_host_with_apparmor(tmp_path: Path) -> None:
    host = a_host(tmp_path / "a")
    assert detect_apparmor(host, container="").enabled
    assert not detect_apparmor(host, container="lxc").enabled
    (host / "sbin/apparmor_parser").unlink()
    assert not detect_apparmor(host, container="").enabled
    assert not detect_apparmor(a_host(tmp_path / "b", enabled="N\n"), container="").enabled
    assert not detect_apparmor(tmp_path / "nothing", container="").enabled


def test_loaded_profiles_are_told_from_missing_ones(tmp_path: Path) -> None:
    found = detect_apparmor(a_host(tmp_path), container="")
    assert found.has("my profile")
    assert found.has("unconfined")
    assert not found.has("lxc-container")


def test_the_default_profile_is_loaded_once_and_again_when_it_is_gone(tmp_path: Path) -> None:
    found = detect_apparmor(a_host(tmp_path), container="")

    def load() -> int:
        asyncio.run(found.load_default())
        assert found.has(DEFAULT_PROFILE)
        return len((tmp_path / "loads").read_text().splitlines())

    assert (load(), load()) == (1, 1)
    (tmp_path / "sys/kernel/security/apparmor/profiles").write_text(PROFILES)
    assert load() == 2


def test_a_profile_that_cannot_be_loaded_is_no_reason_to_go_without(tmp_path: Path) -> None:
    host = AppArmor(enabled=True, parser=Path("/bin/false"), root=tmp_path)
    with pytest.raises(SystemFailure, match="pogu-default profile could not be loaded") as caught:
        asyncio.run(host.load_default())
    assert "apparmor=unconfined" in (caught.value.hint or "")


@pytest.mark.skipif(shutil.which("apparmor_parser") is None, reason="needs apparmor_parser")
@pytest.mark.parametrize("includes", [True, False])
def test_the_real_parser_compiles_the_profile(includes: bool) -> None:
    text = profile_text(DEFAULT_PROFILE, tunables=includes, abstractions=includes)
    argv = ["apparmor_parser", "--skip-kernel-load", "--skip-cache"]
    done = subprocess.run(argv, input=text, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
