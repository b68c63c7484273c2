"""Edge: `system install-service`: units by which systemd starts the engine at boot and on demand.

/etc/systemd/system/pogu.socket    holds the socket; a client's connect starts the engine
/etc/systemd/system/pogu.service   the engine; at boot it starts what must run, and leaves
                                   again when there is nothing to do
"""

from __future__ import annotations

import os
import sys

from pogu.cli.context import Context
from pogu.cli.failure import CliError
from pogu.cli.flags import Command, Flag, Values

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from pogu.cli.connection import Address

__all__ = ["COMMANDS", "service_unit", "socket_unit"]

_DIRECTORY = "/etc/systemd/system"
_SERVICE, _SOCKET = "pogu.service", "pogu.socket"


def socket_unit(path: str, group: str) -> str:
    """Return the socket unit's text."""
    lines = [
        "[Unit]",
        "Description=Pogu's socket (Docker Engine API)",
        "",
        "[Socket]",
        f"ListenStream={path}",
        "SocketMode=0660",
        *([f"SocketGroup={group}"] if group else []),
        "",
        "[Install]",
        "WantedBy=sockets.target",
    ]
    return "\n".join(lines) + "\n"


def service_unit(argv: Sequence[str], source: str) -> str:
    """Return the service unit's text.

    KillMode=process: containers and their monitors outlive the engine. A container's control
    groups are the engine's to make: Delegate.
    """
    lines = [
        "[Unit]",
        "Description=Pogu container engine",
        "After=network-online.target local-fs.target",
        "Wants=network-online.target",
        f"Requires={_SOCKET}",
        "",
        "[Service]",
        "Type=notify",
        "TimeoutStartSec=infinity",
        f"ExecStart={' '.join(map(_quoted, argv))}",
        f"Environment={_quoted('PYTHONPATH=' + source)}",
        "KillMode=process",
        "Delegate=yes",
        "OOMScoreAdjust=-500",
        "LimitNOFILE=1048576",
        "TasksMax=infinity",
        "Restart=on-failure",
        "RestartSec=1",
        "",
        "[Install]",
        "WantedBy=multi-user.target",
    ]
    return "\n".join(lines) + "\n"


def _quoted(word: str) -> str:
    """As systemd reads words: %% and $$ for themselves, quotes around spaces."""
    plain = word.replace("\\", "\\\\").replace("%", "%%").replace("$", "$$")
    return '"' + plain.replace('"', '\\"') + '"' if set(plain) & set(" \t\"'") else plain


def _units(address: Address) -> dict[str, str]:
    from pogu.config import load_config

    argv = [sys.executable, "-m", "pogu.daemon", "--foreground"]
    for flag, value in (("--root", address.root), ("--run-root", address.run_root)):
        argv += [flag, value] if value else []
    source = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    group = load_config(root=None, run_root=None).socket_group
    return {
        _SOCKET: socket_unit(address.path, group),
        _SERVICE: service_unit(argv, source),
    }


def _install_service(context: Context, values: Values) -> int:
    if values.flag("print"):
        for name, text in _units(context.address).items():
            context.out(f"# {_DIRECTORY}/{name}\n{text}")
        return 0
    if not os.path.isdir("/run/systemd/system"):
        raise CliError(
            "systemd does not run on this host",
            hint="the engine starts with the first command; to have containers with a restart"
            " policy back after a boot, let your init run `pogu ps` once (--print shows the units)",
        )
    if values.flag("uninstall"):
        return _uninstall(context)
    from pogu.cli.engine import stop_engine

    for name, text in _units(context.address).items():
        _write(os.path.join(_DIRECTORY, name), text)
    stop_engine(context)  # the socket is systemd's from now on; containers go on
    _systemctl("daemon-reload")
    _systemctl("enable", "--now", _SOCKET)
    _systemctl("enable", "--now", _SERVICE)
    context.out(f"{_SOCKET} and {_SERVICE} are installed and enabled: systemctl status pogu")
    return 0


def _uninstall(context: Context) -> int:
    _systemctl("disable", "--now", _SOCKET, _SERVICE)
    for name in (_SOCKET, _SERVICE):
        path = os.path.join(_DIRECTORY, name)
        if os.path.exists(path):
            os.unlink(path)
    _systemctl("daemon-reload")
    context.out("removed; containers go on, and the next command starts the engine")
    return 0


def _write(path: str, text: str) -> None:
    temporary = f"{path}.new"
    with open(temporary, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def _systemctl(*words: str) -> None:
    import subprocess

    done = subprocess.run(["systemctl", *words], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise CliError(f"systemctl {' '.join(words)}: {done.stderr.strip()}")


COMMANDS = {
    "system install-service": Command(
        "system install-service",
        "[OPTIONS]",
        "Let systemd start the engine at boot and on demand",
        _install_service,
        [
            Flag("--print", "bool", "Print the units and change nothing"),
            Flag("--uninstall", "bool", "Take the units away again"),
        ],
        most=0,
    )
}
