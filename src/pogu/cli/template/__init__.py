"""Templates: Go's text/template over JSON data, as `--format` uses it. Pure.

A template becomes closures once and runs for each row: text → tokens (`lexer.py`) → nodes
(`parser.py`, and `action.py` for what is between the braces) → text again. Imports nothing but
`re`, for start-up. Start reading at `program.py`.

Differs from Go where JSON has lost the types: a missing key counts as a missing struct field when
the object looks like a struct (every key starts with a capital), and conditions of `if` and `with`
never complain, because Docker leaves empty fields out of its JSON but not out of its structs.
"""

from __future__ import annotations

from pogu.cli.template.error import TemplateError
from pogu.cli.template.program import compile, render
from pogu.cli.template.value import Row

__all__ = ["Row", "TemplateError", "compile", "render"]
