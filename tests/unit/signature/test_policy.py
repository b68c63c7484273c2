"""Which rule an image falls under, and what a policy file may not say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pogu.errors import InvalidParameter
from pogu.oci.reference import parse_reference
from pogu.signature.policy import Accept, Policy, Reject, SigstoreSigned, Unverifiable
from pogu.signature.policy_file import parse_policy

FILE = Path("/etc/pogu/policy.json")
ACCEPT, REJECT = [{"type": "insecureAcceptAnything"}], [{"type": "reject"}]
DIGEST = "sha256:" + "a" * 64


def parsed(value: object) -> Policy:
    return parse_policy(FILE, json.dumps(value).encode())


def refused(content: bytes | object) -> str:
    raw = content if isinstance(content, bytes) else json.dumps(content).encode()
    with pytest.raises(InvalidParameter) as caught:
        parse_policy(FILE, raw)
    assert caught.value.message.startswith(f"invalid policy in {FILE}: ")
    return f"{caught.value.message.removeprefix(f'invalid policy in {FILE}: ')}|{caught.value.hint}"


def with_requirement(**fields: object) -> dict[str, object]:
    return {"default": REJECT, "transports": {"docker": {"reg.lan/app": [fields]}}}


SCOPES = (
    "",
    "*.example.com",
    "*.com",
    "a.example.com:5000",
    "a.example.com:5000/x",
    "a.example.com:5000/x/y",
    "a.example.com:5000/x/y:1",
    f"a.example.com:5000/x/y@{DIGEST}",
    "docker.io",
    "docker.io/library",
    "localhost",
    "localhost:5000/x",
    "[::1]:5000/x",
)


@pytest.mark.parametrize(
    ("name", "scope"),
    [
        ("a.example.com:5000/x/y:1", "a.example.com:5000/x/y:1"),
        ("a.example.com:5000/x/y:2", "a.example.com:5000/x/y"),
        (f"a.example.com:5000/x/y@{DIGEST}", f"a.example.com:5000/x/y@{DIGEST}"),
        (f"a.example.com:5000/x/y:1@{DIGEST}", f"a.example.com:5000/x/y@{DIGEST}"),
        ("a.example.com:5000/x/yy", "a.example.com:5000/x"),
        ("a.example.com:5000/xx/y", "a.example.com:5000"),
        ("a.example.com/x/y", "*.example.com"),
        ("b.a.example.com:80/x", "*.example.com"),
        ("example.com/x", "*.com"),
        ("node", "docker.io/library"),
        ("you/app", "docker.io"),
        ("localhost:5000/x", "localhost:5000/x"),
        ("localhost:5001/x", ""),
        ("[::1]:5000/x", "[::1]:5000/x"),
        ("other.org/x", ""),
    ],
)
def test_the_longest_scope_wins(name: str, scope: str) -> None:
    policy = parsed({"default": REJECT, "transports": {"docker": {one: ACCEPT for one in SCOPES}}})
    rule = policy.for_registry(parse_reference(name).with_default_tag())
    assert rule.place == f'transports.docker["{scope}"]'


def test_the_default_is_for_what_has_no_scope_and_archives_have_their_own() -> None:
    transports = {"docker": {"reg.lan": ACCEPT}, "oci-archive": {"": ACCEPT}}
    policy = parsed({"default": REJECT, "transports": transports})
    assert policy.for_registry(parse_reference("node:1")).requirements == (Reject(),)
    assert policy.for_archive("docker-archive").requirements == (Reject(),)
    assert policy.for_archive("oci-archive").requirements == (Accept(),)


def test_only_the_most_specific_rule_counts() -> None:
    transports = {"docker": {"reg.lan": REJECT, "reg.lan/open": ACCEPT}}
    policy = parsed({"default": REJECT, "transports": transports})
    found = policy.for_registry(parse_reference("reg.lan/open/x:1"))
    assert found.requirements == (Accept(),)


def test_keys_come_from_a_file_several_files_or_the_policy_itself() -> None:
    for field, value, names in (
        ("keyPath", "/k", ["/k"]),
        ("keyPaths", ["/k", "/l"], ["/k", "/l"]),
        ("keyData", "Zm9v", ['transports.docker["reg.lan/app"][0].keyData']),
        ("keyDatas", ["Zm9v"], ['transports.docker["reg.lan/app"][0].keyDatas']),
    ):
        policy = parsed(with_requirement(type="sigstoreSigned", **{field: value}))
        (found,) = policy.for_registry(parse_reference("reg.lan/app:1")).requirements
        assert isinstance(found, SigstoreSigned)
        assert [str(key) for key in found.keys] == names


@pytest.mark.parametrize(
    "fields",
    [
        {"type": "signedBy", "keyType": "GPGKeys", "keyPath": "/gpg"},
        {"type": "sigstoreSigned", "keyPath": "/k", "rekorPublicKeyPath": "/r"},
        {"type": "sigstoreSigned", "fulcio": {"caPath": "/ca"}, "rekorPublicKeyPath": "/r"},
        {"type": "sigstoreSigned", "pki": {}},
    ],
)
def test_what_we_cannot_check_is_read_and_fulfilled_by_nothing(fields: dict[str, object]) -> None:
    policy = parsed(with_requirement(**fields))
    (found,) = policy.for_registry(parse_reference("reg.lan/app:1")).requirements
    assert isinstance(found, Unverifiable)


@pytest.mark.parametrize(
    ("policy", "said"),
    [
        (b"", "line 1, column 1"),
        (b'{"default": [\n{"type": "reject"},]}', "line 2"),
        (b"\xff\xfe", "not UTF-8"),
        (b'{"default":\n"\xff"}', "line 2: not UTF-8"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"default": [], "default": []}', "'default' stands twice"),
        ([], "must be an object"),
        ({}, '"default" is missing'),
        ({"default": []}, "default: must be a list of requirements, at least one"),
        ({"default": REJECT, "transport": {}}, "'transport'|did you mean transports?"),
        ({"default": REJECT, "transports": []}, "transports: must be an object"),
        ({"default": REJECT, "transports": {"dokcer": {}}}, "did you mean docker?"),
        ({"default": [{}]}, "default[0]: unknown requirement type None"),
        ({"default": [{"type": "rejekt"}]}, "did you mean reject?"),
        ({"default": [{"type": "reject", "x": 1}]}, "default[0]: unknown key 'x'"),
        (with_requirement(type="sigstoreSigned"), "exactly one of keyPath"),
        (with_requirement(type="sigstoreSigned", keyPath="/k", keyData="Zm9v"), "exactly one of"),
        (with_requirement(type="sigstoreSigned", keypath="/k"), "did you mean keyPath?"),
        (with_requirement(type="sigstoreSigned", keyPath="k.pub"), "an absolute path"),
        (with_requirement(type="sigstoreSigned", keyPath=7), "must be a string, not 7"),
        (with_requirement(type="sigstoreSigned", keyPaths=[]), "must be a list"),
        (with_requirement(type="sigstoreSigned", keyData="?"), ".keyData: is not base64"),
    ],
)
def test_a_fault_is_refused_with_its_place(policy: object, said: str) -> None:
    assert said in refused(policy)


@pytest.mark.parametrize(
    ("identity", "said"),
    [
        ("matchExact", "must be an object"),
        (None, "must be an object"),
        ({"type": "matchexact"}, "did you mean matchExact?"),
        ({"type": "matchExact", "x": 1}, "unknown key 'x'"),
        ({"type": "exactReference"}, "'dockerReference' is missing"),
        ({"type": "exactReference", "dockerReference": "reg.lan/app"}, "neither tag nor digest"),
        ({"type": "exactRepository", "dockerRepository": "reg.lan/app:1"}, "has a tag"),
        ({"type": "exactRepository", "dockerRepository": "reg.lan/UP"}, "invalid reference format"),
        ({"type": "remapIdentity", "prefix": "reg.lan"}, "'signedPrefix' is missing"),
        ({"type": "remapIdentity", "prefix": "", "signedPrefix": "a.b"}, "must be a string"),
    ],
)
def test_a_fault_in_an_identity_is_refused_with_its_place(identity: object, said: str) -> None:
    text = refused(with_requirement(type="sigstoreSigned", keyPath="/k", signedIdentity=identity))
    assert text.startswith('transports.docker["reg.lan/app"][0].signedIdentity')
    assert said in text


@pytest.mark.parametrize(
    "scope",
    ["node", "library/node", "reg.lan/", "docker://reg.lan", "reg.*.lan", "*.lan/x", "reg.lan/X"],
)
def test_a_scope_that_no_image_has_is_refused(scope: str) -> None:
    text = refused({"default": ACCEPT, "transports": {"docker": {scope: REJECT}}})
    assert text.startswith(f'transports.docker["{scope}"]: ')
