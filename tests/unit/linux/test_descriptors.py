"""A start is refused before the last descriptors are gone."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from pogu.errors import SystemFailure
from pogu.linux.descriptors import check_descriptors


@pytest.fixture(autouse=True)
def limit() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (512, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_few_open_files_are_no_reason() -> None:
    check_descriptors(96)


def test_the_last_ones_are_kept() -> None:
    with ExitStack() as held:
        while (fd := os.dup(0)) < 420:
            held.callback(os.close, fd)
        held.callback(os.close, fd)
        with pytest.raises(SystemFailure, match="too many open files"):
            check_descriptors(96)
        check_descriptors(24)
    check_descriptors(96)


def test_a_low_number_that_is_free_hides_nothing() -> None:
    with ExitStack() as held:
        hole = os.dup(0)
        while (fd := os.dup(0)) < 440:
            held.callback(os.close, fd)
        held.callback(os.close, fd)
        os.close(hole)
        with pytest.raises(SystemFailure, match="too many open files"):
            check_descriptors(96)
