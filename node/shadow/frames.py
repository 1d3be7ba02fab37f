"""A batch of copies as octets: header, entries with their lengths, and a seal over all of it. Pure.

The seal (BLAKE2b, RFC 7693) is made in one go: for each piece above 2 KiB the interpreter would be let go of, and a
thread that writes to a disk would take it. Whatever octets come in, nothing is raised but this room's errors.
"""

import re
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from hashlib import blake2b
from typing import Final, cast
from uuid import UUID

import msgspec

from node.shadow.entries import PIECE_BYTES, Copy, Discard, Entry, Intent, Lines, Outcome, Piece, Progress
from node.shadow.errors import Damaged, Gap, Malformed, TooLarge, Torn, UnknownKind, WrongStream, WrongVersion
from node.spool.rows import Unreadable, message_of

VERSION: Final = 1
"""The protocol's version; a batch says it first, so that every later version can refuse it by name."""
BATCH_BYTES_MAX: Final = 4 << 20
ENTRIES_MAX: Final = 4_096
FACTS_BYTES_MAX: Final = 2 << 20
"""A message with thousands of recipients stays below it."""
IDS_MAX: Final = 4_096
BODY_BYTES_MAX: Final = 160 << 20
NUMBERS: Final = 1 << 63
"""Epochs, sequences and times are below it: a store holds no more."""

_MARK = b"M3CB"
_FIXED = struct.Struct("<4sHBxIQQQ16s16s")
_HEAD = struct.Struct("<BxxxII")
_SEAL_BYTES = 16
_CLUSTER_MAX = 63
_ID = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}", re.ASCII)
_ROOM_BYTES: Final = 1024
"""What an entry takes beyond its body, about; and where a recipient stands, or a step of a journey."""
_INDEX_BYTES: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """Whose copies these are and which batch of them this is."""

    cluster: str
    spool: str
    """UUID of the spool the messages came in at."""
    copy: str
    """UUID of the spool beside which the copies are kept, as the pairing knows it."""
    epoch: int
    """Of the pairing."""
    stream: int
    """Given out by the shadow when the sender began; a later one replaces it."""
    sequence: int
    """Of the batch in its stream; the first is 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """A header and what came under it."""

    header: Header
    entries: tuple[Entry, ...]
    size_bytes: int = 0
    """As octets."""


class Standing(StrEnum):
    """How a batch stands to those before it."""

    NEXT = "next"
    REPLAYED = "replayed"
    """It was taken before: answered again, not done again."""


def standing(header: Header, *, stream: int, expected: int) -> Standing:
    """Compare with what is kept; raises WrongStream, Gap."""
    if header.stream != stream:
        raise WrongStream(f"stream {header.stream}, while {stream} is in use")
    if header.sequence > expected:
        raise Gap(expected)
    return Standing.NEXT if header.sequence == expected else Standing.REPLAYED


class _Facts(msgspec.Struct, frozen=True, kw_only=True):
    """A copy's content but for its body."""

    message: msgspec.Raw
    size_bytes: int
    pieced: bool = False
    progress: tuple[Progress, ...] = ()


class _Place(msgspec.Struct, frozen=True, kw_only=True):
    message_id: str
    start: int


_encoder = msgspec.msgpack.Encoder()
_copies = msgspec.msgpack.Decoder(_Facts)
_places = msgspec.msgpack.Decoder(_Place)
_COPY, _PIECE = 1, 2
_PLAIN: Final[dict[int, type[Discard] | type[Intent] | type[Outcome] | type[Lines]]] = {
    3: Discard,
    4: Intent,
    5: Outcome,
    6: Lines,
}
_KINDS: Final = {kind: number for number, kind in _PLAIN.items()}
_DECODERS: Final = {number: msgspec.msgpack.Decoder(kind) for number, kind in _PLAIN.items()}


# ---- writing ----------------------------------------------------------------------------------------------------


