"""A keeper that takes part in early takeovers: heartbeats, leash, words and the takeover. What to do is ``early.py``.

Transactions on the leash run beside the loop, since the kernel must be told again every 250 ms meanwhile.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, Final

import msgspec

from coordinator import address as addresses
from coordinator import early as rules
from coordinator import early_bids as bids
from coordinator.address_facts import Facts, Key
from coordinator.early_facts import (
    HEARTBEAT_MS,
    LATE_V4_MS,
    LATE_V6_MS,
    MISSED_MS,
    Act,
    Around,
    Step,
    begin,
    leash_key,
    leash_of,
    leashed,
    to_leash,
    to_seize,
)
from coordinator.errors import NotAMember
from coordinator.keeper import AddressKeeper
from coordinator.keys import decode, encode
from coordinator.store.contract import Item, Listing, Seen, StoreError
from coordinator.timing import KERNEL_ALLOWANCE_MS

ANSWER_S: Final = 0.5
"""An answer to a heartbeat that takes longer is worth nothing: its sending is too long ago."""
SEIZE_S: Final = 0.4
"""A member of etcd that has not missed its leader yet sends the takeover to the dead: waiting longer would not help."""
HEARTBEAT, WORD = "heartbeat", "early"
Talk = Callable[[str, str, bytes, float], Awaitable[bytes | None]]
"""Takes a node, a route, a body and a bound in seconds; None is no answer."""


class Heartbeat(msgspec.Struct, frozen=True, kw_only=True):
    """A holder's question: do you take me for the holder? ``key``: revision of its key; ``number``: ``early.mark``."""

    address: str
    key: int
    number: int


class Heard(msgspec.Struct, frozen=True, kw_only=True):
    """Its answer."""

    answered: bool


class AskWord(msgspec.Struct, frozen=True, kw_only=True):
    """A candidate's question for a word about a leash."""

    address: str
    revision: int


class Word(msgspec.Struct, frozen=True, kw_only=True):
    """The answer: when the holder was last answered, by the session named; None is a refusal."""

    ago_ms: int | None
    inc: int


