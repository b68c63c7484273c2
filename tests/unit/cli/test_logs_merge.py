"""The lines of several containers come in the order of their times."""

from __future__ import annotations

import struct

from pogu.cli.logs_merge import Lines, Merge


def line(second: int, text: str) -> bytes:
    return f"2026-01-02T03:04:{second:02d}.000000000Z {text}\n".encode()


def frame(stream: int, data: bytes) -> bytes:
    return struct.pack(">BxxxL", stream, len(data)) + data


def texts(merged: Merge, *, all_of_them: bool = False) -> list[str]:
    return [text[31:].decode().strip() for _, _, text in merged.ready(all_of_them=all_of_them)]


def test_frames_are_cut_into_lines_wherever_the_pieces_end() -> None:
    data = frame(1, line(1, "a") + line(2, "b")) + frame(2, line(3, "c"))
    for size in (1, 5, 40, 1000):
        lines = Lines(terminal=False)
        pieces = [data[at : at + size] for at in range(0, len(data), size)]
        found = [one for piece in pieces for one in lines.feed(piece)]
        assert found == [(1, line(1, "a")), (1, line(2, "b")), (2, line(3, "c"))]


def test_a_terminals_output_has_no_frames_and_its_last_line_gets_an_end() -> None:
    lines = Lines(terminal=True)
    assert list(lines.feed(b"one\r\ntwo")) == [(1, b"one\r\n")]
    assert list(lines.finish()) == [(1, b"two\n")]


def test_a_line_waits_until_it_is_known_to_be_the_next() -> None:
    merged = Merge(2)
    merged.add(0, iter([(1, line(2, "b")), (1, line(4, "d"))]))
    assert texts(merged) == []
    assert merged.silent() == [1]
    merged.add(1, iter([(1, line(1, "a")), (1, line(3, "c"))]))
    assert texts(merged) == ["a", "b", "c"]
    merged.open.discard(1)
    assert texts(merged) == ["d"]


def test_a_follower_gets_what_is_there_in_order() -> None:
    merged = Merge(3)
    merged.add(0, iter([(1, line(2, "b"))]))
    merged.add(1, iter([(1, line(1, "a")), (2, line(3, "c"))]))
    assert texts(merged, all_of_them=True) == ["a", "b", "c"]
    assert sorted(merged.silent()) == [0, 1, 2]
