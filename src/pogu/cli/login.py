"""Edge: `login` and `logout`."""

from __future__ import annotations

import os
import sys

from pogu.cli.context import Context, write
from pogu.cli.credentials import HUB, CredentialStore
from pogu.cli.failure import ApiError, CliError
from pogu.cli.flags import Command, Flag, Values

__all__ = ["COMMANDS"]


def _login(context: Context, values: Values) -> int:
    server = values.args[0] if values.args else HUB
    username, password = values.text("username"), values.text("password")
    if password:
        context.error("WARNING! Using --password via the CLI is insecure. Use --password-stdin.")
    if values.flag("password-stdin"):
        if password:
            raise CliError(
                "conflicting options: cannot specify both --password and --password-stdin"
            )
        if not username:
            raise CliError("the --password-stdin option requires --username to be set")
        password = sys.stdin.read().rstrip("\r\n")
        if not password:
            raise CliError("password is empty", hint="nothing came on standard input")
    store = CredentialStore()
    if not username and not password:
        known = store.get(server)
        if _is_complete(known) and _with_known(context, store, server, known):
            return 0
        username = str(known.get("username") or "")
        username = _ask_username(username)
    password = password or _ask_password()
    _try(context, store, server, {"username": username, "password": password})
    return 0


def _is_complete(known: dict[str, object]) -> bool:
    return bool(known.get("identitytoken") or (known.get("username") and known.get("password")))


def _with_known(
    context: Context, store: CredentialStore, server: str, known: dict[str, object]
) -> bool:
    """Try what is stored; False when the registry refuses it and somebody can be asked."""
    shown = known.get("username") or "<token>"
    context.out(f"Authenticating with existing credentials... [Username: {shown}]")
    try:
        _try(context, store, server, known)
    except ApiError as err:
        if err.status != 401 or not os.isatty(0):
            raise
        context.error(f"Login did not succeed, error: {err}")
        return False
    return True


def _try(context: Context, store: CredentialStore, server: str, given: dict[str, object]) -> None:
    """Ask the engine, then keep what held. Raises: ApiError."""
    answer = context.post("/auth", body={**given, "serveraddress": server})
    assert isinstance(answer, dict)
    token = str(answer.get("IdentityToken") or given.get("identitytoken") or "")
    place = store.put(
        server, str(given.get("username") or ""), str(given.get("password") or ""), token
    )
    if os.path.isabs(place):
        context.error(
            f"\nWARNING! Your credentials are stored unencrypted in '{place}'.\n"
            "Configure a credential helper to remove this warning. See\n"
            "https://docs.docker.com/go/credential-store/\n"
        )
    context.out(str(answer.get("Status") or "Login Succeeded"))


def _ask_username(known: str) -> str:
    _check_terminal()
    write(1, f"Username ({known}): " if known else "Username: ")
    username = sys.stdin.readline().strip() or known
    if not username:
        raise CliError("Error: Non-null Username Required")
    return username


def _ask_password() -> str:
    _check_terminal()
    import getpass

    password = getpass.getpass("Password: ")
    if not password:
        raise CliError("Error: Password Required")
    return password


def _check_terminal() -> None:
    """Without a terminal nobody can be asked."""
    if not os.isatty(0):
        raise CliError(
            "Error: Cannot perform an interactive login from a non TTY device",
            hint="echo $TOKEN | pogu login -u NAME --password-stdin SERVER",
        )


def _logout(context: Context, values: Values) -> int:
    server = values.args[0] if values.args else HUB
    if CredentialStore().remove(server):
        context.out(f"Removing login credentials for {server}")
    else:
        context.out(f"Not logged in to {server}")
    return 0


COMMANDS = {
    "login": Command(
        "login",
        "[OPTIONS] [SERVER]",
        "Log in to a registry",
        _login,
        [
            Flag("-p, --password", "text", "Password or personal access token"),
            Flag("--password-stdin", "bool", "Take the password from stdin"),
            Flag("-u, --username", "text", "Username"),
        ],
        most=1,
    ),
    "logout": Command("logout", "[SERVER]", "Log out from a registry", _logout, most=1),
}
