"""Format: the local driver's options `type`, `o` and `device` → the mount they ask for. Pure.

As Docker's local driver reads them; `size` wants quotas, which there are none of here.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from pogu.errors import InvalidParameter

__all__ = ["check_options", "mount_argv", "without_password"]

_KNOWN = ("type", "o", "device", "size")
_NEEDED = {"device": ("type",), "type": ("device",), "o": ("device", "type")}


def check_options(name: str, options: Mapping[str, str]) -> None:
    """Raises: InvalidParameter in Docker's words."""
    for key in options:
        if key not in _KNOWN:
            raise InvalidParameter(
                f'create {name}: invalid option: "{key}"',
                hint="the local driver knows type, o and device, as mount(8) takes them",
            )
    if options.get("size", "0") not in ("", "0"):
        raise InvalidParameter(
            f"create {name}: quota size requested but no quota support",
            hint="a tmpfs has a size: --opt type=tmpfs --opt device=tmpfs --opt o=size=100m",
        )
    for key, needed in _NEEDED.items():
        for other in needed if key in options else ():
            if other not in options:
                raise InvalidParameter(
                    f'create {name}: missing required option: "{other}"',
                    hint=f"--opt {other}=… beside --opt {key}={options[key]}",
                )


def mount_argv(options: Mapping[str, str], target: Path) -> list[str]:
    """Return the command that mounts the volume; empty when it is a plain directory.

    A file system without a helper of its own (`mount.nfs`) is mounted by the kernel alone, as
    Docker does it: then `o` must hold `addr=`.
    """
    fs_type, device = options.get("type", ""), options.get("device", "")
    if not (fs_type or device):
        return []
    helper = any(
        os.access(f"{directory}/mount.{fs_type}", os.X_OK) for directory in ("/sbin", "/usr/sbin")
    )
    words = ["mount", *([] if helper else ["-i"]), "-t", fs_type or "none"]
    words += ["-o", options["o"]] if options.get("o") else []
    return [*words, "--", device, str(target)]


def without_password(text: str) -> str:
    """What may be shown of options, and of an error that quotes them."""
    return re.sub(r"(pass(?:word)?)=[^,\s'\"]*", r"\1=********", text)
