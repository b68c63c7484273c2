"""Which stages a target needs."""

from __future__ import annotations

import pytest

from pogu.build.graph import Plan, find_stage, plan
from pogu.dockerfile.parser import parse_dockerfile
from pogu.errors import InvalidParameter

FILE = """\
FROM busybox AS base
RUN one
FROM base AS unused
RUN two
RUN three
FROM node AS Tools
FROM base
COPY --from=tools /a /b
RUN --mount=type=bind,from=mounted,target=/x four
"""


def a_plan(text: str, target: str = "") -> Plan:
    dockerfile = parse_dockerfile(text.encode())
    images = {stage.index: stage.base.image for stage in dockerfile.stages}
    return plan(dockerfile, target, images)


def needed(text: str, target: str = "") -> list[int]:
    return [stage.index for stage in a_plan(text, target).stages]


def test_only_what_the_last_stage_stands_on_is_needed() -> None:
    assert needed(FILE) == [0, 2, 3]


@pytest.mark.parametrize(
    ("target", "stages"),
    [
        ("base", [0]),
        ("unused", [0, 1]),
        ("UNUSED", [0, 1]),
        ("tools", [2]),
        ("0", [0]),
        ("3", [0, 2, 3]),
    ],
)
def test_a_target_is_a_name_or_a_number(target: str, stages: list[int]) -> None:
    found = a_plan(FILE, target)
    assert [stage.index for stage in found.stages] == stages
    assert found.target.index == stages[-1]


def test_steps_are_counted_over_the_needed_stages() -> None:
    found = a_plan(FILE)
    assert found.first_steps == {0: 1, 2: 3, 3: 4}
    assert found.total_steps == 6


def test_a_mount_from_a_stage_needs_it() -> None:
    text = "FROM a AS x\nFROM b\nRUN --mount=from=x,target=/m c"
    assert needed(text) == [0, 1]


def test_copy_from_a_number_needs_the_stage_but_from_an_image_none() -> None:
    assert needed("FROM a\nFROM b\nFROM c\nCOPY --from=0 x y") == [0, 2]
    assert needed("FROM a\nFROM b\nCOPY --from=alpine x y\nCOPY --from=7 x y") == [1]


def test_a_stage_knows_only_those_before_it() -> None:
    dockerfile = parse_dockerfile(b"FROM later\nFROM x AS later\nFROM later")
    assert find_stage(dockerfile, "later", before=0) is None
    found = find_stage(dockerfile, "later", before=2)
    assert found is not None
    assert found.index == 1
    assert find_stage(dockerfile, "2", before=2) is None


@pytest.mark.parametrize("target", ["biuld", "9", "x"])
def test_an_unknown_target_is_refused_with_what_there_is(target: str) -> None:
    with pytest.raises(InvalidParameter, match="could not be found") as caught:
        a_plan("FROM a AS build\nFROM b AS test", target)
    assert "build" in (caught.value.hint or "")
