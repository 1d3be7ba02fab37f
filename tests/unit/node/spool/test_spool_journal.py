"""The journal's format: what was written is found, a torn end is an end, and everything else missing is named."""

import itertools
import zlib

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.spool.contract import Accepted
from node.spool.journal import (
    BATCH_BYTES,
    BLOCK,
    VERSION,
    Header,
    Loss,
    NewerJournal,
    arrival_of,
    arrivals_of,
    batch_head,
    header_block,
    padded,
    payload_of,
    scan,
    what_counts,
)
from tests.support.spool_mail import accepted, message

SPOOL = b"0123456789abcdef"


def segment(payloads, *, generation=1, first=1, void_from=0, under=b""):
    """A segment's bytes, written over what was there before."""
    head = Header(generation=generation, first=first, void_from=void_from or first, spool=SPOOL)
    data = header_block(head)
    for number, payload in enumerate(payloads, first):
        data += (batch_head(generation, number, payload, 1) + payload).ljust(padded(BATCH_BYTES + len(payload)), b"\0")
    return data + under[len(data) :]


def numbers(found):
    return [batch.number for batch in found]


def test_each_message_keeps_the_number_of_its_pairing():
    arrivals = [arrival_of(Accepted(message=message(), body=b"x", pairing=n), 1) for n in (None, 0, 7)]
    found, _ = arrivals_of(payload_of(arrivals))
    assert [one.item.pairing for one in found] == [None, 0, 7]


def test_a_batch_of_an_earlier_version_is_read():
    """It had four fields a message."""
    made = arrival_of(accepted(message(), b"hello"), 5)
    payload = msgspec.msgpack.encode([[msgspec.Raw(made.facts), 5, "", b"hello"]])
    found, unreadable = arrivals_of(payload)
    assert unreadable == []
    assert [(one.item.message, one.item.body, one.item.pairing) for one in found] == [
        (made.item.message, b"hello", None)
    ]


def test_messages_come_back_as_they_were():
    arrivals = [arrival_of(accepted(message(), b"x" * n), n) for n in (0, 1, 5_000)]
    arrivals.append(arrival_of(accepted(message(), b""), 300_000, "ab/name"))
    found, unreadable = arrivals_of(payload_of(arrivals))
    assert unreadable == []
    assert [one.item.message for one in found] == [one.item.message for one in arrivals]
    assert [one.facts for one in found] == [one.facts for one in arrivals]
    assert [one.item.body for one in found[:3]] == [b"", b"x", b"x" * 5_000]
    assert (found[3].file, found[3].size_bytes, found[3].item.body.size_bytes) == ("ab/name", 300_000, 300_000)


def test_facts_that_cannot_be_read_are_given_back_as_bytes():
    good, bad = arrival_of(accepted(message()), 24), arrival_of(accepted(message(), b"body"), 4)
    text = b"\xda" + (len(bad.facts) - 3).to_bytes(2, "big") + b"z" * (len(bad.facts) - 3)
    payload = payload_of([good, bad]).replace(bad.facts, text)
    found, unreadable = arrivals_of(payload)
    assert [one.item.message.id for one in found] == [good.item.message.id]
    assert len(unreadable) == 1
    assert unreadable[0].endswith(b"zbody")


def test_a_segment_is_read_as_written():
    payloads = [b"a" * size for size in (1, BLOCK - BATCH_BYTES, BLOCK - BATCH_BYTES + 1, 3 * BLOCK)]
    data = segment(payloads, first=7) + bytes(5 * BLOCK)
    one = scan("s", data)
    assert one.header == Header(generation=1, first=7, void_from=7, spool=SPOOL)
    assert [batch.payload for batch in one.batches] == payloads
    assert numbers(one.batches) == [7, 8, 9, 10]
    assert [gap.before for gap in one.gaps] == [0]
    assert what_counts([one], 6) == (one.batches, [])
    assert numbers(what_counts([one], 8)[0]) == [9, 10]


@pytest.mark.parametrize("data", [b"", bytes(BLOCK), bytes(20 * BLOCK)], ids=["empty", "block", "long"])
def test_a_blank_segment_is_nothing(data):
    one = scan("s", data)
    assert (one.header, list(one.batches), one.garbage) == (None, [], False)


def test_garbage_is_told_from_blank():
    assert scan("s", b"rubbish" * BLOCK).garbage


def test_a_newer_version_is_named():
    data = bytearray(segment([b"a"]))
    data[4:6] = (VERSION + 1).to_bytes(2, "little")
    assert scan("s", bytes(data)).garbage, "a version that no checksum covers is damage, not a version"

    data[60:64] = zlib.crc32(data[:60]).to_bytes(4, "little")
    with pytest.raises(NewerJournal) as newer:
        scan("s", bytes(data))
    assert newer.value.args == (VERSION + 1,)


