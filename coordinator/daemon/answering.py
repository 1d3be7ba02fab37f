"""What this coordinator answers the others: promises, heartbeats, words, its status page (``peering.Answers``)."""

from collections.abc import Awaitable, Callable, Sequence

import msgspec

from coordinator.daemon.holdings import Holding
from coordinator.daemon.view import Status
from coordinator.early_keeper import AskWord, EarlyKeeper, Heard, Heartbeat, Word
from coordinator.keeper import AddressKeeper


class Answering:
    """Passes each question on to the keeper of its address; without one that runs, the answer is a refusal."""

    def __init__(self, holdings: Sequence[Holding], status: Callable[[], Awaitable[Status]]) -> None:
        """``holdings`` may be filled later."""
        self._holdings, self._status = holdings, status

    def promise(self, name: str, asker: str) -> bool:
        """Promise a holder its address, or refuse."""
        keeper = self._keeper(name)
        return keeper is not None and keeper.asked(asker)

    def heard(self, holder: str, heartbeat: Heartbeat) -> Heard:
        """Answer a holder's heartbeat."""
        keeper = self._keeper(heartbeat.address)
        return keeper.heard(holder, heartbeat) if isinstance(keeper, EarlyKeeper) else Heard(answered=False)

    def word(self, candidate: str, question: AskWord) -> Word:
        """Give a candidate a word about a leash, or refuse."""
        keeper = self._keeper(question.address)
        if not isinstance(keeper, EarlyKeeper):
            return Word(ago_ms=None, inc=0)
        return keeper.asked_for_word(candidate, question.revision)

    async def page(self) -> bytes:
        """Give the status page."""
        return msgspec.json.encode(await self._status())

    def _keeper(self, name: str) -> AddressKeeper | None:
        return next((each.keeper for each in self._holdings if each.name == name and each.running), None)
