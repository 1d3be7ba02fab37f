"""The copy store in memory, for tests that need thousands of stores: the same contract, nothing durable."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import msgspec

from coordinator.ownership.rows import Attached
from node.shadow.contract import PAIRINGS_MAX, FoundKept, FoundPast, Held, KeptCopy, Past, Stream, cost_of
from node.shadow.entries import Copy, Discard, Entry, Lines, Piece
from node.shadow.erasing import erased
from node.shadow.errors import Malformed, QuotaReached, WrongNode, WrongStream
from node.shadow.finding import fits
from node.shadow.frames import Batch, Standing, standing
from node.shadow.keeping import Item, copy_of
from node.shadow.showing import kept_view, past_view
from node.shadow.telling import Told, fold, joined
from node.spool.contract import Filter, JourneyLine
from node.spool.erasing import Eraser
from node.spool.errors import MessageGone
from node.spool.pages import Spot
from node.spool.search import page_of


@dataclass(slots=True, kw_only=True)
class _Pairing:
    node: str
    stream: int
    expected: int = 1
    copies: dict[str, Copy] = field(default_factory=dict)
    told: dict[str, list[Told]] = field(default_factory=dict)
    pieces: dict[str, bytes] = field(default_factory=dict)


class MemoryCopies:
    """Implements ``contract.Copies``."""

    def __init__(self, *, max_bytes: int = 0) -> None:
        """Keep nothing yet; ``max_bytes`` as on disk."""
        self.store_id, self.max_bytes = str(uuid4()), max_bytes
        self._streams = 0
        self._pairings: dict[Attached, _Pairing] = {}
        self._past: dict[str, Past] = {}

    async def open(self, now_ms: int) -> None:
        """See the contract; nothing to do."""

    async def close(self) -> None:
        """See the contract; nothing to do."""

    async def begin(self, attached: Attached, node: str) -> int:
        """See the contract."""
        found = self._pairings.get(attached)
        if found is not None and found.node != node:
            raise WrongNode(f"copies of this spool come from {found.node}, not from {node}")
        if found is None and len(self._pairings) >= PAIRINGS_MAX:
            raise QuotaReached(f"copies of {PAIRINGS_MAX} pairings are kept")
        self._streams += 1
        if found is None:
            found = self._pairings[attached] = _Pairing(node=node, stream=self._streams)
        found.stream, found.expected = self._streams, 1
        found.pieces.clear()
        return self._streams

    async def stream(self, attached: Attached) -> Stream | None:
        """See the contract."""
        found = self._pairings.get(attached)
        return None if found is None else Stream(node=found.node, number=found.stream, expected=found.expected)

    async def put(self, attached: Attached, batch: Batch) -> int:
        """See the contract."""
        found = self._pairings.get(attached)
        if found is None:
            raise WrongStream("no stream was begun")
        if standing(batch.header, stream=found.stream, expected=found.expected) is Standing.REPLAYED:
            return found.expected - 1
        self._look(found, batch.entries)
        for entry in batch.entries:
            self._take(found, entry)
        found.expected += 1
        return batch.header.sequence

    def _look(self, found: _Pairing, entries: Sequence[Entry]) -> None:
        """Refuse before anything is changed. Pieces may come in the batch of their copy."""
        pieces = dict(found.pieces)
        for entry in entries:
            if isinstance(entry, Piece):
                _add(pieces, entry)
            elif (
                isinstance(entry, Copy) and entry.pieced and len(pieces.get(entry.message_id, b"")) != entry.size_bytes
            ):
                raise Malformed("a copy whose body has not come whole")
        wanted = sum(cost_of(entry) for entry in entries if isinstance(entry, Copy))
        kept = sum(cost_of(copy) for each in self._pairings.values() for copy in each.copies.values())
        if self.max_bytes and wanted and kept + wanted > self.max_bytes:
            raise QuotaReached(f"copies may take {self.max_bytes} bytes, and do")

    def _take(self, found: _Pairing, entry: Entry) -> None:
        if isinstance(entry, Piece):
            _add(found.pieces, entry)
        elif isinstance(entry, Copy):
            _copy(found, entry)
        elif isinstance(entry, Discard):
            for message_id in entry.message_ids:
                self._discard(found, message_id, entry.at_ms)
        elif isinstance(entry, Lines) and entry.message_id in self._past:
            self._remember(entry.message_id, b"", 0, entry.lines)
        else:
            found.told.setdefault(entry.message_id, []).append(entry)

    def _discard(self, found: _Pairing, message_id: str, at_ms: int) -> None:
        found.pieces.pop(message_id, None)
        copy, told = found.copies.pop(message_id, None), found.told.pop(message_id, [])
        if copy is not None:
            self._remember(message_id, copy.facts, at_ms, fold((), told)[2])

    def _remember(self, message_id: str, facts: bytes, at_ms: int, lines: tuple[JourneyLine, ...]) -> None:
        old = self._past.get(message_id) or Past(message_id=message_id, facts=facts, discarded_ms=at_ms)
        self._past[message_id] = Past(
            message_id=message_id, facts=old.facts, discarded_ms=old.discarded_ms, lines=joined([old.lines, lines])
        )

    async def held(self) -> list[Held]:
        """See the contract."""
        sorted_ = sorted(self._pairings.items(), key=lambda item: (item[0].key, item[0].epoch))
        return [_held(attached, found) for attached, found in sorted_]

    async def holding(self, attached: Attached) -> Held | None:
        """See the contract."""
        found = self._pairings.get(attached)
        return None if found is None else _held(attached, found)

    async def ids(self, attached: Attached, after: str, limit: int) -> list[str]:
        """See the contract."""
        return [row.message_id for row in await self.rows(attached, after, limit)]

    async def seen(self, message_ids: Sequence[str]) -> dict[str, bool]:
        """See the contract."""
        kept = {name for each in self._pairings.values() for name in each.copies}
        return {name: name not in kept for name in message_ids if name in kept or name in self._past}

    async def keep(self, attached: Attached, node: str, items: Sequence[Item]) -> None:
        """See the contract."""
        found = self._pairings.setdefault(attached, _Pairing(node=node, stream=0))
        for item, body in items:
            whole = body if isinstance(body, bytes) else body.read_bytes()
            found.told[item.message.id] = [Lines(message_id=item.message.id, lines=item.lines)]
            _copy(found, msgspec.structs.replace(copy_of(item, b""), body=whole))

    async def settle(self, attached: Attached, message_ids: Sequence[str], at_ms: int) -> int:
        """See the contract."""
        found = self._pairings.get(attached)
        if found is None:
            return 0
        known = sum(name in found.copies for name in message_ids)
        for name in message_ids:
            self._discard(found, name, at_ms)
        return known

    async def rows(self, attached: Attached, after: str, limit: int) -> list[KeptCopy]:
        """See the contract."""
        found = self._pairings.get(attached)
        if found is None:
            return []
        names = sorted(name for name in found.copies if name > after)[:limit]
        return [_kept(found.copies[name], found.told.get(name, [])) for name in names]

    async def body(self, attached: Attached, message_id: str) -> bytes | Path:
        """See the contract."""
        found = self._pairings.get(attached)
        if found is None or message_id not in found.copies:
            raise MessageGone(f"no copy of {message_id} is kept")
        return found.copies[message_id].body

    async def take_away(self, attached: Attached, message_ids: Sequence[str]) -> int:
        """See the contract."""
        found = self._pairings.get(attached)
        if found is None:
            return 0
        for name in message_ids:
            found.told.pop(name, None)
        return sum(found.copies.pop(name, None) is not None for name in message_ids)

    async def drop(self, attached: Attached) -> int:
        """See the contract."""
        found = self._pairings.pop(attached, None)
        return 0 if found is None else len(found.copies)

    async def keep_only(self, attached: Attached) -> int:
        """See the contract."""
        others = [each for each in self._pairings if each.key == attached.key and each.epoch != attached.epoch]
        return sum([await self.drop(each) for each in others])

    async def past(self, message_id: str) -> Past | None:
        """See the contract."""
        return self._past.get(message_id)

    async def find_past(self, which: Filter) -> FoundPast:
        """See the contract."""
        chosen = sorted(self._past.items(), reverse=True)
        found = [each for _, each in chosen if fits(which, each, past_view)]
        return FoundPast(items=tuple(found[: which.limit]))

    async def page_past(self, which: Filter, before: Spot | None = None) -> FoundPast:
        """See the contract."""
        views = (past_view(each) for each in self._past.values() if fits(which, each, past_view))
        page = page_of(views, which.limit, before)
        items = tuple(self._past[each.message.id] for each in page.messages)
        return FoundPast(items=items, looked_to=page.looked_to)

    async def find_kept(self, which: Filter, pairings: Sequence[Attached]) -> FoundKept:
        """See the contract."""
        rows = [row for each in pairings for row in await self.rows(each, "", 1 << 30)]
        found = sorted((row for row in rows if fits(which, row, kept_view)), key=_name, reverse=True)
        return FoundKept(items=tuple(found[: which.limit]))

    async def complete_addresses(self, limit: int) -> int:  # noqa: ARG002 - the contract's
        """See the contract; all are looked at."""
        return 0

    async def erase(self, address: str, actor: str, now_ms: int) -> int:
        """See the contract."""
        eraser = Eraser(address)
        found = [erased(each, eraser, actor, now_ms) for each in self._past.values()]
        changed = {each.message_id: each for each in found if each is not None}
        self._past |= changed
        return len(changed)

    async def prune(self, before_ms: int, limit: int) -> int:
        """See the contract."""
        old = sorted((each for each in self._past.values() if each.discarded_ms < before_ms), key=_age)[:limit]
        for each in old:
            del self._past[each.message_id]
        return len(old)


def _held(attached: Attached, found: _Pairing) -> Held:
    size_bytes = sum(map(cost_of, found.copies.values()))
    return Held(attached=attached, node=found.node, messages=len(found.copies), size_bytes=size_bytes)


def _name(kept: KeptCopy) -> str:
    return kept.message_id


def _age(past: Past) -> int:
    return past.discarded_ms


def _add(pieces: dict[str, bytes], piece: Piece) -> None:
    before = pieces.get(piece.message_id, b"")
    if len(before) < piece.start:
        raise Malformed("a piece before it has not come")
    pieces[piece.message_id] = before[: piece.start] + piece.data


def _copy(found: _Pairing, copy: Copy) -> None:
    body = found.pieces.pop(copy.message_id, b"") if copy.pieced else copy.body
    old = found.copies.get(copy.message_id)
    if old is not None:  # it says where all recipients stand now
        told = found.told.get(copy.message_id, [])
        found.told[copy.message_id] = [each for each in told if isinstance(each, Lines)]
    found.copies[copy.message_id] = Copy(
        message_id=copy.message_id,
        facts=copy.facts if old is None else old.facts,
        size_bytes=copy.size_bytes if old is None else old.size_bytes,
        body=body if old is None else old.body,
        progress=copy.progress,
    )


def _kept(copy: Copy, told: Sequence[Told]) -> KeptCopy:
    progress, intents, lines = fold(copy.progress, told)
    return KeptCopy(
        message_id=copy.message_id,
        facts=copy.facts,
        size_bytes=copy.size_bytes,
        progress=progress,
        intents=intents,
        lines=lines,
    )