def size_of(entry: Entry) -> int:
    """Say about how many octets an entry takes, to cut batches by."""
    if isinstance(entry, Copy):
        return _ROOM_BYTES * max(1, len(entry.progress)) + len(entry.facts) + len(entry.body)
    if isinstance(entry, Piece):
        return _ROOM_BYTES + len(entry.data)
    if isinstance(entry, Outcome):
        return _ROOM_BYTES * max(1, len(entry.progress))
    if isinstance(entry, Lines):
        return sum(_ROOM_BYTES + _INDEX_BYTES * len(line.indexes) for line in entry.lines)
    return _ROOM_BYTES


def encode(header: Header, entries: Sequence[Entry]) -> bytes:
    """Write a batch; raises TooLarge, and ValueError for ids that are no UUIDs."""
    cluster = header.cluster.encode()
    fixed = _FIXED.pack(
        *(_MARK, VERSION, len(cluster), len(entries), header.epoch, header.stream, header.sequence),
        *(_octets(header.spool), _octets(header.copy)),
    )
    parts = [fixed, cluster]
    for entry in entries:
        number, facts, body = _parts(entry)
        parts += (_HEAD.pack(number, len(facts), len(body)), facts, body)
    whole = b"".join(parts)
    if len(whole) + _SEAL_BYTES > BATCH_BYTES_MAX or len(entries) > ENTRIES_MAX:
        raise TooLarge(f"{len(whole) + _SEAL_BYTES} octets and {len(entries)} entries")
    return whole + _seal(whole)


@lru_cache(64)
def _octets(uuid: str) -> bytes:
    return UUID(uuid).bytes


@lru_cache(64)
def _text(octets: bytes) -> str:
    return str(UUID(bytes=octets))


def _seal(whole: bytes | memoryview) -> bytes:
    return blake2b(whole, digest_size=_SEAL_BYTES).digest()


def _parts(entry: Entry) -> tuple[int, bytes, bytes]:
    if isinstance(entry, Copy):
        facts = _Facts(
            message=msgspec.Raw(entry.facts), size_bytes=entry.size_bytes, pieced=entry.pieced, progress=entry.progress
        )
        return _COPY, _encoder.encode(facts), entry.body
    if isinstance(entry, Piece):
        return _PIECE, _encoder.encode(_Place(message_id=entry.message_id, start=entry.start)), entry.data
    return _KINDS[type(entry)], _encoder.encode(entry), b""


# ---- reading ----------------------------------------------------------------------------------------------------


def decode(data: bytes) -> Batch:
    """Read a batch; raises Torn, Damaged, TooLarge, Malformed, UnknownKind, WrongVersion. Fields not known are left."""
    if len(data) > BATCH_BYTES_MAX:
        raise TooLarge(f"{len(data)} octets, at most {BATCH_BYTES_MAX} are taken")
    header, count, start = _header(data)
    heads = list(_heads(data, count, start))
    end = heads[-1].end if heads else start
    if len(data) != end + _SEAL_BYTES:
        raise Torn(f"{len(data)} octets instead of {end + _SEAL_BYTES}")
    if _seal(memoryview(data)[:end]) != data[end:]:
        raise Damaged("the seal does not fit")
    return Batch(header=header, entries=tuple(_entry(data, head) for head in heads), size_bytes=len(data))


