"""The policy file, and signatures made by openssl that lie beside an image in cosign's form."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.engine_process import EngineProcess, an_engine
from tests.registry_process import RegistryProcess, a_registry
from tests.signatures import SigningKey, a_bundle, a_payload, a_statement

from pogu.oci.digest import Digest, sha256_digest

pytestmark = pytest.mark.root

ACCEPT = {"type": "insecureAcceptAnything"}
BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"
PAYLOAD = "application/vnd.dev.cosign.simplesigning.v1+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """An engine with a policy file, a registry with one image in it, a key of cosign's."""

    engine: EngineProcess
    registry: RegistryProcess
    policy: Path
    directory: Path
    key: SigningKey

    def allow(self, *requirements: object, scope: str = "", default: str = "reject") -> None:
        scopes = {scope or self.registry.address: list(requirements)}
        document = {"default": [{"type": default}], "transports": {"docker": scopes}}
        self.policy.write_text(json.dumps(document))

    def signed(self, identity: str = "matchRepoDigestOrExact", **more: object) -> dict[str, object]:
        path = str(self.directory / "cosign.pub")
        identity_type = {"type": identity, **more}
        return {"type": "sigstoreSigned", "keyPath": path, "signedIdentity": identity_type}

    def copy(self, source: str, target: str) -> None:
        """Let skopeo copy an image inside the registry."""
        words = ["skopeo", "--insecure-policy", "copy", "-q"]
        words += ["--src-tls-verify=false", "--dest-tls-verify=false"]
        names = [f"docker://{self.registry.name(name)}" for name in (source, target)]
        subprocess.run([*words, *names], check=True)

    def sign(self, source: str, target: str) -> None:
        """Copy, and sign the copy under its full name."""
        self.copy(source, target)
        digest = self.digest(target)
        payload = a_payload(digest, self.registry.name(target))
        self.attach(target.partition(":")[0], digest, payload)

    def digest(self, name: str) -> Digest:
        words = ["skopeo", "inspect", "--tls-verify=false", "--raw"]
        target = f"docker://{self.registry.name(name)}"
        done = subprocess.run([*words, target], capture_output=True, check=True)
        return sha256_digest(done.stdout)

    def send(self, method: str, path: str, data: bytes, kind: str) -> str:
        """One request to the registry; return the Location of its answer."""
        url = path if path.startswith("http") else f"http://{self.registry.address}/v2/{path}"
        headers = {"Content-Type": kind}
        request = urllib.request.Request(url, data=data, method=method, headers=headers)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return str(answer.headers.get("Location", ""))

    def put_blob(self, repository: str, data: bytes) -> dict[str, object]:
        location = self.send("POST", f"{repository}/blobs/uploads/", b"", "")
        digest = sha256_digest(data)
        self.send("PUT", f"{location}&digest={digest}", data, "application/octet-stream")
        return {"digest": digest, "size": len(data)}

    def put_manifest(self, repository: str, tag: str, layers: list[dict[str, object]]) -> Digest:
        config = {"mediaType": "application/vnd.oci.image.config.v1+json"}
        document = {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": config | self.put_blob(repository, b"{}"),
            "layers": layers,
        }
        raw = json.dumps(document).encode()
        digest = sha256_digest(raw)
        self.send("PUT", f"{repository}/manifests/{tag or digest}", raw, OCI_MANIFEST)
        return digest

    def openssl_sign(self, data: bytes) -> bytes:
        words = ["openssl", "dgst", "-sha256", "-sign", str(self.directory / "cosign.key")]
        return subprocess.run(words, input=data, capture_output=True, check=True).stdout

    def attach(self, repository: str, digest: Digest, payload: bytes, signed: bytes = b"") -> None:
        """What `cosign sign` does up to version 2."""
        signature = base64.b64encode(self.openssl_sign(signed or payload)).decode()
        layer = self.put_blob(repository, payload) | {
            "mediaType": PAYLOAD,
            "annotations": {"dev.cosignproject.cosign/signature": signature},
        }
        self.put_manifest(repository, digest.replace(":", "-") + ".sig", [layer])

    def attach_bundle(self, repository: str, digest: Digest, bundle: bytes) -> None:
        """What `cosign sign` does since version 3, at a registry without referrers API."""
        layer = self.put_blob(repository, bundle) | {"mediaType": BUNDLE}
        manifest = self.put_manifest(repository, "", [layer])
        entry = {"mediaType": OCI_MANIFEST, "digest": manifest, "size": 1, "artifactType": BUNDLE}
        index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry]}
        raw = json.dumps(index).encode()
        self.send("PUT", f"{repository}/manifests/{digest.replace(':', '-')}", raw, OCI_INDEX)

    def refused(self, name: str) -> str:
        """A pull that the policy must refuse, with nothing of the image left here."""
        before = sorted(path.name for path in (self.engine.root / "layers").iterdir())
        said = self.engine.refused("pull", self.registry.name(name))
        assert "Source image rejected: " in said, said
        assert str(self.policy) in said
        assert sorted(path.name for path in (self.engine.root / "layers").iterdir()) == before
        assert not list((self.engine.root / "tmp").iterdir())
        listed = self.engine.ok("images", "-a", "--digests", "--format", "{{.Repository}}")
        assert self.registry.name(name).rpartition(":")[0] not in listed.split()
        return said

    def pulled(self, name: str) -> None:
        full = self.registry.name(name)
        self.engine.ok("pull", full)
        assert self.engine.ok("run", "--rm", full, "cat", "/file") == "signed"
        self.engine.ok("rmi", full)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    directory, key = tmp_path_factory.mktemp("pogu"), SigningKey.make()
    policy = directory / "policy.json"
    (directory / "cosign.pub").write_bytes(key.pem)
    (directory / "cosign.key").write_bytes(key.private_pem)
    policy.write_text(json.dumps({"default": [ACCEPT]}))
    patch = pytest.MonkeyPatch()
    patch.setenv("POGU_POLICY", str(policy))
    try:
        with an_engine(directory) as engine, a_registry(directory) as registry:
            made = Place(
                engine=engine, registry=registry, policy=policy, directory=directory, key=key
            )
            build_and_push(made)
            yield made
    finally:
        patch.undo()


