"""Containers that share a namespace of another one."""

from __future__ import annotations

import os

import pytest
from tests.builders import a_container, a_host_config, a_record

from pogu.containers.entry import Entry
from pogu.containers.model import Status
from pogu.containers.namespaces import Namespaces
from pogu.errors import Conflict
from pogu.linux.idmap import IdMapping, IdRange
from pogu.model.container import HostConfig

OTHER_IDS = IdMapping(
    (IdRange(inside=0, outside=7, size=9),), (IdRange(inside=0, outside=7, size=9),)
)


def running() -> Entry:
    return a_container(status=Status.RUNNING, pid=os.getpid())


def joining(*, network: str = "", pid: str = "") -> HostConfig:
    return HostConfig(network_mode=network, pid_mode=pid)


def test_the_namespace_is_that_of_the_first_process() -> None:
    record = a_record(host=joining(network="container:web"))
    found = Namespaces(lambda _: running()).joined_network(record)
    assert found == f"/proc/{os.getpid()}/ns/net"


def test_a_network_of_its_own_joins_none() -> None:
    assert Namespaces(lambda _: running()).joined_network(a_record(host=a_host_config())) is None


@pytest.mark.parametrize(("kind", "word"), [("net", "network"), ("pid", "PID"), ("ipc", "IPC")])
def test_what_does_not_run_is_not_joined_in_dockers_words(kind: str, word: str) -> None:
    namespaces = Namespaces(lambda _: a_container(status=Status.EXITED))
    with pytest.raises(Conflict, match=f"cannot join {word} of a non running container"):
        namespaces.path_of("web", kind)


def test_who_shares_a_namespace_must_have_the_same_ids() -> None:
    record = a_record(host=joining(pid="container:web"))
    with pytest.raises(Conflict, match="it has another user namespace"):
        Namespaces(lambda _: running()).joined_user(record, OTHER_IDS)
    assert Namespaces(lambda _: running()).joined_user(a_record(), OTHER_IDS) == ""
