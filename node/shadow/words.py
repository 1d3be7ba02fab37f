"""The short questions and answers around batches, as JSON; the routes they go by. Pure."""

from typing import Final
from uuid import UUID

import msgspec

from node.errors import RelayError
from node.shadow.errors import Gap, Malformed, Refused, WrongVersion, word_of
from node.shadow.frames import NUMBERS, VERSION

BEGIN: Final = "copies-begin"
BATCH: Final = "copies"
WINDOW: Final = 3
"""Batches of one pairing under way at once; of the connections to a node enough stay free for other questions."""
TEXT_MAX: Final = 200


class Begin(msgspec.Struct, frozen=True, kw_only=True):
    """Asks whether copies of a spool may be sent from now on."""

    version: int = VERSION
    cluster: str
    spool: str
    copy: str
    """The spool beside which the copies shall lie."""
    epoch: int
    store: str = ""
    """The copy store that has those sent before under this epoch; empty: none were."""


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What the shadow says; without a word all is well."""

    word: str = ""
    """Of the refusal."""
    text: str = ""
    stream: int = 0
    durable: int = 0
    """Sequence of the last batch that is durable."""
    expected: int = 0
    """Sequence that must come first."""
    store: str = ""
    """The copy store that answers."""
    said: str = ""
    """To questions about several messages: a letter for each."""


_begins = msgspec.json.Decoder(Begin)
_answers = msgspec.json.Decoder(Answer)


def encode(value: Begin | Answer) -> bytes:
    """Write a question or an answer."""
    return msgspec.json.encode(value)


def begin_of(body: bytes) -> Begin:
    """Read a question; raises Malformed, WrongVersion."""
    try:
        found = _begins.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Malformed(f"not a question: {type(error).__name__}") from None
    if found.version != VERSION:
        raise WrongVersion(f"version {found.version}, this node speaks {VERSION}")
    # Names of spools become names of files.
    if not is_uuid(found.spool) or not is_uuid(found.copy) or not 0 < found.epoch < NUMBERS:
        raise Malformed("spools that are no UUIDs, or an epoch that is none")
    return found


def is_uuid(text: str) -> bool:
    """Whether a text is a UUID, written as one."""
    try:
        return str(UUID(text)) == text
    except ValueError:
        return False


def answer_of(body: bytes) -> Answer:
    """Read an answer that all is well; raises Refused for any other, or for none."""
    try:
        found = _answers.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Refused("malformed", f"not an answer: {type(error).__name__}") from None
    if found.word:
        raise Refused(found.word[:TEXT_MAX], found.text[:TEXT_MAX], found.expected)
    return found


def refusal(error: RelayError, store: str) -> Answer:
    """Say why not."""
    expected = error.expected if isinstance(error, Gap) else 0
    return Answer(word=word_of(error), text=str(error)[:TEXT_MAX], expected=expected, store=store)
