"""Content put into a registry by plain HTTP: what no client of ours has touched."""

from __future__ import annotations

import hashlib
import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Sequence
from typing import Any

from tests.registry_process import RegistryProcess

__all__ = [
    "MANIFEST",
    "get_manifest",
    "has_blob",
    "put_blob",
    "put_image",
    "put_index",
    "put_manifest",
]

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_ANY = (MANIFEST, INDEX, "application/vnd.docker.distribution.manifest.v2+json")
_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"


def _ask(method: str, url: str, data: bytes | None = None, **headers: str) -> Any:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    named.setdefault("Content-Type", "application/octet-stream")
    request = urllib.request.Request(url, data=data, method=method, headers=named)
    return urllib.request.urlopen(request, timeout=10)


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def put_blob(registry: RegistryProcess, repository: str, data: bytes) -> dict[str, Any]:
    """Store a blob and return its descriptor, without a media type."""
    base = f"http://{registry.address}/v2/{repository}/blobs/uploads/"
    with _ask("POST", base, b"") as answer:
        place = urllib.parse.urljoin(base, answer.headers["Location"])
    _ask("PUT", f"{place}&digest={_digest(data)}", data).close()
    return {"digest": _digest(data), "size": len(data)}


def put_manifest(
    registry: RegistryProcess, repository: str, tag: str, raw: bytes, media_type: str = MANIFEST
) -> str:
    """Store a manifest under a tag (or its digest, when empty) and return its digest."""
    url = f"http://{registry.address}/v2/{repository}/manifests/{tag or _digest(raw)}"
    _ask("PUT", url, raw, Content_Type=media_type).close()
    return _digest(raw)


def get_manifest(registry: RegistryProcess, repository: str, tag: str) -> bytes:
    url = f"http://{registry.address}/v2/{repository}/manifests/{tag}"
    with _ask("GET", url, Accept=", ".join((*_ANY, _LIST))) as answer:
        raw: bytes = answer.read()
    return raw


def has_blob(registry: RegistryProcess, repository: str, digest: str) -> bool:
    try:
        _ask("HEAD", f"http://{registry.address}/v2/{repository}/blobs/{digest}").close()
    except urllib.error.HTTPError as err:
        return err.code != 404
    return True


def put_image(
    registry: RegistryProcess, repository: str, source: bytes, platform: str
) -> dict[str, Any]:
    """Store a copy of an image of that repository (`source` is its manifest) for another platform;
    return its entry for an index."""
    manifest = json.loads(source)
    url = f"http://{registry.address}/v2/{repository}/blobs/{manifest['config']['digest']}"
    with _ask("GET", url) as answer:
        config = json.loads(answer.read())
    system, architecture, *variant = platform.split("/")
    config |= {"os": system, "architecture": architecture}
    config |= {"variant": variant[0]} if variant else {}
    stored = put_blob(registry, repository, json.dumps(config).encode())
    layers = [
        {**layer, "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip"}
        for layer in manifest["layers"]
    ]
    made = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": {"mediaType": _CONFIG, **stored},
        "layers": layers,
    }
    raw = json.dumps(made).encode()
    digest = put_manifest(registry, repository, "", raw)
    shown = {key: config[key] for key in ("os", "architecture", "variant") if key in config}
    return {"mediaType": MANIFEST, "digest": digest, "size": len(raw), "platform": shown}


def put_index(
    registry: RegistryProcess, repository: str, tag: str, entries: Sequence[dict[str, Any]]
) -> str:
    """Store an index under a tag; return its digest. It has a field that nobody knows."""
    index = {
        "schemaVersion": 2,
        "mediaType": INDEX,
        "manifests": list(entries),
        "x-unknown": "kept",
    }
    raw = json.dumps(index, indent=1).encode()
    return put_manifest(registry, repository, tag, raw, INDEX)
