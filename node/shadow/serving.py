"""The routes of what the two ends ask each other of spares: read, answered or refused, in words that cross the wire."""

import logging
from collections.abc import Awaitable, Callable
from typing import Final

from coordinator.peers.contract import Handler
from node.errors import RelayError
from node.shadow.answering import Answering
from node.shadow.bringing import Bringing
from node.shadow.errors import Busy
from node.shadow.ownership import Ownership
from node.shadow.questions import ASK_BACK, BRING, COMPARE, SETTLED, Asked, AskedBack, Brought, read
from node.shadow.words import Answer, encode, refusal

QUESTIONS_MAX: Final = 16
"""Questions read and not answered; with their sizes the bound on memory."""

_log = logging.getLogger(__name__)


class Serving:
    """Serves the routes."""

    def __init__(self, answering: Answering, bringing: Bringing, ownership: Ownership) -> None:
        """Keep the parts."""
        self._answering, self._bringing, self._ownership = answering, bringing, ownership
        self._waiting = 0

    def routes(self) -> dict[str, Handler]:
        """Give the handlers."""
        return {COMPARE: self.compare, SETTLED: self.settled, BRING: self.bring, ASK_BACK: self.ask_back}

    async def compare(self, node: str, body: bytes) -> bytes:
        """Answer ``Asked``: a letter for each id."""
        return await self._said(lambda: self._answering.compare(node, read(body, Asked)))

    async def settled(self, node: str, body: bytes) -> bytes:
        """Take ``Asked``: a letter for each id."""
        return await self._said(lambda: self._answering.settled(node, read(body, Asked)))

    async def bring(self, node: str, body: bytes) -> bytes:
        """Take a ``Brought``."""
        return await self._said(lambda: self._bringing.take(node, read(body, Brought)))

    async def ask_back(self, node: str, body: bytes) -> bytes:
        """Take an ``AskedBack``."""
        return await self._said(lambda: self._asked_back(node, read(body, AskedBack)))

    async def _asked_back(self, node: str, asked: AskedBack) -> str:
        if self._ownership.other_end(asked.attached.key) != node:
            raise Busy("whoever asks is not known as the other end here")
        self._ownership.asked_back(asked.attached.key, asked.revision)
        return ""

    async def _said(self, answer: Callable[[], Awaitable[str]]) -> bytes:
        if self._waiting >= QUESTIONS_MAX:
            return encode(refusal(Busy(f"{self._waiting} questions wait"), ""))
        self._waiting += 1
        try:
            if not self._ownership.judged:
                raise Busy("this node's spool is not judged yet")
            return encode(Answer(said=await answer()))
        except RelayError as error:
            _log.info("a question about copies refused: %s", error)
            return encode(refusal(error, ""))
        finally:
            self._waiting -= 1
