"""Service: `~/.docker/config.json`, shared with docker: who we are at which registry.

Passwords stand there only where no credential helper is named. The file is replaced whole, where a
link leads to, with its owner kept and for the owner only (0600).
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
        if not isinstance(content, dict):
            raise CliError(
                f"error loading config file: {self._path}: it is not a JSON object",
                hint="mend or remove the file",
            )
        return content

    def _write(self, content: Json) -> None:
        import json

        path = os.path.realpath(self._path)
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        temporary = f"{path}.{os.getpid()}"
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(fd, "w", encoding="utf-8") as file:
                json.dump(content, file, indent="\t", ensure_ascii=False)
                file.write("\n")
                file.flush()
                os.fsync(file.fileno())
            _keep_owner(path, temporary)
            os.replace(temporary, path)
        except BaseException:
            os.unlink(temporary)
            raise

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
        for name, entry in _auths(content).items():
            if _key(name) == key and isinstance(entry, dict):
                return _from_entry(entry, key)
        return {}

    def all(self) -> Json:
        """Every login, by registry: what a build may need for its base images.

        A helper that does not answer is left out: the build may not need it.
        """
        if not os.path.exists(self._path):
            return {}
        content = self._read()
        helpers = content.get("credHelpers")
        servers = {_key(name) for name in _auths(content)}
        servers |= {_key(name) for name in helpers} if isinstance(helpers, dict) else set()
        found: Json = {}
        try:
            servers |= _listed(str(content.get("credsStore") or ""))
            for server in sorted(servers):
                if entry := self.get(server):
                    found[server] = entry
        except CliError:
            return found
        return found

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

        secret = "" if identity_token else password
        entry: Json = {"auth": base64.b64encode(f"{username}:{secret}".encode()).decode()}
        if identity_token:
            entry["identitytoken"] = identity_token
        kept = {name: own for name, own in _auths(content).items() if _key(name) != key}
        content["auths"] = {**kept, key: entry}
        self._write(content)
        return self._path

    def remove(self, server: str) -> bool:
        """Forget a login; False when there was none."""
        content = self._read()
        key = _key(server)
        helper = self._helper(content, key)
        known = bool(helper and _from_helper(helper, key))
        if known:
            _call_helper(helper, "erase", key)
        auths = _auths(content)
        kept = {name: own for name, own in auths.items() if _key(name) != key}
        if len(kept) == len(auths):
            return known
        content["auths"] = kept
        self._write(content)
        return True


def _auths(content: Json) -> Json:
    auths = content.get("auths")
    return auths if isinstance(auths, dict) else {}


def _keep_owner(path: str, temporary: str) -> None:
    """Root, by sudo, may write another user's file: it stays theirs."""
    try:
        before = os.stat(path)
        os.chown(temporary, before.st_uid, before.st_gid)
    except OSError:
        return


def _from_entry(entry: Json, key: str) -> Json:
    import base64

    found: Json = {"serveraddress": key}
    if entry.get("identitytoken"):
        found["identitytoken"] = entry["identitytoken"]
    for name in ("username", "password", "registrytoken"):
        if entry.get(name):
            found[name] = entry[name]
    if entry.get("auth"):
        try:
            text = base64.b64decode(str(entry["auth"]), validate=True).decode()
        except ValueError as err:
            raise CliError(
                f"invalid auth configuration file: the entry of {key} cannot be read",
                hint=f"log in again: pogu login {key}",
            ) from err
        username, _, password = text.partition(":")
        found |= {"username": username, "password": password.rstrip("\0")}
    return found if len(found) > 1 else {}


def _listed(helper: str) -> set[str]:
    """The registries that a helper has logins of."""
    if not helper:
        return set()
    from pogu.cli.wire import decode

    try:
        servers = decode(_call_helper(helper, "list", "") or b"{}")
    except ValueError:
        return set()
    return {_key(name) for name in servers} if isinstance(servers, dict) else set()


def _from_helper(helper: str, key: str) -> Json:
    answer = _call_helper(helper, "get", key)
    if not answer:
        return {}
    from pogu.cli.wire import decode

    try:
        content = decode(answer)
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise CliError(f"error getting credentials: docker-credential-{helper} sent no JSON object")
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
    except OSError as err:
        why = "executable file not found in $PATH" if err.errno == 2 else err.strerror
        raise CliError(
            f"error getting credentials: {program}: {why}",
            hint="install it, or take it out of ~/.docker/config.json",
        ) from err
    if done.returncode != 0:
        said = (done.stdout + done.stderr).decode(errors="replace").strip()
        if "credentials not found" in said:
            return b""
        raise CliError(f"error getting credentials: {program}: {said}")
    return done.stdout
