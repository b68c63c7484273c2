"""Format: the JSON of `policy.json` → `Policy`; a complaint names the place in the file. Pure."""

from __future__ import annotations

import base64
import binascii
import difflib
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from pogu.errors import InvalidParameter
from pogu.oci.reference import Reference, parse_reference
from pogu.signature.identity import IdentityType, SignedIdentity
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

__all__ = ["parse_policy"]

_TRANSPORTS = (
    "docker",
    "docker-archive",
    "docker-daemon",
    "oci",
    "oci-archive",
    "dir",
    "tarball",
    "atomic",
    "containers-storage",
    "ostree",
    "sif",
)
_PATH = r"[a-z0-9]+(?:[._-]+[a-z0-9]+)*"
_DOCKER_SCOPE = re.compile(
    r"\*(?:\.[a-zA-Z0-9-]+)+"
    r"|(?:[a-zA-Z0-9.-]+|\[[a-fA-F0-9:]+\])(?::[0-9]+)?"
    rf"(?:(?:/{_PATH})+(?::[A-Za-z0-9_][A-Za-z0-9_.-]*|@sha256:[0-9a-f]{{64}})?)?"
)
_KEYS_OF_SIGSTORE = ("keyPath", "keyPaths", "keyData", "keyDatas")
_NOT_CHECKED = (
    "fulcio",
    "pki",
    "rekorPublicKeyPath",
    "rekorPublicKeyPaths",
    "rekorPublicKeyData",
    "rekorPublicKeyDatas",
)
_GPG = ("type", "keyType", "keyPath", "keyPaths", "keyData", "signedIdentity")

Object = Mapping[str, object]


class _Invalid(ValueError):
    """(place in the file, what is wrong, what to do)."""

    def __init__(self, place: str, text: str, hint: str = "see containers-policy.json(5)") -> None:
        super().__init__(f"{place}: {text}" if place else text)
        self.hint = hint


def parse_policy(file: Path, content: bytes) -> Policy:
    """`file` is for the messages. Raises: InvalidParameter, naming the place."""
    try:
        top = json.loads(content.decode("utf-8-sig"), object_pairs_hook=_without_doubles)
        return _policy(top)
    except json.JSONDecodeError as err:
        problem, hint = (
            f"line {err.lineno}, column {err.colno}: {err.msg}",
            "no image is pulled until it is mended",
        )
    except UnicodeDecodeError as err:
        line = content.count(b"\n", 0, err.start) + 1
        problem, hint = f"line {line}: not UTF-8", "no image is pulled until it is mended"
    except RecursionError:
        problem, hint = "nested too deeply", "no image is pulled until it is mended"
    except _Invalid as err:
        problem, hint = str(err), err.hint
    raise InvalidParameter(f"invalid policy in {file}: {problem}", hint=hint)


