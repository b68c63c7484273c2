"""Service: containers that log to the systemd journal: may they, and what they are found by."""

from __future__ import annotations

from pogu.containers.entry import Entry
from pogu.containers.log_options import JOURNAL_DRIVER, asks_for_attributes, journal_fields
from pogu.errors import InvalidParameter, SystemFailure
from pogu.model.container import HostConfig
from pogu.runtime.conmon import Conmon
from pogu.runtime.journal import has_journal
from pogu.runtime.journal_entries import JournalFields

__all__ = ["check_journal", "journal_of"]

_NOT_HERE = "failed to initialize logging driver: journald is not enabled on this host"


async def check_journal(host: HostConfig, conmon: Conmon) -> list[str]:
    """At creation: return warnings. Raises: InvalidParameter in Docker's words."""
    if host.log_config.type != JOURNAL_DRIVER:
        return []
    if not has_journal():
        raise InvalidParameter(
            _NOT_HERE,
            hint="--log-driver=local keeps the log in a file; journald comes with systemd",
        )
    if not asks_for_attributes(host) or await conmon.takes_fields():
        return []
    return [
        "Labels and variables do not become fields of the journal: that needs conmon 2.2;"
        " `pogu logs --details` shows them"
    ]


async def journal_of(entry: Entry, conmon: Conmon) -> JournalFields | None:
    """What its next run is found by; None when it does not log there.

    Raises: SystemFailure where there is no journal any more.
    """
    record = entry.record
    if record.host_config.log_config.type != JOURNAL_DRIVER:
        return None
    if not has_journal():
        raise SystemFailure(
            f"failed to create task for container: {_NOT_HERE}",
            hint="start it: `systemctl start systemd-journald`",
        )
    return journal_fields(record, entry.name, extra=await conmon.takes_fields())
