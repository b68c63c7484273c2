"""Format: `--log-driver` and `--log-opt`: what they may be, and what they mean. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import quote_plus

from pogu.config import Config
from pogu.config.keys import age_s, size_bytes
from pogu.containers.model import ContainerRecord
from pogu.errors import InvalidParameter
from pogu.model.container import HostConfig
from pogu.runtime.journal_entries import JournalFields
from pogu.runtime.logrotation import LogBounds

__all__ = [
    "FILE_DRIVERS",
    "JOURNAL_DRIVER",
    "asks_for_attributes",
    "check_log_config",
    "details",
    "journal_fields",
    "log_attributes",
    "log_bounds",
    "log_tag",
]

FILE_DRIVERS = ("json-file", "local", "k8s-file")
"""Names of one and the same: conmon's file."""
JOURNAL_DRIVER = "journald"
_DRIVERS = (*FILE_DRIVERS, JOURNAL_DRIVER, "none")
_ATTRIBUTES = frozenset(("labels", "labels-regex", "env", "env-regex"))
_EVERYWHERE = _ATTRIBUTES | {"tag", "mode", "max-buffer-size"}
_FILE_ONLY = frozenset(("max-size", "max-file", "max-age", "compress"))


def check_log_config(host: HostConfig) -> list[str]:
    """Return warnings. Raises: InvalidParameter in Docker's words."""
    driver, options = host.log_config.type or "json-file", host.log_config.config or {}
    if driver not in _DRIVERS:
        raise InvalidParameter(
            f"logger: no log driver named '{driver}' is registered",
            hint="Pogu has json-file, local, journald and none",
        )
    if driver == "none":
        return []
    _check_names(driver, options)
    _check_mode(options)
    log_bounds(host, Config())  # reads the options
    for name in ("labels-regex", "env-regex"):
        _pattern(options.get(name, ""))
    _check_tag(options.get("tag", ""))
    return _ignored(options)


def _check_names(driver: str, options: Mapping[str, str]) -> None:
    known = _EVERYWHERE if driver == JOURNAL_DRIVER else _EVERYWHERE | _FILE_ONLY
    for name in options:
        if name not in known:
            raise InvalidParameter(
                f"unknown log opt '{name}' for {driver} log driver",
                hint=f"it has {', '.join(sorted(known))}",
            )


def _check_mode(options: Mapping[str, str]) -> None:
    mode = options.get("mode", "")
    if mode not in ("", "blocking", "non-blocking"):
        raise InvalidParameter(
            f"logger: logging mode not supported: {mode}", hint="mode=blocking, or non-blocking"
        )
    if "max-buffer-size" in options:
        if mode != "non-blocking":
            raise InvalidParameter(
                "logger: max-buffer-size option is only supported with 'mode=non-blocking'",
                hint="add --log-opt mode=non-blocking, or leave max-buffer-size out",
            )
        _read("max-buffer-size", options["max-buffer-size"], size_bytes, "4m")


def _ignored(options: Mapping[str, str]) -> list[str]:
    warnings = []
    if options.get("mode") == "non-blocking":
        warnings.append(
            "Log option mode=non-blocking has no effect: the log is written beside the engine and"
            " loses no line"
        )
    if options.get("compress", "false").lower() not in ("false", "0", "f"):
        warnings.append("Log option compress has no effect: earlier log files stay as they are")
    return warnings


def log_bounds(host: HostConfig, config: Config) -> LogBounds:
    """The options, or what the configuration has. Raises: InvalidParameter."""
    options = host.log_config.config or {}
    size, files, age = config.log_max_size_bytes, config.log_max_files, config.log_max_age_s
    if "max-size" in options:
        size = _read("max-size", options["max-size"], size_bytes, "10m")
    if "max-age" in options:
        age = _read("max-age", options["max-age"], age_s, "7d")
    if "max-file" in options:
        text = options["max-file"]
        if not (text.isascii() and text.isdecimal()) or not 1 <= int(text[:9]) <= 1000:
            raise InvalidParameter(
                f"max-file cannot be less than 1: {text!r}", hint="a number from 1 to 1000"
            )
        files = int(text)
    return LogBounds(max_bytes=size, max_files=files, max_age_s=age)


