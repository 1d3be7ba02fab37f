"""Drafts that nobody will send: of attempts that were killed, or whose answers were lost. Looked for and deleted.

Known by a property only this product sets, whichever node it was, so that drafts of a lost machine are found as well.
Only old ones: an attempt that is under way has a draft too, perhaps of another node.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import Final

from node.delivery.clock import wall_ms
from node.delivery.drafts import Draft, draft, drafts_of, found
from node.delivery.endpoint import Endpoint, TokenSource
from node.errors import RelayError
from node.m365.graph import Graph, GraphAnswer, mailbox_url
from node.policy.marker import DRAFT_PROPERTY, DRAFT_VALUE

OLD_S: Final = 2 * 3600.0
"""An attempt takes far less (``rebuilding.BUILD_S``, and the wait for the answer); clocks may differ besides."""
FIRST_S: Final = 120.0
EVERY_S: Final = 1800.0
ASK_S: Final = 30.0
_SUCCESS, _GONE = 2, 404
_log = logging.getLogger(__name__)


class Leftovers:
    """Looks through the mailboxes of these ways."""

    def __init__(self, graph: Graph, tokens: TokenSource, endpoints: Callable[[], Iterable[Endpoint]]) -> None:
        """``endpoints``: ways by Graph whose mail may be built anew, asked for in each round."""
        self._graph, self._tokens, self._endpoints = graph, tokens, endpoints

    async def run(self) -> None:
        """Look soon and then every half hour, until cancelled; raises nothing of ours."""
        wait_s = FIRST_S
        while True:
            await asyncio.sleep(wait_s)
            await self.look(wall_ms())
            wait_s = EVERY_S

    async def look(self, now_ms: int) -> int:
        """Look once; gives how many were deleted. What cannot be looked at or deleted is logged."""
        deleted = 0
        for endpoint in self._endpoints():
            try:
                deleted += await self._mailbox(endpoint, now_ms)
            except RelayError as error:
                _log.warning("cannot look for drafts left behind in %s: %s", endpoint.way, error)
        return deleted

    async def _mailbox(self, endpoint: Endpoint, now_ms: int) -> int:
        answer = await self._ask(endpoint, "GET", drafts_of(DRAFT_PROPERTY, DRAFT_VALUE))
        if not answer.readable or answer.status // 100 != _SUCCESS:
            _log.warning("cannot look for drafts left behind in %s: %d %s", endpoint.way, answer.status, answer.code)
            return 0
        old = [one for one in found(answer) if 0 < one.created_ms <= now_ms - OLD_S * 1000]
        return sum([await self._deleted(endpoint, one) for one in old])

    async def _deleted(self, endpoint: Endpoint, one: Draft) -> bool:
        answer = await self._ask(endpoint, "DELETE", draft(one.id))
        good = answer.status // 100 == _SUCCESS or answer.status == _GONE
        said = "deleted" if good else f"stays: {answer.status} {answer.code}"
        _log.warning("a draft left behind in %s is %s", endpoint.way, said)
        return good

    async def _ask(self, endpoint: Endpoint, method: str, what: str) -> GraphAnswer:
        token = await self._tokens.token(endpoint.flow)
        url = mailbox_url(endpoint.graph, endpoint.user, what)
        return await self._graph.call(method, url, token, timeout_s=ASK_S)
