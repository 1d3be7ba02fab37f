"""The owner's side: says what became of spares, and takes the other end's word of what is settled."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Final

from coordinator.ownership.answers import Answer, answer, kept
from coordinator.ownership.rows import Attached
from node.policy.envelope import FINAL_STATES, RecipientState
from node.policy.lifecycle import IllegalMove
from node.shadow import ownership as owners
from node.shadow.contract import Copies
from node.shadow.errors import Busy
from node.shadow.ownership import Ownership
from node.shadow.questions import Asked, said
from node.spool.contract import MessageView, RecipientResult
from node.spool.errors import MessageGone, WrongRequest
from node.spool.paired import Looked, PairedSpool

ELSEWHERE: Final = "settled_elsewhere"
"""What the journey says of a message that another node was done with."""
DONE, LEFT = "d", "l"
"""Answers to what is said to be settled: the other end need not say it again, or shall."""


class Answering:
    """Answers the other ends of this node's pairings."""

    def __init__(
        self,
        copies: Copies,
        spool: PairedSpool,
        ownership: Ownership,
        *,
        taking: Callable[[str], bool],
        now_ms: Callable[[], int],
        lock: asyncio.Lock,
    ) -> None:
        """``taking``: whether a message is not answered to its client yet; ``lock`` keeps rows where they are."""
        self._copies, self._spool, self._ownership = copies, spool, ownership
        self._taking, self._now_ms, self._lock = taking, now_ms, lock

    # ---- what became of spares ---------------------------------------------------------------------------------------

    async def compare(self, node: str, asked: Asked) -> str:
        """Answer for messages that the asker keeps as spares; count those as kept twice of which it says so."""
        seen = await self._copies.seen(asked.ids)
        looked = await self._spool.look(asked.ids)
        missing = [each for each in asked.ids if each not in seen and each not in looked]
        if missing:  # one may just have gone from the spool to the copies
            seen |= await self._copies.seen(missing)
        pairs = await owners.numbers(self._spool)
        found = {each: self._one(each, asked.attached, seen, looked, pairs) for each in asked.ids}
        await self._confirm(node, asked.attached, found, looked, pairs)
        return said([found[each] for each in asked.ids])

    def _one(
        self,
        name: str,
        attached: Attached,
        seen: Mapping[str, bool],
        looked: Mapping[str, Looked],
        pairs: dict[int, Attached],
    ) -> Answer:
        here, settled = looked.get(name), seen.get(name)
        if self._taking(name) or (here is None and settled is False):
            return Answer.WAIT  # not mine yet, or a spare here too
        done = here.finished if here is not None else bool(settled)
        row = owners.row_of(here, pairs, self._ownership) if here is not None and not done else None
        view, live = self._ownership.view(attached.key), self._ownership.live()
        return answer(row, view, epoch=attached.epoch, settled=done, live=live)

    async def _confirm(
        self,
        node: str,
        attached: Attached,
        found: Mapping[str, Answer],
        looked: Mapping[str, Looked],
        pairs: dict[int, Attached],
    ) -> None:
        view = self._ownership.view(attached.key)
        if view is None or self._ownership.other_end(attached.key) != node:
            return  # whoever asks is not who the copies count at
        fresh = [each for each, word in found.items() if word is Answer.KEEP and not looked[each].confirmed]
        sure = [each for each in fresh if kept(owners.row_of(looked[each], pairs, self._ownership), view).confirmed]
        if sure:
            await self._spool.confirm(looked[sure[0]].pairing, sure)

    # ---- what is settled ---------------------------------------------------------------------------------------------

    async def settled(self, node: str, asked: Asked) -> str:
        """Take the other end's word that messages are settled: drop spares, end what is this node's own and waits."""
        if self._ownership.other_end(asked.attached.key) != node:
            raise Busy("whoever says so is not known as the other end here")
        left = await self.settle(asked.attached, asked.ids, node)
        return "".join(LEFT if each in left else DONE for each in asked.ids)

    async def settle(self, attached: Attached, ids: Sequence[str], node: str) -> set[str]:
        """End messages that *node* is done with; those that could not be, for they are in flight."""
        async with self._lock:
            await self._copies.settle(attached, ids, self._now_ms())
            looked = await self._spool.look(ids)
            live = [name for name, found in looked.items() if not found.finished]
            ended = await asyncio.gather(*(self._end(name, node) for name in live))
            return {name for name, done in zip(live, ended, strict=True) if not done}

    async def _end(self, name: str, node: str) -> bool:
        """End a message; False if it moves."""
        view = await self._spool.journey(name)
        results = _results(view, node) if view is not None else []
        try:
            with suppress(MessageGone):
                if results:
                    await self._spool.finish(name, results, self._now_ms(), ELSEWHERE)
        except (IllegalMove, WrongRequest):
            return False
        return True


def _results(view: MessageView, node: str) -> list[RecipientResult]:
    """Nobody is sent anything any more; what became of it stands in the history of the node that says so."""
    return [
        RecipientResult(
            index=each.index,
            state=RecipientState.DELETED,
            reason=ELSEWHERE,
            reply=f"settled by {node}",
            counts_as_attempt=False,
        )
        for each in view.recipients
        if each.state not in FINAL_STATES
    ]
