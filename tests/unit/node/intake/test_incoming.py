import random

import pytest

from node.intake.incoming import (
    DRAIN_SLACK_BYTES,
    MAX_BODY_LINE_BYTES,
    MAX_HEADER_BYTES,
    DataReader,
    Fault,
    longest_exceeds,
    uniform_lines,
)
from node.intake.lines import UNIFORM_MIN_LINES


def read(octets, *, limit=1 << 20, normalise=False, cuts=None):
    reader = DataReader(limit, normalise=normalise)
    chunks = [octets] if cuts is None else [octets[a:b] for a, b in zip([0, *cuts], [*cuts, len(octets)], strict=True)]
    body, rest = [], b""
    for chunk in chunks:
        if reader.done:
            rest += chunk
        elif chunk:
            reader.feed(chunk)
            body += reader.take_body()
    return reader, reader.header + b"".join(body), reader.rest + rest


CASES = [
    (b"A: b\r\n\r\nbody\r\n.\r\nQUIT\r\n", False, None, b"A: b\r\n\r\nbody\r\n", b"QUIT\r\n"),
    (b".\r\nNOOP\r\n", False, None, b"", b"NOOP\r\n"),
    (b"A: b\r\n.\r\n", False, None, b"A: b\r\n", b""),
    (b"\r\nonly body\r\n.\r\n", False, None, b"\r\nonly body\r\n", b""),
    (b"A: b\r\n\r\n..x\r\n...\r\n.y\r\n.\r\n", False, None, b"A: b\r\n\r\n.x\r\n..\r\ny\r\n", b""),
    (b"A: b\r\n\r\nx\n.\r\n.\r\n", True, None, b"A: b\r\n\r\nx\r\n.\r\n", b""),
    (b"A: b\n\nx\ny\r\n.\r\n", True, None, b"A: b\r\n\r\nx\r\ny\r\n", b""),
    (b"A: b\r\n\r\nx\n.\n.\n.\r\n\r\n.\r\n", True, None, b"A: b\r\n\r\nx\r\n.\r\n.\r\n.\r\n\r\n", b""),
    (b"A: b\r\n\r\nx\ny\r\n.\r\n", False, Fault.BARE_LF, b"", None),
    (b"A: b\r\n\r\nx\ry\r\n.\r\n", False, Fault.BARE_CR, b"", None),
    (b"A: b\r\n\r\nx\ry\r\n.\r\n", True, Fault.BARE_CR, b"", None),
    (b"A: b\r\n\r\nx\0y\r\n.\r\nNOOP\r\n", False, Fault.NUL, b"", b"NOOP\r\n"),
    (b"A\0: b\r\n\r\nxy\r\n.\r\nNOOP\r\n", False, Fault.NUL, b"", b"NOOP\r\n"),
]


@pytest.mark.parametrize("way", ["whole", "bytes", "random"])
@pytest.mark.parametrize(("octets", "normalise", "fault", "kept", "rest"), CASES)
def test_reads_the_same_however_it_is_cut(octets, normalise, fault, kept, rest, way):
    seeded = random.Random(7)
    for _ in range(20 if way == "random" else 1):
        cuts = {
            "whole": None,
            "bytes": list(range(1, len(octets))),
            "random": sorted(seeded.sample(range(1, len(octets)), min(3, len(octets) - 1))),
        }[way]
        reader, got, after = read(octets, normalise=normalise, cuts=cuts)
        assert reader.done
        assert reader.fault is fault
        if fault is None:
            assert got == kept
        if rest is not None:
            assert after == rest


@pytest.mark.parametrize(
    ("octets", "fault"),
    [
        (b"A: b\r\n\r\n" + b"x" * 3000 + b"\r\n.\r\n", Fault.SIZE),
        (b"A: b\r\n\r\n" + (b"x" * 70 + b"\r\n") * 50 + b".\r\n", Fault.SIZE),
    ],
)
def test_too_large_is_read_to_its_end(octets, fault):
    for cuts in (None, list(range(100, len(octets), 100))):
        reader, _, rest = read(octets + b"NOOP\r\n", limit=2000, cuts=cuts)
        assert reader.done
        assert reader.fault is fault
        assert rest == b"NOOP\r\n"
        assert not reader.closes


def test_body_lines_and_headers_are_bounded():
    line = b"x" * MAX_BODY_LINE_BYTES
    for extra, fault in ((b"", None), (b"y", Fault.BODY_LINE)):
        octets = b"A: b\r\n\r\n" + line + extra + b"\r\n.\r\n"
        for cuts in (None, list(range(5000, len(octets), 5000))):
            reader, _, _ = read(octets, cuts=cuts)
            assert reader.done
            assert reader.fault is fault
    reader, _, _ = read(b"A: b\r\n" * (MAX_HEADER_BYTES // 6 + 1) + b"\r\n.\r\n")
    assert reader.fault is Fault.HEADER


def test_what_never_ends_is_cut_off():
    reader = DataReader(1000)
    for _ in range(DRAIN_SLACK_BYTES // 100_000 + 3):
        if not reader.done:
            reader.feed(b"x" * 100_000)
            assert len(reader._held) <= MAX_BODY_LINE_BYTES + 100_002
    assert reader.closes
    reader = DataReader(1000)
    for _ in range(DRAIN_SLACK_BYTES // 100_000 + 3):
        if not reader.done:
            reader.feed(b"x" * 99_998 + b"\r\n")
    assert reader.closes


def test_bare_line_feeds_are_seen_without_waiting_for_a_proper_end():
    reader = DataReader(1000)
    reader.feed(b"A: b\n\nhello\n.\n")
    assert reader.fault is Fault.BARE_LF


def test_eight_bit_is_noticed():
    assert read(b"A: b\r\n\r\n\xc3\xa4\r\n.\r\n")[0].eight_bit
    assert not read(b"A: b\r\n\r\na\r\n.\r\n")[0].eight_bit


@pytest.mark.parametrize("length", [9, 10, 11, 12, 30])
def test_longest_line(length):
    for before in (b"", b"ab\r\n" * 7, b"123456789\r\n" * 3):
        assert longest_exceeds(before + b"x" * length + b"\r\n", 10) == (length > 10)
        assert longest_exceeds(b"x" * length + b"\r\n" + before, 10) == (length > 10)


def test_lines_of_one_length_are_seen_at_once_and_every_stray_octet_is_found():
    block = b"abc\r\n" * 70 + b"ab\r\n"
    assert uniform_lines(block)
    assert uniform_lines(block[:-4])
    for at in range(len(block)):
        for octet in (b"\r", b"\n", b"x"):
            spoiled = block[:at] + octet + block[at + 1 :]
            changed = spoiled != block and (octet != b"x" or block[at : at + 1] in b"\r\n")
            assert uniform_lines(spoiled) is not changed, (at, octet)


@pytest.mark.parametrize(
    "block", [b"", b"\n" * 200, b"\r\n" * (UNIFORM_MIN_LINES - 1), b"a\r\n" * 80 + b"a", b"a\r\n" * 80 + b"\n"]
)
def test_what_is_not_of_one_length_is_left_to_the_longer_look(block):
    assert not uniform_lines(block)


def test_a_stray_octet_in_an_attachment_is_refused():
    line = b"A" * 76 + b"\r\n"
    for stray, fault in ((b"A" * 75 + b"\n\r\n", Fault.BARE_LF), (b"A" * 75 + b"\r\r\n", Fault.BARE_CR)):
        reader, _, _ = read(b"A: b\r\n\r\n" + line * 300 + stray + line * 300 + b".\r\n", cuts=[5000])
        assert reader.fault is fault
