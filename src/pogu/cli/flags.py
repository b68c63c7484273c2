"""Format: the flags of a command: declared as data, parsed as Docker's clients parse them.

`--name value`, `--name=value`, `-p value`, `-pvalue`, `-it` and `--`; a flag given twice is a list
where it may be, else the last one counts. `argparse` would cost 7 ms of every start and words its
errors its own way.
"""

from __future__ import annotations

from pogu.cli.failure import UsageError, near

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pogu.cli.context import Context

__all__ = ["Command", "Flag", "Values", "help_text", "parse"]


class Flag:
    """`kind` is bool, text, list or int; `--no-x` is not made up by itself."""

    __slots__ = ("default", "help", "kind", "long", "short")

    def __init__(
        self, names: str, kind: str, help: str, default: bool | int | str | None = None
    ) -> None:
        """`names` is `--name` or `-n, --name`."""
        parts = [part.strip() for part in names.split(",")]
        self.long = next((part[2:] for part in parts if part.startswith("--")), "")
        self.short = next((part[1:] for part in parts if not part.startswith("--")), "")
        self.kind = kind
        self.help = help
        self.default = default

    @property
    def key(self) -> str:
        return self.long or self.short

    def initial(self) -> object:
        if self.kind == "list":
            return []
        if self.default is not None or self.kind == "int":
            return self.default
        return False if self.kind == "bool" else ""


class Values:
    """What was given: `values["name"]`, `values.args`; `given` are the flags that were named."""

    __slots__ = ("_values", "args", "given")

    def __init__(self, values: dict[str, object], args: list[str], given: set[str]) -> None:
        self._values = values
        self.args = args
        self.given = given

    def flag(self, name: str) -> bool:
        return bool(self._values[name])

    def text(self, name: str) -> str:
        value = self._values[name]
        return "" if value is None else str(value)

    def number(self, name: str) -> int | None:
        value = self._values[name]
        return value if isinstance(value, int) else None

    def texts(self, name: str) -> list[str]:
        value = self._values[name]
        return [str(one) for one in value] if isinstance(value, list) else []


class Command:
    """One command. `usage` is what stands behind its name; `least`/`most` count its arguments."""

    __slots__ = ("flags", "least", "most", "name", "run", "stops", "summary", "usage")

    def __init__(
        self,
        name: str,
        usage: str,
        summary: str,
        run: Callable[[Context, Values], int],
        flags: Sequence[Flag] = (),
        *,
        least: int = 0,
        most: int | None = None,
        stops: bool = False,
    ) -> None:
        """`stops`: flags end at the first argument (`run IMAGE --this-is-the-command's`)."""
        self.name = name
        self.usage = usage
        self.summary = summary
        self.run = run
        self.flags = list(flags)
        self.least = least
        self.most = most
        self.stops = stops


def parse(command: Command, words: Sequence[str]) -> Values:
    """Raises: UsageError in Docker's words, with the near miss."""
    by_long = {flag.long: flag for flag in command.flags if flag.long}
    by_short = {flag.short: flag for flag in command.flags if flag.short}
    values = {flag.key: flag.initial() for flag in command.flags}
    args: list[str] = []
    given: set[str] = set()
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word == "--":
            args += rest
            break
        if word.startswith("--"):
            _long(command, word[2:], rest, by_long, values, given)
        elif word.startswith("-") and word != "-":
            _shorts(command, word[1:], rest, by_short, values, given)
        else:
            args.append(word)
            if command.stops:
                args += rest
                break
    _check_count(command, args)
    return Values(values, args, given)


def _see(command: Command) -> str:
    return f"See '{' '.join(filter(None, ('pogu', command.name)))} --help'"


