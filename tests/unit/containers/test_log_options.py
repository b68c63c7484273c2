"""What `--log-driver` and `--log-opt` mean, and what they may not say."""

from __future__ import annotations

import pytest

from pogu.config import Config
from pogu.containers.log_options import (
    check_log_config,
    details,
    journal_fields,
    log_attributes,
    log_bounds,
    log_tag,
)
from pogu.containers.model import ContainerRecord
from pogu.errors import InvalidParameter
from pogu.model.container import ContainerConfig, HostConfig, LogConfig, NetworkingConfig
from pogu.oci.digest import Digest
from pogu.runtime.logrotation import LogBounds

KIB, MIB, DAY_S = 1 << 10, 1 << 20, 86_400
CONFIG = Config(log_max_size_bytes=7, log_max_files=2, log_max_age_s=9)


def host(driver: str = "json-file", **options: str) -> HostConfig:
    named = {key.replace("_", "-"): value for key, value in options.items()}
    return HostConfig(log_config=LogConfig(type=driver, config=named))


def record(**options: str) -> ContainerRecord:
    return ContainerRecord(
        id="0123456789abcdef" * 4,
        created="",
        image_id=Digest("sha256:" + "f" * 64),
        image_name="web:1",
        top_layer=None,
        args=(),
        networking=NetworkingConfig(),
        config=ContainerConfig(labels={"tier": "a b", "x": "1"}, env=("LANG=C", "S=s", "BARE")),
        host_config=host(**options),
    )


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, (7, 2, 9)),
        ({"max_size": "10m"}, (10 * MIB, 2, 9)),
        ({"max_size": "1GiB", "max_file": "3"}, (1024 * MIB, 3, 9)),
        ({"max_size": "2 kb"}, (2 * KIB, 2, 9)),
        ({"max_size": "5"}, (5, 2, 9)),
        ({"max_age": "7d"}, (7, 2, 7 * DAY_S)),
        ({"max_age": "1d12h"}, (7, 2, 36 * 3600)),
        ({"max_age": "0"}, (7, 2, 0)),
    ],
)
def test_the_bounds_of_a_log_are_read(
    options: dict[str, str], expected: tuple[int, int, int]
) -> None:
    size, files, age = expected
    assert log_bounds(host(**options), CONFIG) == LogBounds(
        max_bytes=size, max_files=files, max_age_s=age
    )


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"max_size": "0"}, "max-size"),
        ({"max_size": "x"}, "max-size"),
        ({"max_size": "1.5m"}, "max-size"),
        ({"max_file": "0"}, "max-file cannot be less than 1"),
        ({"max_file": "-1"}, "max-file cannot be less than 1"),
        ({"max_age": "yesterday"}, "invalid value for max-age"),
        ({"max_age": ""}, "invalid value for max-age"),
        ({"max_sise": "1m"}, "unknown log opt 'max-sise' for json-file log driver"),
        ({"mode": "quick"}, "logger: logging mode not supported: quick"),
        ({"max_buffer_size": "4m"}, "only supported with 'mode=non-blocking'"),
        ({"mode": "non-blocking", "max_buffer_size": "x"}, "max-buffer-size"),
        ({"labels_regex": "("}, "error parsing regexp"),
        ({"tag": "{{.Nmae}}"}, "invalid log tag"),
        ({"driver": "syslog"}, "logger: no log driver named 'syslog' is registered"),
    ],
)
def test_wrong_options_are_refused_in_dockers_words(options: dict[str, str], words: str) -> None:
    with pytest.raises(InvalidParameter) as refused:
        check_log_config(host(**options))
    assert words in refused.value.message
    assert refused.value.hint


@pytest.mark.parametrize(
    ("options", "warning"),
    [({"mode": "non-blocking", "max_buffer_size": "4m"}, "mode"), ({"compress": "true"}, "compr")],
)
def test_what_has_no_effect_is_warned_about(options: dict[str, str], warning: str) -> None:
    (said,) = check_log_config(host(**options))
    assert said.startswith(f"Log option {warning}")


def test_none_takes_any_option_and_defaults_are_quiet() -> None:
    assert check_log_config(host("none", whatever="1")) == []
    assert check_log_config(HostConfig()) == []
    assert check_log_config(host(compress="false", mode="blocking")) == []


def test_details_are_the_labels_and_variables_that_were_asked_for() -> None:
    found = log_attributes(record(labels="tier,none", env="LANG"), "web")
    assert found == {"tier": "a b", "LANG": "C"}
    assert details(found) == b"LANG=C,tier=a+b "
    assert details({}) == b" "


def test_details_may_be_named_by_pattern_and_show_the_tag() -> None:
    found = log_attributes(record(labels_regex="^t", env_regex="^L", tag="{{.Name}}"), "web")
    assert found == {"tier": "a b", "LANG": "C", "tag": "web"}


def test_a_tag_is_filled_in() -> None:
    template = "{{.ImageName}}/{{ .Name }}/{{.ID}}/{{.ImageID}}"
    assert log_tag(record(tag=template), "db") == "web:1/db/0123456789ab/ffffffffffff"
    assert log_tag(record(), "db") == ""


def test_the_journal_finds_a_container_by_its_short_id_unless_a_tag_says_otherwise() -> None:
    assert journal_fields(record(), "web", extra=False).tag == "0123456789ab"
    fields = journal_fields(record(tag="{{.Name}}/{{.ImageName}}"), "web", extra=False)
    assert (fields.name, fields.tag, fields.extra) == ("web", "web/web:1", ())


def test_fields_of_the_journal_have_names_that_it_takes() -> None:
    fields = journal_fields(record(labels="tier", env_regex="^S|L", tag="x"), "web", extra=True)
    expected = {"IMAGE_NAME": "web:1", "TIER": "a b", "LANG": "C", "S": "s"}
    assert dict(fields.extra) == expected


def test_the_journal_has_no_bounds_of_ours() -> None:
    assert check_log_config(host("journald", tag="x", mode="non-blocking"))
    with pytest.raises(
        InvalidParameter, match="unknown log opt 'max-size' for journald log driver"
    ):
        check_log_config(host("journald", max_size="1m"))
