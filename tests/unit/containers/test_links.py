from __future__ import annotations

import pytest
from tests.builders import a_container

from pogu.containers.links import link_environment, link_names, parse_link
from pogu.errors import InvalidParameter
from pogu.model.container import ContainerConfig


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("db", ("db", "db")),
        ("db:store", ("db", "store")),
        ("/db:/web/store", ("db", "store")),
    ],
)
def test_a_link_has_a_name_and_an_alias(text: str, parsed: tuple[str, str]) -> None:
    assert parse_link(text) == parsed


@pytest.mark.parametrize("text", ["", "a:b:c", ":b"])
def test_what_is_no_link_is_refused(text: str) -> None:
    with pytest.raises(InvalidParameter, match="for links"):
        parse_link(text)


def test_names_are_said_once() -> None:
    assert link_names("db", hostname="store", name="db") == "db store"


def test_variables_are_dockers() -> None:
    config = ContainerConfig(
        exposed_ports={"53/udp": {}, "81/tcp": {}, "80/tcp": {}}, env=("A=1", "HOME=/x", "B")
    )
    other = a_container(config=config).record
    told = link_environment(other, owner="web", alias="my-db", address="10.0.0.2")
    assert told[0] == "MY_DB_PORT=tcp://10.0.0.2:80"
    assert told[1:5] == (
        "MY_DB_PORT_80_TCP=tcp://10.0.0.2:80",
        "MY_DB_PORT_80_TCP_ADDR=10.0.0.2",
        "MY_DB_PORT_80_TCP_PORT=80",
        "MY_DB_PORT_80_TCP_PROTO=tcp",
    )
    ports_in_a_row = told[9:13]
    assert ports_in_a_row == (
        "MY_DB_PORT_80_TCP_START=tcp://10.0.0.2:80",
        "MY_DB_PORT_80_TCP_PORT_START=80",
        "MY_DB_PORT_80_TCP_END=tcp://10.0.0.2:81",
        "MY_DB_PORT_80_TCP_PORT_END=81",
    )
    assert told[13] == "MY_DB_PORT_53_UDP=udp://10.0.0.2:53"
    assert told[-2:] == ("MY_DB_NAME=/web/my-db", "MY_DB_ENV_A=1")


def test_ports_of_two_protocols_are_no_range() -> None:
    other = a_container(config=ContainerConfig(exposed_ports={"53/udp": {}, "52/tcp": {}})).record
    told = link_environment(other, owner="web", alias="db", address="10.0.0.2")
    assert not [variable for variable in told if "_START=" in variable]
