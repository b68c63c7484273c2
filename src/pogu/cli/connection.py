"""Edge: where the engine is, and starting it when it does not run.

`-H unix:///path` and POGU_HOST name a socket of an engine that is not ours to start; otherwise the
socket lies in the run root, and the first command starts the engine.
"""

from __future__ import annotations

import os
import sys
import time

from pogu.cli.failure import CliError
from pogu.cli.http import Http

__all__ = ["Address", "connect", "engine_address", "ensure_engine"]

_DEFAULT_RUN_ROOT = "/run/pogu"
_READY_S = 60.0
_CONFIG_FILES = ("/etc/pogu/config.toml", "~/.config/pogu/config.toml")


class Address:
    """A socket; `root` and `run_root` are set when the CLI may start the engine there."""

    __slots__ = ("path", "root", "run_root", "startable")

    def __init__(self, path: str, *, root: str = "", run_root: str = "", startable: bool) -> None:
        self.path = path
        self.root = root
        self.run_root = run_root
        self.startable = startable

    @property
    def url(self) -> str:
        return f"unix://{self.path}"


def engine_address(host: str | None = None, *, root: str = "", run_root: str = "") -> Address:
    """Return where to connect. Raises: CliError for an address of another kind."""
    host = host or ("" if root or run_root else os.environ.get("POGU_HOST", ""))
    if host:
        if not host.startswith("unix://"):
            raise CliError(
                f"unable to parse docker host `{host}`",
                hint="Pogu listens on a unix socket: unix:///run/pogu/pogu.sock",
                code=125,
            )
        return Address(host.removeprefix("unix://"), startable=False)
    if root and run_root:
        # Nothing else can say where: the engine itself reads the configuration.
        root, run_root = os.path.abspath(root), os.path.abspath(run_root)
        return Address(f"{run_root}/pogu.sock", root=root, run_root=run_root, startable=True)
    if root or run_root or _is_configured():
        return _configured_address(root, run_root)
    return Address(f"{_DEFAULT_RUN_ROOT}/pogu.sock", startable=True)


def _is_configured() -> bool:
    """True when something besides the command line may say where the run root is."""
    if "POGU_ROOT" in os.environ or "POGU_RUN_ROOT" in os.environ:
        return True
    home = os.environ.get("XDG_CONFIG_HOME")
    files = [*_CONFIG_FILES, *([f"{home}/pogu/config.toml"] if home else [])]
    return any(os.path.exists(os.path.expanduser(name)) for name in files)


def _configured_address(root: str, run_root: str) -> Address:
    """Ask the configuration, as the engine does. Slower: only where there is one."""
    from pathlib import Path

    from pogu.config import load_config
    from pogu.errors import EngineError

    try:
        config = load_config(
            root=Path(root).absolute() if root else None,
            run_root=Path(run_root).absolute() if run_root else None,
        )
    except EngineError as err:
        raise CliError(err.message, hint=err.hint or "", code=125) from err
    return Address(
        str(config.paths.socket),
        root=str(config.paths.root),
        run_root=str(config.paths.run_root),
        startable=True,
    )


def connect(address: Address) -> Http:
    """Connect, starting the engine where that is ours to do. Raises: CliError with a hint."""
    try:
        return Http(address.path)
    except PermissionError as err:
        raise CliError(
            f"permission denied while trying to connect to the engine's socket at {address.url}",
            hint="use sudo, or ask root to set `socket_group` in /etc/pogu/config.toml to a group"
            " of yours",
        ) from err
    except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError) as err:
        if not address.startable:
            raise CliError(
                f"Cannot connect to the Pogu engine at {address.url}. Is it running?",
                hint="leave out -H and POGU_HOST to have it started, or run `pogu engine run`",
            ) from err
    ensure_engine(address)
    return Http(address.path)


def ensure_engine(address: Address) -> None:
    """Start the engine unless one answers; return when it accepts connections.

    Raises: CliError with what the engine said.
    """
    if not address.startable:
        return
    if os.geteuid() != 0:
        raise CliError(
            f"permission denied: no engine runs at {address.url}, and only root can start one",
            hint="sudo pogu …",
        )
    process = _Starting(address)
    deadline = time.monotonic() + _READY_S
    while True:
        try:
            Http(address.path).close()
        except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError):
            process.check()
            if time.monotonic() > deadline:
                raise CliError(
                    f"the engine did not come up within {_READY_S:.0f} s",
                    hint="its log is engine.log in the storage root; `pogu doctor` checks the host",
                ) from None
            time.sleep(0.002)
            continue
        process.forget()
        return


class _Starting:
    """A detached engine process on its way up; its errors come by a pipe."""

    def __init__(self, address: Address) -> None:
        words = [sys.executable, "-m", "pogu.daemon"]
        if address.root:
            words += ["--root", address.root]
        if address.run_root:
            words += ["--run-root", address.run_root]
        self._errors, errors = os.pipe()
        null = os.open(os.devnull, os.O_RDWR)
        actions = [
            (os.POSIX_SPAWN_DUP2, null, 0),
            (os.POSIX_SPAWN_DUP2, null, 1),
            (os.POSIX_SPAWN_DUP2, errors, 2),
        ]
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        source = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
        environment["PYTHONPATH"] = source
        self._pid = os.posix_spawn(
            sys.executable, words, environment, file_actions=actions, setsid=True
        )
        os.close(errors)
        os.close(null)

    def check(self) -> None:
        """Raises: CliError when it has ended, with what it said. 3 = another one was first."""
        if not self._pid:
            return
        pid, status = os.waitpid(self._pid, os.WNOHANG)
        if pid == 0:
            return
        said = b""
        while data := os.read(self._errors, 4096):
            said += data
        code = os.waitstatus_to_exitcode(status)
        if code == 3:
            self._pid = 0
            return
        text = said.decode(errors="replace").strip() or f"it ended with {code}"
        message, _, hint = text.removeprefix("Error: ").partition("\n")
        if "Traceback" in text:
            message, hint = f"the engine could not start: {text.splitlines()[-1]}", ""
        raise CliError(message, hint=hint)

    def forget(self) -> None:
        """The engine is on its own now."""
        os.close(self._errors)
