"""Format: the flags of `build`: those of docker's builders; what is not possible is said why."""

from __future__ import annotations

import os

from pogu.cli.failure import CliError, UsageError
from pogu.cli.flags import Flag, Values
from pogu.cli.foreign_flags import CONTENT_TRUST, refuse_content_trust
from pogu.cli.limits import size_bytes, ulimits
from pogu.cli.wire import encode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["FLAGS", "parameters", "refuse_impossible"]

_DRIVER = (
    "is not supported for the docker driver",
    "Pogu builds with Docker's classic builder; leave it out",
)
_BUILDKIT = "it belongs to BuildKit; Pogu has what Docker's classic builder has"
_SECRETS = (
    f"{_BUILDKIT}: fetch what is secret in a stage of its own and COPY --from only what it made"
)

IMPOSSIBLE = {
    "allow": ("the --allow option requires BuildKit", _BUILDKIT),
    "annotation": (
        "the --annotation option requires BuildKit",
        "--label is kept in the image; `pogu manifest annotate` describes a list",
    ),
    "attest": (f"Attestation {_DRIVER[0]}", _DRIVER[1]),
    "build-context": (
        "the --build-context option requires BuildKit",
        "COPY --from=IMAGE reads another image; put other files into the context",
    ),
    "cache-to": (
        f"Cache export {_DRIVER[0]}",
        "the cache lives in the engine; leave it out",
    ),
    "call": ("the --call option requires BuildKit", _BUILDKIT),
    "check": (
        "the --check option requires BuildKit",
        "a build says what is wrong with the Dockerfile before its first step",
    ),
    "secret": ("the --secret option requires BuildKit", _SECRETS),
    "security-opt": (
        "The daemon on this platform does not support setting security options on build",
        "RUN has the profiles that containers have by default",
    ),
    "squash": (
        "squash is only supported with experimental mode",
        "several stages and COPY --from leave behind what an image does not need",
    ),
    "ssh": ("the --ssh option requires BuildKit", _SECRETS),
}
"""What docker's builders have and ours does not, with what to do instead."""

_OFF = ("false", "0", "")


def refuse_impossible(values: Values) -> None:
    """Raises: CliError in Docker's words. `--squash=false` and the like ask for nothing."""
    refuse_content_trust(values)
    for name, (message, hint) in IMPOSSIBLE.items():
        given = values.flag(name) if name in ("check", "squash") else values.texts(name)
        if given:
            raise CliError(message, hint=hint)
    for name in ("provenance", "sbom"):
        if values.text(name).lower() not in _OFF:
            message, hint = IMPOSSIBLE["attest"]
            raise CliError(message, hint=hint)
    builder = values.text("builder")
    if builder not in ("", "default"):
        raise CliError(f'no builder "{builder}" found', hint="the engine itself is the builder")
    isolation = values.text("isolation")
    if isolation.lower() not in ("", "default"):
        raise UsageError(f'Unsupported isolation: "{isolation}"', hint="on Linux: default")


def _pairs(texts: list[str]) -> dict[str, str | None]:
    """`A=b` is a value, `A` alone takes ours."""
    found: dict[str, str | None] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        found[name] = value if equals else os.environ.get(name)
    return found


def _words(texts: Iterable[str]) -> list[str]:
    """Lists of docker's builders may stand in one word, between commas."""
    return [word for text in texts for word in text.split(",") if word]


def _bytes(values: Values, name: str) -> int | None:
    text = values.text(name)
    if name == "memory-swap" and text == "-1":
        return -1
    return size_bytes(text, name) if text else None


