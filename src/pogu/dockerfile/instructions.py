"""Format: the typed instructions of the Dockerfile reference, and the stages they form.

Words are still unexpanded: variables are expanded when a step is executed, because their values
depend on ARG and ENV before it (`expand.py`). Every instruction knows where it stands and what
was written, for messages and for `history`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = [
    "Add",
    "Arg",
    "Cmd",
    "CommandLine",
    "Copy",
    "Dockerfile",
    "Entrypoint",
    "Env",
    "Expose",
    "From",
    "Healthcheck",
    "Heredoc",
    "Instruction",
    "Label",
    "Maintainer",
    "Onbuild",
    "Run",
    "RunMount",
    "Shell",
    "SourceRange",
    "Stage",
    "StopSignal",
    "User",
    "Volume",
    "Workdir",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceRange:
    """First and last line in the Dockerfile, counted from 1."""

    first_line: int
    last_line: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Heredoc:
    """`<<EOF` and its body; `expand` is false when the delimiter is quoted."""

    name: str
    body: str
    expand: bool
    chomp: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Instruction:
    """What all have: `text` is the logical line as written, continuation lines joined."""

    text: str
    source: SourceRange


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandLine:
    """Shell form (`shell` true: one word, to be run by SHELL) or exec form (the argv)."""

    words: tuple[str, ...]
    shell: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class From(Instruction):
    """FROM [--platform=…] image [AS name]."""

    image: str
    name: str | None = None
    platform: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunMount:
    """RUN --mount=…: kept as its key=value pairs; the executor decides."""

    options: tuple[tuple[str, str | None], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Run(Instruction):
    """RUN [--mount=…] [--network=…] command."""

    command: CommandLine
    mounts: tuple[RunMount, ...] = ()
    network: str | None = None
    heredocs: tuple[Heredoc, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy(Instruction):
    """COPY [--from=…] [--chown=…] [--chmod=…] source… destination."""

    sources: tuple[str, ...]
    destination: str
    from_stage: str | None = None
    chown: str | None = None
    chmod: str | None = None
    link: bool = False
    heredocs: tuple[Heredoc, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Add(Instruction):
    """ADD source… destination: COPY that also unpacks local tar archives and fetches URLs."""

    sources: tuple[str, ...]
    destination: str
    chown: str | None = None
    chmod: str | None = None
    link: bool = False
    checksum: str | None = None
    heredocs: tuple[Heredoc, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Cmd(Instruction):
    command: CommandLine


@dataclass(frozen=True, slots=True, kw_only=True)
class Entrypoint(Instruction):
    command: CommandLine


@dataclass(frozen=True, slots=True, kw_only=True)
class Env(Instruction):
    """ENV key=value … or the old ENV key value."""

    pairs: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Arg(Instruction):
    """ARG name[=default] …."""

    pairs: tuple[tuple[str, str | None], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Label(Instruction):
    pairs: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Expose(Instruction):
    """EXPOSE port[/protocol] …, ranges allowed."""

    ports: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class User(Instruction):
    user: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Workdir(Instruction):
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume(Instruction):
    paths: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class StopSignal(Instruction):
    signal: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Shell(Instruction):
    shell: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Healthcheck(Instruction):
    """HEALTHCHECK; `command` None means NONE; durations in nanoseconds, None = default."""

    command: CommandLine | None
    interval_ns: int | None = None
    timeout_ns: int | None = None
    start_period_ns: int | None = None
    start_interval_ns: int | None = None
    retries: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Onbuild(Instruction):
    """ONBUILD: `trigger` is the text of the instruction, parsed again when it fires."""

    trigger: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Maintainer(Instruction):
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One FROM and the instructions after it, up to the next FROM."""

    index: int
    base: From
    instructions: tuple[Instruction, ...]

    @property
    def name(self) -> str:
        """The name after AS, else the index as text."""
        return self.base.name or str(self.index)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dockerfile:
    """A parsed file: ARGs before the first FROM, the stages, and what the parser warns of."""

    meta_args: tuple[Arg, ...]
    stages: tuple[Stage, ...]
    lines: tuple[str, ...]
    escape: str = "\\"
    warnings: tuple[str, ...] = field(default=())
