"""What the two ends ask each other of their spares, beside batches; the routes these go by. Pure."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeVar

import msgspec

from coordinator.ownership.answers import Answer
from coordinator.ownership.records import PairKey
from coordinator.ownership.rows import Attached
from node.shadow.entries import Progress
from node.shadow.errors import Malformed, Refused, TooLarge, WrongVersion
from node.shadow.frames import BODY_BYTES_MAX, FACTS_BYTES_MAX, NUMBERS, VERSION
from node.shadow.words import is_uuid
from node.spool.contract import JourneyLine

COMPARE: Final = "copies-compare"
"""What became of these spares?"""
SETTLED: Final = "copies-settled"
"""These are settled, whatever you make of them."""
BRING: Final = "copies-bring"
"""Here is one that you do not know."""
ASK_BACK: Final = "copies-ask-back"
"""Give me the key of this pairing: it is of my spool, and I have nothing under it."""

IDS_MAX: Final = 1_000
"""Messages in one question."""
PART_BYTES: Final = 512 << 10
"""Octets of a body in one question."""
BODY_MAX: Final[Mapping[str, int]] = {COMPARE: 256 << 10, SETTLED: 256 << 10, BRING: PART_BYTES + 2 * FACTS_BYTES_MAX}
"""For ``PeerServer(body_max=…)``, beside the receiver's."""

_ID = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}", re.ASCII)
_NODE_MAX = 64
_LETTERS: Final = {
    Answer.KEEP: "k",
    Answer.SETTLED: "s",
    Answer.ELSEWHERE: "e",
    Answer.WAIT: "w",
    Answer.SEND: "n",
}
_ANSWERS: Final = {letter: answer for answer, letter in _LETTERS.items()}


class About(msgspec.Struct, frozen=True, kw_only=True):
    """Which pairing is meant."""

    version: int = VERSION
    spool: str
    shadow: str
    epoch: int = 1

    @property
    def attached(self) -> Attached:
        """The pairing's epoch."""
        return Attached(key=PairKey(spool=self.spool, shadow=self.shadow), epoch=self.epoch)


class Asked(About, frozen=True, kw_only=True):
    """Messages of one pairing's epoch."""

    ids: tuple[str, ...]


class AskedBack(About, frozen=True, kw_only=True):
    """Of which revision the key is asked back."""

    revision: int


class Brought(About, frozen=True, kw_only=True):
    """A part of a message's body; the last one says the rest."""

    message_id: str
    start: int
    data: bytes
    last: bool = False
    size_bytes: int = 0
    """Of the whole body."""
    digest: bytes = b""
    """BLAKE2b of the whole body, 16 octets."""
    facts: bytes = b""
    progress: tuple[Progress, ...] = ()
    sent: tuple[int, ...] = ()
    """Recipients of attempts that may have sent the final dot."""
    lines: tuple[JourneyLine, ...] = ()


Question = TypeVar("Question", Asked, AskedBack, Brought)


def about(attached: Attached) -> dict[str, Any]:
    """Name a pairing for a question about it."""
    return {"spool": attached.key.spool, "shadow": attached.key.shadow, "epoch": attached.epoch}


def encoded(question: Asked | AskedBack | Brought) -> bytes:
    """Write a question."""
    return msgspec.msgpack.encode(question)


def read(body: bytes, kind: type[Question]) -> Question:
    """Read a question; raises Malformed, TooLarge, WrongVersion."""
    try:
        found = msgspec.msgpack.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, TypeError) as error:
        raise Malformed(f"not a question: {type(error).__name__}") from None
    if found.version != VERSION:
        raise WrongVersion(f"version {found.version}, this node speaks {VERSION}")
    if not is_uuid(found.spool) or not 0 < len(found.shadow) <= _NODE_MAX or not 0 < found.epoch < NUMBERS:
        raise Malformed("a spool that is no UUID, or a node or an epoch that is none")
    _check(found)
    return found


def _check(question: Asked | AskedBack | Brought) -> None:
    if isinstance(question, Asked):
        if len(question.ids) > IDS_MAX:
            raise TooLarge(f"{len(question.ids)} messages, at most {IDS_MAX} are asked about at once")
        _names(question.ids)
    elif isinstance(question, Brought):
        _names([question.message_id])
        if len(question.data) > PART_BYTES or not 0 <= question.start <= BODY_BYTES_MAX - len(question.data):
            raise TooLarge("a part of a body that is too large")


def _names(ids: Sequence[str]) -> None:
    if not all(_ID.fullmatch(each) for each in ids):
        raise Malformed("an id that cannot name a file")


def said(answers: Sequence[Answer]) -> str:
    """Write answers in the order of the ids asked about."""
    return "".join(_LETTERS[each] for each in answers)


def answers_of(letters: str, ids: Sequence[str]) -> dict[str, Answer]:
    """Read answers to these ids; raises Refused for what is none."""
    if len(letters) != len(ids) or not set(letters) <= set(_ANSWERS):
        raise Refused("malformed", "answers that do not fit what was asked")
    return {name: _ANSWERS[letter] for name, letter in zip(ids, letters, strict=True)}
