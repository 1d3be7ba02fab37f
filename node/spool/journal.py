"""What the journal's files hold: segments of batches of appended messages, and what of it counts after a crash.

Pure. A segment is a header block and batches, each begun at a block of its own, so that no block that was synced is
ever written again. A batch is one write and one sync; its number is one more than that of the batch before it, in
whichever segment. Segments are used again: what an earlier use left behind carries an older generation.
"""

import struct
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec

from node.policy.envelope import NewMessage
from node.spool.contract import Accepted, BodyFile
from node.spool.rows import facts_of, message_of
from node.spool.work import Arrival

BLOCK = 4_096
"""Batches begin at multiples of this: the unit a disk writes whole or not at all."""

VERSION = 1

_SEGMENT = struct.Struct("<4sHHQQQ16s12x")
_BATCH = struct.Struct("<4sIQQII")
_CRC = struct.Struct("<I")
_SEGMENT_MARK = b"M3SJ"
_BATCH_MARK = b"M3SB"
HEADER_BYTES = _SEGMENT.size + _CRC.size
BATCH_BYTES = _BATCH.size + _CRC.size


class _Entry(msgspec.Struct, frozen=True, array_like=True):
    """One message in a batch."""

    facts: msgspec.Raw
    size_bytes: int
    file: str
    body: bytes
    pairing: int | None = None
    """Left out by earlier versions."""


_encoder = msgspec.msgpack.Encoder()
_entries = msgspec.msgpack.Decoder(list[_Entry])


class NewerJournal(Exception):  # noqa: N818 - says what it is
    """A segment written by a newer version; ``args`` holds that version."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """The first block of a segment in use."""

    generation: int
    """Grows with every use of any segment: their order."""
    first: int
    """Number of the first batch."""
    void_from: int
    """Batches from this one up to ``first`` do not count: their write failed, and they were answered elsewhere."""
    spool: bytes
    """The spool's identity: 16 bytes of its UUID."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """A batch as found, whole."""

    number: int
    payload: bytes
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """Bytes of a segment that should be batches and are not."""

    start: int
    end: int
    after: int
    """Number of the last batch before it."""
    before: int
    """Number of the first batch behind it; 0: none in this segment, so that it may be no more than its end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """One segment as read: in use if it has a header."""

    name: str
    header: Header | None
    batches: Sequence[Batch] = ()
    gaps: Sequence[Gap] = ()
    garbage: bool = False
    """Neither a segment nor blank."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """Batches that were there once and cannot be read; ``name`` is empty where not even their place is known."""

    name: str
    start: int
    end: int
    first: int
    last: int


def arrival_of(item: Accepted, size_bytes: int, file: str = "") -> Arrival:
    """A message with its facts encoded once, for journal and database."""
    return Arrival(item=item, size_bytes=size_bytes, file=file, facts=facts_of(item.message))


def arrival_from(facts: bytes, body: bytes) -> Arrival:
    """A message whose facts are encoded already, with an inline body; raises Unreadable."""
    item = Accepted(message=message_of(facts), body=body)
    return Arrival(item=item, size_bytes=len(body), file="", facts=facts)


def payload_of(arrivals: Iterable[Arrival]) -> bytes:
    """What a batch carries."""
    return _encoder.encode(
        [
            _Entry(
                msgspec.Raw(one.facts),
                one.size_bytes,
                one.file,
                b"" if one.file else one.item.body,  # type: ignore[arg-type]
                one.item.pairing,
            )
            for one in arrivals
        ]
    )


def arrivals_of(payload: bytes) -> tuple[list[Arrival], list[bytes]]:
    """The messages of a batch, and the facts of those this version cannot read."""
    found, unreadable = [], []
    for entry in _entries.decode(payload):
        facts = bytes(entry.facts)
        try:
            message: NewMessage = message_of(facts)
        except ValueError:
            unreadable.append(facts + entry.body)
            continue
        body = BodyFile(path=entry.file, size_bytes=entry.size_bytes) if entry.file else entry.body
        item = Accepted(message=message, body=body, pairing=entry.pairing)
        found.append(Arrival(item=item, size_bytes=entry.size_bytes, file=entry.file, facts=facts))
    return found, unreadable


def padded(size_bytes: int) -> int:
    """Bytes on disk for so many."""
    return -(-size_bytes // BLOCK) * BLOCK


def _sealed(packed: bytes) -> bytes:
    return packed + _CRC.pack(zlib.crc32(packed))


def _opened(data: memoryview, size: int) -> bool:
    return len(data) >= size + _CRC.size and _CRC.unpack_from(data, size)[0] == zlib.crc32(data[:size])


def header_block(header: Header) -> bytes:
    """A segment's first block."""
    packed = _SEGMENT.pack(_SEGMENT_MARK, VERSION, 0, header.generation, header.first, header.void_from, header.spool)
    return _sealed(packed).ljust(BLOCK, b"\0")


