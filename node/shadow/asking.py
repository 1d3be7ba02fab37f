"""The spares' side: asks their owner what became of them, tells it what is settled, brings what it does not know."""

from collections import Counter
from collections.abc import Callable
from typing import Final

from coordinator.ownership.answers import Answer
from coordinator.ownership.rows import Attached
from coordinator.ownership.views import End, State, View, end_of
from coordinator.peers.contract import Peers
from node.shadow.answering import DONE
from node.shadow.bringer import TIMEOUT_S, Bringer
from node.shadow.contract import Copies
from node.shadow.errors import Refused
from node.shadow.measures import Measures
from node.shadow.ownership import Ownership
from node.shadow.questions import COMPARE, IDS_MAX, SETTLED, Asked, about, answers_of, encoded
from node.shadow.words import answer_of
from node.spool.paired import PairedSpool

ANOTHERS: Final = frozenset({State.SPARE, State.SPARE_VOID})
"""States in which the other end owns a pairing."""


class Asking:
    """One question at a time. All methods raise PeerError, ShadowError and the errors of the spool: ask again later."""

    def __init__(
        self,
        copies: Copies,
        spool: PairedSpool,
        peers: Peers,
        ownership: Ownership,
        *,
        now_ms: Callable[[], int],
        measures: Measures,
    ) -> None:
        """Keep the parts."""
        self._copies, self._spool, self._peers = copies, spool, peers
        self._ownership, self._now_ms, self._measures = ownership, now_ms, measures
        self._bringer = Bringer(copies, peers)

    # ---- what became of spares ---------------------------------------------------------------------------------------

    def owner(self, attached: Attached) -> str:
        """Name whom to ask about spares of a pairing; empty if there is nobody, or they are on their way to be own."""
        view, me = self._ownership.view(attached.key), self._ownership.me.node
        if view is None or view.pairing is None or (view.state is State.HELD and view.epoch == attached.epoch):
            return ""
        node = view.pairing.owner
        if node == me:
            node = self._ownership.other_end(attached.key)
        return "" if node == me else node

    async def compare(self, attached: Attached, after: str) -> str:
        """Ask about some spares beyond one, and do what the answers say; the last one asked about, empty at the end."""
        node = self.owner(attached)
        ids = await self._copies.ids(attached, after, IDS_MAX) if node else []
        if not ids:
            return ""
        asked = Asked(**about(attached), ids=tuple(ids))
        answers = answers_of(await self._ask(node, COMPARE, encoded(asked)), ids)
        for word, many in Counter(answers.values()).items():
            self._measures.count("relay_copies_compared", many, answer=word.value)
        gone = [name for name, word in answers.items() if word in {Answer.SETTLED, Answer.ELSEWHERE}]
        if gone:
            await self._copies.settle(attached, gone, self._now_ms())
        for before, name in zip([after, *ids], ids, strict=False):
            if answers[name] is Answer.SEND:
                await self._bringer.bring(node, attached, before, name)
        return ids[-1] if len(ids) == IDS_MAX else ""

    # ---- what is settled ---------------------------------------------------------------------------------------------

    async def tell_settled(self, view: View, number: int) -> None:
        """Tell the other end what is settled here, until it has heard; its sender tells what goes under its own."""
        node = self._hearer(view)
        while node and (ids := await self._spool.untold(number, IDS_MAX)):
            asked = Asked(**about(Attached(key=view.key, epoch=view.epoch)), ids=tuple(ids))
            letters = await self._ask(node, SETTLED, encoded(asked))
            if len(letters) != len(ids):
                raise Refused("malformed", "answers that do not fit what was said")
            heard = [name for name, letter in zip(ids, letters, strict=True) if letter == DONE]
            await self._spool.told(heard)
            if len(heard) < len(ids):
                return  # some are in flight there: said again later

    def _hearer(self, view: View) -> str:
        """Name whom to tell: the owner, or of what was adopted the spool's own node, if it is back."""
        if view.pairing is None:
            return ""
        if view.state in ANOTHERS:
            return view.pairing.owner
        adopted = view.state is State.HELD and end_of(view.key, view.pairing, self._ownership.me) is End.COPY
        return self._ownership.other_end(view.key) if adopted else ""

    async def _ask(self, node: str, route: str, body: bytes) -> str:
        return answer_of(await self._peers.ask(node, route, body, timeout_s=TIMEOUT_S)).said
