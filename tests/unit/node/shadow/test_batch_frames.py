"""Batches as octets: what was written is read, and whatever else comes is refused by name."""

import os
import struct

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.policy.envelope import RecipientState
from node.shadow import frames
from node.shadow.entries import PIECE_BYTES, Discard, Intent, Lines, Outcome, Piece, Progress
from node.shadow.errors import BadBatch, Damaged, Gap, Malformed, TooLarge, Torn, UnknownKind, WrongStream, WrongVersion
from node.shadow.frames import Standing, decode, encode, standing
from node.spool.contract import JourneyLine
from tests.support.copies import copy, header

ids = st.from_regex(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,40}", fullmatch=True)
times = st.integers(0, 2**62)
texts = st.text(max_size=30)
progress = st.lists(
    st.builds(
        Progress,
        index=st.integers(0, 999),
        state=st.sampled_from(RecipientState),
        attempts=st.integers(0, 99),
        next_attempt_ms=times,
        reason=texts,
        reply=texts,
        way=texts,
        traceparent=texts,
    ),
    max_size=3,
).map(tuple)
line = st.builds(
    JourneyLine, at_ms=times, event=texts, indexes=st.lists(st.integers(0, 9), max_size=3).map(tuple),
    detail=st.dictionaries(texts, st.one_of(texts, times), max_size=2),
)  # fmt: skip
entries = st.one_of(
    st.builds(copy, ids, st.binary(max_size=300), progress=progress),
    st.builds(lambda name, size: copy(name, b"", size_bytes=size, pieced=True), ids, st.integers(0, 1 << 27)),
    st.builds(Piece, message_id=ids, start=st.integers(0, 1 << 27), data=st.binary(min_size=1, max_size=300)),
    st.builds(Discard, message_ids=st.lists(ids, max_size=5).map(tuple), at_ms=times),
    st.builds(Intent, message_id=ids, attempt_id=texts, indexes=st.tuples(st.integers(0, 9)), dot_ms=times),
    st.builds(Outcome, message_id=ids, attempt_id=texts, progress=progress),
    st.builds(Lines, message_id=ids, lines=st.lists(line, max_size=2).map(tuple)),
)
headers = st.builds(
    header,
    st.integers(1, 2**62),
    st.integers(1, 2**62),
    epoch=st.integers(1, 2**62),
    spool=st.uuids().map(str),
    cluster=st.from_regex(r"[a-z0-9][a-z0-9-]{0,62}", fullmatch=True),
)


@given(headers, st.lists(entries, max_size=6))
def test_what_was_written_is_read(head, carried):
    found = decode(encode(head, carried))
    assert (found.header, list(found.entries)) == (head, carried)


@given(headers, st.lists(entries, max_size=3), st.data())
def test_a_cut_batch_is_torn(head, carried, data):
    whole = encode(head, carried)
    end = data.draw(st.integers(0, len(whole) - 1))
    with pytest.raises(Torn):
        decode(whole[:end])
    with pytest.raises(Torn):
        decode(whole + b"x")


