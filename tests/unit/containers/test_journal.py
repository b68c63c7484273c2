"""Containers that log to the journal: refused where there is none, warned where fields are lost."""

from __future__ import annotations

import asyncio

import pytest
from tests.builders import a_container

from pogu.containers import journal
from pogu.containers.journal import check_journal, journal_of
from pogu.errors import InvalidParameter, SystemFailure
from pogu.model.container import HostConfig, LogConfig
from pogu.runtime.conmon import Conmon


class OldConmon(Conmon):
    """Writes its own fields only."""

    def __init__(self) -> None:
        return

    async def takes_fields(self) -> bool:
        return False


def host(driver: str = "journald", **options: str) -> HostConfig:
    return HostConfig(log_config=LogConfig(type=driver, config=options))


@pytest.fixture
def no_journal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "has_journal", lambda: False)


@pytest.fixture
def a_journal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "has_journal", lambda: True)


@pytest.mark.usefixtures("no_journal")
def test_a_container_cannot_be_made_for_a_journal_that_is_not_there() -> None:
    with pytest.raises(InvalidParameter, match="journald is not enabled on this host"):
        asyncio.run(check_journal(host(), OldConmon()))
    assert asyncio.run(check_journal(host("local"), OldConmon())) == []


@pytest.mark.usefixtures("no_journal")
def test_one_that_was_made_does_not_start_without_its_journal() -> None:
    entry = a_container(host=host())
    with pytest.raises(SystemFailure, match="failed to initialize logging driver: journald is not"):
        asyncio.run(journal_of(entry, OldConmon()))


@pytest.mark.usefixtures("a_journal")
def test_labels_that_an_old_monitor_cannot_write_are_told() -> None:
    [warning] = asyncio.run(check_journal(host(labels="tier"), OldConmon()))
    assert "conmon 2.2" in warning
    assert asyncio.run(check_journal(host(tag="x"), OldConmon())) == []
