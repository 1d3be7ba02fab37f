"""Puts keyed hashes in place of every address of a settled message: its facts, its recipients, its journey. Pure.

Unlike erasing, which takes one address out of all messages, this takes all addresses out of one. What names accounts
and operators stays: they are no people's mail.
"""

import msgspec

from node.policy.envelope import FINAL_STATES, Recipient, RecipientState
from node.policy.pseudonym import Pseudonyms
from node.spool.contract import Filter, MessageView
from node.spool.rewriting import Rewriter

SAID = frozenset({"actor", "attempt", "way"})
"""Details of a line in which no address of mail stands."""


class Hider(Rewriter):
    """Hides with the keyed hashes of one cluster."""

    left = SAID

    def __init__(self, names: Pseudonyms) -> None:
        """Keep them."""
        self._names = names

    def one(self, address: str) -> str:
        """Give an address's hash."""
        return self._names.address(address)

    def text(self, text: str) -> str:
        """Running text with hashes in place of addresses."""
        return self._names.text(text)

    def recipient(self, old: Recipient) -> Recipient:
        """One envelope recipient without its addresses; ORCPT says the same in another writing, so it goes."""
        return msgspec.structs.replace(old, address=self.one(old.address), original=self.one(old.original), orcpt="")

    def view(self, old: MessageView) -> MessageView:
        """A message as shown: settled ones without addresses, others as they are, since operators must handle them."""
        if not settled(old):
            return old
        recipients = tuple(
            msgspec.structs.replace(
                each,
                address=self.one(each.address),
                original=self.one(each.original),
                orcpt="",
                last_reply=self.text(each.last_reply),
            )
            for each in old.recipients
        )
        lines = tuple(self.line(line) for line in old.lines)
        return msgspec.structs.replace(old, message=self.message(old.message), recipients=recipients, lines=lines)

    def variants(self, which: Filter) -> tuple[Filter, ...]:
        """Give the filter, and the one that finds what is hidden already; the same for whole domains."""
        hidden = msgspec.structs.replace(
            which, sender=self._wanted(which.sender), recipient=self._wanted(which.recipient)
        )
        return (which,) if hidden == which else (which, hidden)

    def _wanted(self, pattern: str) -> str:
        return pattern if not pattern or pattern.startswith("*@") else self.one(pattern)


def settled(view: MessageView) -> bool:
    """Whether a message is history: all is final, and nothing is kept for a person to send again."""
    states = {each.state for each in view.recipients}
    # A copy is not finished before its owner says so, however all recipients ended.
    return RecipientState.DEAD not in states and (bool(view.finished_ms) or states <= FINAL_STATES)