def build_and_push(place: Place) -> None:
    """Leave `app:1` in the registry and nothing of it here."""
    name = place.registry.name("app:1")
    context = place.directory / "context"
    context.mkdir()
    (context / "Dockerfile").write_text("FROM busybox\nRUN echo signed > /file\n")
    place.engine.ok("build", "-q", "-t", name, str(context))
    place.engine.ok("push", name)
    place.engine.ok("rmi", name)
    place.engine.ok("builder", "prune", "-a", "-f")


def test_reject_and_accept_go_by_the_longest_prefix(place: Place) -> None:
    place.allow(ACCEPT, scope=f"{place.registry.address}/app")
    place.pulled("app:1")
    place.allow({"type": "reject"}, scope=f"{place.registry.address}/app", default=ACCEPT["type"])
    assert "is rejected by policy" in place.refused("app:1")


def test_a_rejected_name_is_refused_without_asking_its_registry(place: Place) -> None:
    place.allow(ACCEPT)
    said = place.engine.refused("pull", "nobody.invalid/app:1")
    assert "Running image docker://nobody.invalid/app:1 is rejected by policy." in said


def test_what_is_signed_is_pulled_by_tag_and_by_digest(place: Place) -> None:
    place.sign("app:1", "good:1")
    place.allow(place.signed())
    place.pulled("good:1")
    place.pulled(f"good@{place.digest('good:1')}")


def test_an_image_without_signature_is_refused_in_pull_run_and_build(
    place: Place, tmp_path: Path
) -> None:
    place.allow(place.signed())
    name = place.registry.name("app:1")
    said = place.refused("app:1")
    assert "A signature was required, but no signature exists" in said
    assert f'transports.docker["{place.registry.address}"]' in said
    assert "Source image rejected" in place.engine.refused("run", "--rm", name, "true", code=125)
    (tmp_path / "Dockerfile").write_text(f"FROM {name}\n")
    assert "Source image rejected" in place.engine.refused("build", str(tmp_path))
    place.refused(f"app@{place.digest('app:1')}")


def test_a_signature_for_another_tag_repository_or_key_is_refused(place: Place) -> None:
    place.sign("app:1", "moved:1")
    place.copy("moved:1", "moved:2")
    place.allow(place.signed())
    assert 'moved:1" is not accepted' in place.refused("moved:2")
    place.allow(place.signed("matchRepository"))
    place.pulled("moved:2")
    (place.directory / "other.pub").write_bytes(SigningKey.make().pem)
    place.allow(place.signed() | {"keyPath": str(place.directory / "other.pub")})
    assert "not by" in place.refused("moved:1")


