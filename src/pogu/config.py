"""Service: the configuration file and where everything lies. Frozen, read once at start.

<root>/                       /var/lib/pogu
  state.db                    images, tags, layers, containers, networks, volumes, build cache
  blobs/sha256/<hex>          configs, manifests and layer blobs exactly as received
  layers/<short-id>/diff/     one unpacked layer, an overlayfs lowerdir
  containers/<id>/            OCI bundle: config.json, upper/ work/ rootfs/, ctr.log, hosts, …
  volumes/<name>/_data
  tmp/                        everything unfinished; swept at start
<run_root>/                   /run/pogu
  pogu.sock  engine.lock  containers/<id>/  exits/<id>  netns/<id>  runtime/
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["Config", "Paths"]

DEFAULT_ROOT = Path("/var/lib/pogu")
DEFAULT_RUN_ROOT = Path("/run/pogu")


@dataclass(frozen=True, slots=True, kw_only=True)
class Paths:
    """The directories of one engine."""

    root: Path = DEFAULT_ROOT
    run_root: Path = DEFAULT_RUN_ROOT

    @property
    def database(self) -> Path:
        return self.root / "state.db"

    @property
    def blobs(self) -> Path:
        return self.root / "blobs" / "sha256"

    @property
    def layers(self) -> Path:
        return self.root / "layers"

    @property
    def containers(self) -> Path:
        return self.root / "containers"

    @property
    def volumes(self) -> Path:
        return self.root / "volumes"

    @property
    def tmp(self) -> Path:
        return self.root / "tmp"

    @property
    def log(self) -> Path:
        return self.root / "engine.log"

    @property
    def socket(self) -> Path:
        return self.run_root / "pogu.sock"

    @property
    def lock(self) -> Path:
        return self.run_root / "engine.lock"

    @property
    def run_containers(self) -> Path:
        return self.run_root / "containers"

    @property
    def exits(self) -> Path:
        return self.run_root / "exits"

    @property
    def netns(self) -> Path:
        return self.run_root / "netns"

    @property
    def runtime_state(self) -> Path:
        return self.run_root / "runtime"

    @property
    def suffix(self) -> str:
        """Empty for the default root, else 6 hex that keep bridges and rules of engines apart."""
        if self.root == DEFAULT_ROOT:
            return ""
        return hashlib.sha256(str(self.root).encode()).hexdigest()[:6]

    def create(self) -> None:
        """Make every directory. Idempotent."""
        for path in (
            self.blobs,
            self.layers,
            self.containers,
            self.volumes,
            self.tmp,
            self.run_containers,
            self.exits,
            self.netns,
            self.runtime_state,
        ):
            path.mkdir(parents=True, exist_ok=True, mode=0o711)


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Every key of the configuration file, with its default."""

    paths: Paths = field(default_factory=Paths)
    idle_exit_s: int = 300
    runtime: str = ""
    socket_group: str = ""
    log_max_size_bytes: int = 20 * 1024 * 1024
    log_max_files: int = 5
    bridge_subnet: str = ""
    dns: tuple[str, ...] = ()
    build_parallelism: int = 0
    debug: bool = False
