"""A docker-registry of the bench's own, on loopback."""

from __future__ import annotations

import atexit
import shutil
import socket
import subprocess
import time
import urllib.request
from pathlib import Path

__all__ = ["Registry"]


class Registry:
    """Starts at the first use of `address` and ends with the bench."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._address = ""

    @property
    def address(self) -> str:
        if not self._address:
            self._start()
        return self._address

    def _start(self) -> None:
        program = shutil.which("docker-registry")
        if program is None:
            raise SystemExit("docker-registry is missing; try: scripts/install --dev")
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self._address = f"127.0.0.1:{listener.getsockname()[1]}"
        self.empty()
        config = self._directory.with_suffix(".yml")
        config.write_text(
            "version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\n"
            f"storage: {{filesystem: {{rootdirectory: {self._directory}}}}}\n"
            f"http: {{addr: '{self._address}'}}\n"
        )
        process = subprocess.Popen(
            [program, "serve", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        atexit.register(process.kill)
        while True:
            try:
                urllib.request.urlopen(f"http://{self._address}/v2/", timeout=2).close()
            except OSError:
                time.sleep(0.05)
            else:
                return

    def empty(self) -> None:
        """Forget everything."""
        shutil.rmtree(self._directory, ignore_errors=True)
        self._directory.mkdir(parents=True)
