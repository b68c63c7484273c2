"""A real docker-registry on loopback, plain or with htpasswd. For system tests."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.engine_process import eventually

__all__ = ["RegistryProcess", "a_registry"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistryProcess:
    """Where it listens, and where its blobs lie."""

    address: str
    data: Path

    def name(self, repository: str) -> str:
        return f"{self.address}/{repository}"


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def _answers(address: str) -> bool:
    try:
        urllib.request.urlopen(f"http://{address}/v2/", timeout=2).close()
    except urllib.error.HTTPError as err:
        return err.code == 401
    except OSError:
        return False
    return True


@contextmanager
def a_registry(directory: Path, *, user: str = "", password: str = "") -> Iterator[RegistryProcess]:
    """Run a registry; with a user it asks for Basic authentication."""
    program = shutil.which("docker-registry")
    assert program, "docker-registry is missing: scripts/install --dev"
    address = f"127.0.0.1:{_free_port()}"
    data = directory / "registry"
    data.mkdir(parents=True)
    lines = [
        "version: 0.1",
        "log: {level: error}",
        f"storage: {{filesystem: {{rootdirectory: {data}}}, delete: {{enabled: true}}}}",
        f"http: {{addr: '{address}'}}",
    ]
    if user:
        secret = directory / "htpasswd"
        made = subprocess.run(["htpasswd", "-Bbn", user, password], capture_output=True, check=True)
        secret.write_bytes(made.stdout)
        lines.append(f"auth: {{htpasswd: {{realm: test, path: {secret}}}}}")
    config = directory / "registry.yml"
    config.write_text("\n".join(lines) + "\n")
    process = subprocess.Popen(
        [program, "serve", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        eventually(lambda: _answers(address), what="the registry answers")
        yield RegistryProcess(address=address, data=data)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