class EarlyKeeper(AddressKeeper):
    """One address on this host, taken over early when all words allow it."""

    def __init__(self, *arguments: Any, talk: Talk, **options: Any) -> None:
        """As AddressKeeper; ``talk`` asks another coordinator."""
        super().__init__(*arguments, **options)
        self.early = begin(self._now_ms())
        self.seized = 0
        """How often it was taken early."""
        self._talk = talk
        self._leash_key = leash_key(self._keys, self.place.name)
        self._late_ms = LATE_V4_MS if self.place.allowance_ms <= KERNEL_ALLOWANCE_MS else LATE_V6_MS
        self._transaction: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """See AddressKeeper."""
        self._start(self._beat_heart())
        await super().run()

    def around(self, facts: Facts) -> Around:
        """Gather what is known of the others. A list to be changed needs a holder off the leash."""
        return Around(
            members=self._members.incarnations,
            gone_ms=self._members.ends_ms,
            seen=self._feed.revision,
            late_ms=self._late_ms,
            enabled=not addresses.relists(self.address, facts),
        )

    @property
    def leashed(self) -> bool:
        """Whether the holder, whoever it is, lives by the others' answers."""
        return leashed(self.early, self.address)

    @property
    def silent(self) -> bool:
        """Whether the holder, another than we, is not heard."""
        key = self.address.key
        others = key is not None and key.holder != self.place.node
        return others and self._now_ms() - self.early.heard_ms >= MISSED_MS

    def heard(self, holder: str, heartbeat: Heartbeat) -> Heard:
        """Answer a holder's heartbeat."""
        facts = self.facts()
        self.early, answered = bids.on_heartbeat(
            self.early,
            self.address,
            facts,
            self.around(facts),
            holder=holder,
            key=heartbeat.key,
            number=heartbeat.number,
        )
        return Heard(answered=answered)

    def asked_for_word(self, candidate: str, revision: int) -> Word:
        """Answer a candidate: a word given is remembered before it is said."""
        facts = self.facts()
        self.early, ago_ms = bids.on_asked(
            self.early, self.address, facts, self.around(facts), candidate=candidate, revision=revision
        )
        return Word(ago_ms=ago_ms, inc=facts.session.inc)

    # What is seen -----------------------------------------------------------------------------------------------------

    def feed(self, seen: Seen) -> None:
        """See AddressKeeper; the leash's key first."""
        now_ms = self._now_ms()
        if seen.resync and self._leash_key not in {change.key for change in seen.changes}:
            self.early = bids.on_leash_key(self.early, None, seen.revision, now_ms)
        for change in sorted(seen.changes, key=lambda each: each.revision):
            if change.key == self._leash_key:
                self.early = bids.on_leash_key(self.early, leash_of(change.item), change.revision, now_ms)
        super().feed(seen)

    def _take_reading(self, listing: Listing) -> None:
        found = {item.key: item for item in listing.items}
        leash = leash_of(found.get(self._leash_key))
        self.early = bids.on_leash_key(self.early, leash, listing.revision, self._now_ms())
        super()._take_reading(listing)

    def _on_key(self, item: Item | None, revision: int, *, clean: bool = False) -> None:
        before = self.address.key
        super()._on_key(item, revision, clean=clean)
        key = self.address.key
        if key is not None and (before is None or before.holder != key.holder):
            self.early = bids.on_holder(self.early, key.holder, self.place.node, self._now_ms())

    # What is done -----------------------------------------------------------------------------------------------------

    def _decide(self, facts: Facts) -> Step:
        return rules.decide(self.early, self.address, facts, self.around(facts))

    async def _carry_out(self, step: Step) -> None:
        if step.act is Act.ADDRESS:
            await super()._carry_out(step)
        elif step.act is Act.ASK:
            self._ask_for_words()
        elif step.act is Act.SEIZE:
            await self._seize()
        elif self._transaction is None:
            self._beside_the_loop(self._change_leash(on=step.act is Act.LEASH))
        else:
            await self._wait()

    async def _bind(self, lifetime_s: int) -> None:
        await super()._bind(lifetime_s)
        self.early = bids.on_bound(self.early)

    async def _settle(self) -> None:
        """Read back beside the loop: on the leash the kernel cannot wait for the store."""
        if self._transaction is None:
            self._beside_the_loop(super()._settle())

    def _beside_the_loop(self, work: Awaitable[None]) -> None:
        async def done() -> None:
            try:
                await work
            except (StoreError, NotAMember) as error:
                self.place.alarm(f"{self.place.name}: leash: {error}")
                await asyncio.sleep(HEARTBEAT_MS / 1_000)
            finally:
                self._transaction = None
                self.wake()

        self._transaction = self._start(done())

    async def _change_leash(self, *, on: bool) -> None:
        key, nodes = self.address.key, self.address.nodes
        if key is None:
            return
        guards, writes = to_leash(self._keys, self.place.name, self.early, key, nodes=nodes, on=on)
        if on:
            self.early = rules.on_leash_sent(self.early, nodes)
        self.address = addresses.on_take_sent(self.address)
        outcome = await self._guarded(guards, writes)
        if outcome is None:
            return
        self.address = replace(self.address, taking=False)
        if outcome.succeeded:
            item = Item(
                key=writes[0].key,
                value=writes[0].value,
                create_revision=outcome.revision,
                mod_revision=outcome.revision,
                lease=key.lease,
            )
            leash = leash_of(item)
            if leash is not None:
                self.early = rules.on_leash_written(self.early, leash, self._now_ms())
                self.place.event("leashed" if on else "off the leash")
        elif on:
            self.early = rules.on_leash_refused(self.early)

    async def _seize(self) -> None:
        facts, key = self.facts(), self.address.key
        if key is None:
            return
        lease, me = facts.session.lease, self.place.node
        guards, writes = to_seize(self._keys, self.place.name, self.early, key, me=me, lease=lease)
        self.early = bids.on_seize_sent(self.early, self.around(facts))
        self.address = addresses.on_take_sent(self.address)
        outcome = await self._guarded(guards, writes, most_s=SEIZE_S)
        if outcome is None:
            return
        if outcome.succeeded:
            fresh = Key(holder=me, lease=lease, revision=outcome.revision)
            self.early, self.address = bids.on_seized(self.early, self.address, fresh, self._now_ms())
            self.moves, self.seized = self.moves + 1, self.seized + 1
            self.place.event(f"taken early from {key.holder}")
        else:
            self.address = replace(self.address, taking=False)

    # Peers ------------------------------------------------------------------------------------------------------------

    async def _beat_heart(self) -> None:
        """Send a heartbeat to every node on the list, every 200 ms while the key is ours."""
        while True:
            key = self.address.key
            if key is not None and rules.beats(self.address, self.facts()):
                number = rules.mark(self.early, self.address)
                body = encode(Heartbeat(address=self.place.name, key=key.revision, number=number))
                for node in self.address.nodes:
                    if node != self.place.node:
                        self._start(self._beat_at(node, body, self._now_ms()))
            await asyncio.sleep(HEARTBEAT_MS / 1_000)

    async def _beat_at(self, node: str, body: bytes, sent_ms: int) -> None:
        answer = await self._talk(node, HEARTBEAT, body, ANSWER_S)
        heard = decode(answer, Heard) if answer is not None else None
        if heard is not None and heard.answered:
            self.early = rules.on_ack(self.early, self.address, node, sent_ms)
            self.wake()

    def _ask_for_words(self) -> None:
        facts = self.facts()
        self.early = bids.on_ask_sent(self.early, facts, self.around(facts))
        bid = self.early.bid
        if bid is not None:
            for node in bid.asked:
                self._start(self._ask_for_word(node, bid.leash.revision))

    async def _ask_for_word(self, node: str, revision: int) -> None:
        body = encode(AskWord(address=self.place.name, revision=revision))
        answer = await self._talk(node, WORD, body, ANSWER_S)
        word = decode(answer, Word) if answer is not None else None
        if word is not None and word.ago_ms is not None and word.ago_ms >= 0:
            now_ms = self._now_ms()
            self.early = bids.on_word(
                self.early, node, inc=word.inc, revision=revision, ago_ms=word.ago_ms, now_ms=now_ms
            )
            self.wake()
