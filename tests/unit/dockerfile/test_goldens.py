"""Each Dockerfile in tests/data/dockerfile parses into the instructions beside it.

`expected.json` is checked by eye against the Dockerfile reference; to freeze a new case:
`python tests/unit/dockerfile/test_goldens.py` writes the files that are missing.
"""

from __future__ import annotations

import json
from dataclasses import fields, is_dataclass
from pathlib import Path

import pytest

from pogu.dockerfile.instructions import Dockerfile, Instruction
from pogu.dockerfile.parser import parse_dockerfile

CASES = Path(__file__).resolve().parents[2] / "data" / "dockerfile"


def plain(value: object) -> object:
    """Turn a parsed value into JSON's types; what is at its default is left out."""
    if isinstance(value, tuple):
        return [plain(item) for item in value]
    if not is_dataclass(value) or isinstance(value, type):
        return value
    shown: dict[str, object] = {}
    if isinstance(value, Instruction):
        shown["instruction"] = type(value).__name__
        shown["lines"] = [value.source.first_line, value.source.last_line]
    for field in fields(value):
        item = getattr(value, field.name)
        if field.name not in ("source", "text") and item != field.default:
            shown[field.name] = plain(item)
    return shown


def plain_file(parsed: Dockerfile) -> dict[str, object]:
    return {
        "escape": parsed.escape,
        "meta_args": plain(parsed.meta_args),
        "stages": [plain((stage.base, *stage.instructions)) for stage in parsed.stages],
    }


@pytest.mark.parametrize("case", sorted(path.name for path in CASES.iterdir()))
def test_a_dockerfile_parses_into_these_instructions(case: str) -> None:
    parsed = parse_dockerfile((CASES / case / "Dockerfile").read_bytes())
    assert plain_file(parsed) == json.loads((CASES / case / "expected.json").read_text())


def freeze() -> None:
    for case in CASES.iterdir():
        target = case / "expected.json"
        if not target.exists():
            parsed = plain_file(parse_dockerfile((case / "Dockerfile").read_bytes()))
            target.write_text(json.dumps(parsed, indent=2, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    freeze()
