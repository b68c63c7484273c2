"""Service: the directories of one engine. Each has an owner, who finds it here.

<root>/                       /var/lib/pogu
  state.db                    images, tags, layers, containers, networks, volumes, build cache
  events.jsonl                the last events, for `events --since`
  collected                   empty; its time says when unneeded layers were last looked for
  state.reserve               let go on a full disk, so that stop and remove can be written
  blobs/sha256/<hex>          configs, manifests and layer blobs exactly as received
  layers/<short-id>/diff/     one unpacked layer, an overlayfs lowerdir
  containers/<id>/            OCI bundle: config.json, upper/ work/ rootfs/, ctr.log, hosts, …
  volumes/<name>/             _data, volume.json
  tmp/                        everything unfinished; swept at start
<run_root>/                   /run/pogu
  pogu.sock  engine.lock  containers/<id>/  exits/<id>  netns/<id>  runtime/  remapped/<id>/
  sealed/<runtime>            the runtime's program in the memory of the engine that runs
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = ["DEFAULT_ROOT", "DEFAULT_RUN_ROOT", "Paths"]

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
    def collected(self) -> Path:
        return self.root / "collected"

    @property
    def events(self) -> Path:
        return self.root / "events.jsonl"

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
    def sealed(self) -> Path:
        return self.run_root / "sealed"

    @property
    def suffix(self) -> str:
        """Empty for the default root, else 6 hex that keep bridges and rules of engines apart."""
        if self.root == DEFAULT_ROOT:
            return ""
        import hashlib

        return hashlib.sha256(str(self.root).encode()).hexdigest()[:6]

    def create(self) -> None:
        """Make every directory. Idempotent.

        Programs of images, set-uid ones too, are for containers: no user of the host gets there.
        """
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
            self.sealed,
        ):
            path.mkdir(parents=True, exist_ok=True, mode=0o711)
        for path in (self.layers, self.containers, self.volumes):
            path.chmod(0o700)
