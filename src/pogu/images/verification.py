"""Service: may this image come here? Reads the policy file at each question, owns nothing.

No file at the default place = everything may. Anything that cannot be read, found or understood
means no: a policy that fails open is none.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

from pogu.errors import InvalidParameter, RejectedByPolicy, SystemFailure
from pogu.oci.reference import Reference
from pogu.registry.attachments import signatures
from pogu.registry.client import FetchedManifest, Repository
from pogu.signature.claim import why_not
from pogu.signature.key import PublicKey, parse_public_key
from pogu.signature.policy import (
    Accept,
    KeySource,
    Policy,
    Reject,
    Requirement,
    Rule,
    SigstoreSigned,
    Unverifiable,
)
from pogu.signature.policy_file import parse_policy

__all__ = ["Verification", "load_key", "load_policy"]

_LARGEST_FILE = 16 << 20


class Verification:
    """`may_be_missing`: nobody asked for this file by name."""

    def __init__(self, file: Path, *, may_be_missing: bool) -> None:
        self._file = file
        self._may_be_missing = may_be_missing

    def _policy(self) -> Policy | None:
        return load_policy(self._file, may_be_missing=self._may_be_missing)

    def check_name(self, pulled: Reference) -> None:
        """What the name alone decides, before its registry is asked. Raises: as `check_pull`."""
        policy = self._policy()
        if policy is None:
            return
        rule = policy.for_registry(pulled)
        for requirement in rule.requirements:
            self._check(f"docker://{pulled}", requirement, rule)

    async def check_pull(
        self, repository: Repository, pulled: Reference, manifests: Sequence[FetchedManifest]
    ) -> None:
        """Let the image pass or raise RejectedByPolicy("Source image rejected: …").

        `manifests` are the one that will be unpacked and, where it came through an index, the
        index: a signature of either counts. Raises also: InvalidParameter, SystemFailure for the
        policy or a key; Unavailable.
        """
        policy = self._policy()
        if policy is None:
            return
        rule = policy.for_registry(pulled)
        for requirement in rule.requirements:
            if isinstance(requirement, SigstoreSigned):
                await self._check_signed(repository, pulled, manifests, requirement, rule)
            else:
                self._check(f"docker://{pulled}", requirement, rule)

    def check_archive(self, *transports: str) -> None:
        """As `check_pull` for an image out of a file, which has no signatures with it.

        Several transports: it is not known yet which kind of file it is, one must let it in.
        """
        policy = self._policy()
        if policy is None:
            return
        refusals = []
        for transport in transports:
            try:
                return self._check_archive(policy.for_archive(transport), transport)
            except RejectedByPolicy as err:
                refusals.append(err)
        raise refusals[0]

    def _check_archive(self, rule: Rule, transport: str) -> None:
        for requirement in rule.requirements:
            if isinstance(requirement, SigstoreSigned):
                raise self._rejected("A signature was required, but no signature exists", rule)
            self._check(transport, requirement, rule)

    def _check(self, image: str, requirement: Requirement, rule: Rule) -> None:
        match requirement:
            case Accept():
                return
            case Reject():
                raise self._rejected(f"Running image {image} is rejected by policy.", rule)
            case Unverifiable():
                raise self._rejected(f"Pogu cannot check {requirement.what}", rule)

    async def _check_signed(
        self,
        repository: Repository,
        pulled: Reference,
        manifests: Sequence[FetchedManifest],
        requirement: SigstoreSigned,
        rule: Rule,
    ) -> None:
        keys = [load_key(source) for source in requirement.keys]
        reasons: list[str] = []
        for manifest in manifests:
            async with contextlib.aclosing(signatures(repository, manifest)) as found:
                async for one in found:
                    reason = (
                        one
                        if isinstance(one, str)
                        else why_not(
                            one,
                            keys=keys,
                            identity=requirement.identity,
                            pulled=pulled,
                            digest=manifest.digest,
                        )
                    )
                    if not reason:
                        return
                    reasons.append(reason)
        raise self._rejected(_summary(reasons), rule)

    def _rejected(self, reason: str, rule: Rule) -> RejectedByPolicy:
        return RejectedByPolicy(
            f"Source image rejected: {reason}", hint=f"the rule is {rule.place} in {self._file}"
        )


def _summary(reasons: Sequence[str]) -> str:
    different = list(dict.fromkeys(reasons))
    if not different:
        return "A signature was required, but no signature exists"
    if len(different) == 1:
        return different[0]
    return f"None of the signatures were accepted, reasons: {'; '.join(different[:8])}"


def load_policy(file: Path, *, may_be_missing: bool) -> Policy | None:
    """None when there is no file and need not be one. Raises: InvalidParameter, SystemFailure."""
    try:
        content = _read(file)
    except FileNotFoundError as err:
        if may_be_missing:
            return None
        raise SystemFailure(
            f"cannot read the policy {file}: no such file",
            hint="the configuration names it (`policy`): no image is pulled without it",
        ) from err
    except OSError as err:
        raise SystemFailure(
            f"cannot read the policy {file}: {err.strerror}",
            hint="no image is pulled before it can be read",
        ) from err
    return parse_policy(file, content)


def _read(file: Path) -> bytes:
    with file.open("rb") as opened:
        content = opened.read(_LARGEST_FILE + 1)
    if len(content) > _LARGEST_FILE:
        raise InvalidParameter(f"{file} is larger than 16 MiB")
    return content


def load_key(source: KeySource) -> PublicKey:
    """Raises: SystemFailure, InvalidParameter, naming the file or the place in the policy."""
    if source.path is None:
        return parse_public_key(str(source), source.data)
    try:
        return parse_public_key(str(source), _read(source.path))
    except OSError as err:
        raise SystemFailure(
            f"cannot read the key {source.path}: {err.strerror}", hint="the policy names it"
        ) from err
