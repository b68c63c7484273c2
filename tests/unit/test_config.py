"""The configuration file, what overrides it, and what it refuses."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path

import pytest

from pogu.config import KEYS, Config, Paths, load_config
from pogu.errors import InvalidParameter, SystemFailure

DOCUMENT = Path(__file__).parents[2] / "docs" / "configuration.md"
SUFFIX = Paths(root=Path("/data/pogu")).suffix


def loaded(text: str, tmp_path: Path, **environ: str) -> Config:
    file = tmp_path / "config.toml"
    file.write_text(text)
    return load_config(files=[file], environ=environ)


def refused(text: str, tmp_path: Path) -> InvalidParameter:
    with pytest.raises(InvalidParameter) as caught:
        loaded(text, tmp_path)
    assert caught.value.message.startswith(f"{tmp_path}/config.toml: ")
    return caught.value


def of(environ: Mapping[str, str], **paths: Path) -> Config:
    return load_config(files=[], environ=environ, **paths)


def documented() -> dict[str, str]:
    """Return each key's section of the document."""
    parts = re.split(r"^### `(.+)`\n", DOCUMENT.read_text(), flags=re.M)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


def said(section: str, what: str) -> str:
    found = re.search(rf"^- {what}: `(.*)`$", section, re.M)
    assert found, f"no line {what}"
    return found[1]


def test_without_a_file_everything_has_its_default() -> None:
    assert of({}) == Config()


def test_every_key_reaches_its_field(tmp_path: Path) -> None:
    text = """
        root = "/data/pogu"
        run_root = "/run/other/"
        idle_exit_s = 0
        runtime = "runc"
        socket_group = "docker"
        debug = true
        [log]
        max_size = "50m"
        max_files = 3
        [network]
        bridge_subnet = "10.99.0.0/16"
        dns = ["9.9.9.9", "fd00::1"]
        [build]
        parallelism = 4
    """
    assert loaded(text, tmp_path) == Config(
        paths=Paths(root=Path("/data/pogu"), run_root=Path("/run/other")),
        idle_exit_s=0,
        runtime="runc",
        socket_group="docker",
        debug=True,
        log_max_size_bytes=50 << 20,
        log_max_files=3,
        bridge_subnet="10.99.0.0/16",
        dns=("9.9.9.9", "fd00::1"),
        build_parallelism=4,
    )


def test_every_field_has_a_key() -> None:
    names = {field.name for field in fields(Config)} - {"paths"} | {"root", "run_root"}
    assert {key.field for key in KEYS.values()} == names


def test_the_later_file_wins_key_by_key(tmp_path: Path) -> None:
    first, second = tmp_path / "first.toml", tmp_path / "second.toml"
    first.write_text('idle_exit_s = 5\nruntime = "crun"\n')
    second.write_text('runtime = "runc"\n')
    config = load_config(files=[first, tmp_path / "missing.toml", second], environ={})
    assert (config.idle_exit_s, config.runtime) == (5, "runc")


@pytest.mark.parametrize(
    ("variable", "below"), [("XDG_CONFIG_HOME", "pogu"), ("HOME", ".config/pogu")]
)
def test_the_users_file_wins_over_the_systems(
    variable: str, below: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "system.toml").write_text("idle_exit_s = 6\ndebug = true")
    monkeypatch.setattr("pogu.config.load.SYSTEM_FILE", tmp_path / "system.toml")
    directory = tmp_path / below
    directory.mkdir(parents=True)
    (directory / "config.toml").write_text("idle_exit_s = 7")
    config = load_config(environ={variable: str(tmp_path)})
    assert (config.idle_exit_s, config.debug) == (7, True)


@pytest.mark.parametrize(
    ("name", "text", "field", "value"),
    [
        ("POGU_IDLE_EXIT_S", "9", "idle_exit_s", 9),
        ("POGU_RUNTIME", "/opt/crun", "runtime", "/opt/crun"),
        ("POGU_SOCKET_GROUP", "wheel", "socket_group", "wheel"),
        ("POGU_DEBUG", "1", "debug", True),
        ("POGU_DEBUG", "Off", "debug", False),
        ("POGU_LOG_MAX_SIZE", "1g", "log_max_size_bytes", 1 << 30),
        ("POGU_LOG_MAX_SIZE", "4096", "log_max_size_bytes", 4096),
        ("POGU_LOG_MAX_FILES", "2", "log_max_files", 2),
        ("POGU_NETWORK_BRIDGE_SUBNET", "10.9.0.1/24", "bridge_subnet", "10.9.0.1/24"),
        ("POGU_NETWORK_DNS", "9.9.9.9,1.1.1.1 fd00::1", "dns", ("9.9.9.9", "1.1.1.1", "fd00::1")),
        ("POGU_BUILD_PARALLELISM", "3", "build_parallelism", 3),
        ("POGU_IDLE_EXIT_S", "", "idle_exit_s", 300),
    ],
)
def test_the_environment_sets_a_key(name: str, text: str, field: str, value: object) -> None:
    assert getattr(of({name: text}), field) == value


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    assert loaded("idle_exit_s = 5", tmp_path, POGU_IDLE_EXIT_S="6").idle_exit_s == 6