def _read(name: str, text: str, read: object, example: str) -> int:
    assert callable(read)
    try:
        return int(read(text))
    except ValueError as err:
        raise InvalidParameter(
            f"invalid value for {name}: {text!r}", hint=f"for example {name}={example}"
        ) from err


def log_attributes(record: ContainerRecord, name: str) -> dict[str, str]:
    """What `logs --details` shows: the labels and variables that were asked for, and the tag."""
    options = record.host_config.log_config.config or {}
    labels = record.config.labels or {}
    variables = dict(pair.split("=", 1) for pair in record.config.env or () if "=" in pair)
    found = _chosen(labels, options.get("labels", ""), options.get("labels-regex", ""))
    found |= _chosen(variables, options.get("env", ""), options.get("env-regex", ""))
    if options.get("tag"):
        found["tag"] = log_tag(record, name)
    return found


def asks_for_attributes(host: HostConfig) -> bool:
    """True when labels or variables are to stand beside the lines."""
    return bool(_ATTRIBUTES & (host.log_config.config or {}).keys())


def journal_fields(record: ContainerRecord, name: str, *, extra: bool) -> JournalFields:
    """What Docker's journald driver writes beside a line; `extra`: the monitor takes any."""
    fields = {"IMAGE_NAME": record.image_name}
    for key, value in log_attributes(record, name).items():
        field = re.sub("[^A-Z0-9]", "_", key.upper()).lstrip("_")
        if key != "tag" and field:
            fields[field] = value
    return JournalFields(
        name=name,
        tag=log_tag(record, name) or record.id[:12],
        extra=tuple(fields.items()) if extra else (),
    )


def details(attributes: Mapping[str, str]) -> bytes:
    """As Docker writes them before a line: `a=1,b=2 `."""
    pairs = (f"{quote_plus(key)}={quote_plus(attributes[key])}" for key in sorted(attributes))
    return ",".join(pairs).encode() + b" "


def _chosen(values: Mapping[str, str], names: str, pattern: str) -> dict[str, str]:
    wanted = {name.strip() for name in names.split(",") if name.strip()}
    matching = _pattern(pattern) if pattern else None
    return {
        name: value
        for name, value in values.items()
        if name in wanted or (matching is not None and matching.search(name))
    }


def _pattern(text: str) -> re.Pattern[str]:
    try:
        return re.compile(text)
    except re.error as err:
        raise InvalidParameter(
            f"error parsing regexp: {err}: `{text}`", hint="a regular expression of names"
        ) from err


_FIELD = re.compile(r"\{\{\s*\.(\w+)\s*\}\}")
_FIELDS = ("ID", "FullID", "Name", "ImageID", "ImageFullID", "ImageName", "DaemonName")


def _check_tag(template: str) -> None:
    rest = _FIELD.sub(lambda match: "" if match[1] in _FIELDS else match[0], template)
    if "{{" in rest:
        raise InvalidParameter(
            f"invalid log tag: {template}",
            hint="fields: " + ", ".join(f"{{{{.{field}}}}}" for field in _FIELDS),
        )


def log_tag(record: ContainerRecord, name: str) -> str:
    """Fill in the template of `--log-opt tag`; empty without one."""
    digest = record.image_id.removeprefix("sha256:")
    fields = {
        "ID": record.id[:12],
        "FullID": record.id,
        "Name": name,
        "ImageID": digest[:12],
        "ImageFullID": record.image_id,
        "ImageName": record.image_name,
        "DaemonName": "pogu",
    }
    template = (record.host_config.log_config.config or {}).get("tag", "")
    return _FIELD.sub(lambda match: fields.get(match[1], ""), template)
