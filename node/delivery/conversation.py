"""Which way of talking a session wants: an SMTP transaction, a posting to Graph or a draft there. Each has a course."""

from typing import Protocol

from node.delivery.connection import Connection, Session
from node.delivery.graph_line import GraphLine
from node.delivery.letter import Letter
from node.delivery.posting import Posting
from node.delivery.rebuilding import Rebuilding
from node.delivery.transaction import Course, Fence, Intend, Transaction
from node.policy.kinds import GRAPH_BYTES


class Conversation(Protocol):
    """One letter on its way."""

    course: Course

    async def run(self) -> Course:
        """Send the letter as far as the other side lets it.

        Raises Refused when nothing could be sent, and what the intent or reading the body raises.
        """
        ...


def conversation(session: Session, letter: Letter, intend: Intend | None, may_send: Fence) -> Conversation:
    """Begin one on this session."""
    if isinstance(session, GraphLine):
        large = letter.message.size_bytes > GRAPH_BYTES
        return (Rebuilding if large else Posting)(session, letter, intend, may_send)
    if isinstance(session, Connection):
        return Transaction(session, letter, intend, may_send)
    raise TypeError(f"no way to talk on a {type(session).__name__}")
