"""Takes one address out of a finished message: its facts, its recipients and every word of its journey.

Pure. What remains still tells when, by which client and with what outcome; ``MARK`` stands where the address was.
"""

import re

import msgspec

from node.policy.envelope import NewMessage, Recipient
from node.spool.contract import JourneyLine
from node.spool.search import key_of

MARK = "erased@erased.invalid"
"""Fixed, so that nothing about the address can be learnt from it (RFC 2606 name)."""


class Eraser:
    """Replaces one address, whatever its case, in values and in running text."""

    def __init__(self, address: str) -> None:
        """Name the address to take out."""
        self.key = key_of(address)
        # Not inside a longer address: erasing `a@x.org` must leave `ba@x.org` and `a@x.org.uk` alone.
        self._words = re.compile(rf"(?<![\w.+-]){re.escape(address)}(?![\w-]|\.\w)", re.IGNORECASE)
        xtext = address.replace("+", "+2B").replace("=", "+3D")
        self._xtext = re.compile(re.escape(xtext), re.IGNORECASE)

    def text(self, text: str) -> str:
        """Running text without the address."""
        return self._words.sub(MARK, text)

    def one(self, address: str) -> str:
        """An address, or the mark if it is the one."""
        return MARK if address and key_of(address) == self.key else address

    def recipient(self, old: Recipient) -> Recipient:
        """One envelope recipient without the address."""
        orcpt = old.orcpt
        if self._xtext.fullmatch(orcpt.partition(";")[2]):
            orcpt = f"rfc822;{MARK}"
        return msgspec.structs.replace(old, address=self.one(old.address), original=self.one(old.original), orcpt=orcpt)

    def message(self, old: NewMessage) -> NewMessage:
        """A message's facts without the address."""
        return msgspec.structs.replace(
            old,
            mail_from=self.one(old.mail_from),
            header_from=self.one(old.header_from),
            original_mail_from=self.one(old.original_mail_from),
            owner=self.one(old.owner),
            recipients=tuple(self.recipient(recipient) for recipient in old.recipients),
            message_id=self.text(old.message_id),
            envid=self.text(old.envid),
        )

    def line(self, old: JourneyLine) -> JourneyLine:
        """A journey line without the address."""
        detail = {name: self.text(word) if isinstance(word, str) else word for name, word in old.detail.items()}
        return msgspec.structs.replace(old, detail=detail)
