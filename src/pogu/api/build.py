"""Edge: `POST /build`: the legacy builder's JSON lines, with ours beside.

A step's lines are Docker's (`{"stream": "Step 1/3 : FROM busybox\\n"}`); the object `pogu` in them
says the same in fields, for our own CLI.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from pogu.api.call import Call
from pogu.api.host_file import host_file
from pogu.api.http_server import StreamResponse
from pogu.api.route import Route
from pogu.api.stream import JsonLines
from pogu.api.transfer import progress_line
from pogu.api.upload import body_file
from pogu.build.events import (
    BuildEvent,
    Built,
    Pulling,
    StepCached,
    StepDone,
    StepOutput,
    StepStarted,
    Tagged,
    Triggered,
    Warned,
)
from pogu.build.run import RunFailed, RunSettings
from pogu.build.service import BuildRequest
from pogu.errors import InvalidParameter, NotImplementedByEngine
from pogu.images.image import short_id
from pogu.images.progress import TransferEvent
from pogu.linux.blocking import in_own_thread, in_thread
from pogu.model.container import Ulimit
from pogu.oci.reference import Reference, parse_reference
from pogu.registry.credentials import decode_auth_map
from pogu.runtime.workload import Resources, rlimit_of
from pogu.storage.apply import apply_tar
from pogu.storage.tree import remove_tree

__all__ = ["ROUTES"]


async def build(call: Call) -> StreamResponse:
    lines = JsonLines(call)
    try:
        _check_supported(call)
        context = host_file(call, "X-Pogu-Context")
        if context is not None:
            text = await call.body()
            await _run(call, lines, context, text or None)
        else:
            unpacked = Path(tempfile.mkdtemp(dir=call.engine.config.paths.tmp, prefix="context-"))
            try:
                await _unpack(call, unpacked)
                await _run(call, lines, unpacked, None)
            finally:
                await in_thread(remove_tree, unpacked)
    except RunFailed as err:
        return await lines.fail(err, code=err.exit_code)
    except Exception as err:
        return await lines.fail(err)
    return await lines.end()


def _check_supported(call: Call) -> None:
    if call.text("version") == "2":
        raise NotImplementedByEngine(
            "BuildKit is not implemented by Pogu", hint="set DOCKER_BUILDKIT=0, or use pogu build"
        )
    if call.text("remote") not in ("", "client-session"):
        raise NotImplementedByEngine(
            f"building from {call.text('remote')} is not implemented by Pogu",
            hint="fetch it first and build the directory",
        )
    if any(call.texts("securityopt")):
        raise InvalidParameter(
            "The daemon on this platform does not support setting security options on build",
            hint="RUN has the profiles that containers have by default",
        )
    if call.flag("squash"):
        raise InvalidParameter(
            "squash is only supported with experimental mode",
            hint="several stages and COPY --from leave behind what an image does not need",
        )
    if call.text("isolation").lower() not in ("", "default"):
        raise InvalidParameter(f'Unsupported isolation: "{call.text("isolation")}"')


async def _unpack(call: Call, directory: Path) -> None:
    """The context as other clients send it: a tar, compressed or not, or a bare Dockerfile."""
    async with body_file(call) as file:
        await in_own_thread(apply_tar, file, directory, whiteouts=False)


def _request(call: Call, context: Path, dockerfile_text: bytes | None) -> BuildRequest:
    return BuildRequest(
        context=context,
        dockerfile=call.text("dockerfile") or "Dockerfile",
        dockerfile_text=dockerfile_text,
        tags=[_tag(text) for text in call.texts("t") if text],
        build_args=call.json("buildargs", dict[str, str | None], {}),
        labels=call.json("labels", dict[str, str], {}),
        target=call.text("target"),
        no_cache=call.flag("nocache"),
        pull=call.flag("pull"),
        network=call.text("networkmode") or "default",
        platform=call.text("platform"),
        fresh_stages=frozenset(name.lower() for name in call.texts("nocachefilter") if name),
        run=_run_settings(call),
        cache_from=call.json("cachefrom", list[str], []),
        credentials=decode_auth_map(call.http.headers.get("X-Registry-Config", "")),
    )


def _run_settings(call: Call) -> RunSettings:
    memory = call.integer("memory") or 0
    return RunSettings(
        resources=Resources(
            memory_limit_bytes=memory,
            memory_swap_bytes=_swap_bytes(memory, call.integer("memswap") or 0),
            cpu_shares=call.integer("cpushares") or 0,
            cpu_period_us=call.integer("cpuperiod") or 0,
            cpu_quota_us=call.integer("cpuquota") or 0,
            cpuset_cpus=call.text("cpusetcpus"),
            cpuset_mems=call.text("cpusetmems"),
        ),
        rlimits=tuple(
            rlimit_of(one.name, soft=one.soft, hard=one.hard)
            for one in call.json("ulimits", list[Ulimit], [])
        ),
        cgroup_parent=call.text("cgroupparent"),
        shm_size_bytes=call.integer("shmsize") or 0,
        extra_hosts=[word for text in call.texts("extrahosts") for word in text.split(",") if word],
    )


def _swap_bytes(memory: int, both: int) -> int:
    """`both` is memory and swap together, as the runtime takes it. Raises: InvalidParameter."""
    if both > 0 and not memory:
        raise InvalidParameter(
            "You should always set the Memory limit when using Memoryswap limit, see usage"
        )
    if 0 < both < memory:
        raise InvalidParameter(
            "Minimum memoryswap limit should be larger than memory limit, see usage"
        )
    return both if memory else 0


def _tag(text: str) -> Reference:
    reference = parse_reference(text)
    if reference.digest:
        raise InvalidParameter(
            f'invalid argument "{text}" for "-t, --tag": a tag cannot have a digest',
            hint="leave out what follows @",
        )
    return reference.with_default_tag()


async def _run(call: Call, lines: JsonLines, context: Path, text: bytes | None) -> None:
    request = _request(call, context, text)
    quiet = call.flag("q")

    async def emit(event: BuildEvent) -> None:
        for line in _lines(event):
            if not quiet:
                await lines.send(line)

    image = await call.engine.builder.build(request, emit)
    if quiet:
        await lines.send({"stream": f"{image.id}\n"})


def _fields(event: BuildEvent, kind: str, **fields: object) -> dict[str, object]:
    return {"event": kind, "step": event.step, **fields}


def _lines(event: BuildEvent) -> list[dict[str, object]]:
    """What one event says."""
    match event:
        case StepStarted():
            ours = _fields(
                event,
                "started",
                total=event.total,
                stage=event.stage,
                text=event.text,
                line=event.line,
                miss_reason=event.miss_reason,
            )
            said = f"Step {event.step}/{event.total} : {event.text}\n"
            out: list[dict[str, object]] = [{"stream": said, "pogu": ours}]
            if event.miss_reason:
                out.append({"stream": f" ---> Cache missed: {event.miss_reason}\n"})
            return out
        case StepCached():
            return [{"stream": " ---> Using cache\n", "pogu": _fields(event, "cached")}]
        case StepOutput():
            text = event.data.decode("utf-8", "replace")
            return [{"stream": text, "pogu": _fields(event, "output", stream=event.stream)}]
        case StepDone():
            ours = _fields(
                event,
                "done",
                duration_s=round(event.duration_s, 3),
                image_id=event.image_id,
            )
            return [{"stream": f" ---> {short_id(event.image_id)}\n", "pogu": ours}]
        case Triggered():
            plural = "s" if event.count > 1 else ""
            return [{"stream": f"# Executing {event.count} build trigger{plural}\n"}]
        case Warned():
            said = f"[Warning] {event.text}\n"
            return [{"stream": said, "pogu": _fields(event, "warning", text=event.text)}]
        case Pulling():
            shown = TransferEvent(
                status=event.status, id=event.id, current=event.current, total=event.total
            )
            return [progress_line(shown)]
        case Built():
            ours = _fields(event, "built", image_id=event.image_id)
            return [
                {"aux": {"ID": event.image_id}},
                {"stream": f"Successfully built {short_id(event.image_id)}\n", "pogu": ours},
            ]
        case Tagged():
            ours = _fields(event, "tagged", text=event.reference)
            return [{"stream": f"Successfully tagged {event.reference}\n", "pogu": ours}]
        case _:
            return []


ROUTES = [
    Route("POST", "/build", build),
]
