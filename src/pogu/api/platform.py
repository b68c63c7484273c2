"""Format: the `platform` parameter: `linux/arm64`, or the JSON object of API 1.48 on."""

from __future__ import annotations

import msgspec

from pogu.api.call import Call
from pogu.errors import InvalidParameter

__all__ = ["platform_text", "platform_texts"]


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
    return _written(texts[0]) if texts else ""


def platform_texts(call: Call) -> list[str]:
    """The same of a parameter that takes several."""
    return [_written(text) for text in call.texts("platforms") if text]


def _written(text: str) -> str:
    if not text.startswith("{"):
        return text
    try:
        one = msgspec.json.decode(text, type=_Platform)
    except msgspec.MsgspecError as err:
        raise InvalidParameter(f"failed to parse platform: {err}") from err
    return "/".join(part for part in (one.os, one.architecture, one.variant) if part)
