"""The configuration and where everything lies. Frozen, read once at start.

Start reading at `load.py` (where it comes from), then `keys.py` (what there is) and `paths.py`
(the directories of an engine, drawn). What each key means: docs/configuration.md.

The engine imports this before it listens, so what only a file or an environment needs is imported
where it is used.
"""

from __future__ import annotations

from pogu.config.keys import KEYS, Key
from pogu.config.load import Config, load_config
from pogu.config.paths import Paths

__all__ = ["KEYS", "Config", "Key", "Paths", "load_config"]
