"""Pogu: a container engine for Linux with Docker's command line and Docker's Engine API.

Start reading at docs/architecture.md. From Python, `pogu.connect()` gives a ready
`docker.DockerClient`; everything else in this package is the engine and its CLI.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from docker.client import DockerClient

__all__ = ["__version__", "connect"]

__version__ = "0.1.0"


def connect(host: str | None = None) -> DockerClient:
    """Return a docker-py client for the engine at `host`, starting the engine if needed.

    `host` is a `unix://` address; the default follows POGU_HOST, then the default socket.
    Needs the `docker` package (`pip install pogu[client]`).
    """
    try:
        from docker.client import DockerClient
    except ModuleNotFoundError as err:
        err.add_note("pogu.connect() needs docker-py: pip install 'docker>=7' (pogu[client])")
        raise

    from pogu.cli.connection import engine_address, ensure_engine

    address = engine_address(host)
    ensure_engine(address)
    return DockerClient(base_url=address.url)  # type: ignore[no-untyped-call]
