"""Asks every node on an address's list for its promise while the store is silent (coordination-review §5).

What a promise means is ``promises.py``; here are the calls, their bounds and the waiting.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Protocol

from coordinator import promises
from coordinator.address_facts import Address, Facts

ASK_S = 0.2
ANSWER_S = 1.0

Ask = Callable[[str, str], Awaitable[bool]]
"""Takes a node and an address's name; True is a promise. No answer in time is none."""


class Kept(Protocol):
    """The address of a keeper, as this file uses it."""

    address: Address

    def facts(self) -> Facts:
        """Gather what a decision looks at, now."""
        ...

    def wake(self) -> None:
        """Look again now."""
        ...


async def ask_in_silence(kept: Kept, name: str, ask: Ask) -> None:
    """Begin a round of questions every 200 ms while the store is silent and the address is bound here; for ever."""
    async with asyncio.TaskGroup() as group:
        while True:
            facts = kept.facts()
            if promises.wants_promises(kept.address, facts):
                kept.address = promises.on_round(kept.address, facts)
                for node in promises.asked_nodes(kept.address, facts):
                    group.create_task(_ask_one(kept, name, ask, node, facts.now_ms))
            await asyncio.sleep(ASK_S)


async def _ask_one(kept: Kept, name: str, ask: Ask, node: str, sent_ms: int) -> None:
    with suppress(TimeoutError, OSError):
        async with asyncio.timeout(ANSWER_S):
            if await ask(node, name):
                kept.address = promises.on_promise(kept.address, kept.facts(), sent_ms, node)
                kept.wake()