def batch_head(generation: int, number: int, payload: bytes, count: int) -> bytes:
    """What stands before a batch's payload."""
    return _sealed(_BATCH.pack(_BATCH_MARK, count, generation, number, len(payload), zlib.crc32(payload)))


def read_header(data: memoryview) -> Header | None:
    """A segment's header; None if there is none. Raises NewerJournal."""
    if not _opened(data, _SEGMENT.size) or bytes(data[:4]) != _SEGMENT_MARK:
        return None
    _, version, _, generation, first, void_from, spool = _SEGMENT.unpack_from(data)
    # Later versions keep mark, version and checksum where they are.
    if version > VERSION:
        raise NewerJournal(version)
    return Header(generation=generation, first=first, void_from=void_from, spool=spool)


def _read_batch(data: memoryview, at: int) -> tuple[int, Batch] | None:
    """Generation and batch at a block; None if there is no whole one."""
    head = data[at : at + BATCH_BYTES]
    if not _opened(head, _BATCH.size):
        return None
    mark, count, generation, number, length, check = _BATCH.unpack_from(head)
    payload = data[at + BATCH_BYTES : at + BATCH_BYTES + length]
    if mark != _BATCH_MARK or len(payload) != length or zlib.crc32(payload) != check:
        return None
    return generation, Batch(number=number, payload=bytes(payload), count=count)


def scan(name: str, data: bytes) -> Scan:
    """Read one segment's bytes; raises NewerJournal."""
    view = memoryview(data)
    header = read_header(view)
    blank = not any(view[:BLOCK])
    if header is not None:
        batches, gaps = _walk(view, header.generation, header.first)
        return Scan(name=name, header=header, batches=batches, gaps=gaps)
    lone = _lone_generation(view)
    if lone is None:
        return Scan(name=name, header=None, garbage=not blank)
    # Batches that prove themselves, below a header that was lost: a cut during the first write, or damage.
    generation, first = lone
    batches, gaps = _walk(view, generation, first)
    made = Header(generation=generation, first=first, void_from=first, spool=b"")
    return Scan(name=name, header=made, batches=batches, gaps=gaps, garbage=not blank)


def _lone_generation(view: memoryview) -> tuple[int, int] | None:
    newest: tuple[int, int] | None = None
    for at in range(BLOCK, len(view), BLOCK):
        found = _read_batch(view, at)
        if found is not None and (newest is None or found[0] > newest[0]):
            newest = found[0], found[1].number
    return newest


def _walk(view: memoryview, generation: int, first: int) -> tuple[list[Batch], list[Gap]]:
    batches: list[Batch] = []
    gaps: list[Gap] = []
    at, expected, start = BLOCK, first, -1
    while at < len(view):
        found = _read_batch(view, at)
        if found is None or found[0] != generation or found[1].number < expected:
            start = at if start < 0 else start
            at += BLOCK
            continue
        batch = found[1]
        if start >= 0 or batch.number > expected:
            begun = start if start >= 0 else at
            gaps.append(Gap(start=begun, end=at, after=expected - 1, before=batch.number))
        batches.append(batch)
        expected, start = batch.number + 1, -1
        at += padded(BATCH_BYTES + len(batch.payload))
    end = start if start >= 0 else len(view)
    return batches, [*gaps, Gap(start=end, end=len(view), after=expected - 1, before=0)]


def what_counts(scans: Iterable[Scan], applied: int | None) -> tuple[list[Batch], list[Loss]]:
    """Batches not in the database yet, in order, and what is missing between them.

    ``applied`` is the last batch in the database; None if that cannot be known, and then all there are count. The
    end of the newest segment is no loss: a batch that was being written there was never answered.
    """
    used = sorted((one for one in scans if one.header is not None), key=_generation)
    counting: dict[int, Batch] = {}
    losses: list[Loss] = []
    reached = applied
    tail = ("", 0, 0)
    for one in used:
        header = one.header
        assert header is not None  # noqa: S101 - chosen above
        for number in [number for number in counting if number >= header.void_from]:
            del counting[number]
        if reached is not None and header.void_from > reached + 1:
            losses.append(Loss(name=tail[0], start=tail[1], end=tail[2], first=reached + 1, last=header.void_from - 1))
        losses += [
            Loss(name=one.name, start=gap.start, end=gap.end, first=gap.after + 1, last=gap.before - 1)
            for gap in one.gaps
            if gap.before and (applied is None or gap.before - 1 > applied)
        ]
        counting |= {batch.number: batch for batch in one.batches if applied is None or batch.number > applied}
        last = one.batches[-1].number if one.batches else header.first - 1
        reached = max(reached or 0, last)
        tail = (one.name, one.gaps[-1].start, one.gaps[-1].end)
    return [counting[number] for number in sorted(counting)], losses


def _generation(one: Scan) -> int:
    return one.header.generation if one.header is not None else 0
