"""A real docker-registry on loopback: plain, with TLS, htpasswd or tokens. For system tests."""

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

from tests.certificates import Certificate
from tests.engine_process import eventually
from tests.fakes.token_server import TokenServer

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


def _answers(address: str, scheme: str) -> bool:
    if scheme == "https":
        host, _, port = address.partition(":")
        with socket.socket() as probe:
            return probe.connect_ex((host, int(port))) == 0
    try:
        urllib.request.urlopen(f"http://{address}/v2/", timeout=2).close()
    except urllib.error.HTTPError as err:
        return err.code == 401
    except OSError:
        return False
    return True


def _tls(directory: Path, tls: Certificate | None, clients: Certificate | None) -> str:
    if tls is None:
        return ""
    tls.write(directory / "server.pem", directory / "server.key")
    text = f"certificate: {directory / 'server.pem'}, key: {directory / 'server.key'}"
    if clients is not None:
        (directory / "clients.pem").write_bytes(clients.pem)
        text += f", clientcas: ['{directory / 'clients.pem'}']"
    return f", tls: {{{text}}}"


@contextmanager
def a_registry(
    directory: Path,
    *,
    user: str = "",
    password: str = "",
    tokens: TokenServer | None = None,
    tls: Certificate | None = None,
    clients: Certificate | None = None,
) -> Iterator[RegistryProcess]:
    """Run a registry; with a user it asks for Basic authentication, with `tokens` for theirs.

    `tls` is its certificate, `clients` the authority that its clients' certificates must be of.
    """
    program = shutil.which("docker-registry")
    assert program, "docker-registry is missing: scripts/install --dev"
    address = f"127.0.0.1:{_free_port()}"
    data = directory / "registry"
    data.mkdir(parents=True, exist_ok=True)
    lines = [
        "version: 0.1",
        "log: {level: error}",
        f"storage: {{filesystem: {{rootdirectory: {data}}}, delete: {{enabled: true}}}}",
        f"http: {{addr: '{address}'{_tls(directory, tls, clients)}}}",
    ]
    if tokens is not None:
        (directory / "tokens.pem").write_bytes(tokens.signer.pem)
        lines.append(
            f"auth: {{token: {{realm: '{tokens.url}', service: {tokens.service},"
            f" issuer: {tokens.issuer}, rootcertbundle: {directory / 'tokens.pem'}}}}}"
        )
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
        scheme = "https" if tls else "http"
        eventually(lambda: _answers(address, scheme), what="the registry answers")
        yield RegistryProcess(address=address, data=data)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
