"""Format: the `platform` parameter: `linux/arm64`, or the JSON object of API 1.48 on."""

from __future__ import annotations

import msgspec

from pogu.api.call import Call
from pogu.errors import InvalidParameter

__all__ = ["platform_text"]


class _Platform(msgspec.Struct, frozen=True):
    os: str = "linux"
    architecture: str = ""
    variant: str = ""


def platform_text(call: Call) -> str:
    """`linux/arm64`, or the JSON object that clients send from API 1.48 on; one, not several."""
    texts = [text for text in call.texts("platform") if text]
    if len(texts) > 1:
        raise InvalidParameter(
            "multiple platforms are not supported", hint="an image here is for one platform"
        )
    if not texts or not texts[0].startswith("{"):
        return "".join(texts)
    try:
        one = msgspec.json.decode(texts[0], type=_Platform)
    except msgspec.MsgspecError as err:
        raise InvalidParameter(f"failed to parse platform: {err}") from err
    return "/".join(part for part in (one.os, one.architecture, one.variant) if part)