def test_arguments_win_over_the_environment() -> None:
    environ = {"POGU_ROOT": "/env", "POGU_RUN_ROOT": "/run/env"}
    paths = of(environ, root=Path("/arg"), run_root=Path("/run/arg")).paths
    assert paths == Paths(root=Path("/arg"), run_root=Path("/run/arg"))


def test_another_root_gets_a_run_root_of_its_own() -> None:
    wanted = Paths(root=Path("/data/pogu"), run_root=Path(f"/run/pogu-{SUFFIX}"))
    assert of({}, root=Path("/data/pogu")).paths == wanted
    assert of({"POGU_ROOT": "/data/pogu/"}).paths == wanted


@pytest.mark.parametrize("text", ["/var/lib/pogu", "/var/lib/pogu/", "//var/lib/./pogu"])
def test_the_default_root_keeps_the_default_run_root(text: str) -> None:
    assert of({"POGU_ROOT": text}).paths == Paths()


def test_a_root_in_a_file_stays_where_clients_look(tmp_path: Path) -> None:
    assert loaded('root = "/data/pogu"', tmp_path).paths.socket == Paths().socket


def test_a_run_root_in_a_file_is_not_for_another_root(tmp_path: Path) -> None:
    paths = loaded('run_root = "/run/own"', tmp_path, POGU_ROOT="/data/pogu").paths
    assert paths.run_root == Path(f"/run/pogu-{SUFFIX}")


def test_a_relative_root_starts_at_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert of({}, root=Path("store")).paths.root == tmp_path / "store"


@pytest.mark.parametrize(
    ("text", "name", "meant"),
    [
        ("idle_exit = 5", "idle_exit", "idle_exit_s"),
        ("[log]\nmax_sizes = 5", "log.max_sizes", "log.max_size"),
        ("[log]\nmax-size = 5", "log.max-size", "log.max_size"),
        ("log_max_size_bytes = 5", "log_max_size_bytes", "log.max_size"),
        ("dns = []", "dns", "network.dns"),
        ('data-root = "/data"', "data-root", "root"),
        ('bip = "10.0.0.1/8"', "bip", "network.bridge_subnet"),
        ("[network]\nparalelism = 1", "network.paralelism", "build.parallelism"),
    ],
)
def test_an_unknown_key_is_refused_with_the_near_miss(
    text: str, name: str, meant: str, tmp_path: Path
) -> None:
    error = refused(text, tmp_path)
    assert error.message.endswith(f": unknown key '{name}'")
    assert error.hint == f"did you mean {meant}?"


def test_an_unknown_key_like_no_other_gets_the_list(tmp_path: Path) -> None:
    assert "log.max_size, log.max_files" in (refused("[zzz]\nq = 1", tmp_path).hint or "")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('idle_exit_s = "5"', "idle_exit_s must be a whole number, not '5'"),
        ("idle_exit_s = true", "idle_exit_s must be a whole number, not true"),
        ("idle_exit_s = -1", "idle_exit_s must be from 0 to 2147483648, not -1"),
        ("log.max_files = 0", "log.max_files must be from 1 to 1000, not 0"),
        ("debug = 1", "debug must be true or false, not 1"),
        ("runtime = 1", "runtime must be a string, not 1"),
        ('runtime = "crun --debug"', "runtime must be one word, not 'crun --debug'"),
        ("root = {}", "root must be a string, not a table"),
        ('root = "data"', "root must be the absolute path of a directory, not 'data'"),
        ('root = "/.."', "root must be the absolute path of a directory, not '/..'"),
        ('root = ""', "root must be the absolute path of a directory, not ''"),
        ("log = 5", "log must be a table, not 5"),
        ('log.max_size = "20q"', "log.max_size must be a size, not '20q'"),
        ('log.max_size = ""', "log.max_size must be a size, not ''"),
        ("log.max_size = -1", "log.max_size must be a size, not -1"),
        ("log.max_size = 1.5", "log.max_size must be a size, not 1.5"),
        ("log.max_size = true", "log.max_size must be a size, not true"),
        ('log.max_size = "0k"', "log.max_size must be more than 0 and less than an exabyte"),
        ('network.bridge_subnet = "10.0.0.0/30"', "must be an IPv4 subnet (at most /29)"),
        ('network.bridge_subnet = "fd00::/64"', "network.bridge_subnet must be an IPv4 subnet"),
        ('network.dns = "9.9.9.9"', "must be a list of IP addresses, not '9.9.9.9'"),
        ('network.dns = ["one.one"]', "must be a list of IP addresses; 'one.one' is none"),
        ("network.dns = [1]", "must be a list of IP addresses; 1 is none"),
        ('root = "/run/pogu"\n', "root and run_root are the same directory: /run/pogu"),
    ],
)
def test_a_wrong_value_is_refused(text: str, complaint: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidParameter) as caught:
        loaded(text, tmp_path)
    assert complaint in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize(
    ("text", "size"), [('"1"', 1), ('"2kb"', 2048), ('"3 MiB"', 3 << 20), ("77", 77)]
)
def test_sizes(text: str, size: int, tmp_path: Path) -> None:
    assert loaded(f"log.max_size = {text}", tmp_path).log_max_size_bytes == size


