"""Reports that concern another node's mail: asked of all, dealt with by the one that has it. And who reads a mailbox.

A report comes to whichever node is asked; the message lies with the one that delivered it. Every node has its own key
too, so a return path made elsewhere is proved there. Nothing is believed on another node's word: it only says what it
made of the claim.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from hashlib import blake2b
from typing import Final

import msgspec

from coordinator.errors import CoordinatorError
from coordinator.keys import Role
from coordinator.peers.contract import Handler
from node.app.member import Member
from node.truth.contract import Answers, Claim, Judged, Outcome
from node.truth.desk import Desk

ROUTE: Final = "report"
"""Route of the peer channel."""
WAIT_S: Final = 5.0
ASKED_RECIPIENTS: Final = 100
"""Recipients in one question, so that it fits the channel's bound."""
ASKED_HEADER_BYTES: Final = 8 << 10
_log = logging.getLogger(__name__)


class NotAsked(CoordinatorError):  # noqa: N818 - a state of affairs
    """A claim that cannot be read, or not be judged here now."""

    temporary = False


class Elsewhere:
    """The other nodes, as the desk asks them; and this one, as they ask it."""

    def __init__(self, desk: Desk, member: Member) -> None:
        """Ask through the member's channel."""
        self._desk, self._member = desk, member

    def routes(self) -> dict[str, Handler]:
        """Give what other nodes may ask."""
        return {ROUTE: self._answer}

    async def _answer(self, caller: str, body: bytes) -> bytes:
        try:
            claim = msgspec.json.decode(body, type=Claim)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise NotAsked(f"not understood: {error}") from None
        judged = await self._desk.settle(claim)
        if judged.outcome is Outcome.MATCHED:
            _log.info(
                "a report that came to %s concerned mail of this node", caller, extra={"queue_id": judged.message_id}
            )
        return msgspec.json.encode(judged)

    async def __call__(self, claim: Claim) -> Answers:
        """Ask all others."""
        found = [judged for part in _parts(claim) for judged in await self._asked(part)]
        said = tuple(judged for judged in found if judged is not None)
        return Answers(judged=said, silent=len(said) < len(found))

    async def _asked(self, claim: Claim) -> list[Judged | None]:
        body, peers = msgspec.json.encode(claim), self._member.peers
        asked = (_judged(peers.ask(node, ROUTE, body, timeout_s=WAIT_S)) for node in self._member.others())
        return await asyncio.gather(*asked)

    def reads(self, mailbox: str) -> bool:
        """Tell whether this node reads a mailbox: of the members there are, the one its name falls to.

        Without a look at the store everybody reads: what is known already changes nothing.
        """
        joined, me = self._member.joined, self._member.node
        live = [node for node in self._member.nodes() if joined.keys.member(Role.NODE, node) in joined.feed.items]
        return me not in live or max(live, key=_weight(mailbox)) == me


async def _judged(answer: Awaitable[bytes]) -> Judged | None:
    try:
        return msgspec.json.decode(await answer, type=Judged)
    except (CoordinatorError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _parts(claim: Claim) -> Iterator[Claim]:
    """Cut a claim into questions that fit."""
    notice = claim.notice
    header = notice.header[:ASKED_HEADER_BYTES]
    for start in range(0, len(notice.recipients), ASKED_RECIPIENTS):
        part = notice.recipients[start : start + ASKED_RECIPIENTS]
        yield msgspec.structs.replace(claim, notice=msgspec.structs.replace(notice, recipients=part, header=header))


def _weight(mailbox: str) -> Callable[[str], bytes]:
    """Order nodes for one mailbox, so that a node that leaves moves only what it read (rendezvous hashing)."""
    return lambda node: blake2b(f"{mailbox}\0{node}".encode(), digest_size=8).digest()
