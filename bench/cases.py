"""What is measured. A case times one call per round and engine."""

from __future__ import annotations

from bench import builds, containers, images, output

__all__ = ["CASES"]

CASES = [*containers.CASES, *output.CASES, *builds.CASES, *images.CASES]
