"""Format: variable expansion and quote removal, as Docker's shell lexer does them."""

from __future__ import annotations

import re
from collections.abc import Mapping

from pogu.errors import InvalidParameter

__all__ = ["expand_text", "expand_word", "expand_words"]

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*|[0-9]|[@*#?$!-]")


def expand_word(word: str, lookup: Mapping[str, str], escape: str = "\\") -> str:
    """Replace variables and remove quotes and escapes. Raises: InvalidParameter."""
    return _Expander(word, lookup, escape).run()


def expand_words(word: str, lookup: Mapping[str, str], escape: str = "\\") -> list[str]:
    """As `expand_word`, then split what came out of variables at white space (EXPOSE, …)."""
    return [part for part in expand_word(word, lookup, escape).split() if part]


def expand_text(text: str, lookup: Mapping[str, str], escape: str = "\\") -> str:
    """Replace variables and keep quotes: the body of a heredoc."""
    return _Expander(text, lookup, escape, keep_quotes=True).run()


class _Expander:
    def __init__(
        self,
        word: str,
        lookup: Mapping[str, str],
        escape: str,
        *,
        keep_quotes: bool = False,
        keep_escapes: bool = False,
    ) -> None:
        self._word = word
        self._lookup = lookup
        self._escape = escape
        self._keep_quotes = keep_quotes
        self._keep_escapes = keep_escapes
        self._at = 0

    def run(self) -> str:
        out: list[str] = []
        while self._at < len(self._word):
            out.append(self._next())
        return "".join(out)

    def _next(self) -> str:
        char = self._word[self._at]
        if char == "$":
            return self._variable()
        if char == self._escape and self._keep_escapes:
            self._at += 2
            return self._word[self._at - 2 : self._at]
        if self._keep_quotes:
            return self._escaped_dollar() if char == self._escape else self._plain()
        if char == "'":
            return self._single_quoted()
        if char == '"':
            return self._double_quoted()
        if char == self._escape:
            self._at += 1
            return self._plain() if self._at < len(self._word) else ""
        return self._plain()

    def _plain(self) -> str:
        self._at += 1
        return self._word[self._at - 1]

    def _escaped_dollar(self) -> str:
        following = self._word[self._at + 1 : self._at + 2]
        if following in ("$", self._escape):
            self._at += 2
            return following
        return self._plain()

    def _single_quoted(self) -> str:
        end = self._word.find("'", self._at + 1)
        if end < 0:
            raise InvalidParameter(
                "unexpected end of statement while looking for matching single-quote"
            )
        text = self._word[self._at + 1 : end]
        self._at = end + 1
        return text

    def _double_quoted(self) -> str:
        out: list[str] = []
        self._at += 1
        while self._at < len(self._word):
            char = self._word[self._at]
            if char == '"':
                self._at += 1
                return "".join(out)
            if char == "$":
                out.append(self._variable())
            elif char == self._escape:
                following = self._word[self._at + 1 : self._at + 2]
                self._at += 2
                special = following in ('"', "$", self._escape)
                out.append(following if special else self._escape + following)
            else:
                out.append(self._plain())
        raise InvalidParameter(
            "unexpected end of statement while looking for matching double-quote"
        )

    # ---- variables ----------------------------------------------------------------------

    def _variable(self) -> str:
        self._at += 1
        if self._word[self._at : self._at + 1] == "{":
            return self._braced()
        match = _NAME.match(self._word, self._at)
        if not match:
            return "$"
        self._at = match.end()
        return self._lookup.get(match[0], "")

    def _braced(self) -> str:
        start = self._at + 1
        match = _NAME.match(self._word, start)
        if not match:
            raise InvalidParameter("syntax error: bad substitution")
        name, after = match[0], match.end()
        end = self._closing(after)
        operation = self._word[after:end]
        self._at = end + 1
        return self._apply(name, operation)

    def _closing(self, at: int) -> int:
        """Index of the brace that closes the present one."""
        depth = 1
        while at < len(self._word):
            char = self._word[at]
            if char == self._escape:
                at += 2
                continue
            if char in "'\"" and not self._keep_quotes:
                at = self._quote_end(at)
            elif char == "{" and self._word[at - 1] == "$":
                depth += 1
            elif char == "}":
                depth -= 1
                if not depth:
                    return at
            at += 1
        raise InvalidParameter("syntax error: missing '}'")

    def _quote_end(self, at: int) -> int:
        """Return the index of the quote that closes the one at `at`; `at` when none does."""
        quote, end = self._word[at], at + 1
        while end < len(self._word) and self._word[end] != quote:
            end += 2 if quote == '"' and self._word[end] == self._escape else 1
        return end if end < len(self._word) else at

    def _apply(self, name: str, operation: str) -> str:
        value = self._lookup.get(name)
        if not operation:
            return value or ""
        colon = operation.startswith(":")
        if colon:
            operation = operation[1:]
        kind, word = operation[:1], operation[1:]
        if kind in ("-", "+", "?"):
            return self._default(name, value, kind, word, colon=colon)
        if colon or kind not in ("#", "%", "/"):
            raise InvalidParameter(
                f"unsupported modifier ({(':' if colon else '') + kind}) in substitution"
            )
        if kind == "/":
            return self._replace(value or "", word)
        greedy = word.startswith(kind)
        regex = self._pattern(word[1:] if greedy else word)
        return _strip(value or "", regex, prefix=kind == "#", greedy=greedy)

    def _inner(self, word: str) -> str:
        inner = _Expander(word, self._lookup, self._escape, keep_quotes=self._keep_quotes)
        return inner.run()

    def _pattern(self, word: str) -> str:
        inner = _Expander(
            word,
            self._lookup,
            self._escape,
            keep_quotes=self._keep_quotes,
            keep_escapes=True,
        )
        return _glob(inner.run(), self._escape)

    def _default(self, name: str, value: str | None, kind: str, word: str, *, colon: bool) -> str:
        is_set = bool(value) if colon else value is not None
        if kind == "+":
            return self._inner(word) if is_set else ""
        if is_set:
            return value or ""
        if kind == "?":
            message = self._inner(word) or "is not allowed to be unset"
            raise InvalidParameter(f"{name}: {message}")
        return self._inner(word)

    def _replace(self, value: str, word: str) -> str:
        everywhere = word.startswith("/")
        word = word[1:] if everywhere else word
        parts = re.split(r"(?<!\\)/", word, maxsplit=1)
        pattern = self._pattern(parts[0])
        replacement = self._inner(parts[1]) if len(parts) > 1 else ""
        return re.sub(pattern, lambda _: replacement, value, count=0 if everywhere else 1)


def _glob(pattern: str, escape: str) -> str:
    """Turn the shell's `*` and `?` into a regular expression; what is escaped is itself."""
    out: list[str] = []
    chars = iter(pattern)
    for char in chars:
        if char == escape:
            out.append(re.escape(next(chars, char)))
        else:
            out.append({"*": "(?s:.*)", "?": "(?s:.)"}.get(char) or re.escape(char))
    return "".join(out)


def _strip(value: str, pattern: str, *, prefix: bool, greedy: bool) -> str:
    regex = re.compile(pattern)
    lengths = range(len(value) + 1)
    for length in reversed(lengths) if greedy else lengths:
        part = value[:length] if prefix else value[len(value) - length :]
        if regex.fullmatch(part):
            return value[length:] if prefix else value[: len(value) - length]
    return value
