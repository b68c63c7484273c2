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
    assert told[-2:] == ("MY_DB_NAME=/web/my-db", "MY_DB_ENV_A=1")
