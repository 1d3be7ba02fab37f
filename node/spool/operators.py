"""Hold, release and delete by filter, the same on every store: choose from a view, then look again when changing."""

from abc import ABC, abstractmethod
from functools import partial

from node.policy.lifecycle import Event
from node.spool.contract import Filter, JourneyLine, MessageView
from node.spool.operations import Step
from node.spool.search import chosen
from node.spool.steps import narrowed, operate


class OperatorVerbs(ABC):
    """What an operator may do to mail at rest; a store adds ``find`` and ``_change``."""

    @abstractmethod
    async def find(self, which: Filter) -> list[MessageView]:
        """See the contract; at most 1,000 messages."""

    @abstractmethod
    async def _change(self, step: Step) -> int:
        """Carry out a step durably."""

    async def hold(self, which: Filter, actor: str, why: str, now_ms: int) -> int:
        """See the contract; touches at most ``which.limit`` messages."""
        return await self._operate(Event.HOLD, which, actor, why, now_ms)

    async def release(self, which: Filter, actor: str, why: str, now_ms: int) -> int:
        """See the contract; touches at most ``which.limit`` messages, dead ones only while their body is kept."""
        return await self._operate(Event.RELEASE, which, actor, why, now_ms)

    async def delete(self, which: Filter, actor: str, why: str, now_ms: int) -> int:
        """See the contract; held, unknown and dead recipients too; at most ``which.limit`` messages."""
        return await self._operate(Event.DELETE, which, actor, why, now_ms)

    async def _operate(self, event: Event, which: Filter, actor: str, why: str, now_ms: int) -> int:
        picked = chosen(which, await self.find(narrowed(event, which)))
        line = JourneyLine(at_ms=now_ms, event="", detail={"actor": actor, "why": why})
        return await self._change(Step(apply=partial(operate, event, which, picked, line), messages=tuple(picked)))
