"""Who we are at a registry: token servers, identity tokens, helpers, prompts. Real parts."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import select
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.engine_process import PATIENCE, EngineProcess, an_engine
from tests.fakes.program import a_program, calls_of
from tests.fakes.token_server import TokenServer, a_token_server
from tests.registry_process import RegistryProcess, a_registry

pytestmark = pytest.mark.root

SECRET = "secret-word-of-ann"


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineProcess]:
    before = os.environ.get("POGU_DEBUG")
    os.environ["POGU_DEBUG"] = "1"
    try:
        with an_engine(tmp_path_factory.mktemp("pogu")) as running:
            yield running
            log = (running.root / "engine.log").read_text()
            for secret in (SECRET, "identity-of-ann", "YW5uO"):
                assert secret not in log, "no secret is written down"
    finally:
        os.environ.pop("POGU_DEBUG")
        if before is not None:
            os.environ["POGU_DEBUG"] = before


@pytest.fixture(scope="module")
def tokens() -> Iterator[TokenServer]:
    with a_token_server(ann=SECRET) as server:
        yield server


@pytest.fixture(scope="module")
def registry(
    tokens: TokenServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RegistryProcess]:
    with a_registry(tmp_path_factory.mktemp("registry"), tokens=tokens) as running:
        yield running


@pytest.fixture(autouse=True)
def home(tmp_path: Path, tokens: TokenServer, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A configuration of docker's own for each test; returns its file."""
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    tokens.asked.clear()
    tokens.stale, tokens.busy, tokens.knows_post = 0, 0, True
    return tmp_path / "docker" / "config.json"


def log_in(engine: EngineProcess, registry: RegistryProcess) -> str:
    words = ("login", "-u", "ann", "--password-stdin", registry.address)
    return engine.ok(*words, stdin=f"{SECRET}\n".encode())


def pushed(engine: EngineProcess, name: str) -> str:
    engine.ok("tag", "busybox", name)
    said = engine.ok("push", name)
    engine.ok("rmi", name)
    return said


def test_a_login_is_kept_as_an_identity_token(
    engine: EngineProcess, registry: RegistryProcess, tokens: TokenServer, home: Path
) -> None:
    assert "Login Succeeded" in log_in(engine, registry)
    entry = json.loads(home.read_text())["auths"][registry.address]
    assert entry["identitytoken"] == "identity-of-ann"
    assert SECRET not in home.read_text()
    assert home.stat().st_mode & 0o777 == 0o600
    assert tokens.asked[0].parameters["service"] == [tokens.service]
    assert tokens.asked[0].parameters["account"] == ["ann"]


def test_an_identity_token_is_refreshed_by_post_and_else_by_get(
    engine: EngineProcess, registry: RegistryProcess, tokens: TokenServer
) -> None:
    log_in(engine, registry)
    tokens.asked.clear()
    pushed(engine, registry.name("private/one:1"))
    assert {asked.method for asked in tokens.asked} == {"POST"}
    tokens.knows_post = False
    engine.ok("pull", registry.name("private/one:1"))
    engine.ok("rmi", registry.name("private/one:1"))
    assert tokens.asked[-1].method == "GET"


def test_anybody_pulls_what_is_public_and_nobody_what_is_not(
    engine: EngineProcess, registry: RegistryProcess
) -> None:
    public, private = registry.name("public/web:1"), registry.name("private/web:1")
    log_in(engine, registry)
    pushed(engine, public)
    pushed(engine, private)
    engine.ok("logout", registry.address)
    engine.ok("pull", public)
    said = engine.refused("pull", private)
    assert (
        f"pull access denied for {registry.name('private/web')}, repository does not exist" in said
    )
    assert f"pogu login {registry.address}" in said
    engine.ok("tag", public, private)
    said = engine.refused("push", private)
    assert "denied: requested access to the resource is denied" in said
    assert f"pogu login {registry.address}" in said
    engine.ok("rmi", public, private)


def test_a_mount_from_another_repository_asks_for_both_scopes(
    engine: EngineProcess, registry: RegistryProcess, tokens: TokenServer
) -> None:
    log_in(engine, registry)
    pushed(engine, registry.name("private/from:1"))
    tokens.asked.clear()
    assert "Mounted from" in pushed(engine, registry.name("private/to:1"))
    wanted = [asked.scopes for asked in tokens.asked if len(asked.scopes) > 1]
    assert any("repository:private/to:pull,push" in scopes for scopes in wanted)
    assert all(any(scope.endswith(":pull") for scope in scopes) for scopes in wanted)


