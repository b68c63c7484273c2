"""Finding containers by what people call them."""

from __future__ import annotations

import pytest
from tests.builders import a_container

from pogu.containers.entry import Entry
from pogu.containers.model import MountPoint
from pogu.containers.registry import Registry
from pogu.errors import Conflict, InvalidParameter, NotFound

ONE, TWO = "ab" * 32, "ac" * 32


@pytest.fixture
def one() -> Entry:
    mount = MountPoint(type="volume", name="data", source="/v", destination="/d")
    return a_container(name="one", id=ONE, mounts=(mount,))


@pytest.fixture
def registry(one: Entry) -> Registry:
    found = Registry()
    found.add(one)
    found.add(a_container(name="webserver", id=TWO))
    return found


@pytest.mark.parametrize("name", ["one", "/one", ONE, ONE[:12], "ab"])
def test_a_container_is_found_by_name_id_and_prefix(registry: Registry, name: str) -> None:
    assert registry.find(name).id == ONE


def test_an_ambiguous_prefix_lists_what_it_may_mean(registry: Registry) -> None:
    with pytest.raises(InvalidParameter, match=r"abababababab \(one\), acacacacacac \(webserver\)"):
        registry.find("a")


@pytest.mark.parametrize(
    ("name", "hint"), [("websrver", "did you mean webserver?"), ("zzz", "`pogu ps -a`"), ("", "ps")]
)
def test_a_near_miss_is_named(registry: Registry, name: str, hint: str) -> None:
    with pytest.raises(NotFound, match=f"No such container: {name}") as caught:
        registry.find(name)
    assert hint in str(caught.value.hint)


def test_a_taken_name_names_its_owner(registry: Registry) -> None:
    with pytest.raises(Conflict, match=f'"/one" is already in use by container "{ONE}"') as caught:
        registry.check_free("one")
    assert "pogu rm one" in str(caught.value.hint)
    registry.check_free("two")


def test_a_rename_frees_the_old_name(registry: Registry, one: Entry) -> None:
    registry.rename(one, "two")
    assert registry.find("two") is one
    assert not registry.is_taken("one")


def test_forgetting_twice_leaves_a_successor_of_the_name_alone(
    registry: Registry, one: Entry
) -> None:
    registry.forget(one)
    successor = a_container(name="one", id="f" * 64)
    registry.add(successor)
    registry.forget(one)
    assert registry.find("one") is successor
    assert one not in registry


def test_containers_can_be_removed_while_they_are_listed(registry: Registry) -> None:
    for entry in registry:
        registry.forget(entry)
    assert list(registry) == []


def test_users_of_a_volume_are_known(registry: Registry) -> None:
    assert registry.using_volume("data") == [ONE]
    assert registry.using_volume("other") == []
