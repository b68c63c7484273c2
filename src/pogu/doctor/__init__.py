"""What this host offers and lacks; each finding with the command that mends it.

Reads only, except that the runtime is tried with a real container. `python -m pogu.doctor` does it
without an engine and leaves nothing behind. Start reading at `examination.py`; `host.py` is the
machine as the checks see it.
"""

from __future__ import annotations

from pogu.doctor.examination import examine
from pogu.doctor.finding import Finding, findings_json, findings_text
from pogu.doctor.host import Host

__all__ = ["Finding", "Host", "examine", "findings_json", "findings_text"]
