"""Service: the tables `networks` and `endpoints`; every row is in memory too."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import msgspec

from pogu.db import Database
from pogu.network.model import Endpoint, Network

__all__ = ["NetworkStore"]

_MIGRATIONS = [
    """
    CREATE TABLE networks (id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, body BLOB NOT NULL);
    CREATE TABLE endpoints (owner TEXT PRIMARY KEY, body BLOB NOT NULL)
    """
]


def _encode_path(value: object) -> str:
    if isinstance(value, Path):
        return str(value)
    raise NotImplementedError(type(value))


def _decode_path(kind: type, value: object) -> object:
    if kind is Path and isinstance(value, str):
        return Path(value)
    raise NotImplementedError(kind)


class NetworkStore:
    """Rows of networks by name and of endpoints by owner."""

    def __init__(
        self, db: Database, *, bridge: str, clock: Callable[[], float] = time.time
    ) -> None:
        self._db = db
        self._clock = clock
        db.migrate("network", _MIGRATIONS)
        self.networks: dict[str, Network] = {}
        self.endpoints: dict[str, Endpoint] = {}
        self._load()
        for name, driver in (("bridge", "bridge"), ("host", "host"), ("none", "null")):
            if name not in self.networks:
                self._create(name, driver, bridge if name == "bridge" else "")

    def _load(self) -> None:
        for row in self._db.query("SELECT body FROM networks"):
            network = msgspec.json.decode(row["body"], type=Network)
            self.networks[network.name] = network
        for row in self._db.query("SELECT body FROM endpoints"):
            endpoint = msgspec.json.decode(row["body"], type=Endpoint, dec_hook=_decode_path)
            self.endpoints[endpoint.owner] = endpoint

    def _create(self, name: str, driver: str, bridge: str) -> None:
        created = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self._clock()))
        self.put_network(
            Network(
                id=secrets.token_hex(32),
                name=name,
                driver=driver,
                created=created,
                subnet="",
                gateway="",
                bridge=bridge,
            )
        )

    def put_network(self, network: Network) -> None:
        """Write a network's row, new or changed."""
        with self._db.transaction() as tx:
            tx.execute(
                "INSERT INTO networks VALUES (?, ?, ?)"
                " ON CONFLICT (id) DO UPDATE SET body = excluded.body",
                (network.id, network.name, msgspec.json.encode(network)),
            )
        self.networks[network.name] = network

    def set_subnet(self, network: Network, *, subnet: str, gateway: str) -> Network:
        """Remember the subnet of a network; return it as it is now."""
        changed = replace(network, subnet=subnet, gateway=gateway)
        if changed != network:
            self.put_network(changed)
        return changed

    def put_endpoint(self, endpoint: Endpoint) -> None:
        """Write an endpoint's row."""
        body = msgspec.json.encode(endpoint, enc_hook=_encode_path)
        with self._db.transaction() as tx:
            tx.execute("INSERT OR REPLACE INTO endpoints VALUES (?, ?)", (endpoint.owner, body))
        self.endpoints[endpoint.owner] = endpoint

    def delete_endpoint(self, owner: str) -> None:
        """Forget an endpoint. Idempotent."""
        if self.endpoints.pop(owner, None) is None:
            return
        with self._db.transaction() as tx:
            tx.execute("DELETE FROM endpoints WHERE owner = ?", (owner,))

    def on_network(self, network: Network) -> list[Endpoint]:
        """Return the endpoints of one network."""
        return [e for e in self.endpoints.values() if e.network_id == network.id]
