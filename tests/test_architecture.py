"""The layers of docs/architecture.md hold, and the checks of `make check` pass."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parent.parent
SOURCE = PROJECT / "src" / "pogu"


def layer_table() -> dict[str, int]:
    """Read `| layer | modules |` out of docs/architecture.md."""
    table: dict[str, int] = {}
    for line in (PROJECT / "docs" / "architecture.md").read_text().splitlines():
        row = re.fullmatch(r"\| (\d) \| (.*) \|", line)
        if row:
            table |= dict.fromkeys(re.findall(r"`(\w+)`", row[2]), int(row[1]))
    return table


def unit_of(module: str) -> str:
    """Return the part of `pogu.x.y` that the table names: `x`."""
    return module.split(".")[1] if "." in module else ""


def imports_of(path: Path) -> set[str]:
    """Return the pogu modules that a file imports, wherever in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module == "pogu":
            found |= {f"pogu.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return {name for name in found if name.startswith("pogu.")}


FILES = sorted(path for path in SOURCE.rglob("*.py") if path != SOURCE / "__init__.py")


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_run_downwards(path: Path) -> None:
    layers = layer_table()
    own = path.relative_to(SOURCE).parts[0].removesuffix(".py")
    allowed_for_cli = {"cli", "oci", "dockerfile", "errors", "config"}
    for module in imports_of(path) - {"pogu.__version__"}:
        other = unit_of(module)
        if own == "cli":
            assert other in allowed_for_cli, f"the CLI imports {module}"
        elif other != own:
            assert other in layers, f"{module} is not in the table of docs/architecture.md"
            assert layers[other] < layers[own], f"{own} imports {module}, not from below it"


def test_every_module_has_a_docstring() -> None:
    bare = [str(path) for path in FILES if not ast.get_docstring(ast.parse(path.read_text()))]
    assert bare == []


def test_every_public_name_exists() -> None:
    for path in FILES:
        tree = ast.parse(path.read_text())
        exported = [
            ast.literal_eval(node.value)
            for node in tree.body
            if isinstance(node, ast.Assign)
            and any(isinstance(t, ast.Name) and t.id == "__all__" for t in node.targets)
        ]
        names = set(re.findall(r"^(?:async )?(?:def|class) (\w+)|^(\w+)\b", path.read_text(), re.M))
        defined = {name for pair in names for name in pair if name}
        imported = {
            alias.asname or alias.name
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
        }
        for name in exported[0] if exported else []:
            assert name in defined | imported, f"{path}: __all__ names {name}"


def run_check(*argv: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", *argv], cwd=PROJECT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_ruff_finds_nothing() -> None:
    run_check("ruff", "check")


def test_the_code_is_formatted() -> None:
    run_check("ruff", "format", "--check")


def test_mypy_strict_finds_nothing() -> None:
    run_check("mypy")


def test_make_help_lists_every_target() -> None:
    makefile = (PROJECT / "Makefile").read_text()
    phony = re.search(r"^\.PHONY: (.*)$", makefile, re.M)
    assert phony
    helped = subprocess.run(
        ["make", "-s", "help"], cwd=PROJECT, capture_output=True, text=True, check=True
    ).stdout
    for target in phony[1].split():
        assert re.search(rf"^  {target} ", helped, re.M), target
