"""Format: what to say when an image is not there."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from pogu.oci.reference import Reference

__all__ = ["near_miss"]


def near_miss(wanted: Reference, present: Sequence[Reference]) -> str:
    """Return the hint: other tags of the repository, else the name that looks most like it."""
    same = [name.familiar for name in present if name.repository == wanted.repository]
    if same:
        return f"here is {', '.join(sorted(same)[:5])}"
    familiar = {name.familiar: name.familiar for name in present}
    familiar |= {name.familiar_repository: name.familiar for name in present}
    for text in (wanted.familiar, wanted.familiar_repository):
        close = difflib.get_close_matches(text, familiar, n=1, cutoff=0.7)
        if close:
            return f"did you mean {familiar[close[0]]}?"
    return "`pogu images` lists what is here"
