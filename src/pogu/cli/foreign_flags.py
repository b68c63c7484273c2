"""Format: flags of Docker's that mean something on other engines only, and what is said of them.

They are known, so that a command line that has them is refused for the right reason.
"""

from __future__ import annotations

from pogu.cli.failure import CliError
from pogu.cli.flags import Flag, Values

__all__ = [
    "CHECKPOINT_FLAGS",
    "CONTENT_TRUST",
    "WINDOWS_FLAGS",
    "refuse_checkpoint",
    "refuse_content_trust",
    "refuse_foreign",
]

WINDOWS_FLAGS = [
    Flag("--cpu-count", "int", "CPU count (Windows only)"),
    Flag("--cpu-percent", "int", "CPU percent (Windows only)"),
    Flag("--io-maxbandwidth", "text", "Maximum IO bandwidth of the system drive (Windows only)"),
    Flag("--io-maxiops", "int", "Maximum IOps of the system drive (Windows only)"),
]
CONTENT_TRUST = Flag("--disable-content-trust", "bool", "Skip image verification", True)
CHECKPOINT_FLAGS = [
    Flag("--checkpoint", "text", "Restore from this checkpoint (not in Pogu)"),
    Flag("--checkpoint-dir", "text", "Where checkpoints lie (not in Pogu)"),
]


def refuse_foreign(values: Values) -> None:
    """Raises: CliError in Docker's words."""
    for flag in WINDOWS_FLAGS:
        if flag.long in values.given:
            raise CliError(
                f'"--{flag.long}" is only supported on a Docker daemon running on windows, but the'
                " Docker daemon is running on linux"
            )
    refuse_content_trust(values)


def refuse_content_trust(values: Values) -> None:
    """To verify what cannot be verified is no. Raises: CliError."""
    if not values.flag(CONTENT_TRUST.long):
        raise CliError(
            "content trust (Notary) is not supported",
            hint="a policy file can demand cosign signatures: /etc/pogu/policy.json",
        )


def refuse_checkpoint(values: Values) -> None:
    """Raises: CliError in the words of a Docker that has no experimental features."""
    for flag in CHECKPOINT_FLAGS:
        if flag.long in values.given:
            raise CliError(
                f'"--{flag.long}" is only supported on a Docker daemon with experimental features'
                " enabled",
                hint="Pogu has no checkpoints: `pogu pause` freezes a container",
            )