def test_a_token_that_ran_out_is_fetched_anew(
    engine: EngineProcess, registry: RegistryProcess, tokens: TokenServer
) -> None:
    name = registry.name("private/late:1")
    log_in(engine, registry)
    pushed(engine, name)
    tokens.stale, tokens.busy = 1, 1
    tokens.asked.clear()
    engine.ok("pull", name)
    # 503, a token that has run out, and one that holds.
    assert len(tokens.asked) == 3
    engine.ok("rmi", name)


def test_a_wrong_password_is_said_in_dockers_words_and_kept_nowhere(
    engine: EngineProcess, registry: RegistryProcess, home: Path
) -> None:
    words = ("login", "-u", "ann", "--password-stdin", registry.address)
    said = engine.refused(*words, stdin=b"wrong\n", code=1)
    assert (
        f'Get "http://{registry.address}/v2/": unauthorized: incorrect username or password' in said
    )
    assert not home.exists()


def test_what_else_stands_in_the_file_stays_and_a_link_is_followed(
    engine: EngineProcess, registry: RegistryProcess, home: Path, tmp_path: Path
) -> None:
    real = tmp_path / "elsewhere.json"
    real.write_text('{"auths": {"other:1": {"auth": "YTpi"}}, "currentContext": "mine"}')
    real.chmod(0o644)
    home.parent.mkdir()
    home.symlink_to(real)
    log_in(engine, registry)
    assert home.is_symlink()
    assert real.stat().st_mode & 0o777 == 0o600
    content = json.loads(real.read_text())
    assert content["currentContext"] == "mine"
    assert set(content["auths"]) == {"other:1", registry.address}
    engine.ok("logout", registry.address)
    assert set(json.loads(real.read_text())["auths"]) == {"other:1"}


