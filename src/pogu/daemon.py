"""Edge: the engine process: lock, socket, readiness, idle exit, signals.

The socket exists before anything heavy is imported, so a client's connect never fails: it waits.
One engine per run root (flock on engine.lock) and per storage root (flock on the directory);
started by the CLI, by hand or by a socket unit (LISTEN_FDS).
"""

from __future__ import annotations

import errno
import fcntl
import logging
import logging.handlers
import os
import signal
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from pogu.config import Config, load_config
from pogu.errors import EngineError

if TYPE_CHECKING:
    import asyncio

    from pogu.api.http_server import HttpServer
    from pogu.engine import Engine

__all__ = ["main"]

log = logging.getLogger("pogu.daemon")

_LOG_BYTES = 4 << 20
_LOG_FILES = 2
_FIRST_INHERITED_FD = 3
_OF_THE_MANAGER = ("NOTIFY_SOCKET", "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")
_STOP_S = 1.5
_ANSWER_S = 0.02
_QUIET_S = 30.0
_LOOK_S = 1.0

_quiet_until: dict[int, float] = {}
"""By the error's number: when it may be said again."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the engine until it is told to stop or has nothing to do."""
    words = list(sys.argv[1:] if argv is None else argv)
    root, run_root = _option(words, "--root"), _option(words, "--run-root")
    foreground = "--foreground" in words
    manager = _take_manager()
    os.umask(0o022)
    _take_descriptors()
    try:
        config = load_config(
            root=Path(root) if root else None, run_root=Path(run_root) if run_root else None
        )
        config.paths.create()
        _check_user()
        lock = _take_lock(config)
        os.chdir(config.paths.run_root)  # not where it was called: that may be unmounted
        root_lock = _lock_root(config) if lock is not None else None
        if lock is None or root_lock is None:
            print(f"an engine runs already at {config.paths.socket}", file=sys.stderr)
            return 3
        listener = _listen(config, manager)
    except EngineError as err:
        print(_said(err), file=sys.stderr)
        return 1
    except OSError as err:
        print(_said(err), file=sys.stderr)
        return 1
    _set_up_log(config, foreground=foreground)
    try:
        code = _serve(config, listener, manager, foreground=foreground)
    except Exception:
        log.exception("the engine broke off")
        code = 1
    os.close(root_lock)
    os.close(lock)
    return code


class ServiceManager(NamedTuple):
    """Who started us as a service (sd_notify(3), sd_listen_fds(3)); without one nothing happens."""

    address: str
    gave_socket: bool

    def notify(self, state: str) -> None:
        """Tell it, if it waits for that."""
        if not self.address:
            return
        address = "\0" + self.address[1:] if self.address.startswith("@") else self.address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
                manager.sendto(state.encode(), address)
        except OSError as err:
            log.warning("cannot tell the service manager %s: %s", state, err)


def _take_manager() -> ServiceManager:
    """Take it out of the environment: a runtime would hand it on to containers, and wait for them
    to say that they are ready.
    """
    said = {name: os.environ.pop(name, "") for name in _OF_THE_MANAGER}
    gave_socket = said["LISTEN_PID"] == str(os.getpid()) and bool(said["LISTEN_FDS"])
    return ServiceManager(address=said["NOTIFY_SOCKET"], gave_socket=gave_socket)


def _said(err: EngineError | OSError) -> str:
    """For whoever starts the engine: the message, and the hint on a line of its own."""
    from pogu.host_failure import host_failure

    found = err if isinstance(err, EngineError) else host_failure(err)
    if found is None:
        return f"Error: {err}"
    return f"Error: {found.message}" + (f"\n{found.hint}" if found.hint else "")


def _take_descriptors() -> None:
    """Raise the soft limit to the hard one: each container, client and port costs descriptors."""
    import resource

    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _option(words: list[str], name: str) -> str | None:
    for at, word in enumerate(words):
        if word == name and at + 1 < len(words):
            return words[at + 1]
        if word.startswith(f"{name}="):
            return word.partition("=")[2]
    return None


def _check_user() -> None:
    if os.geteuid() != 0:
        raise EngineError(
            "the engine needs root: it mounts file systems and makes namespaces",
            hint="sudo pogu …, or add yourself to the group of `socket_group` of a running engine",
        )


