"""Format: what a RUN executes, how `history` tells it, what its exit code means. Pure."""

from __future__ import annotations

import re

from pogu.build.metadata import command_words
from pogu.build.state import PREDEFINED_ARGS, StageState
from pogu.dockerfile.instructions import Run

__all__ = ["code_hint", "run_argv", "run_history", "run_key"]

_INTERPRETER = "#!"
_ONLY_A_HEREDOC = re.compile(r"<<-?\s*[\"']?\w+[\"']?")


def run_key(instruction: Run, network: str) -> str:
    """The text that the cache key is made of: what was written, bodies of heredocs included."""
    bodies = "".join(f"\n{heredoc.body}" for heredoc in instruction.heredocs)
    plain = network in ("", "default", "bridge")
    return instruction.text + bodies + ("" if plain else f"\n--network={network}")


def run_argv(instruction: Run, state: StageState) -> tuple[str, ...]:
    """The argv; a heredoc is the shell's input, or a script with its own interpreter."""
    if not instruction.heredocs:
        return command_words(instruction.command, state.shell)
    body = instruction.heredocs[0].body
    command = " ".join(instruction.command.words).strip()
    if _ONLY_A_HEREDOC.fullmatch(command):
        if not body.startswith(_INTERPRETER):
            return (*state.shell, body)
        # The kernel reads `#!`: the script is written, run and taken away by the shell.
        script = "f=$(mktemp) && cat > \"$f\" <<'POGU_SCRIPT'\n" + body + "POGU_SCRIPT\n"
        script += 'chmod +x "$f" && "$f"; code=$?; rm -f "$f"; exit $code'
        return (*state.shell, script)
    bodies = "".join(f"{heredoc.body}{heredoc.name}\n" for heredoc in instruction.heredocs)
    return (*state.shell, f"{command}\n{bodies}")


def run_history(state: StageState, args: tuple[str, ...]) -> str:
    """`RUN |1 A=b /bin/sh -c …`: the args that it saw stand before the command."""
    shown = [
        f"{name}={value}"
        for name, value in sorted(state.args.items())
        if name not in PREDEFINED_ARGS
    ]
    before = f"|{len(shown)} {' '.join(shown)} " if shown else ""
    return f"RUN {before}{' '.join(args)}"


def code_hint(code: int) -> str | None:
    known = {
        126: "126: found, but not executable",
        127: "127: the shell did not find the command in this image",
        137: "137: killed (SIGKILL); often the memory was not enough",
    }
    return known.get(code)
