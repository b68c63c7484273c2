"""Format: image references as Docker normalises them (distribution/reference grammar).

`node` is `docker.io/library/node:latest`; `localhost:5000/a/b@sha256:…` keeps its host; people
are shown the familiar form (`node:latest`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from pogu.errors import InvalidParameter
from pogu.oci.digest import Digest

__all__ = ["Reference", "parse_reference"]

_DOMAIN_PART = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_DOMAIN = rf"(?:{_DOMAIN_PART}(?:\.{_DOMAIN_PART})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?"
_PATH_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_NAME = re.compile(rf"(?:(?P<domain>{_DOMAIN})/)?(?P<path>{_PATH_PART}(?:/{_PATH_PART})*)")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_DIGEST = re.compile(
    r"(?P<algorithm>[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*):(?P<hex>[0-9a-fA-F]{32,})"
)
_HEX_DIGITS = {"sha256": 64, "sha384": 96, "sha512": 128}
_LONGEST_PATH = 255


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """A repository, with a tag, a digest, both or neither."""

    domain: str
    path: str
    tag: str | None = None
    digest: Digest | None = None

    @property
    def repository(self) -> str:
        """The full name: `docker.io/library/node`."""
        return f"{self.domain}/{self.path}"

    @property
    def familiar_repository(self) -> str:
        """What people type: `node`."""
        if self.domain != "docker.io":
            return self.repository
        return self.path.removeprefix("library/") if self.path.count("/") == 1 else self.path

    @property
    def familiar(self) -> str:
        """What people type, with tag and digest."""
        return self.familiar_repository + self._suffix

    @property
    def _suffix(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        return tag + (f"@{self.digest}" if self.digest else "")

    def with_default_tag(self) -> Reference:
        """Return the reference with `latest` where it names neither tag nor digest."""
        return self if self.tag or self.digest else replace(self, tag="latest")

    def __str__(self) -> str:
        return self.repository + self._suffix


def parse_reference(text: str) -> Reference:
    """Parse and normalise `text`.

    Raises: InvalidParameter ("invalid reference format", as Docker words it).
    """
    if re.fullmatch(r"[a-f0-9]{64}", text):
        raise InvalidParameter(
            f"invalid repository name ({text}), cannot specify 64-byte hexadecimal strings",
            hint="it would look like an image ID",
        )
    name, at, given = text.partition("@")
    digest = _digest_of(text, given) if at else None
    tag: str | None = None
    head, colon, tail = name.rpartition(":")
    if colon and "/" not in tail:
        name, tag = head, tail
        if not _TAG.fullmatch(tag):
            raise _invalid(
                text, "a tag is up to 128 of A-Z a-z 0-9 _ . - and starts with a letter, digit or _"
            )
    domain, path = _split_domain(name)
    if path != path.lower():
        raise InvalidParameter(
            f"invalid reference format: repository name ({path}) must be lowercase",
            hint=f"try {text.lower()}",
        )
    if not re.fullmatch(rf"{_PATH_PART}(?:/{_PATH_PART})*", path) or not re.fullmatch(
        _DOMAIN, domain
    ):
        raise _invalid(text, "a name is like node, you/app:1.0 or registry.example:5000/app")
    if len(path) > _LONGEST_PATH:
        raise InvalidParameter(
            f"repository name must not be more than {_LONGEST_PATH} characters",
            hint=f"{path[:20]}… has {len(path)}",
        )
    return Reference(domain=domain, path=path, tag=tag, digest=digest)


def _digest_of(text: str, given: str) -> Digest:
    """Read what stands after the @. Raises: InvalidParameter in go-digest's words."""
    match = _DIGEST.fullmatch(given)
    if match is None:
        raise _invalid(text, "after @ stands a digest: sha256:<64 hex>")
    digits = _HEX_DIGITS.get(match["algorithm"])
    if digits is None:
        raise InvalidParameter(
            f"unsupported digest algorithm: {match['algorithm']}",
            hint=f"known are {', '.join(_HEX_DIGITS)}",
        )
    if len(match["hex"]) != digits:
        raise InvalidParameter(
            "invalid checksum digest length",
            hint=f"{match['algorithm']} has {digits} hex digits, given are {len(match['hex'])}",
        )
    if match["hex"] != match["hex"].lower():
        raise InvalidParameter(
            "invalid checksum digest format", hint="the hex digits of a digest are lower case"
        )
    return Digest(given)


def _split_domain(name: str) -> tuple[str, str]:
    first, slash, rest = name.partition("/")
    if not slash or not (set(first) & set(".:") or first == "localhost" or first != first.lower()):
        domain, path = "docker.io", name
    else:
        domain, path = ("docker.io" if first == "index.docker.io" else first), rest
    if domain == "docker.io" and "/" not in path:
        path = f"library/{path}"
    return domain, path


def _invalid(text: str, hint: str) -> InvalidParameter:
    return InvalidParameter(f'invalid reference format: "{text}"', hint=hint)
