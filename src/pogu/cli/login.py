"""Edge: `login` and `logout`."""

from __future__ import annotations

import os
import sys

from pogu.cli.context import Context, write
from pogu.cli.credentials import HUB, CredentialStore
from pogu.cli.failure import CliError, UsageError
from pogu.cli.flags import Command, Flag, Values

__all__ = ["COMMANDS"]


def _login(context: Context, values: Values) -> int:
    server = values.args[0] if values.args else HUB
    username, password = values.text("username"), values.text("password")
    if values.flag("password-stdin"):
        if not username:
            raise UsageError("Must provide --username with --password-stdin")
        if password:
            raise UsageError("--password and --password-stdin are mutually exclusive")
        password = sys.stdin.read().rstrip("\r\n")
    elif password:
        context.error("WARNING! Using --password via the CLI is insecure. Use --password-stdin.")
    store = CredentialStore()
    known = {} if username else store.get(server)
    if known.get("username") and known.get("password") and not password:
        username, password = str(known["username"]), str(known["password"])
        context.out("Authenticating with existing credentials...")
    username = username or _ask("Username: ", hidden=False)
    password = password or _ask("Password: ", hidden=True)
    if not username or not password:
        raise CliError("username and password must not be empty")
    body = {"username": username, "password": password, "serveraddress": server}
    answer = context.post("/auth", body=body)
    assert isinstance(answer, dict)
    token = str(answer.get("IdentityToken") or "")
    place = store.put(server, username, password, token)
    if place.endswith("config.json"):
        context.error(
            f"WARNING! Your credentials are stored unencrypted in '{place}'.\n"
            "Configure a credential helper to remove this warning: credsStore in that file."
        )
    context.out(str(answer.get("Status") or "Login Succeeded"))
    return 0


def _ask(prompt: str, *, hidden: bool) -> str:
    """From the terminal; without one nobody can be asked."""
    if not os.isatty(0):
        raise CliError(
            "Error: Cannot perform an interactive login from a non TTY device",
            hint="echo $TOKEN | pogu login -u NAME --password-stdin SERVER",
        )
    if hidden:
        import getpass

        return getpass.getpass(prompt)
    write(1, prompt)
    return sys.stdin.readline().strip()


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
