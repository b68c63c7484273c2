"""Cases of images: pull, push, save, load, import.

Nothing of an image is on an engine before it is timed: no tag, no layer of another name. Where many
files are made the bench waits after the removals (`Case.settle_s`): ext4 without a journal looks at
each inode that was freed in the last minute before it takes one.
"""

from __future__ import annotations

import tarfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from bench.engines import Engine
from bench.measure import Case, timed
from bench.workspace import Workspace

__all__ = ["CASES", "prepare_pulls"]

_SETTLE_S = 66
_LAYERS = 10

Once = Callable[[Engine, Workspace], float]
Before = Callable[[Engine, Workspace], None]


def debian(workspace: Workspace) -> str:
    return f"{workspace.registry.address}/bench/debian:1"


def ten(workspace: Workspace) -> str:
    return f"{workspace.registry.address}/bench/ten:1"


def insecure(engine: Engine) -> tuple[str, ...]:
    """Docker and Pogu speak plain http with loopback, Podman when told."""
    return ("--tls-verify=false",) if engine.name == "podman" else ()


def forget(engine: Engine, workspace: Workspace) -> None:
    """Remove every image that has one of the layers."""
    for name in (debian(workspace), ten(workspace), "bench-debian", "localhost/bench-debian"):
        engine.run("rmi", "-f", name, check=False)
    engine.run("image", "prune", "-f")


def prepare_pulls(engine: Engine, workspace: Workspace) -> None:
    """Bring both images into the registry, by one engine for all."""
    engine.run("import", str(workspace.debian_tar), debian(workspace))
    context = workspace.path / "ten"
    _split(workspace.debian_tar, context)
    engine.run_build("-q", "-t", ten(workspace), str(context))
    for name in (debian(workspace), ten(workspace)):
        engine.run("push", *insecure(engine), name)
    forget(engine, workspace)
    engine.run("builder", "prune", "-af", check=False)


def _split(source: Path, directory: Path) -> None:
    """The same files in ten layers of about the same size."""
    directory.mkdir(exist_ok=True)
    if (directory / "Dockerfile").exists():
        return
    with ExitStack() as stack:
        parts = [
            stack.enter_context(tarfile.open(directory / f"{number}.tar", "w"))
            for number in range(_LAYERS)
        ]
        tar = stack.enter_context(tarfile.open(source))
        total = source.stat().st_size + 1
        lies_in: dict[str, int] = {}
        for member in tar:
            number = member.offset * _LAYERS // total
            number = lies_in.get(member.linkname, number) if member.islnk() else number
            lies_in[member.name] = number
            content = tar.extractfile(member) if member.isreg() else None
            parts[number].addfile(member, content)
    lines = [f"ADD {number}.tar /\n" for number in range(_LAYERS)]
    (directory / "Dockerfile").write_text("FROM scratch\n" + "".join(lines) + 'CMD ["true"]\n')


def pull(name: Callable[[Workspace], str]) -> Once:
    def once(engine: Engine, workspace: Workspace) -> float:
        wanted = name(workspace)
        return timed(lambda: engine.run("pull", "-q", *insecure(engine), wanted))

    return once


def import_once(engine: Engine, workspace: Workspace) -> None:
    engine.run("import", str(workspace.debian_tar), "bench-debian")


def import_again(engine: Engine, workspace: Workspace) -> None:
    forget(engine, workspace)
    import_once(engine, workspace)


def push(engine: Engine, workspace: Workspace) -> float:
    workspace.push_registry.empty()
    name = f"{workspace.push_registry.address}/bench/debian:1"
    engine.run("tag", "bench-debian", name)
    seconds = timed(lambda: engine.run("push", "-q", *insecure(engine), name))
    engine.run("rmi", name)
    return seconds


def archive(workspace: Workspace) -> Path:
    return workspace.path / "archive.tar"


def save(engine: Engine, workspace: Workspace) -> float:
    path = workspace.path / "saved.tar"
    path.unlink(missing_ok=True)
    seconds = timed(lambda: engine.run("save", "-o", str(path), "bench-debian"))
    if not archive(workspace).exists():
        path.rename(archive(workspace))
    return seconds


def load(engine: Engine, workspace: Workspace) -> float:
    return timed(lambda: engine.run("load", "-q", "-i", str(archive(workspace))))


def import_tar(engine: Engine, workspace: Workspace) -> float:
    return timed(lambda: import_once(engine, workspace))


def brought_anew(name: str, what: str, goal: str, once: Once) -> Case:
    """A case that makes many files of an image of which nothing is there."""
    return Case(
        name=name,
        what=what,
        goal=goal,
        once=once,
        by_any_client=False,
        before=forget,
        settle_s=_SETTLE_S,
        warm=False,
        rounds=2,
    )


def sent(name: str, what: str, goal: str, once: Once, before: Before) -> Case:
    """A case that reads an image which is there."""
    return Case(
        name=name,
        what=what,
        goal=goal,
        once=once,
        by_any_client=False,
        before=before,
        rounds=3,
    )


CASES = [
    brought_anew("import", "import of a 180 MB tar, 9.5k files", "≤ 1/5 docker", import_tar),
    brought_anew(
        "pull-debian",
        "pull of one layer, 65 MB compressed, 9.5k files",
        "≤ 1/5 docker, ≤ 1/4 podman",
        pull(debian),
    ),
    brought_anew("pull-ten-layers", "pull of the same in ten layers", "≤ 1/5 docker", pull(ten)),
    sent("push-debian", "first push of that layer", "≤ 0.6 podman", push, import_again),
    sent("save", "save to a file, 180 MB", "≤ 0.6 docker, ≤ 0.6 podman", save, import_once),
    brought_anew("load", "load of that file", "≤ 1/4 docker", load),
]
