"""Service: check of the file that says which images may be pulled."""

from __future__ import annotations

import shlex
from pathlib import Path

from pogu.config import Config
from pogu.doctor.finding import ERROR, OK, Finding
from pogu.doctor.host import Host
from pogu.errors import EngineError
from pogu.images.verification import load_key, load_policy
from pogu.signature.policy import KeySource, Policy, SigstoreSigned

__all__ = ["check_policy"]


def check_policy(host: Host, config: Config) -> Finding:
    """A policy that cannot be used refuses every pull, one whose key is missing those it asks for
    a signature."""
    at = host.at(config.policy)
    try:
        policy = load_policy(at, may_be_missing=config.policy_may_be_missing)
        if policy is None:
            text = f"no {config.policy}: every image is accepted"
            return Finding(check="policy", level=OK, text=text)
        for key in _keys(policy):
            load_key(KeySource(path=host.at(key.path)) if key.path else key)
    except EngineError as err:
        text = err.message.replace(str(host.prefix).rstrip("/") + "/", "/")
        return Finding(check="policy", level=ERROR, text=text, mend=_edit(config.policy))
    scopes = sum(1 for _ in policy.rules())
    return Finding(check="policy", level=OK, text=f"{config.policy}: {scopes} rules")


def _keys(policy: Policy) -> list[KeySource]:
    return [
        key
        for rule in policy.rules()
        for requirement in rule.requirements
        if isinstance(requirement, SigstoreSigned)
        for key in requirement.keys
    ]


def _edit(file: Path) -> str:
    return f"${{EDITOR:-vi}} {shlex.quote(str(file))}"