def test_a_credential_helper_keeps_the_secret(
    engine: EngineProcess,
    registry: RegistryProcess,
    home: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kept = tmp_path / "kept"
    body = (
        f'case "$1" in store) cat > {kept};; get) cat >/dev/null; if [ -e {kept} ]; then'
        f' cat {kept}; else echo "credentials not found in native keychain"; exit 1; fi;;'
        f" erase) cat >/dev/null; rm -f {kept};; esac"
    )
    helper = a_program(tmp_path / "docker-credential-test", body=body)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    home.parent.mkdir()
    home.write_text(json.dumps({"credHelpers": {registry.address: "test"}}))
    assert "Login Succeeded" in log_in(engine, registry)
    assert json.loads(kept.read_text())["Username"] == "<token>"
    assert "identity" not in home.read_text()
    pushed(engine, registry.name("private/helped:1"))
    assert "Removing login credentials" in engine.ok("logout", registry.address)
    assert "Not logged in" in engine.ok("logout", registry.address)
    assert [words[0] for words in calls_of(helper)].count("store") == 1
    assert SECRET not in str(calls_of(helper))


def test_a_helper_that_is_missing_is_named(
    engine: EngineProcess, registry: RegistryProcess, home: Path
) -> None:
    home.parent.mkdir()
    home.write_text('{"credsStore": "nowhere"}')
    said = engine.refused("pull", registry.name("public/web:1"))
    assert "docker-credential-nowhere" in said
    home.write_text(json.dumps({"auths": {registry.address: {"auth": "%%"}}}))
    assert "invalid auth configuration file" in engine.refused("pull", registry.name("a:1"))
    home.write_text("[]")
    assert "error loading config file" in engine.refused("pull", registry.name("a:1"))


def test_without_a_terminal_nobody_is_asked(
    engine: EngineProcess, registry: RegistryProcess
) -> None:
    said = engine.refused("login", registry.address, code=1)
    assert "Cannot perform an interactive login from a non TTY device" in said
    assert "--password-stdin" in said
    said = engine.refused("login", "--password-stdin", registry.address)
    assert "requires --username" in said
    assert "password is empty" in engine.refused("login", "-u", "a", "--password-stdin", "x:1")


def test_the_docker_cli_logs_in_pushes_and_pulls(
    engine: EngineProcess, registry: RegistryProcess, home: Path
) -> None:
    def docker(*words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        argv = ["docker", "-H", f"unix://{engine.socket}", *words]
        return subprocess.run(argv, input=stdin, capture_output=True, text=True, check=False)

    name = registry.name("private/docker:1")
    login = ("login", "-u", "ann", "--password-stdin", registry.address)
    said = docker(*login, stdin="wrong")
    assert "unauthorized: incorrect username or password" in said.stderr
    engine.ok("tag", "busybox", name)
    assert "denied: requested access to the resource is denied" in docker("push", name).stderr
    assert "Login Succeeded" in docker(*login, stdin=SECRET).stdout
    assert json.loads(home.read_text())["auths"][registry.address]["identitytoken"]
    assert "digest: sha256:" in docker("push", name).stdout
    assert docker("rmi", name).returncode == 0
    assert f"Status: Downloaded newer image for {name}" in docker("pull", name).stdout
    assert docker("logout", registry.address).returncode == 0
    assert docker("rmi", name).returncode == 0
    assert "pull access denied" in docker("pull", name).stderr


def test_a_build_uses_the_login_of_its_base_image(
    engine: EngineProcess, registry: RegistryProcess, tmp_path: Path
) -> None:
    name = registry.name("private/base:1")
    log_in(engine, registry)
    pushed(engine, name)
    (tmp_path / "Dockerfile").write_text(f"FROM {name}\nRUN true\n")
    engine.ok("build", "-q", "-t", "based", str(tmp_path))
    engine.ok("rmi", "based", name)
    engine.ok("logout", registry.address)
    assert "pull access denied" in engine.refused("build", "--no-cache", str(tmp_path))


class Terminal:
    """The CLI at a terminal of its own."""

    def __init__(self, engine: EngineProcess, *words: str) -> None:
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execv(engine.argv[0], [*engine.argv, *words])
        self.seen = ""

    def wait_for(self, text: str, within_s: float = 20) -> None:
        deadline = time.monotonic() + within_s * PATIENCE
        while text not in self.seen:
            assert time.monotonic() < deadline, f"no {text!r} in {self.seen!r}"
            if select.select([self.fd], [], [], 0.05)[0]:
                self.seen += os.read(self.fd, 4096).decode()

    def type(self, text: str) -> None:
        os.write(self.fd, text.encode())

    def end(self, *, pressing: str = "", within_s: float = 20) -> int:
        """Wait for its end; a key that comes just before it reads is pressed again."""
        deadline = time.monotonic() + within_s * PATIENCE
        while not (ended := os.waitpid(self.pid, os.WNOHANG))[0]:
            assert time.monotonic() < deadline, f"it has not ended: {self.seen!r}"
            if pressing:
                with contextlib.suppress(OSError):  # it has just gone
                    self.type(pressing)
            select.select([], [], [], 0.05)
        os.close(self.fd)
        return os.waitstatus_to_exitcode(ended[1])


def test_a_terminal_is_asked_and_the_password_is_not_shown(
    engine: EngineProcess, registry: RegistryProcess
) -> None:
    terminal = Terminal(engine, "login", registry.address)
    terminal.wait_for("Username: ")
    terminal.type("ann\n")
    terminal.wait_for("Password: ")
    terminal.type(f"{SECRET}\n")
    terminal.wait_for("Login Succeeded")
    assert terminal.end() == 0
    assert SECRET not in terminal.seen
    again = Terminal(engine, "login", registry.address)
    again.wait_for("Login Succeeded")
    assert again.end() == 0
    assert "Authenticating with existing credentials... [Username: ann]" in again.seen


def test_known_credentials_that_fail_are_asked_for_anew(
    engine: EngineProcess, registry: RegistryProcess, home: Path
) -> None:
    home.parent.mkdir()
    home.write_text(json.dumps({"auths": {registry.address: {"auth": "YW5uOndyb25n"}}}))
    terminal = Terminal(engine, "login", registry.address)
    terminal.wait_for("Username (ann): ")
    assert re.search("Login did not succeed, error: .*unauthorized", terminal.seen)
    terminal.type("\n")
    terminal.wait_for("Password: ")
    terminal.type(f"{SECRET}\n")
    terminal.wait_for("Login Succeeded")
    assert terminal.end() == 0


def test_ctrl_c_at_the_password_leaves_the_terminal_as_it_was(
    engine: EngineProcess, registry: RegistryProcess
) -> None:
    terminal = Terminal(engine, "login", "-u", "ann", registry.address)
    terminal.wait_for("Password: ")
    assert terminal.end(pressing="\x03") == 130