@given(headers, st.lists(entries, max_size=3), st.data())
def test_no_changed_bit_is_overlooked(head, carried, data):
    whole = bytearray(encode(head, carried))
    bit = data.draw(st.integers(0, len(whole) * 8 - 1))
    whole[bit // 8] ^= 1 << bit % 8
    with pytest.raises(BadBatch):
        decode(bytes(whole))


@settings(max_examples=300)
@given(st.binary(max_size=400))
def test_random_octets_raise_nothing_but_ours(octets):
    for data in (octets, b"M3CB" + octets, b"M3CB" + struct.pack("<H", frames.VERSION) + octets):
        with pytest.raises(BadBatch):
            decode(data)


@settings(max_examples=300)
@given(st.integers(0, 255), st.binary(max_size=120), st.binary(max_size=40))
def test_well_sealed_nonsense_raises_nothing_but_ours(kind, facts, body):
    """Whoever seals it right may still mean harm, or be newer."""
    whole = sealed(header(), [(kind, facts, body)])
    try:
        decode(whole)
    except BadBatch:
        return
    assert kind in range(1, 7)


def sealed(head, parts, *, version=frames.VERSION, count=None) -> bytes:
    """Write a batch of any octets, with a seal that fits."""
    plain = bytearray(encode(head, []))[: -frames._SEAL_BYTES]
    plain[4:6] = struct.pack("<H", version)
    plain[8:12] = struct.pack("<I", len(parts) if count is None else count)
    for kind, facts, body in parts:
        plain += frames._HEAD.pack(kind, len(facts), len(body)) + facts + body
    return bytes(plain) + frames.blake2b(bytes(plain), digest_size=frames._SEAL_BYTES).digest()


def test_another_version_is_refused_as_that_whatever_follows():
    with pytest.raises(WrongVersion, match="version 2, this node speaks 1"):
        decode(sealed(header(), [(99, b"?", b"")], version=2))
    assert not WrongVersion.temporary


def test_a_kind_of_a_later_version_is_refused_by_its_number_and_fields_of_one_are_passed_over():
    with pytest.raises(UnknownKind, match="an entry of kind 7, this version knows 1 to 6") as caught:
        decode(sealed(header(), [(7, b"?", b"")]))
    assert caught.value.word == "unknown-kind"
    said = Intent(message_id="m", attempt_id="a", indexes=(0,), dot_ms=5)
    facts = msgspec.msgpack.encode(msgspec.structs.asdict(said) | {"later": {"more": [1]}})
    assert decode(sealed(header(), [(4, facts, b"")])).entries == (said,)
    with pytest.raises(Malformed, match="kind 4 with a body"):
        decode(sealed(header(), [(4, facts, b"x")]))


def test_a_changed_body_is_damaged_and_changed_heads_are_too():
    whole = encode(header(), [copy("m1", b"A" * 100)])
    at = whole.index(b"A" * 100)
    with pytest.raises(Damaged, match="seal"):
        decode(whole[:at] + b"B" + whole[at + 1 :])
    with pytest.raises(Damaged, match="seal"):
        decode(whole[:-1] + bytes([whole[-1] ^ 1]))


def test_too_large_is_refused_on_both_sides():
    many = [Discard(message_ids=(), at_ms=0)] * (frames.ENTRIES_MAX + 1)
    with pytest.raises(TooLarge):
        encode(header(), many)
    with pytest.raises(TooLarge):
        encode(header(), [copy("m", os.urandom(frames.BATCH_BYTES_MAX))])
    with pytest.raises(TooLarge):
        decode(bytes(frames.BATCH_BYTES_MAX + 1))
    with pytest.raises(TooLarge, match="entries"):
        decode(sealed(header(), [], count=frames.ENTRIES_MAX + 1))
    with pytest.raises(TooLarge, match="facts"):
        decode(sealed(header(), [(3, bytes(frames.FACTS_BYTES_MAX + 1), b"")]))


WRONG = {
    "an id that is a path": Discard(message_ids=("../etc",), at_ms=0),
    "an id that hides": Discard(message_ids=(".m",), at_ms=0),
    "an empty id": Intent(message_id="", attempt_id="a", indexes=(), dot_ms=0),
    "a time below nothing": Intent(message_id="m", attempt_id="a", indexes=(), dot_ms=-1),
    "a time beyond the store": Discard(message_ids=(), at_ms=1 << 63),
    "a body of another size": copy("m", b"abc", size_bytes=4),
    "a body beside pieces": copy("m", b"abc", pieced=True),
    "a body below nothing": copy("m", b"", size_bytes=-1, pieced=True),
    "a body beyond all bounds": copy("m", b"", size_bytes=frames.BODY_BYTES_MAX + 1, pieced=True),
    "an empty piece": Piece(message_id="m", start=0, data=b""),
    "a large piece": Piece(message_id="m", start=0, data=bytes(PIECE_BYTES + 1)),
    "a piece before the body": Piece(message_id="m", start=-1, data=b"x"),
    "facts that are none": copy("m", b"", facts=b"\x80"),
}


@pytest.mark.parametrize("entry", WRONG.values(), ids=WRONG.keys())
def test_entries_that_say_what_cannot_be(entry):
    with pytest.raises(Malformed):
        decode(encode(header(), [entry]))


@pytest.mark.parametrize("field", ["epoch", "stream", "sequence"])
def test_a_header_without_a_number(field):
    for wrong in (0, 1 << 63):
        with pytest.raises(Malformed):
            decode(
                encode(header(**{"epoch": 1} | {field: wrong}) if field == "epoch" else with_field(field, wrong), [])
            )


def with_field(field, value):
    return header(value, 1) if field == "sequence" else header(1, value)


def test_how_a_batch_stands_to_those_before_it():
    assert standing(header(5, 2), stream=2, expected=5) is Standing.NEXT
    assert standing(header(4, 2), stream=2, expected=5) is Standing.REPLAYED
    with pytest.raises(Gap) as gap:
        standing(header(6, 2), stream=2, expected=5)
    assert gap.value.expected == 5
    for other in (1, 3):
        with pytest.raises(WrongStream):
            standing(header(5, other), stream=2, expected=5)
