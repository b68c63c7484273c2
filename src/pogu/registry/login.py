"""Edge: trying a login at a registry, as `POST /auth` asks."""

from __future__ import annotations

from pogu.config import Config
from pogu.errors import Unauthorized
from pogu.registry.credentials import Credentials
from pogu.registry.transport import open_transport

__all__ = ["log_in", "registry_of"]


def registry_of(server: str) -> str:
    """The registry that a server address means: `https://index.docker.io/v1/` is docker.io."""
    domain = server.removeprefix("https://").removeprefix("http://").partition("/")[0]
    return "docker.io" if domain in ("", "docker.io", "index.docker.io") else domain


async def log_in(server: str, credentials: Credentials, config: Config) -> str:
    """Return the identity token that the registry gives in place of the password, if any.

    Raises: Unauthorized in Docker's words; Unavailable.
    """
    domain = registry_of(server)
    async with open_transport(
        domain, config, credentials, mirrors=False, offline=True
    ) as transport:
        try:
            async with transport.request("GET", "/v2/", scope=""):
                return transport.identity_token
        except Unauthorized as err:
            raise Unauthorized(
                f'Get "{transport.url}/v2/": unauthorized: incorrect username or password',
                hint="is it the right registry, and a password or token that it knows?",
            ) from err
