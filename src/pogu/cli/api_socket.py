"""Edge: `--use-api-socket`: the engine's socket and the user's logins inside a container.

The socket is a bind mount; the logins are written into the container once it is made, into a file
that only its root reads. Whoever is in there may do all that the engine may.
"""

from __future__ import annotations

from pogu.cli.context import Context
from pogu.cli.credentials import CredentialStore
from pogu.cli.http import quote
from pogu.cli.wire import encode

__all__ = ["give_logins", "with_api_socket"]

_INSIDE = "/var/run/docker.sock"
_DIRECTORY = "/run/secrets/docker"


def with_api_socket(context: Context, body: dict[str, object]) -> None:
    """Add to a create body the mount and the variable that says where the logins are."""
    host = body["HostConfig"]
    assert isinstance(host, dict)
    mount = {"Type": "bind", "Source": context.address.path, "Target": _INSIDE}
    host["Mounts"] = [*(host["Mounts"] or ()), mount]
    env = body["Env"] or []
    assert isinstance(env, list)
    if not any(str(one).startswith("DOCKER_CONFIG=") for one in env):
        body["Env"] = [*env, f"DOCKER_CONFIG={_DIRECTORY}"]


def give_logins(context: Context, container_id: str) -> None:
    """Write config.json with what the user is logged in to. Raises: ApiError."""
    import base64
    import io
    import tarfile

    auths = {}
    for server, found in CredentialStore().all().items():
        assert isinstance(found, dict)
        token = str(found.get("identitytoken", ""))
        login = f"{found.get('username', '')}:{'' if token else found.get('password', '')}"
        entry = {"auth": base64.b64encode(login.encode()).decode()}
        if token:
            entry["identitytoken"] = token
        auths[server] = entry
    raw = encode({"auths": auths}).encode()
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        path = ""
        for part in _DIRECTORY.strip("/").split("/"):
            path = f"{path}/{part}".lstrip("/")
            directory = tarfile.TarInfo(path)
            directory.type, directory.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(directory)
        entry_info = tarfile.TarInfo(f"{path}/config.json")
        entry_info.mode, entry_info.size = 0o600, len(raw)
        tar.addfile(entry_info, io.BytesIO(raw))
    context.request(
        "PUT",
        f"/containers/{quote(container_id)}/archive",
        {"path": "/"},
        stream=[packed.getvalue()],
        headers={"Content-Type": "application/x-tar"},
    ).read()
