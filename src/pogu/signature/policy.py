"""Format: `policy.json` as containers-policy.json(5) defines it: which images may come here. Pure.

The file is read strictly: what is unknown, doubled or empty makes all of it invalid. What is valid
and not checked by us (GPG keys, Fulcio, Rekor) rejects the images of its scope and no others.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pogu.oci.reference import Reference
from pogu.signature.identity import SignedIdentity

__all__ = [
    "Accept",
    "KeySource",
    "Policy",
    "Reject",
    "Requirement",
    "Rule",
    "SigstoreSigned",
    "Unverifiable",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Accept:
    """insecureAcceptAnything."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reject:
    """reject."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeySource:
    """A public key in PEM: in a file, or in the policy itself (`place` says where)."""

    path: Path | None = None
    data: bytes = b""
    place: str = ""

    def __str__(self) -> str:
        return str(self.path) if self.path else self.place


@dataclass(frozen=True, slots=True, kw_only=True)
class SigstoreSigned:
    """sigstoreSigned: one signature by one of the keys, with a name that fits."""

    keys: tuple[KeySource, ...]
    identity: SignedIdentity


@dataclass(frozen=True, slots=True, kw_only=True)
class Unverifiable:
    """A valid requirement that we cannot check, so that nothing fulfils it."""

    what: str


Requirement = Accept | Reject | SigstoreSigned | Unverifiable


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """All requirements of the scope that fits best; `place` is where they stand in the file."""

    place: str
    requirements: tuple[Requirement, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """`transports` holds rules by transport and scope; the scope "" is the transport's default."""

    default: Rule
    transports: Mapping[str, Mapping[str, Rule]]

    def for_registry(self, pulled: Reference) -> Rule:
        """The rule for an image of a registry: the longest scope wins, no two are joined."""
        return self._first("docker", docker_scopes(pulled))

    def for_archive(self, transport: str) -> Rule:
        """The rule for an image out of a file: `docker-archive`, `oci-archive`, …"""
        return self._first(transport, iter(()))

    def _first(self, transport: str, scopes: Iterator[str]) -> Rule:
        rules = self.transports.get(transport, {})
        for scope in scopes:
            if scope in rules:
                return rules[scope]
        return rules.get("", self.default)

    def rules(self) -> Iterator[Rule]:
        """Every rule of the file."""
        yield self.default
        for scopes in self.transports.values():
            yield from scopes.values()


def docker_scopes(pulled: Reference) -> Iterator[str]:
    """The scopes of `pulled` (with tag or digest), most specific first.

    `a.example.com:5000/x/y:1`, `….com:5000/x/y`, `….com:5000/x`, `a.example.com:5000`,
    `*.example.com`, `*.com`.
    """
    name = pulled.repository
    yield f"{name}@{pulled.digest}" if pulled.digest else f"{name}:{pulled.tag}"
    while name:
        yield name
        name = name.rpartition("/")[0]
    host = pulled.domain.partition(":")[0]
    while "." in host:
        host = host.partition(".")[2]
        yield f"*.{host}"
