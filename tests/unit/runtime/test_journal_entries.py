"""The journal's export stream: entries, the lines they stand for, where the last lines begin."""

from __future__ import annotations

from pogu.runtime.journal_entries import JournalEntries, JournalEntry, JournalTail, file_lines
from pogu.runtime.logformat import LogView, Rendering

SECOND_US = 1_767_323_045_000_000
"""2026-01-02T03:04:05 UTC."""


def exported(message: bytes, *fields: bytes, number: int = 0) -> bytes:
    """An entry as journalctl prints it; a message with a control character is length and bytes."""
    head = b"__CURSOR=c%d\n__REALTIME_TIMESTAMP=%d\n" % (number, SECOND_US + number)
    text = b"MESSAGE\n" + len(message).to_bytes(8, "little") + message + b"\n"
    return head + b"".join(field + b"\n" for field in fields) + text + b"\n"


def entry(text: bytes, *, number: int = 0, stream: int = 1, ends: bool = True) -> JournalEntry:
    return JournalEntry(b"c%d" % number, SECOND_US + number, stream, ends, text)


def test_an_entry_is_a_line_without_its_end() -> None:
    stream = exported(b"hello\n", b"PRIORITY=6") + exported(b"oh", b"PRIORITY=3", number=1)
    found = list(JournalEntries().feed(stream))
    assert found == [entry(b"hello"), entry(b"oh", number=1, stream=2)]


def test_a_message_of_text_may_hold_the_sign_that_separates() -> None:
    plain = b"__CURSOR=c0\n__REALTIME_TIMESTAMP=%d\nMESSAGE=a=b\n\n" % SECOND_US
    assert list(JournalEntries().feed(plain)) == [entry(b"a=b")]


def test_any_bytes_come_through_however_the_stream_is_cut() -> None:
    messages = [bytes(range(256)), b"", b"\n\n", b"a\n\nMESSAGE=b\n", b"\0" * 300]
    stream = b"".join(exported(text + b"\n", number=at) for at, text in enumerate(messages))
    for size in (1, 2, 7, 64, 1 << 20):
        entries = JournalEntries()
        found: list[JournalEntry] = []
        for at in range(0, len(stream), size):
            found += entries.feed(stream[at : at + size])
        assert [one.text for one in found] == messages, size


def test_the_time_is_when_it_was_sent() -> None:
    sent = b"_SOURCE_REALTIME_TIMESTAMP=%d" % (SECOND_US - 5)
    assert next(JournalEntries().feed(exported(b"x", sent))).time_us == SECOND_US - 5


def test_an_entry_without_a_message_is_left_out() -> None:
    bare = b"__CURSOR=c9\n__REALTIME_TIMESTAMP=1\nPRIORITY=6\n\n"
    assert list(JournalEntries().feed(bare + exported(b"x"))) == [entry(b"x")]


def test_entries_are_shown_as_the_file_s_lines_are() -> None:
    lines = file_lines([entry(b"out"), entry(b"err", stream=2, number=1), entry(b"")])
    shown = Rendering(LogView(timestamps=True)).feed(lines)
    assert shown == (
        b"2026-01-02T03:04:05.000000000Z out\n"
        b"2026-01-02T03:04:05.000001000Z err\n"
        b"2026-01-02T03:04:05.000000000Z \n"
    )


def test_pieces_of_a_line_are_put_together() -> None:
    piece = exported(b"long ", b"CONTAINER_PARTIAL_MESSAGE=true")
    found = list(JournalEntries().feed(piece + exported(b"line\n")))
    assert Rendering(LogView()).feed(file_lines(found)) == b"long line\n"


def tail(lines: int, *newest_first: JournalEntry) -> tuple[bool, bytes]:
    found = JournalTail(lines)
    return found.feed(iter(newest_first)), found.cursor


def test_the_last_lines_begin_after_the_line_before_them() -> None:
    entries = [entry(b"x", number=at) for at in (4, 3, 2, 1)]
    assert tail(2, *entries) == (True, b"c2")
    assert tail(0, *entries) == (True, b"c4")


def test_all_is_wanted_where_there_is_no_more() -> None:
    assert tail(2, entry(b"x", number=2), entry(b"x", number=1)) == (False, b"")


def test_what_has_no_line_end_yet_counts_as_a_line() -> None:
    prompt = entry(b"$ ", number=4, ends=False)
    lines = [entry(b"x", number=at) for at in (3, 2, 1)]
    assert tail(2, prompt, *lines) == (True, b"c2")
    assert tail(1, prompt, *lines) == (True, b"c3")
