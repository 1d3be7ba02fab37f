"""Readers of what lies on disks, in etcd, and in what nodes and workers say to each other."""

import struct
from collections.abc import Callable
from contextlib import suppress

import msgspec

from coordinator.budget import day_part, holding
from coordinator.budget.holding import Overdrawn
from coordinator.budget.raising import raised, together
from coordinator.budget.turns import Scene, ScopeKeys
from coordinator.inforce import InForce, Wanted
from coordinator.keys import decode, plain
from coordinator.members import MemberRecord
from coordinator.ownership.records import UnreadableRecord, read_pairing, read_spool, write
from coordinator.store.contract import Item
from coordinator.versions.record import Settled
from node.cluster.health_records import decoded
from node.intake.errors import ChannelBrokenError
from node.intake.frames import MAX_FRAME_BYTES, Done, FrameReader, FromCore, FromWorker, Serving, pack
from node.policy.envelope import OnUnknown, RecipientState
from node.shadow import frames, questions, words
from node.shadow.entries import Discard, Intent, Outcome, Piece, Progress
from node.shadow.errors import BadBatch, Refused
from node.shadow.telling import progress_of, told_of
from node.spool.journal import (
    BATCH_BYTES,
    BLOCK,
    Header,
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
from node.spool.rows import Unreadable, careful_of, facts_of, journey_of, message_of
from tests.fuzz.mail import cut
from tests.fuzz.target import Target, pure
from tests.support.copies import copy, header
from tests.support.spool_mail import accepted, message

SCOPE = ScopeKeys(record="record", slots="slot/", waits="wait/")
ANY_READING = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
DEEP_JSON, DEEP_PACK = b'{"z":' + b"[" * 3_000, b"\x81\xa1z" + b"\x91" * 3_000
JSON_WORDS = (b'"', b"\\ud800", b"\xff", b"null", b"true", b"-1", b"1e999", b"[]", b"{}", b"18446744073709551616",
              b"9" * 4_400, b'"' + b"9" * 4_400 + b'":1', b'"held/' + b"9" * 4_400 + b'":""', DEEP_JSON)  # fmt: skip
PACK_WORDS = (
    b"\xc0",
    b"\xc1",
    b"\xff",
    b"\xa1\xff",
    b"\xdf\xff\xff\xff\xff",
    b"\xc6\xff\xff\xff\xff",
    b"\x80",
    DEEP_PACK,
)


def copies(data: bytes) -> None:
    """A batch, as it came and with its seal made right, so that what stands inside is read as well."""
    for octets in (data, _sealed(data)):
        try:
            found = frames.decode(octets)
        except BadBatch:
            continue
        again = frames.decode(frames.encode(found.header, found.entries))
        assert (again.header, again.entries) == (found.header, found.entries)


def _sealed(data: bytes) -> bytes:
    return data[:-16] + frames._seal(data[:-16])


def asked(data: bytes) -> None:
    for kind in (questions.Asked, questions.AskedBack, questions.Brought):
        _refused(lambda kind=kind: questions.read(data, kind), BadBatch)
    _refused(lambda: words.begin_of(data), BadBatch)
    _refused(lambda: words.answer_of(data), Refused)


def _refused(read: Callable[[], object], *kinds: type[Exception]) -> None:
    with suppress(*kinds):
        read()


def worker_frames(data: bytes) -> None:
    for kind in (FromWorker, FromCore):
        whole, pieces = _frames(kind, [data]), _frames(kind, cut(data))
        assert whole == pieces, "frames depend on how the stream is cut"


def _frames(kind: object, pieces: list[bytes]) -> tuple[list[object], bool]:
    reader, found = FrameReader(kind), []
    try:
        for piece in pieces:
            found += reader.feed(piece)
            assert len(reader._buffer) <= MAX_FRAME_BYTES + 4
    except ChannelBrokenError:
        return [], True
    return found, False


def journal(data: bytes) -> None:
    """Segments, as they are and with every checksum of a batch's head made right."""
    try:
        scans = [scan("1", data), scan("2", data[BLOCK:])]
    except NewerJournal:
        return
    for applied in (None, 0, 3):
        counting, _ = what_counts(scans, applied)
        assert [one.number for one in counting] == sorted({one.number for one in counting})
        for one in counting:
            _payload(one.payload)


def _payload(data: bytes) -> None:
    try:
        found, unreadable = arrivals_of(data)
    except (*ANY_READING, ValueError):
        return  # what ``replaying`` sets aside
    assert len(found) + len(unreadable) <= max(1, len(data))


def stored(data: bytes) -> None:
    """What a row of the spool holds."""
    _payload(data)
    careful_of(data)
    journey_of([data])
    progress_of(data)
    for kind in range(5):
        told_of(kind, data)
    try:
        found = message_of(data)
    except Unreadable:
        return
    assert message_of(facts_of(found)) == found


def in_etcd(data: bytes) -> None:
    """Whatever stands in etcd is a record or unreadable, never an end."""
    for kind in (MemberRecord, InForce, Wanted, Settled, str, dict):
        decode(data, kind)
    plain(data)
    decoded(data)
    for read in (read_pairing, read_spool):
        try:
            found = read(data)
        except UnreadableRecord:
            continue
        assert read(write(found)) == found
    _refused(lambda: holding._read(data), Overdrawn)
    _refused(lambda: _day(data), Overdrawn)
    scene = Scene(keys=SCOPE)
    item = Item(key=SCOPE.record, value=data, create_revision=1, mod_revision=1)
    scene.learned(SCOPE.record, item, 1)
    scene.learned(SCOPE.slots + data.decode("utf-8", "replace"), item, 1)


def _day(data: bytes) -> None:
    with suppress(*ANY_READING, Overdrawn):
        together([msgspec.json.decode(data, type=dict[str, int])])
    counts, _ = day_part.read_day(data)
    assert together([counts]) == counts
    assert raised(data, counts, 0, 0) is None


def segment() -> bytes:
    made = arrival_of(accepted(message("0190-1")), 25)
    data = header_block(Header(generation=1, first=1, void_from=1, spool=b"0123456789abcdef"))
    for number in (1, 2):
        payload = payload_of([made])
        data += (batch_head(1, number, payload, 1) + payload).ljust(padded(BATCH_BYTES + len(payload)), b"\0")
    return data


MESSAGE = message("0190-1", on_unknown=OnUnknown.BOUNCE)
PROGRESS = (Progress(index=0, state=RecipientState.DEFERRED, attempts=1, next_attempt_ms=5),)
ENTRIES = (copy("m1"), Piece(message_id="m2", start=0, data=b"abc"), Discard(message_ids=("m1",), at_ms=1),
           Intent(message_id="m1", attempt_id="a", indexes=(0,), dot_ms=1),
           Outcome(message_id="m1", attempt_id="a", progress=PROGRESS))  # fmt: skip
UUIDS = b'"spool":"11111111-1111-4111-8111-111111111111","copy":"22222222-2222-4222-8222-222222222222","epoch":7'
TARGETS = (
    Target(name="copies", open=pure(copies), watched=("node/shadow", "node/spool"), tokens=(*PACK_WORDS, b"M3CB"),
           seeds=(*(frames.encode(header(), [one]) for one in ENTRIES), frames.encode(header(), ENTRIES))),
    Target(name="questions", open=pure(asked), watched=("node/shadow",), tokens=(*PACK_WORDS, *JSON_WORDS),
           seeds=(b'{"version":1,' + UUIDS + b"}", b'{"word":"","text":""}', b'{"word":"gap","expected":4}',
                  msgspec.msgpack.encode({"version": 1, "spool": "11111111-1111-4111-8111-111111111111",
                                          "shadow": "relay-b", "epoch": 7, "ids": ["m1"]}))),
    Target(name="worker-frames", open=pure(worker_frames), watched=("node/intake",),
           tokens=(*PACK_WORDS, b"\0\0\0\1", b"\0\0\0\0", b"\1\0\0\1"),
           seeds=(pack(Done(client="a", reserved=1, used=1)), pack(Serving()) * 3)),
    Target(name="journal", open=pure(journal), watched=("node/spool",), input_max=20_000, tokens=(b"\0" * BLOCK,
           b"\xff"),
           seeds=(segment(), segment()[:BLOCK], segment()[BLOCK:])),
    Target(name="rows", open=pure(stored), watched=("node/spool", "node/shadow"), tokens=PACK_WORDS,
           seeds=(facts_of(MESSAGE), payload_of([arrival_of(accepted(MESSAGE), 25)]), msgspec.msgpack.encode(PROGRESS),
                  msgspec.msgpack.encode(ENTRIES[3]), struct.pack("!I", 5))),
    Target(name="etcd", open=pure(in_etcd), watched=("coordinator", "node/cluster"), tokens=JSON_WORDS,
           input_max=20_000,
           seeds=(b'{"form":1,"owner":"relay-a","epoch":7,"copy":"x","void":false}',
           b'{"form":1,"node":"relay-a","sequence":1,"inc":1}',
                  b'{"relay-a":10,"relay-b":20}', b'{"900000":5,"by/relay-a":5}',
                  b'{"held/0":"relay-a/1/b","linger/0":"1"}', b'{"revision":1,"hash":"x","nodes":["a"]}',
                  b'{"standing":{"state":"resting","until_ms":5},"node":"relay-a","at_ms":5}')),
)  # fmt: skip
