"""Service: `~/.docker/config.json`, shared with docker: who we are at which registry.

Passwords stand there only where no credential helper is named; the file is 0600 and replaced whole.
"""

from __future__ import annotations

import os

from pogu.cli.failure import CliError

__all__ = ["HUB", "CredentialStore", "auth_header", "server_of"]

HUB = "https://index.docker.io/v1/"

Json = dict[str, object]


def server_of(name: str) -> str:
    """The key of an image's registry in the file."""
    first, slash, _ = name.partition("/")
    if not slash or not (set(first) & set(".:") or first == "localhost"):
        return HUB
    return HUB if first in ("docker.io", "index.docker.io") else first


def _key(server: str) -> str:
    plain = server.removeprefix("https://").removeprefix("http://").rstrip("/")
    if plain.partition("/")[0] in ("docker.io", "index.docker.io", "registry-1.docker.io"):
        return HUB
    return plain.partition("/")[0]


def auth_header(found: Json, name: str = "X-Registry-Auth") -> dict[str, str]:
    """The header by which the engine is told; X-Registry-Config takes a map of them."""
    if not found:
        return {}
    import base64

    from pogu.cli.wire import encode

    return {name: base64.urlsafe_b64encode(encode(found).encode()).decode()}


class CredentialStore:
    """Reads and writes the file; asks credential helpers where it names them."""

    def __init__(self, path: str = "") -> None:
        directory = os.environ.get("DOCKER_CONFIG") or os.path.expanduser("~/.docker")
        self._path = path or os.path.join(directory, "config.json")

    def _read(self) -> Json:
        import json

        try:
            with open(self._path, encoding="utf-8") as file:
                content = json.load(file)
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as err:
            raise CliError(
                f"error loading config file: {self._path}: {err}",
                hint="mend or remove the file",
            ) from err
        return content if isinstance(content, dict) else {}

    def _write(self, content: Json) -> None:
        import json

        os.makedirs(os.path.dirname(self._path), mode=0o700, exist_ok=True)
        temporary = f"{self._path}.new"
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(fd, "w", encoding="utf-8") as file:
            json.dump(content, file, indent="\t")
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, self._path)

    def _helper(self, content: Json, server: str) -> str:
        helpers = content.get("credHelpers")
        if isinstance(helpers, dict):
            found = helpers.get(server) or helpers.get(_key(server))
            if found:
                return str(found)
        return str(content.get("credsStore") or "")

    def get(self, server: str) -> Json:
        """What to send for a registry; empty when nothing is known."""
        if not os.path.exists(self._path):
            return {}
        content = self._read()
        key = _key(server)
        helper = self._helper(content, key)
        if helper:
            return _from_helper(helper, key)
        auths = content.get("auths")
        for name, entry in (auths if isinstance(auths, dict) else {}).items():
            if _key(name) == key and isinstance(entry, dict):
                return _from_entry(entry, key)
        return {}

    def all(self) -> Json:
        """Every login, by registry: what a build may need for its base images."""
        if not os.path.exists(self._path):
            return {}
        content = self._read()
        servers: set[str] = set()
        for part in ("auths", "credHelpers"):
            names = content.get(part)
            servers |= {_key(name) for name in names} if isinstance(names, dict) else set()
        found = {server: self.get(server) for server in sorted(servers)}
        return {server: entry for server, entry in found.items() if entry}

    def put(self, server: str, username: str, password: str, identity_token: str = "") -> str:
        """Keep a login; return where it went, in words."""
        content = self._read()
        key = _key(server)
        helper = self._helper(content, key)
        if helper:
            secret = identity_token or password
            name = "<token>" if identity_token else username
            _call_helper(helper, "store", {"ServerURL": key, "Username": name, "Secret": secret})
            return f"docker-credential-{helper}"
        import base64

        entry: Json = {"auth": base64.b64encode(f"{username}:{password}".encode()).decode()}
        if identity_token:
            entry = {"auth": base64.b64encode(f"{username}:".encode()).decode()}
            entry["identitytoken"] = identity_token
        auths = content.setdefault("auths", {})
        assert isinstance(auths, dict)
        auths[key] = entry
        self._write(content)
        return self._path

    def remove(self, server: str) -> bool:
        """Forget a login; False when there was none."""
        content = self._read()
        key = _key(server)
        helper = self._helper(content, key)
        if helper:
            _call_helper(helper, "erase", key)
        auths = content.get("auths")
        names = [name for name in auths if _key(name) == key] if isinstance(auths, dict) else []
        if isinstance(auths, dict) and names:
            content["auths"] = {name: auths[name] for name in auths if name not in names}
            self._write(content)
        return bool(names or helper)


def _from_entry(entry: Json, key: str) -> Json:
    import base64

    found: Json = {"serveraddress": key}
    if entry.get("identitytoken"):
        found["identitytoken"] = entry["identitytoken"]
    if entry.get("auth"):
        text = base64.b64decode(str(entry["auth"])).decode(errors="replace")
        username, _, password = text.partition(":")
        found |= {"username": username, "password": password.rstrip("\0")}
    return found


def _from_helper(helper: str, key: str) -> Json:
    answer = _call_helper(helper, "get", key)
    if not answer:
        return {}
    from pogu.cli.wire import decode

    content = decode(answer)
    if not isinstance(content, dict):
        return {}
    username, secret = str(content.get("Username", "")), str(content.get("Secret", ""))
    if username == "<token>":
        return {"serveraddress": key, "identitytoken": secret}
    return {"serveraddress": key, "username": username, "password": secret}


def _call_helper(helper: str, verb: str, sent: object) -> bytes:
    """The credential helpers' protocol: a word as argument, JSON or a server on standard input."""
    import subprocess

    from pogu.cli.wire import encode

    text = (sent if isinstance(sent, str) else encode(sent)).encode()
    program = f"docker-credential-{helper}"
    try:
        done = subprocess.run([program, verb], input=text, capture_output=True, check=False)
    except FileNotFoundError as err:
        raise CliError(
            f"error getting credentials: {program}: executable file not found in $PATH",
            hint="install it, or take it out of ~/.docker/config.json",
        ) from err
    if done.returncode != 0:
        said = (done.stdout + done.stderr).decode(errors="replace").strip()
        if "not found" in said:
            return b""
        raise CliError(f"error getting credentials: {program}: {said}")
    return done.stdout
