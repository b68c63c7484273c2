"""Format: `-v` and `--mount` → Binds, Volumes and Mounts of the Docker API."""

from __future__ import annotations

import os

from pogu.cli.failure import UsageError
from pogu.cli.flags import Values
from pogu.cli.limits import size_bytes

__all__ = ["csv_fields", "mounts", "volumes"]

Json = dict[str, object]

_TRUE = ("1", "t", "T", "TRUE", "true", "True")
_FALSE = ("0", "f", "F", "FALSE", "false", "False")
_RECURSIVE = {
    "enabled": "",
    "disabled": "NonRecursive",
    "writable": "ReadOnlyNonRecursive",
    "readonly": "ReadOnlyForceRecursive",
}
_OPTIONS = {
    "BindOptions": "bind",
    "VolumeOptions": "volume",
    "TmpfsOptions": "tmpfs",
    "ImageOptions": "image",
}


def volumes(values: Values) -> tuple[list[str], dict[str, object]]:
    """`-v` → (Binds, Volumes).

    Relative host paths become absolute, as Docker's client makes them.
    """
    binds: list[str] = []
    anonymous: dict[str, object] = {}
    for spec in values.texts("volume"):
        source, colon, rest = spec.partition(":")
        if not colon:
            anonymous[spec] = {}
            continue
        if source.startswith((".", "~")):
            source = os.path.abspath(os.path.expanduser(source))
        binds.append(f"{source}:{rest}")
    return binds, anonymous


def mounts(values: Values) -> list[Json]:
    """`--mount` → Mounts. Raises: UsageError in Docker's words."""
    found = []
    for text in values.texts("mount"):
        try:
            found.append(_mount(text))
        except UsageError as err:
            raise UsageError(
                f'invalid argument "{text}" for "--mount" flag: {err}',
                hint=err.hint or "type=bind,source=/host,target=/inside[,readonly]",
            ) from err
    return found


def csv_fields(text: str) -> list[str]:
    """The fields of one line of CSV: one that has a comma stands in quotes."""
    fields, field, quoted, at = [], "", False, 0
    while at < len(text):
        letter = text[at]
        if letter == '"' and quoted and text[at + 1 : at + 2] == '"':
            field += '"'
            at += 1
        elif letter == '"':
            quoted = not quoted
        elif letter == "," and not quoted:
            fields.append(field)
            field = ""
        else:
            field += letter
        at += 1
    return [*fields, field]


def _flag(key: str, equals: str, value: str) -> bool:
    if not equals or value in _TRUE:
        return True
    if value in _FALSE:
        return False
    raise UsageError(f"invalid value for {key}: {value}")


def _mount(text: str) -> Json:
    mount: Json = {"Type": "volume"}
    options: dict[str, Json] = {}
    for field in csv_fields(text):
        key, equals, value = field.strip().partition("=")
        key = key.lower()
        if key in ("readonly", "ro"):
            mount["ReadOnly"] = _flag(key, equals, value)
        elif key in ("volume-nocopy", "bind-nonrecursive", "bind-create-src"):
            _set_flag(options, key, _flag(key, equals, value))
        elif not equals:
            raise UsageError(f"invalid field '{field}' must be a key=value pair")
        elif key == "type":
            mount["Type"] = value.lower()
        elif key in ("source", "src"):
            mount["Source"] = value
        elif key in ("target", "destination", "dst"):
            mount["Target"] = value
        elif key == "consistency":
            mount["Consistency"] = value.lower()
        else:
            _set_option(options, key, value, field)
    return _checked(mount, options)


def _set_flag(options: dict[str, Json], key: str, on: bool) -> None:
    kind, name = {
        "volume-nocopy": ("VolumeOptions", "NoCopy"),
        "bind-nonrecursive": ("BindOptions", "NonRecursive"),
        "bind-create-src": ("BindOptions", "CreateMountpoint"),
    }[key]
    options.setdefault(kind, {})[name] = on


def _set_option(options: dict[str, Json], key: str, value: str, field: str) -> None:
    if key == "bind-propagation":
        options.setdefault("BindOptions", {})["Propagation"] = value.lower()
    elif key == "bind-recursive":
        if value not in _RECURSIVE:
            raise UsageError(
                f'invalid value for bind-recursive: {value} (must be "enabled", "disabled",'
                ' "writable", or "readonly")'
            )
        if _RECURSIVE[value]:
            options.setdefault("BindOptions", {})[_RECURSIVE[value]] = True
    elif key == "volume-subpath":
        options.setdefault("VolumeOptions", {})["Subpath"] = value
    elif key == "volume-label":
        _put_pair(options.setdefault("VolumeOptions", {}), "Labels", value)
    elif key == "volume-driver":
        _driver(options)["Name"] = value
    elif key == "volume-opt":
        _put_pair(_driver(options), "Options", value)
    elif key == "image-subpath":
        options.setdefault("ImageOptions", {})["Subpath"] = value
    elif key == "tmpfs-size":
        options.setdefault("TmpfsOptions", {})["SizeBytes"] = _size(value)
    elif key == "tmpfs-mode":
        options.setdefault("TmpfsOptions", {})["Mode"] = _octal(value)
    else:
        raise UsageError(f"unexpected key '{key}' in '{field.strip()}'")


def _driver(options: dict[str, Json]) -> Json:
    driver = options.setdefault("VolumeOptions", {}).setdefault("DriverConfig", {})
    assert isinstance(driver, dict)
    return driver


def _put_pair(place: Json, name: str, pair: str) -> None:
    key, _, value = pair.partition("=")
    pairs = place.setdefault(name, {})
    assert isinstance(pairs, dict)
    pairs[key] = value


def _checked(mount: Json, options: dict[str, Json]) -> Json:
    if not mount.get("Target"):
        raise UsageError("target is required")
    kind = mount["Type"]
    for name, word in _OPTIONS.items():
        if name in options and kind != word:
            raise UsageError(f"cannot mix '{word}-*' options with mount type '{kind}'")
    bind = options.get("BindOptions", {})
    for name, word in (
        ("ReadOnlyNonRecursive", "writable"),
        ("ReadOnlyForceRecursive", "readonly"),
    ):
        if bind.get(name) and not mount.get("ReadOnly"):
            raise UsageError(
                f"option 'bind-recursive={word}' requires 'readonly' to be specified in conjunction"
            )
    if bind.get("ReadOnlyForceRecursive") and bind.get("Propagation") != "rprivate":
        raise UsageError(
            "option 'bind-recursive=readonly' requires 'bind-propagation=rprivate' to be specified"
            " in conjunction"
        )
    source = mount.get("Source")
    if kind == "image" and not source:
        raise UsageError("source is required for mount type 'image'")
    if kind == "bind" and isinstance(source, str) and source.startswith((".", "~")):
        mount["Source"] = os.path.abspath(os.path.expanduser(source))
    return {**mount, **options}


def _size(value: str) -> int:
    try:
        return size_bytes(value, "mount")
    except UsageError as err:
        raise UsageError(f"invalid value for tmpfs-size: {value}") from err


def _octal(value: str) -> int:
    try:
        return int(value, 8)
    except ValueError as err:
        raise UsageError(f"invalid value for tmpfs-mode: {value}") from err