@pytest.mark.parametrize("under", [0, 1], ids=["on zeros", "on an older use"])
def test_a_tail_cut_at_any_place_is_the_end_and_no_loss(under):
    """Whatever part of the last batch reached the disk, block by block or cut within."""
    old = segment([b"o" * 6_000] * 5, generation=1, first=1) if under else bytes(16 * BLOCK)
    new = segment([b"n" * 6_000, b"m" * 9_000], generation=2, first=6, under=old)
    whole = segment([b"n" * 6_000], generation=2, first=6)
    for cut in itertools.chain(range(len(whole), len(whole) + 40), range(len(whole) + 40, len(whole) + 9_000, 211)):
        torn = new[:cut] + old[cut:]
        batches, losses = what_counts([scan("s", torn)], 5)
        assert numbers(batches) == [6]
        assert losses == []


def test_blocks_of_a_torn_batch_in_any_order():
    before = bytes(16 * BLOCK)
    whole = segment([b"n" * 100, b"m" * 3 * BLOCK], under=before)
    start = 2 * BLOCK
    for missing in range(4):
        torn = bytearray(whole)
        torn[start + missing * BLOCK : start + (missing + 1) * BLOCK] = bytes(BLOCK)
        batches, losses = what_counts([scan("s", bytes(torn))], 0)
        assert numbers(batches) == [1]
        assert losses == []


@given(sizes=st.lists(st.integers(1, 9_000), min_size=3, max_size=6), at=st.floats(0, 1), bit=st.integers(0, 7))
@settings(max_examples=150, deadline=None)
def test_any_bit_flipped_before_the_last_batch_is_told_and_the_rest_counts(sizes, at, bit):
    payloads = [bytes([65 + n]) * size for n, size in enumerate(sizes)]
    data = bytearray(segment(payloads))
    starts = list(itertools.accumulate((padded(BATCH_BYTES + size) for size in sizes[:-1]), initial=BLOCK))
    place = BLOCK + int(at * (starts[-1] - BLOCK - 1))
    hit = max(n for n, start in enumerate(starts) if start <= place)
    covered = place < starts[hit] + BATCH_BYTES + sizes[hit]
    data[place] ^= 1 << bit
    batches, losses = what_counts([scan("s", bytes(data))], 0)
    if not covered:  # the filling up to the next block
        assert numbers(batches) == list(range(1, len(sizes) + 1))
        assert losses == []
        return
    assert numbers(batches) == [n for n in range(1, len(sizes) + 1) if n != hit + 1]
    assert [(loss.first, loss.last) for loss in losses] == [(hit + 1, hit + 1)]
    assert losses[0].start <= place < losses[0].end
    assert what_counts([scan("s", bytes(data))], hit + 1)[1] == [], "what is in the database is no loss"


def test_the_end_of_a_segment_that_another_follows_is_no_end():
    first = segment([b"a", b"b", b"c"], generation=4)
    torn = first[: 3 * BLOCK] + bytes(BLOCK)
    batches, losses = what_counts([scan("two", segment([b"d"], generation=5, first=4)), scan("one", torn)], 0)
    assert numbers(batches) == [1, 2, 4]
    assert losses == [Loss(name="one", start=3 * BLOCK, end=4 * BLOCK, first=3, last=3)]


def test_a_segment_that_is_gone_is_told():
    one, three = segment([b"a"], generation=1), segment([b"c"], generation=3, first=3)
    assert [(loss.first, loss.last) for loss in what_counts([scan("one", one), scan("three", three)], 0)[1]] == [(2, 2)]
    assert what_counts([scan("three", three)], 0)[1] == [Loss(name="", start=0, end=0, first=1, last=2)]
    assert what_counts([scan("three", three)], 2)[1] == []


def test_batches_declared_void_do_not_count_and_are_not_missed():
    one = segment([b"a", b"b", b"c"], generation=1)
    two = segment([b"e"], generation=2, first=5, void_from=3)
    batches, losses = what_counts([scan("one", one), scan("two", two)], 0)
    assert numbers(batches) == [1, 2, 5]
    assert losses == []


def test_without_a_mark_everything_there_counts():
    batches, losses = what_counts([scan("s", segment([b"a", b"b"], first=9))], None)
    assert numbers(batches) == [9, 10]
    assert losses == []


def test_batches_below_a_lost_header_prove_themselves():
    data = segment([b"a", b"b"], generation=3, first=5, under=segment([b"o"] * 8, generation=1))
    headless = scan("s", bytes(range(256)) * 16 + data[BLOCK:])
    assert headless.garbage
    assert numbers(what_counts([headless], 4)[0]) == [5, 6]
    blanked = scan("s", bytes(BLOCK) + data[BLOCK:])
    assert not blanked.garbage, "blanking begins at the front"