def test_a_mirror_is_signed_under_the_name_of_its_origin(place: Place) -> None:
    digest = place.digest("app:1")
    place.copy("app:1", "mirror/tool:1")
    place.attach("mirror/tool", digest, a_payload(digest, "vendor.example/tool:1"))
    prefix = place.registry.name("mirror")
    place.allow(place.signed("remapIdentity", prefix=prefix, signedPrefix="vendor.example"))
    place.pulled("mirror/tool:1")


def test_a_payload_that_was_tampered_with_is_refused(place: Place) -> None:
    digest, name = place.digest("app:1"), place.registry.name("tampered:1")
    place.copy("app:1", "tampered:1")
    payload, other = a_payload(digest, name), a_payload(Digest("sha256:" + "0" * 64), name)
    place.allow(place.signed())
    place.attach("tampered", digest, payload, signed=other)
    assert "not by" in place.refused("tampered:1")
    place.attach("tampered", digest, other)
    assert "does not match" in place.refused("tampered:1")
    place.attach("tampered", digest, payload)
    place.pulled("tampered:1")


def test_a_bundle_counts_where_the_policy_lets_names_go(place: Place) -> None:
    digest = place.digest("app:1")
    place.copy("app:1", "bundle:1")
    place.attach_bundle("bundle", digest, a_bundle(place.key, a_statement(digest)))
    place.allow(place.signed("matchDigest"))
    place.pulled("bundle:1")
    place.allow(place.signed("matchRepository"))
    assert "matchDigest accepts it" in place.refused("bundle:1")
    place.attach_bundle("bundle", digest, a_bundle(SigningKey.make(), a_statement(digest)))
    place.allow(place.signed("matchDigest"))
    assert "not by" in place.refused("bundle:1")


def put_index(place: Place, repository: str) -> Digest:
    """An index `:1` with the image as its only platform."""
    digest = place.digest("app:1")
    place.copy("app:1", f"{repository}:platform")
    machine = {"x86_64": "amd64", "aarch64": "arm64"}[os.uname().machine]
    words = ["skopeo", "inspect", "--tls-verify=false", "--raw"]
    target = f"docker://{place.registry.name('app:1')}"
    manifest = subprocess.run([*words, target], capture_output=True, check=True).stdout
    entry = {
        "mediaType": json.loads(manifest)["mediaType"],
        "digest": digest,
        "size": len(manifest),
        "platform": {"os": "linux", "architecture": machine},
    }
    raw = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry]}).encode()
    place.send("PUT", f"{repository}/manifests/1", raw, OCI_INDEX)
    return sha256_digest(raw)


def test_a_signature_of_the_index_or_of_the_platform_counts(place: Place) -> None:
    place.allow(place.signed())
    for repository, at_index in (("index", True), ("platform", False)):
        index = put_index(place, repository)
        place.refused(f"{repository}:1")
        digest = index if at_index else place.digest("app:1")
        place.attach(repository, digest, a_payload(digest, place.registry.name(f"{repository}:1")))
        place.pulled(f"{repository}:1")


def test_a_broken_or_missing_policy_or_key_refuses_every_pull(place: Place) -> None:
    name = place.registry.name("app:1")
    place.policy.write_text('{"default": [\n{"type": "acept"}]}')
    said = place.engine.refused("pull", name)
    assert f"invalid policy in {place.policy}: default[0]: unknown requirement type" in said
    place.allow(place.signed() | {"keyPath": "/nowhere/cosign.pub"})
    assert "cannot read the key /nowhere/cosign.pub" in place.engine.refused("pull", name)
    place.policy.unlink()
    assert f"cannot read the policy {place.policy}" in place.engine.refused("pull", name)
    place.policy.write_text(json.dumps({"default": [ACCEPT]}))
    place.pulled("app:1")


def test_a_stricter_policy_takes_no_image_away(place: Place) -> None:
    name = place.registry.name("app:1")
    place.allow(ACCEPT)
    place.engine.ok("pull", name)
    place.allow({"type": "reject"})
    assert place.engine.ok("run", "--rm", name, "cat", "/file") == "signed"
    assert "Source image rejected" in place.engine.refused("pull", name)
    assert place.engine.ok("run", "--rm", name, "cat", "/file") == "signed"
    place.engine.ok("rmi", name)