def _take_lock(config: Config) -> int | None:
    """Hold the lock as long as the process lives; None when another engine has it."""
    fd = os.open(config.paths.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        return None
    os.ftruncate(fd, 0)
    os.write(fd, f"{os.getpid()}\n".encode())
    return fd


def _lock_root(config: Config) -> int | None:
    """Two engines with run roots of their own would both write one state.db.

    One that is just ending gets a moment. None when the other one listens at our socket.
    Raises: EngineError.
    """
    fd = os.open(config.paths.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    deadline = time.monotonic() + _STOP_S + 0.5
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return fd
        except BlockingIOError as err:
            if _answers(config.paths.socket):  # somebody had removed it; it came back
                os.close(fd)
                return None
            if time.monotonic() < deadline:
                time.sleep(0.01)
                continue
            os.close(fd)
            raise EngineError(
                f"the storage root {config.paths.root} is in use by another engine",
                hint="that engine has another run root: use its --run-root, or stop it; one whose"
                " socket was removed makes it anew within a second: try again",
            ) from err


def _answers(path: Path) -> bool:
    try:
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
    except OSError:
        return False
    return True


def _listen(config: Config, manager: ServiceManager) -> socket.socket:
    """The inherited socket of a socket unit, else our own, mode 0660."""
    if manager.gave_socket:
        return socket.socket(fileno=_FIRST_INHERITED_FD)
    path = config.paths.socket
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o117)
    try:
        directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
        try:
            # A path of any length: sun_path holds 107 bytes.
            listener.bind(f"/proc/self/fd/{directory}/{path.name}")
        finally:
            os.close(directory)
    finally:
        os.umask(before)
    if config.socket_group:
        import shutil

        try:
            shutil.chown(path, group=config.socket_group)
        except LookupError as err:
            raise EngineError(
                f"socket_group: no such group: {config.socket_group}",
                hint=f"groupadd {config.socket_group}",
            ) from err
    listener.listen(128)
    return listener


def _set_up_log(config: Config, *, foreground: bool) -> None:
    handler: logging.Handler
    if foreground:
        handler = logging.StreamHandler()
    else:
        handler = logging.handlers.RotatingFileHandler(
            config.paths.log, maxBytes=_LOG_BYTES, backupCount=_LOG_FILES
        )
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(logging.DEBUG if config.debug else logging.INFO)
    logging.getLogger("asyncio").setLevel(logging.WARNING)


def _serve(
    config: Config, listener: socket.socket, manager: ServiceManager, *, foreground: bool
) -> int:
    import asyncio
    import gc

    with asyncio.Runner() as runner:
        code = runner.run(_Daemon(config, listener, manager, foreground=foreground).run())
    gc.freeze()
    return code


def scope_name(config: Config) -> str:
    """The scope of an engine that a command started, and of its monitors."""
    suffix = f"-{config.paths.suffix}" if config.paths.suffix else ""
    return f"pogu-engine{suffix}.scope"


def _inode(path: Path) -> int:
    """0 when nothing is there."""
    try:
        return path.stat().st_ino
    except OSError:
        return 0


def _said_once(loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
    """asyncio tells of each accept that finds no descriptor, a hundred times a second."""
    error = context.get("exception")
    if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
        if loop.time() >= _quiet_until.get(error.errno, 0.0):
            _quiet_until[error.errno] = loop.time() + _QUIET_S
            log.error("clients wait: %s", _said(error))
        return
    loop.default_exception_handler(context)


class _Daemon:
    """One run of the event loop."""

    def __init__(
        self,
        config: Config,
        listener: socket.socket,
        manager: ServiceManager,
        *,
        foreground: bool,
    ) -> None:
        self._config = config
        self._manager = manager
        self._foreground = foreground
        self._sites: list[asyncio.Server] = []
        self._listener = listener

    async def run(self) -> int:
        import asyncio

        from pogu.api.app import Api
        from pogu.api.http_server import HttpServer
        from pogu.linux.orphans import adopt_orphans

        began = time.perf_counter()
        loop = asyncio.get_running_loop()
        stopping = asyncio.Event()
        loop.set_exception_handler(_said_once)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stopping.set)
        adopt_orphans()
        opening = asyncio.ensure_future(self._open())

        def stop_soon() -> None:
            loop.call_later(_ANSWER_S, stopping.set)

        api = Api(opening, shutdown=stop_soon)
        server = HttpServer(api.handle)
        self._listener.setblocking(False)
        site = await loop.create_unix_server(server, sock=self._listener)
        try:
            engine = await opening
        except EngineError as err:
            log.error("cannot start: %s", err.message)
            await self._refuse_for_a_moment(stopping)
            await self._end(server, site, None)
            return 1
        except Exception:
            log.exception("cannot start")
            await self._refuse_for_a_moment(stopping)
            await self._end(server, site, None)
            return 1
        log.info("ready pid=%s after_ms=%.0f", os.getpid(), (time.perf_counter() - began) * 1000)
        self._manager.notify("READY=1")
        idle = asyncio.create_task(self._watch_idleness(engine, server, stopping))
        reachable = asyncio.create_task(self._stay_reachable(server, engine))
        await stopping.wait()
        self._manager.notify("STOPPING=1")
        idle.cancel()
        reachable.cancel()
        await self._end(server, site, engine)
        log.info("stopped pid=%s", os.getpid())
        return 0

    async def _open(self) -> Engine:
        """Who started us may end before us: by a service manager we stand where we are meant to."""
        from pogu.engine import open_engine
        from pogu.linux.systemd import is_first_process, move_to_scope

        if not self._foreground and is_first_process():
            try:
                await move_to_scope(scope_name(self._config), "Pogu container engine and monitors")
            except EngineError as err:
                log.warning("%s; it ends with whoever started it", err.message)
        return await open_engine(self._config)

    async def _refuse_for_a_moment(self, stopping: asyncio.Event) -> None:
        """Let those who wait read why."""
        import asyncio

        try:
            await asyncio.wait_for(stopping.wait(), 1.0)
        except TimeoutError:
            return

    async def _stay_reachable(self, server: HttpServer, engine: Engine) -> None:
        """Whoever cleans /run or /tmp takes the socket: make it anew, with what lies beside it.

        The lock of the storage root is still ours: nobody else listens there.
        """
        import asyncio

        paths = self._config.paths
        inode = _inode(paths.socket)
        while not self._manager.gave_socket:
            await asyncio.sleep(_LOOK_S)
            if _inode(paths.socket) == inode:
                continue
            try:
                paths.create()
                os.chdir(paths.run_root)
                await engine.runtime.seal(paths.sealed)
                listener = _listen(self._config, self._manager)
            except (OSError, EngineError) as err:
                log.error("the socket was removed and cannot be made anew: %s", err)
                continue
            inode = _inode(paths.socket)
            loop = asyncio.get_running_loop()
            self._sites.append(await loop.create_unix_server(server, sock=listener))
            log.warning("the socket was removed by somebody; it was made anew")

    async def _watch_idleness(
        self, engine: Engine, server: HttpServer, stopping: asyncio.Event
    ) -> None:
        """Stop when for `idle_exit_s` nothing ran and nobody was connected; 0 = never."""
        import asyncio
        import math

        from pogu.linux.memory import give_back

        limit = self._config.idle_exit_s or math.inf
        trimmed = False
        idle_since = time.monotonic()
        while True:
            await asyncio.sleep(min(limit / 4, 5))
            if engine.busy or server.connected:
                idle_since = time.monotonic()
                trimmed = False
                continue
            if not trimmed:
                # What a large import or build left free goes back to the system.
                give_back()
                trimmed = True
            if time.monotonic() - idle_since >= limit:
                log.info("nothing to do for %s s", limit)
                stopping.set()
                return

    async def _end(self, server: HttpServer, site: asyncio.Server, engine: Engine | None) -> None:
        """No new clients; what goes on gets a moment; containers go on."""
        import asyncio

        for one in (site, *self._sites):
            one.close()
        if not self._manager.gave_socket:
            self._config.paths.socket.unlink(missing_ok=True)
        try:
            async with asyncio.timeout(_STOP_S):
                await server.shutdown(0.3)
                if engine is not None:
                    await engine.close()
        except TimeoutError:
            log.warning("something did not end in time; it is ended with the process")


if __name__ == "__main__":
    sys.exit(main())
