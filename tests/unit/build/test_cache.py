"""Cache keys, records, and the reason of a miss."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from pogu.build.cache import BuildCache, CacheRecord, StepInputs, miss_reason
from pogu.db import Database
from pogu.oci.digest import ChainId

INPUTS = StepInputs(
    parent="p",
    base="busybox 0123",
    text="COPY . /app",
    args={"A": "1"},
    files={"f": "100644 d", "g": "100644 e"},
)
RECORD = CacheRecord(top_layer=ChainId("sha256:1"), created="2030-01-01T00:00:00Z", empty=False)


def changed(**fields: object) -> StepInputs:
    return msgspec.structs.replace(INPUTS, **fields)


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[BuildCache]:
    db = Database(tmp_path / "state.db")
    yield BuildCache(db)
    db.close()


@pytest.mark.parametrize(
    "other",
    [
        changed(parent="q"),
        changed(text="COPY . /app/"),
        changed(args={"A": "2"}),
        changed(args={}),
        changed(args={"B": "1"}),
        changed(files={"f": "100755 d", "g": "100644 e"}),
        changed(files={"f": "100644 d"}),
        changed(files={"f2": "100644 d", "g": "100644 e"}),
    ],
)
def test_every_input_changes_the_key(other: StepInputs) -> None:
    assert other.key() != INPUTS.key()


def test_the_order_and_the_name_of_the_base_do_not_change_the_key() -> None:
    files = dict(reversed(INPUTS.files.items()))
    assert changed(files=files, base="other").key() == INPUTS.key()


def test_an_arg_is_no_file() -> None:
    one, two = changed(args={"x": "1"}, files={}), changed(args={}, files={"x": "1"})
    assert one.key() != two.key()


def test_a_record_is_found_by_its_key_with_what_went_in(cache: BuildCache) -> None:
    cache.add("here 0 1", INPUTS, RECORD, now_ns=1)
    found = cache.find(INPUTS.key())
    assert found is not None
    assert (found.top_layer, found.created, found.empty) == ("sha256:1", RECORD.created, False)
    assert found.inputs() == INPUTS
    assert cache.find(changed(text="x").key()) is None


def test_the_newest_record_of_a_place_is_the_one_to_compare_with(cache: BuildCache) -> None:
    cache.add("here", changed(text="old"), RECORD, now_ns=1)
    cache.add("here", changed(text="new"), RECORD, now_ns=2)
    cache.add("there", changed(text="other"), RECORD, now_ns=3)
    found = cache.latest_at("here")
    assert found is not None
    assert found.inputs().text == "new"
    assert cache.latest_at("nowhere") is None


def test_the_cache_names_the_layers_that_must_stay(cache: BuildCache) -> None:
    nothing = CacheRecord(top_layer=None, created="", empty=True)
    cache.add("a", INPUTS, RECORD, now_ns=1)
    cache.add("b", changed(text="x"), nothing, now_ns=1)
    assert cache.layers() == {"sha256:1"}
    cache.forget(INPUTS.key())
    assert cache.layers() == set()


def test_records_tell_which_steps_made_a_layer(cache: BuildCache) -> None:
    cache.add("a", INPUTS, RECORD, now_ns=1)
    nothing = CacheRecord(top_layer=None, created="", empty=True)
    cache.add("b", changed(text="ENV a=b\nmore"), nothing, now_ns=2)
    found = [(one.top_layer, one.empty, one.text) for one in cache.records()]
    assert found == [(None, True, "ENV a=b"), (RECORD.top_layer, False, INPUTS.text)]
    cache.forget(*(one.key for one in cache.records()))
    assert cache.find(INPUTS.key()) is cache.latest_at("a") is None


@pytest.mark.parametrize(
    ("before", "reason"),
    [
        (None, "not built before"),
        (changed(text="COPY x /app"), "instruction changed (was: COPY x /app)"),
        (changed(text="x" * 70), f"instruction changed (was: {'x' * 59}…)"),
        (changed(args={"A": "0"}), "build arg A changed"),
        (changed(args={}), "build arg A changed"),
        (changed(args={"A": "1", "B": "2"}), "build arg B changed"),
        (changed(files={"f": "x", "g": "100644 e"}), "file f changed"),
        (changed(files={"f": "100644 d"}), "file g added"),
        (changed(files={**INPUTS.files, "h": "x"}), "file h removed"),
        (changed(files={"f": "x", "h": "x"}), "file f changed and 2 more"),
        (changed(base="busybox 9"), "base image changed (busybox 9 → busybox 0123)"),
        (changed(base="busybox 9", files={}), "file f added and 1 more"),
        (changed(parent="q"), "a step before it changed"),
        (INPUTS, "its cached layer was removed"),
    ],
)
def test_a_miss_says_what_differs(before: StepInputs | None, reason: str) -> None:
    assert miss_reason(INPUTS, before) == reason
