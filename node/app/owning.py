"""The question between nodes whether one owns a pairing, asked while the store is silent for all (``freely.py``)."""

from collections.abc import Callable
from typing import Final

import msgspec

from coordinator.errors import CoordinatorError
from coordinator.keeping.keeper import Keeper, Word
from coordinator.keeping.words import Ask
from coordinator.keys import decode, encode
from coordinator.ownership.records import PairKey
from coordinator.ownership.rows import Attached
from coordinator.peers.contract import Handler, PeerError, Peers

ROUTE: Final = "owned"
ANSWER_S: Final = 1.0


class SpoolInUse(CoordinatorError):  # noqa: N818 - a state of affairs
    """A spool must not be used here: another node has it, or what the store says of it is not understood."""

    temporary = False


class NotQuarantined(CoordinatorError):  # noqa: N818 - a state of affairs
    """There is nothing to release."""

    temporary = False


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """Ask whether one owns a pairing's epoch, or may."""

    spool: str
    shadow: str
    epoch: int


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """What the other end knows."""

    owned: bool


def owner_in(keeper: Keeper) -> Callable[[Attached], str]:
    """Make what names the node that owns a pairing's mail; empty as long as that is not known."""

    def owner(attached: Attached) -> str:
        view = keeper.view(attached.key)
        return view.pairing.owner if view is not None and view.pairing is not None else ""

    return owner


def asks(peers: Peers) -> Ask:
    """Make what asks a node; no answer, or one that cannot be read, is None."""

    async def ask(node: str, key: PairKey, epoch: int) -> Word | None:
        question = encode(Question(spool=key.spool, shadow=key.shadow, epoch=epoch))
        try:
            reply = decode(await peers.ask(node, ROUTE, question, timeout_s=ANSWER_S), Reply)
        except PeerError:
            return None
        return Word(owned=reply.owned) if reply is not None else None

    return ask


def answers(keeper: Keeper) -> Handler:
    """Make what answers; a question that cannot be read is answered so that nobody goes on because of it."""

    async def answer(node: str, body: bytes) -> bytes:  # noqa: ARG001 - all may ask
        asked = decode(body, Question)
        if asked is None:
            return encode(Reply(owned=True))
        word = keeper.word(PairKey(spool=asked.spool, shadow=asked.shadow), asked.epoch)
        return encode(Reply(owned=word.owned))

    return answer