def _without_doubles(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        double = next(name for name in names if names.count(name) > 1)
        raise _Invalid("", f"{double!r} stands twice in one object", "take one of them out")
    return found


def _policy(top: object) -> Policy:
    fields = _object("", top, ("default", "transports"))
    if "default" not in fields:
        raise _Invalid("", '"default" is missing', '"default": [{"type": "reject"}], for example')
    transports: dict[str, dict[str, Rule]] = {}
    for name, scopes in _object("transports", fields.get("transports", {})).items():
        place = f"transports.{name}"
        if name not in _TRANSPORTS:
            raise _Invalid(place, "unknown transport", _near(name, _TRANSPORTS))
        transports[name] = {
            scope: _rule(f'{place}["{scope}"]', requirements, scope if name == "docker" else "")
            for scope, requirements in _object(place, scopes).items()
        }
    return Policy(default=_rule("default", fields["default"]), transports=transports)


def _rule(place: str, value: object, docker_scope: str = "") -> Rule:
    if docker_scope:
        _check_scope(place, docker_scope)
    if not isinstance(value, list) or not value:
        raise _Invalid(place, "must be a list of requirements, at least one")
    return Rule(
        place=place,
        requirements=tuple(_requirement(f"{place}[{at}]", one) for at, one in enumerate(value)),
    )


def _check_scope(place: str, scope: str) -> None:
    """A scope that no image can have would silently protect nothing."""
    if not _DOCKER_SCOPE.fullmatch(scope):
        raise _Invalid(
            place,
            "is no registry, repository or image",
            "for example docker.io/library/node, registry.example:5000 or *.example.com",
        )
    host = scope.partition("/")[0]
    if not set(host) & set(".:*[") and host != "localhost" and host == host.lower():
        raise _Invalid(
            place,
            "no image has this scope",
            f"names are given in full: {parse_reference(scope)}",
        )


def _requirement(place: str, value: object) -> Requirement:
    kind = _object(place, value).get("type")
    match kind:
        case "insecureAcceptAnything":
            _object(place, value, ("type",))
            return Accept()
        case "reject":
            _object(place, value, ("type",))
            return Reject()
        case "sigstoreSigned":
            return _sigstore(place, value)
        case "signedBy":
            _object(place, value, _GPG)
            return Unverifiable(what="signedBy: signatures by GPG keys")
        case "signedBaseLayer":
            _object(place, value, ("type", "baseLayerIdentity"))
            return Unverifiable(what="signedBaseLayer")
    known = ("insecureAcceptAnything", "reject", "sigstoreSigned", "signedBy")
    raise _Invalid(place, f"unknown requirement type {kind!r}", _near(str(kind), known))


def _sigstore(place: str, value: object) -> Requirement:
    known = ("type", *_KEYS_OF_SIGSTORE, "signedIdentity", *_NOT_CHECKED)
    fields = _object(place, value, known)
    identity = SignedIdentity()
    if "signedIdentity" in fields:
        identity = _identity(f"{place}.signedIdentity", fields["signedIdentity"])
    for name in _NOT_CHECKED:
        if name in fields:
            return Unverifiable(what=f"sigstoreSigned with {name}")
    given = [name for name in _KEYS_OF_SIGSTORE if name in fields]
    if len(given) != 1:
        raise _Invalid(
            place, f"exactly one of {', '.join(_KEYS_OF_SIGSTORE)} must be there", "name the key"
        )
    name = given[0]
    return SigstoreSigned(
        keys=tuple(_key_sources(f"{place}.{name}", name, fields[name])), identity=identity
    )


def _key_sources(place: str, name: str, value: object) -> Iterable[KeySource]:
    values = [value]
    if name.endswith("s"):
        if not isinstance(value, list) or not value:
            raise _Invalid(place, "must be a list, at least one", "name the keys")
        values = value
    read = _key_data if name.startswith("keyData") else _key_path
    return [read(place, _text(place, one)) for one in values]


def _key_path(place: str, text: str) -> KeySource:
    if not text.startswith("/") or "\0" in text:
        raise _Invalid(place, f"must be an absolute path, not {text!r}", "/etc/pogu/cosign.pub")
    return KeySource(path=Path(text))


def _key_data(place: str, text: str) -> KeySource:
    try:
        return KeySource(data=base64.b64decode(text, validate=True), place=place)
    except binascii.Error as err:
        raise _Invalid(place, "is not base64", "base64 -w0 cosign.pub") from err


def _identity(place: str, value: object) -> SignedIdentity:
    kind = _object(place, value).get("type")
    if kind not in list(IdentityType):
        raise _Invalid(place, f"unknown type {kind!r}", _near(str(kind), tuple(IdentityType)))
    type_ = IdentityType(str(kind))
    match type_:
        case IdentityType.EXACT_REFERENCE:
            fields = _object(place, value, ("type", "dockerReference"), all_of_them=True)
            expected = _reference(f"{place}.dockerReference", fields["dockerReference"])
            if not (expected.tag or expected.digest):
                raise _Invalid(f"{place}.dockerReference", "has neither tag nor digest")
            return SignedIdentity(type=type_, expected=expected)
        case IdentityType.EXACT_REPOSITORY:
            fields = _object(place, value, ("type", "dockerRepository"), all_of_them=True)
            expected = _reference(f"{place}.dockerRepository", fields["dockerRepository"])
            if expected.tag or expected.digest:
                raise _Invalid(f"{place}.dockerRepository", "has a tag or a digest")
            return SignedIdentity(type=type_, expected=expected)
        case IdentityType.REMAP_IDENTITY:
            fields = _object(place, value, ("type", "prefix", "signedPrefix"), all_of_them=True)
            prefix, signed = (_text(place, fields[name]) for name in ("prefix", "signedPrefix"))
            for one in (prefix, signed):
                _check_scope(f"{place} {one}", one)
            return SignedIdentity(type=type_, prefix=prefix, signed_prefix=signed)
    _object(place, value, ("type",))
    return SignedIdentity(type=type_)


def _reference(place: str, value: object) -> Reference:
    try:
        return parse_reference(_text(place, value))
    except InvalidParameter as err:
        raise _Invalid(place, err.message, err.hint or "") from err


def _object(
    place: str, value: object, known: tuple[str, ...] = (), *, all_of_them: bool = False
) -> Object:
    """`known` empty = any key."""
    if not isinstance(value, dict):
        raise _Invalid(place, "must be an object")
    for name in value:
        if known and name not in known:
            raise _Invalid(place, f"unknown key {name!r}", _near(name, known))
    for name in known if all_of_them else ():
        if name not in value:
            raise _Invalid(place, f"{name!r} is missing")
    return value


def _text(place: str, value: object) -> str:
    if not isinstance(value, str) or not value:
        raise _Invalid(place, f"must be a string, not {value!r}")
    return value


def _near(name: str, known: Iterable[str]) -> str:
    shapes: dict[str, str] = {one.lower(): one for one in known}
    near = difflib.get_close_matches(name.lower(), shapes, n=1, cutoff=0.6)
    return f"did you mean {shapes[near[0]]}?" if near else f"there is {', '.join(shapes.values())}"