def _long(
    command: Command,
    word: str,
    rest: list[str],
    known: dict[str, Flag],
    values: dict[str, object],
    given: set[str],
) -> None:
    name, equals, value = word.partition("=")
    flag = known.get(name)
    if flag is None:
        close = near(name, known)
        did = f"did you mean --{close}? " if close else ""
        raise UsageError(f"unknown flag: --{name}", hint=did + _see(command))
    given.add(flag.key)
    if flag.kind == "bool":
        values[flag.key] = _boolean(f"--{name}", value if equals else "true")
        return
    if not equals:
        if not rest:
            raise UsageError(f"flag needs an argument: --{name}", hint=_see(command))
        value = rest.pop(0)
    _set(flag, f"--{name}", value, values)


def _shorts(
    command: Command,
    letters: str,
    rest: list[str],
    known: dict[str, Flag],
    values: dict[str, object],
    given: set[str],
) -> None:
    at = 0
    while at < len(letters):
        letter = letters[at]
        at += 1
        flag = known.get(letter)
        if flag is None:
            raise UsageError(
                f"unknown shorthand flag: '{letter}' in -{letters}", hint=_see(command)
            )
        given.add(flag.key)
        if flag.kind == "bool":
            text = "true"
            if letters[at : at + 1] == "=":
                text, at = letters[at + 1 :], len(letters)
            values[flag.key] = _boolean(f"-{letter}", text)
            continue
        value = letters[at:].removeprefix("=")
        at = len(letters)
        if not value:
            if not rest:
                raise UsageError(
                    f"flag needs an argument: '{letter}' in -{letters}", hint=_see(command)
                )
            value = rest.pop(0)
        _set(flag, f"-{letter}", value, values)


def _boolean(name: str, text: str) -> bool:
    if text.lower() in ("true", "1", "t"):
        return True
    if text.lower() in ("false", "0", "f"):
        return False
    raise UsageError(
        f'invalid argument "{text}" for "{name}" flag: strconv.ParseBool: parsing "{text}":'
        " invalid syntax",
        hint="true or false",
    )


def _set(flag: Flag, name: str, value: str, values: dict[str, object]) -> None:
    if flag.kind == "int":
        try:
            values[flag.key] = int(value)
        except ValueError as err:
            raise UsageError(
                f'invalid argument "{value}" for "{name}" flag: strconv.ParseInt: parsing'
                f' "{value}": invalid syntax',
                hint="a whole number",
            ) from err
    elif flag.kind == "list":
        found = values[flag.key]
        assert isinstance(found, list)
        found.append(value)
    else:
        values[flag.key] = value


def _check_count(command: Command, args: list[str]) -> None:
    count, least, most = len(args), command.least, command.most
    if count >= least and (most is None or count <= most):
        return
    if most == 0:
        words = "accepts no arguments"
    elif least == most:
        words = f"requires {least} argument" + ("s" if least != 1 else "")
    elif count < least:
        words = f"requires at least {least} argument" + ("s" if least != 1 else "")
    else:
        words = f"requires at most {most} argument" + ("s" if most != 1 else "")
    raise UsageError(
        f"'pogu {command.name}' {words}",
        hint=f"Usage:  pogu {command.name} {command.usage}   ({_see(command)})",
        code=1,
    )


def help_text(command: Command) -> str:
    """What `--help` prints."""
    lines = [f"Usage:  pogu {command.name} {command.usage}".rstrip(), "", command.summary]
    if command.flags:
        lines += ["", "Options:"]
        rows = [(_names(flag), flag.help) for flag in sorted(command.flags, key=lambda f: f.key)]
        width = max(len(left) for left, _ in rows) + 3
        lines += [f"  {left.ljust(width)}{right}" for left, right in rows]
    return "\n".join(lines) + "\n"


def _names(flag: Flag) -> str:
    short = f"-{flag.short}, " if flag.short else "    "
    kinds = {"text": " string", "list": " list", "int": " int"}
    long = f"--{flag.long}" if flag.long else ""
    return f"{short}{long}{kinds.get(flag.kind, '')}"
