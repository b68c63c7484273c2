"""Format: what a stage is after each instruction: the config-to-be, the top layer, the history.

An instruction gives the next state: `metadata.py` for those that touch the config only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import msgspec

from pogu.images.image import host_architecture
from pogu.model.container import ContainerConfig
from pogu.oci.digest import ChainId, DiffId, Digest, sha256_digest
from pogu.oci.image import HistoryEntry, ImageConfig, RootFs, encode_image_config
from pogu.oci.index import Platform

__all__ = ["PREDEFINED_ARGS", "StageState", "own_platform", "platform_args"]

DEFAULT_SHELL = ("/bin/sh", "-c")
PREDEFINED_ARGS = frozenset(
    name
    for base in ("http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "all_proxy")
    for name in (base, base.upper())
)
"""Build args that need no ARG and stand neither in the history nor in the cache key."""


def platform_args(target: Platform | None = None) -> dict[str, str]:
    """The eight args that each ARG without default may name; the target is this host's platform
    where no other is asked for.
    """
    own = own_platform()
    sides = {"TARGET": target or own, "BUILD": own}
    return {
        f"{side}{name}": value
        for side, platform in sides.items()
        for name, value in (
            ("PLATFORM", str(platform)),
            ("OS", platform.os),
            ("ARCH", platform.architecture),
            ("VARIANT", platform.variant),
        )
    }


def own_platform() -> Platform:
    """What is built where nothing else is asked for."""
    return Platform(os="linux", architecture=host_architecture())


@dataclass(frozen=True, slots=True, kw_only=True)
class StageState:
    """A stage after some of its instructions."""

    config: ContainerConfig = field(default_factory=ContainerConfig)
    top_layer: ChainId | None = None
    diff_ids: tuple[DiffId, ...] = ()
    history: tuple[HistoryEntry, ...] = ()
    author: str = ""
    created: str = ""
    args: Mapping[str, str] = field(default_factory=dict)
    """Build args in scope: declared by ARG in this stage, with their values."""
    platform: Platform = field(default_factory=own_platform)
    """The base image's: what is built on it is for the same."""
    cmd_set: bool = False
    """CMD was given in this stage: a later ENTRYPOINT does not take it back."""

    @property
    def environment(self) -> dict[str, str]:
        return dict(entry.partition("=")[::2] for entry in self.config.env or ())

    @property
    def variables(self) -> dict[str, str]:
        """What `$name` means now: args, overridden by the environment."""
        return {**self.args, **self.environment}

    @property
    def shell(self) -> tuple[str, ...]:
        return self.config.shell or DEFAULT_SHELL

    def image_config(self) -> ImageConfig:
        return ImageConfig(
            architecture=self.platform.architecture,
            os=self.platform.os,
            variant=self.platform.variant,
            os_version=self.platform.os_version,
            created=self.created,
            author=self.author,
            config=self.config,
            rootfs=RootFs(diff_ids=self.diff_ids),
            history=self.history,
        )

    def image_id(self) -> Digest:
        return sha256_digest(encode_image_config(self.image_config()))

    def identity(self) -> str:
        """What a following step depends on: the layers and the config, not when they were made."""
        parts: list[object] = [self.top_layer, self.config, self.author]
        if self.platform != own_platform():
            parts.append(self.platform)
        body = msgspec.json.encode(parts)
        return sha256_digest(body).removeprefix("sha256:")

    def with_config(self, **changes: object) -> StageState:
        return replace(self, config=msgspec.structs.replace(self.config, **changes))

    def remember(self, text: str, *, created: str, empty: bool, comment: str = "") -> StageState:
        """Add a line of history; its time becomes the image's."""
        entry = HistoryEntry(
            created=created,
            created_by=text,
            empty_layer=empty,
            author=self.author,
            comment=comment,
        )
        return replace(self, history=(*self.history, entry), created=created)
