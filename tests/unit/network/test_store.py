"""Rows of networks and endpoints."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pogu.config import Config, Paths
from pogu.db import Database
from pogu.errors import NotFound
from pogu.events import EventBus
from pogu.network.model import Endpoint, PublishedPort
from pogu.network.service import Networks
from pogu.network.store import NetworkStore

PORT = PublishedPort(protocol="tcp", container_port=80, host_ip="", host_port=8080)


def a_store(path: Path) -> NetworkStore:
    return NetworkStore(Database(path / "state.db"), bridge="pogu0", clock=lambda: 0.0)


def an_endpoint(store: NetworkStore) -> Endpoint:
    return Endpoint(
        id="e",
        owner="owner",
        network_id=store.networks["bridge"].id,
        network_name="bridge",
        netns=Path("/run/pogu/netns/owner"),
        address="10.88.0.2",
        prefix_length=16,
        gateway="10.88.0.1",
        mac_address="02:42:0a:58:00:02",
        interface="eth0",
        ports=(PORT,),
    )


def test_three_networks_exist_and_keep_their_ids(tmp_path: Path) -> None:
    first = a_store(tmp_path).networks
    assert sorted(first) == ["bridge", "host", "none"]
    assert first["bridge"].created == "1970-01-01T00:00:00Z"
    assert a_store(tmp_path).networks == first


def test_endpoints_and_subnet_come_back_from_the_database(tmp_path: Path) -> None:
    store = a_store(tmp_path)
    endpoint = an_endpoint(store)
    store.put_endpoint(endpoint)
    store.set_subnet(store.networks["bridge"], subnet="10.88.0.0/16", gateway="10.88.0.1")
    again = a_store(tmp_path)
    assert again.endpoints == {"owner": endpoint}
    assert again.networks["bridge"].subnet == "10.88.0.0/16"
    assert again.on_network(again.networks["none"]) == []
    again.delete_endpoint("owner")
    again.delete_endpoint("owner")
    assert a_store(tmp_path).endpoints == {}


def test_a_network_is_found_by_name_id_and_prefix(tmp_path: Path) -> None:
    paths = Paths(root=tmp_path / "root", run_root=tmp_path / "run")
    paths.create()
    config = Config(paths=paths, dns=("192.0.2.53",))
    networks = Networks(config=config, db=Database(paths.database), events=EventBus())
    bridge = networks.resolve("bridge")
    assert bridge.bridge == f"pogu-{paths.suffix}"
    assert networks.resolve(bridge.id) is networks.resolve(bridge.id[:12]) is bridge
    with pytest.raises(NotFound, match="network nope not found"):
        networks.resolve("nope")
    assert networks.nameservers() == ["192.0.2.53"]
    assert replace(bridge, subnet="x") != bridge