def parameters(values: Values) -> dict[str, object]:
    """Return the query of `POST /build`, less the tags. Raises: UsageError."""
    labels = {name: value or "" for name, value in _pairs(values.texts("label")).items()}
    return {
        "buildargs": encode(_pairs(values.texts("build-arg"))),
        "labels": encode(labels),
        "target": values.text("target") or None,
        "nocache": values.flag("no-cache") or None,
        "nocachefilter": _words(values.texts("no-cache-filter")),
        "pull": values.flag("pull") or None,
        "networkmode": values.text("network") or None,
        "platform": values.text("platform") or None,
        "memory": _bytes(values, "memory"),
        "memswap": _bytes(values, "memory-swap"),
        "cpushares": values.number("cpu-shares"),
        "cpuperiod": values.number("cpu-period"),
        "cpuquota": values.number("cpu-quota"),
        "cpusetcpus": values.text("cpuset-cpus") or None,
        "cpusetmems": values.text("cpuset-mems") or None,
        "cgroupparent": values.text("cgroup-parent") or None,
        "ulimits": encode(ulimits(values)) if values.texts("ulimit") else None,
        "shmsize": _bytes(values, "shm-size"),
        "extrahosts": values.texts("add-host"),
        "dockerfile": values.text("file") or None,
    }


def _impossible(name: str) -> Flag:
    kind = "bool" if name in ("check", "squash") else "list"
    return Flag(f"--{name}", kind, "Not possible; says what is instead")


FLAGS = [
    Flag("--add-host", "list", "Add a host-to-IP mapping (host:ip)"),
    Flag("--build-arg", "list", "Set build-time variables"),
    Flag("--builder", "text", "Accepted: default"),
    Flag("--cache-from", "list", "Accepted; the engine's own cache is always used"),
    Flag("--cgroup-parent", "text", "Parent of the control groups of RUN"),
    Flag("--compress", "bool", "Accepted; the context is not sent"),
    Flag("--cpu-period", "int", "Limit the CPU CFS (Completely Fair Scheduler) period"),
    Flag("--cpu-quota", "int", "Limit the CPU CFS (Completely Fair Scheduler) quota"),
    Flag("-c, --cpu-shares", "int", "CPU shares (relative weight)"),
    Flag("--cpuset-cpus", "text", "CPUs in which to allow execution"),
    Flag("--cpuset-mems", "text", "MEMs in which to allow execution"),
    CONTENT_TRUST,
    Flag("-f, --file", "text", "Name of the Dockerfile (PATH/Dockerfile)"),
    Flag("--force-rm", "bool", "Accepted; nothing intermediate is ever kept"),
    Flag("--iidfile", "text", "Write the image ID to the file"),
    Flag("--isolation", "text", "Accepted: default"),
    Flag("--label", "list", "Set metadata for an image"),
    Flag("--load", "bool", "Accepted; what was built is always an image here"),
    Flag("-m, --memory", "text", "Memory limit of RUN"),
    Flag("--memory-swap", "text", "Memory and swap limit of RUN; -1 for no limit of swap"),
    Flag("--metadata-file", "text", "Write what was built to the file, as JSON"),
    Flag("--network", "text", "Network of RUN: default, none or host"),
    Flag("--no-cache", "bool", "Do not use the cache"),
    Flag("--no-cache-filter", "list", "Do not use the cache in these stages"),
    Flag("-o, --output", "list", "Also write the files: DIR, type=tar,dest=FILE or -"),
    Flag("--platform", "text", "Platform, as linux/amd64"),
    Flag("--progress", "text", "Progress output: auto, plain or json", "auto"),
    Flag("--provenance", "text", "Accepted: false"),
    Flag("--pull", "bool", "Always look for a newer base image"),
    Flag("--push", "bool", "Push what was built under all its tags"),
    Flag("-q, --quiet", "bool", "Print the image ID only"),
    Flag("--rm", "bool", "Accepted; nothing intermediate is ever kept", True),
    Flag("--sbom", "text", "Accepted: false"),
    Flag("--shm-size", "text", "Size of /dev/shm"),
    Flag("-t, --tag", "list", "Name and optionally a tag (name:tag)"),
    Flag("--target", "text", "Stage to build"),
    Flag("--ulimit", "list", "Ulimit options of RUN"),
    *(_impossible(name) for name in sorted(IMPOSSIBLE)),
]