def _header(data: bytes) -> tuple[Header, int, int]:
    if len(data) < _FIXED.size:
        raise Torn(f"{len(data)} octets are no header")
    mark, version, length, count, epoch, stream, sequence, spool, copy = _FIXED.unpack_from(data)
    if mark != _MARK:
        raise Malformed("not a batch of copies")
    if version != VERSION:
        raise WrongVersion(f"version {version}, this node speaks {VERSION}")
    if count > ENTRIES_MAX:
        raise TooLarge(f"{count} entries, at most {ENTRIES_MAX} are taken")
    end = _FIXED.size + length
    cluster = data[_FIXED.size : end]
    if len(cluster) < length:
        raise Torn("it ends in the cluster's name")
    if not 0 < length <= _CLUSTER_MAX or not cluster.isascii() or not min(epoch, stream, sequence):
        raise Malformed("a header without a cluster, an epoch, a stream or a sequence")
    if max(epoch, stream, sequence) >= NUMBERS:
        raise Malformed("a number no store can hold")
    header = Header(
        cluster=cluster.decode("ascii"),
        spool=_text(spool),
        copy=_text(copy),
        epoch=epoch,
        stream=stream,
        sequence=sequence,
    )
    return header, count, end


@dataclass(frozen=True, slots=True)
class _Head:
    start: int
    kind: int
    facts: int
    body: int

    @property
    def end(self) -> int:
        return self.start + _HEAD.size + self.facts + self.body


def _heads(data: bytes, count: int, start: int) -> Iterator[_Head]:
    for _ in range(count):
        if len(data) < start + _HEAD.size:
            raise Torn("it ends in an entry's head")
        head = _Head(start, *_HEAD.unpack_from(data, start))
        if head.facts > FACTS_BYTES_MAX:
            raise TooLarge(f"an entry with {head.facts} octets of facts")
        if len(data) < head.end:
            raise Torn("it ends in an entry")
        yield head
        start = head.end


def _entry(data: bytes, head: _Head) -> Entry:
    middle = head.start + _HEAD.size + head.facts
    facts, body = data[head.start + _HEAD.size : middle], data[middle : head.end]
    try:
        return _checked(_read(head.kind, facts, body))
    except (msgspec.DecodeError, Unreadable, UnicodeDecodeError, RecursionError) as error:
        raise Malformed(f"an entry of kind {head.kind} that cannot be read: {type(error).__name__}") from None


def _read(kind: int, facts: bytes, body: bytes) -> Entry:
    if kind == _COPY:
        found = _copies.decode(facts)
        stored = bytes(found.message)
        return Copy(
            message_id=message_of(stored).id,
            facts=stored,
            size_bytes=found.size_bytes,
            body=body,
            pieced=found.pieced,
            progress=found.progress,
        )
    if kind == _PIECE:
        place = _places.decode(facts)
        return Piece(message_id=place.message_id, start=place.start, data=body)
    decoder = _DECODERS.get(kind)
    if decoder is None:
        raise UnknownKind(f"an entry of kind {kind}, this version knows 1 to {max(_DECODERS)}")
    if body:
        raise Malformed(f"an entry of kind {kind} with a body")
    return cast("Entry", decoder.decode(facts))


def _checked(entry: Entry) -> Entry:
    """Look at what an entry says; raises Malformed. An id becomes a file's name, so it must be one."""
    ids = entry.message_ids if isinstance(entry, Discard) else (entry.message_id,)
    if len(ids) > IDS_MAX or not all(_ID.fullmatch(each) for each in ids):
        raise Malformed("an id that cannot name a file, or too many")
    at_ms = entry.at_ms if isinstance(entry, Discard) else entry.dot_ms if isinstance(entry, Intent) else 0
    if not 0 <= at_ms < NUMBERS:
        raise Malformed("a time that is none")
    if isinstance(entry, Copy):
        whole = not entry.body if entry.pieced else len(entry.body) == entry.size_bytes
        if not whole or not 0 <= entry.size_bytes <= BODY_BYTES_MAX:
            raise Malformed("a body of another size than said")
    if isinstance(entry, Piece) and not (0 < len(entry.data) <= PIECE_BYTES and 0 <= entry.start < BODY_BYTES_MAX):
        raise Malformed("a piece that is empty, too large, or of no place")
    return entry


def shown(header: Header) -> str:
    """Name a batch in a log line."""
    return f"spool {header.spool} epoch {header.epoch} stream {header.stream} batch {header.sequence}"
