"""Why a batch of copies is not taken; each refusal has a word that crosses the wire, so that both ends log the same."""

from typing import ClassVar

from node.errors import RelayError, TemporaryError
from node.spool.errors import SpoolBroken, SpoolClosed, SpoolFull


class ShadowError(TemporaryError):
    """A batch was not taken: nothing in it is promised."""

    word: ClassVar[str] = "refused"


class BadBatch(ShadowError):  # noqa: N818 - the room's names say what is the matter
    """The octets are no batch this version takes."""

    word = "bad-batch"


class Torn(BadBatch):
    """It ends before its end, or goes on behind it."""

    word = "torn"


class Damaged(BadBatch):
    """A checksum does not fit what it covers."""

    word = "damaged"


class TooLarge(BadBatch):
    """More octets or entries than a batch may have."""

    word = "too-large"


class Malformed(BadBatch):
    """An entry says what cannot be."""

    word = "malformed"


class UnknownKind(BadBatch):
    """An entry of a kind this version does not know."""

    word = "unknown-kind"


class WrongVersion(BadBatch):
    """A protocol this version does not speak."""

    temporary = False
    word = "wrong-version"


class NotForHere(ShadowError):  # noqa: N818
    """A whole batch that this node may not take."""

    word = "not-for-here"


class WrongCluster(NotForHere):
    """It belongs to another cluster."""

    temporary = False
    word = "wrong-cluster"


class WrongEpoch(NotForHere):
    """The pairing as it is known does not make this disk its shadow, or not in this epoch."""

    word = "wrong-epoch"


class WrongNode(NotForHere):
    """Another node than the one it came from sends copies of this spool."""

    word = "wrong-node"


class WrongStream(NotForHere):
    """Of a stream that a later one replaced, or that was never begun."""

    word = "wrong-stream"


class CopiesLost(NotForHere):
    """The store that had the copies sent before is gone, or was damaged: they are not all there."""

    temporary = False
    word = "copies-lost"


class Gap(NotForHere):
    """A batch before it has not come; ``expected`` is the sequence that must."""

    word = "gap"

    def __init__(self, expected: int) -> None:
        """Keep the sequence expected."""
        super().__init__(f"sequence {expected} must come first")
        self.expected = expected


class Busy(ShadowError):  # noqa: N818
    """More batches wait here than may."""

    word = "busy"


class Refused(ShadowError):  # noqa: N818
    """The shadow did not take a batch, or does not take any; its word and text."""

    def __init__(self, word: str, text: str, expected: int = 0) -> None:
        """Keep what it said."""
        super().__init__(f"{word}: {text}" if text else word)
        self.said, self.expected = word, expected


class NotCopied(TemporaryError):  # noqa: N818
    """A message that may only be accepted on two machines is on one, and gone from there: its client sends it again."""


class QuotaReached(SpoolFull):
    """Copies take as much room as they may; nothing was written."""


def word_of(error: RelayError) -> str:
    """Name an error on the wire; what is not of this room by what it means for the sender."""
    if isinstance(error, ShadowError):
        return error.word
    for kind, word in ((SpoolFull, "full"), (SpoolClosed, "closed"), (SpoolBroken, "broken")):
        if isinstance(error, kind):
            return word
    return "refused"