@pytest.mark.parametrize("text", ["--5", "x", "1.5", "9" * 5000])
def test_a_variable_that_is_no_number_is_refused(text: str) -> None:
    for name in ("POGU_IDLE_EXIT_S", "POGU_LOG_MAX_SIZE"):
        with pytest.raises(InvalidParameter, match=f"^{name} must be"):
            of({name: text})


def test_a_wrong_variable_is_named_with_an_example() -> None:
    with pytest.raises(InvalidParameter) as caught:
        of({"POGU_NETWORK_DNS": "here"})
    assert caught.value.message.startswith("POGU_NETWORK_DNS must be a list of IP addresses")
    assert caught.value.hint == "for example POGU_NETWORK_DNS=9.9.9.9,1.1.1.1"


def test_a_wrong_argument_is_named_as_it_was_written() -> None:
    with pytest.raises(InvalidParameter) as caught:
        of({}, root=Path("/"))
    assert caught.value.message.startswith("--root must be the absolute path")
    assert caught.value.hint == "for example --root=/data/pogu"


@pytest.mark.parametrize(
    ("content", "where"),
    [
        (b"debug = true\nidle_exit_s = \n", "line 2, column 15: Invalid value"),
        (b"debug = true\n[log\n", "line 2, column 5: "),
        (b'debug = true\nruntime = "', "line 2"),
        (b"debug = true\ndebug = true\n", "line 2, column 13: Cannot overwrite a value"),
        (b"debug = true\n# \xff\n", "line 2: not UTF-8"),
    ],
)
def test_broken_toml_names_file_and_line(content: bytes, where: str, tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_bytes(content)
    with pytest.raises(InvalidParameter) as caught:
        load_config(files=[file], environ={})
    assert caught.value.message.startswith(f"{file}: {where}")


def test_a_byte_order_mark_is_no_error(tmp_path: Path) -> None:
    assert loaded("\ufeffdebug = true", tmp_path).debug


def test_a_file_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SystemFailure, match=f"cannot read {tmp_path}: Is a directory"):
        load_config(files=[tmp_path], environ={})


def test_every_key_is_documented_and_every_documented_key_exists() -> None:
    assert list(documented()) == list(KEYS)


@pytest.mark.parametrize("name", KEYS)
def test_the_document_agrees_with_the_code(name: str, tmp_path: Path) -> None:
    section, key = documented()[name], KEYS[name]
    example = re.search(r"```toml\n(.*?)```", section, re.S)
    assert example
    assert said(section, "Environment") == key.environment
    assert re.search(r"^- Type: \w+", section, re.M)
    table = {**tomllib.loads(example[1])}
    for part in name.split("."):
        table = table[part]
    assert table == tomllib.loads(f"x = {key.example}")["x"]
    loaded(example[1], tmp_path)


@pytest.mark.parametrize("name", KEYS)
def test_the_documented_default_is_the_default(name: str) -> None:
    text, key = said(documented()[name], "Default"), KEYS[name]
    default = text if key.shape is Path else json.loads(text)
    paths = Paths()
    fallback = getattr(paths, key.field, None)
    wanted = fallback if fallback is not None else getattr(Config(), key.field)
    assert key.read(default) == wanted


def test_the_whole_example_loads(tmp_path: Path) -> None:
    whole = re.search(r"```toml\n(# /etc.*?)```", DOCUMENT.read_text(), re.S)
    assert whole
    assert loaded(whole[1], tmp_path).log_max_files == 3


def test_the_import_stays_light() -> None:
    script = "import sys, pogu.config as c; c.load_config(files=[]); print(*sys.modules)"
    environ = {key: text for key, text in os.environ.items() if not key.startswith("POGU_")}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environ, capture_output=True, text=True, check=True
    )
    heavy = {"msgspec", "tomllib", "hashlib", "difflib", "asyncio", "logging"}
    assert not heavy & set(done.stdout.split())
