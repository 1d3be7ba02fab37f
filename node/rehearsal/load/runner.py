"""Runs a plan: many sessions, a pace, tries until each message has its final answer. Speaks through ``client.py``."""

import asyncio
import time
from array import array
from collections import Counter, deque
from dataclasses import dataclass
from email.utils import formatdate
from typing import Any

from node.rehearsal.errors import ConversationOverError, NobodyThereError
from node.rehearsal.load.client import Conversation, Outcome, RefusedError, Result, Target, connect
from node.rehearsal.load.ledger import Entry, LedgerWriter
from node.rehearsal.load.plan import Draft, Plan, draft, render

MAX_TIMES_KEPT = 1_000_000  # response times remembered for percentiles
FLUSH_EVERY_S = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How hard to push."""

    sessions: int = 10
    per_second: float = 0.0
    """Messages a second over all sessions; 0: as fast as the relay takes them."""
    per_connection: int = 0
    """Messages per connection; 1: a connection each, 0: kept open."""
    back_off_s: float = 0.1
    back_off_longest_s: float = 5.0
    give_up_s: float = 600.0
    """A message not answered for good after this is given up, and was never promised."""


class Load:
    """One run; ``stats`` may be read at any time."""

    def __init__(self, plan: Plan, targets: tuple[Target, ...], pace: Pace, ledger: LedgerWriter) -> None:
        """Send ``plan`` to ``targets`` and write every try to ``ledger``.

        Sessions are spread over the targets. Where one takes no connection the session goes on to the next at once, and
        stays there: as clients do that know several servers, or one address that moves.
        """
        self._plan, self._targets, self._pace, self._ledger = plan, targets, pace, ledger
        self._next = 0
        self._stopping = False
        self._began_s = 0.0
        self._took_s = array("d")
        self.counts: Counter[str] = Counter()

    async def run(self) -> dict[str, Any]:
        """Send everything and give the statistics."""
        self._began_s = time.monotonic()
        flusher = asyncio.create_task(self._flush())
        try:
            async with asyncio.TaskGroup() as group:
                for number in range(self._pace.sessions):
                    group.create_task(self._session(self._others(number)))
        finally:
            flusher.cancel()
            self._ledger.flush()
        return self.stats()

    def stop(self) -> None:
        """Start no further message; those being tried are finished."""
        self._stopping = True

    def stats(self) -> dict[str, Any]:
        """Give counts, rates and response times."""
        elapsed_s = max(1e-9, time.monotonic() - self._began_s)
        times = sorted(self._took_s)
        return {
            **{str(name): count for name, count in self.counts.items()},
            "elapsed_s": round(elapsed_s, 3),
            "per_second": round(self.counts["accepted"] / elapsed_s, 1),
            "response_ms": {
                name: round(times[min(len(times) - 1, int(len(times) * share))] * 1000, 2) if times else None
                for name, share in (("median", 0.5), ("p95", 0.95), ("p99", 0.99), ("longest", 1.0))
            },
        }

    async def _flush(self) -> None:
        while True:
            await asyncio.sleep(FLUSH_EVERY_S)
            self._ledger.flush()

    def _others(self, number: int) -> deque[Target]:
        """Give a session's target, and behind it where else the same user may go."""
        first = number % len(self._targets)
        turned = (*self._targets[first:], *self._targets[:first])
        return deque(one for one in turned if one.user == turned[0].user)

    async def _session(self, targets: deque[Target]) -> None:
        conversation: Conversation | None = None
        sent = 0
        while (number := self._take()) is not None:
            await self._wait_for_turn(number)
            if conversation is not None and await conversation.ended():
                self.counts["ended_between"] += 1
                conversation = None
            conversation = await self._deliver(targets, conversation, draft(self._plan, number))
            sent += 1
            if conversation is not None and self._pace.per_connection and sent % self._pace.per_connection == 0:
                await conversation.quit()
                conversation = None
        if conversation is not None:
            await conversation.quit()

    def _take(self) -> int | None:
        if self._stopping or self._next >= self._plan.count:
            return None
        self._next += 1
        return self._next - 1

    async def _wait_for_turn(self, number: int) -> None:
        if self._pace.per_second > 0:
            due_s = self._began_s + number / self._pace.per_second
            await asyncio.sleep(max(0.0, due_s - time.monotonic()))

    async def _deliver(
        self, targets: deque[Target], conversation: Conversation | None, message: Draft
    ) -> Conversation | None:
        """Try until a final answer, with back-off; give the connection if it can be used again."""
        give_up_s = time.monotonic() + self._pace.give_up_s
        attempt = failures = 0
        while time.monotonic() < give_up_s:
            if conversation is None:
                conversation = await self._connected(targets)
            if conversation is not None:
                attempt += 1
                outcome = await self._try(conversation, message, attempt)
                if outcome.result is not Result.ACCEPTED and conversation.usable:
                    await conversation.reset()
                if not conversation.usable:
                    conversation = None
                if outcome.result in (Result.ACCEPTED, Result.REFUSED):
                    return conversation
            failures += 1
            await asyncio.sleep(min(self._pace.back_off_s * 2 ** min(failures, 16), self._pace.back_off_longest_s))
        self.counts["given_up"] += 1
        return conversation

    async def _connected(self, targets: deque[Target]) -> Conversation | None:
        """Connect to the first target that takes us."""
        for _ in range(len(targets)):
            try:
                conversation = await connect(targets[0])
            except RefusedError as no:
                self.counts[f"connect_refused_{no.code}"] += 1
            except NobodyThereError:
                self.counts["connect_failed"] += 1
            except ConversationOverError:
                self.counts["greeting_lost"] += 1
            else:
                self.counts["connections"] += 1
                return conversation
            targets.rotate(-1)
        return None

    async def _try(self, conversation: Conversation, message: Draft, attempt: int) -> Outcome:
        began_s = time.monotonic()
        outcome = await conversation.send(message, render(message, attempt, formatdate()))
        took_s = time.monotonic() - began_s
        self.counts[outcome.result.value] += 1
        if outcome.result is Result.ACCEPTED and len(self._took_s) < MAX_TIMES_KEPT:
            self._took_s.append(took_s)
        self._ledger.write(
            Entry(
                id=message.id,
                attempt=attempt,
                result=outcome.result,
                at_ms=time.time_ns() // 1_000_000,
                reply=outcome.reply,
                queue_id=outcome.queue_id,
                recipients=outcome.recipients,
                took_ms=int(took_s * 1000),
            )
        )
        return outcome
