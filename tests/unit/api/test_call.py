"""Parameters of a call: both shapes of filters, times, lenient bodies."""

from __future__ import annotations

import pytest

from pogu.api.call import parse_filters, parse_time_ns
from pogu.api.create_body import create_request
from pogu.errors import InvalidParameter
from pogu.model.container import LogConfig


@pytest.mark.parametrize(
    ("text", "filters"),
    [
        ("", {}),
        ("{}", {}),
        ('{"label":["a","b=c"]}', {"label": ["a", "b=c"]}),
        ('{"label":{"a":true,"b":true}}', {"label": ["a", "b"]}),
        ('{"label":{"a":false}}', {"label": []}),
        ('{"dangling":{"true":true},"name":["x"]}', {"dangling": ["true"], "name": ["x"]}),
        ('{"name":[]}', {"name": []}),
    ],
)
def test_filters_come_in_two_shapes(text: str, filters: dict[str, list[str]]) -> None:
    assert parse_filters(text) == filters


@pytest.mark.parametrize("text", ["x", "[]", '{"a":"b"}', '{"a":[1]}', '{"a":{"b":1}}', '"a"'])
def test_filters_of_another_shape_are_refused(text: str) -> None:
    with pytest.raises(InvalidParameter, match="invalid filter"):
        parse_filters(text)


@pytest.mark.parametrize(
    ("text", "time_ns"),
    [
        ("", None),
        ("0", None),
        ("1700000000", 1_700_000_000_000_000_000),
        ("1700000000.5", 1_700_000_000_500_000_000),
        ("1700000000.000000001", 1_700_000_000_000_000_001),
        ("1700000000.1234567899", 1_700_000_000_123_456_789),
        ("2023-11-14T22:13:20Z", 1_700_000_000_000_000_000),
        ("2023-11-14T22:13:20.000000007Z", 1_700_000_000_000_000_007),
        ("2023-11-14T23:13:20+01:00", 1_700_000_000_000_000_000),
        ("2023-11-14", 1_699_920_000_000_000_000),
    ],
)
def test_a_time_is_seconds_or_rfc3339(text: str, time_ns: int | None) -> None:
    assert parse_time_ns("since", text) == time_ns


@pytest.mark.parametrize("text", ["yesterday", "-5", "1.2.3", "1e9", "2023-13-01", "10x"])
def test_a_time_that_is_none_is_refused_with_its_name(text: str) -> None:
    with pytest.raises(InvalidParameter, match='invalid value for "since"'):
        parse_time_ns("since", text)


# ---- the body of create -----------------------------------------------------------------


def test_nulls_are_what_is_left_out() -> None:
    body = {
        "Image": "x",
        "Cmd": None,
        "Env": None,
        "Hostname": None,
        "Healthcheck": None,
        "HostConfig": {"Memory": None, "LogConfig": None, "RestartPolicy": {"Name": None}},
        "NetworkingConfig": None,
    }
    assert create_request(body) == create_request({"Image": "x"})


def test_a_missing_host_config_has_its_defaults() -> None:
    request = create_request({"Image": "x", "HostConfig": None})
    assert request.host_config.network_mode == "bridge"
    assert request.host_config.log_config == LogConfig()


def test_a_word_stands_for_a_list_of_one() -> None:
    request = create_request({"Image": "x", "Cmd": "ls -l", "Entrypoint": "/bin/sh"})
    assert (request.cmd, request.entrypoint) == (("ls -l",), ("/bin/sh",))


def test_nulls_below_a_users_own_keys_become_what_go_makes_of_them() -> None:
    request = create_request(
        {
            "Image": "x",
            "ExposedPorts": {"80/tcp": None},
            "Volumes": {"/v": None, "/w": {}},
            "Labels": {"a": None, "b": "c"},
            "HostConfig": {"PortBindings": {"80/tcp": None, "81/tcp": [{"HostPort": None}]}},
            "NetworkingConfig": {"EndpointsConfig": {"bridge": None}},
        }
    )
    assert request.exposed_ports == {"80/tcp": {}}
    assert request.volumes == {"/v": {}, "/w": {}}
    assert request.labels == {"a": "", "b": "c"}
    bindings = request.host_config.port_bindings or {}
    assert bindings["80/tcp"] is None
    assert [one.host_port for one in bindings["81/tcp"] or ()] == [""]
    assert request.networking_config.endpoints_config == {"bridge": None}


def test_labels_named_like_fields_are_left_alone() -> None:
    labels = {"Cmd": "x", "Env": "y", "Image": None}
    assert create_request({"Image": "x", "Labels": labels}).labels == {
        "Cmd": "x",
        "Env": "y",
        "Image": "",
    }


def test_fields_of_newer_clients_are_let_through() -> None:
    assert create_request({"Image": "x", "New": 1, "HostConfig": {"New": {}}}).image == "x"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({}, "config cannot be empty"),
        ({"Image": ""}, "config cannot be empty"),
        ({"Cmd": ["ls"]}, "no command specified"),
        ({"Image": "x", "Env": "A=1"}, r"Env"),
        ({"Image": "x", "HostConfig": {"Memory": "1g"}}, r"HostConfig\.Memory"),
        ({"Image": "x", "Cmd": [1]}, r"Cmd\[0\]"),
        ({"Image": 5}, "Image"),
    ],
)
def test_a_wrong_body_is_refused_by_its_place(body: dict[str, object], said: str) -> None:
    with pytest.raises(InvalidParameter, match=said):
        create_request(body)
