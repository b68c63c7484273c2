"""Edge: `python -m pogu.doctor`: examines without an engine and leaves nothing behind."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from pogu.config import Config, Paths, load_config
from pogu.doctor.examination import examine
from pogu.doctor.finding import ERROR, findings_json, findings_text
from pogu.errors import EngineError
from pogu.runtime.probe import choose_runtime

__all__ = ["main"]


async def _try_runtime(config: Config) -> str:
    """Probe in a directory that is removed again."""
    with TemporaryDirectory(prefix="pogu-doctor-") as scratch:
        paths = Paths(root=Path(scratch, "root"), run_root=Path(scratch, "run"))
        paths.create()
        runtime = await choose_runtime(replace(config, paths=paths))
        return await runtime.described()


def main(argv: Sequence[str] | None = None) -> int:
    """Print what is found; return 1 when something is an error."""
    parser = argparse.ArgumentParser(prog="pogu.doctor", description="Check this host for Pogu.")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--root", type=Path, help="directory of images and containers")
    parser.add_argument("--run-root", type=Path, help="directory of the socket")
    words = parser.parse_args(argv)
    try:
        config = load_config(root=words.root, run_root=words.run_root)
    except EngineError as err:
        print(f"Error: {err.message}" + (f"\n{err.hint}" if err.hint else ""), file=sys.stderr)
        return 1
    findings = asyncio.run(examine(config, lambda: _try_runtime(config)))
    print(json.dumps(findings_json(findings), indent=2) if words.json else findings_text(findings))
    return int(any(each.level == ERROR for each in findings))


if __name__ == "__main__":
    sys.exit(main())
