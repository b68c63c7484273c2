"""conmon's lines become what was written, in the shape that the reader asked for."""

from __future__ import annotations

import struct

import pytest
from tests.builders import k8s_line

from pogu.runtime.logformat import LogView, Rendering, utc_stamp

START_NS = 1_767_323_040 * 10**9
"""2026-01-02 03:04:00 UTC."""
STAMP = b"2026-01-02T03:04:0%d.000000000Z "
MIXED = [
    k8s_line("one ", second=1, tag="P"),
    k8s_line("err", second=2, stream="stderr"),
    k8s_line("line", second=3),
    k8s_line("more", second=4),
]


def rendered(*lines: bytes, skip: int = 0, block: int = 0, **options: object) -> bytes:
    rendering = Rendering(LogView(**options), skip=skip)  # type: ignore[arg-type]
    data = b"".join(lines)
    size = block or len(data) or 1
    parts = [rendering.feed(data[at : at + size]) for at in range(0, len(data), size)]
    return b"".join(parts) + rendering.finish()


def frames(data: bytes) -> list[tuple[int, bytes]]:
    found = []
    while data:
        stream, length = struct.unpack(">BxxxL", data[:8])
        found.append((stream, data[8 : 8 + length]))
        data = data[8 + length :]
    return found


def test_a_line_keeps_its_stream_and_bytes() -> None:
    data = bytes(range(256)).replace(b"\n", b"")
    found = rendered(k8s_line(data, stream="stderr"), framed=True)
    assert frames(found) == [(2, data + b"\n")]


@pytest.mark.parametrize("block", [0, 1, 7, 64, 100])
@pytest.mark.parametrize("joined", [True, False])
def test_partial_lines_are_joined_within_their_stream(block: int, joined: bool) -> None:
    found = frames(rendered(*MIXED, block=block, framed=True, joined=joined))
    assert b"".join(data for stream, data in found if stream == 1) == b"one line\nmore\n"
    assert b"".join(data for stream, data in found if stream == 2) == b"err\n"
    assert joined or found == [(2, b"err\n"), (1, b"one line\n"), (1, b"more\n")]


def test_a_run_of_one_stream_is_one_frame_for_who_joins_and_a_frame_a_line_for_others() -> None:
    lines = [k8s_line("a"), k8s_line("b", tag="P"), k8s_line("c")]
    assert frames(rendered(*lines, framed=True, joined=True)) == [(1, b"a\nbc\n")]
    assert frames(rendered(*lines, framed=True)) == [(1, b"a\n"), (1, b"bc\n")]
    assert rendered(*lines) == b"a\nbc\n"


@pytest.mark.parametrize("block", [0, 53, 54, 60])
def test_a_line_that_began_in_a_simple_block_goes_on_in_another(block: int) -> None:
    lines = [k8s_line("one ", tag="P"), k8s_line("e", stream="stderr"), k8s_line("line")]
    found = frames(rendered(*lines, block=block, framed=True, joined=True))
    assert b"".join(data for stream, data in found if stream == 1) == b"one line\n"


def test_timestamps_and_details_stand_once_before_each_line() -> None:
    found = rendered(*MIXED, timestamps=True, details=b"a=1 ")
    assert found == b"".join(
        [STAMP % 2 + b"a=1 err\n", STAMP % 1 + b"a=1 one line\n", STAMP % 4 + b"a=1 more\n"]
    )


@pytest.mark.parametrize(
    ("stamp", "shown"),
    [
        (b"2026-01-02T03:04:00.123456789+00:00", b"2026-01-02T03:04:00.123456789Z"),
        (b"2026-01-02T12:04:00.000000001+09:00", b"2026-01-02T03:04:00.000000001Z"),
        (b"2026-01-01T21:34:00.000000000-05:30", b"2026-01-02T03:04:00.000000000Z"),
        (b"2026-01-02T03:04:00Z", b"2026-01-02T03:04:00.000000000Z"),
    ],
)
def test_a_time_is_shown_in_utc(stamp: bytes, shown: bytes) -> None:
    assert rendered(stamp + b" stdout F x\n", timestamps=True) == shown + b" x\n"


def test_torn_lines_are_left_out() -> None:
    torn = [b"2026-01-02T03:0\n", b"\n", b"2026-01-02T03:04:05 stdo"]
    assert rendered(torn[0], torn[1], k8s_line("whole"), torn[2]) == b"whole\n"


def test_text_that_looks_like_a_head_stays() -> None:
    inner = k8s_line("x", tag="P").rstrip(b"\n")
    assert rendered(k8s_line(inner), k8s_line(inner, tag="P")) == inner + b"\n" + inner


def test_a_stream_that_is_not_wanted_is_left_out() -> None:
    assert rendered(*MIXED, streams=frozenset((2,))) == b"err\n"
    assert rendered(*MIXED, streams=frozenset((1,))) == b"one line\nmore\n"


def test_since_and_until_bound_the_lines_by_their_beginning() -> None:
    lines = [k8s_line(str(second), second=second) for second in range(1, 10)]
    since, until = START_NS + 3 * 10**9, START_NS + 5 * 10**9
    assert rendered(*lines, since_ns=since, until_ns=until) == b"3\n4\n5\n"


def test_skipped_lines_are_whole_lines() -> None:
    assert rendered(*MIXED, skip=1) == b"one line\nmore\n"
    assert rendered(*MIXED, skip=2) == b"more\n"


def test_a_line_without_end_comes_in_pieces_with_one_timestamp() -> None:
    chunk = "x" * 8191
    lines = [k8s_line(chunk, second=1, tag="P")] * 400 + [k8s_line("end", second=2)]
    found = frames(rendered(*lines, framed=True, timestamps=True))
    assert b"".join(data for _, data in found) == STAMP % 1 + chunk.encode() * 400 + b"end\n"
    assert max(len(data) for _, data in found) < (1 << 20) + 2 * 8192


def test_a_stamp_compares_as_its_time_does() -> None:
    assert utc_stamp(START_NS + 1) == b"2026-01-02T03:04:00.000000001"
    assert utc_stamp(1 << 80) > utc_stamp(START_NS)
