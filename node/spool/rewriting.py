"""Puts something else in place of addresses in a finished message: its facts and every word of its journey. Pure."""

from abc import ABC, abstractmethod
from typing import ClassVar

import msgspec

from node.policy.envelope import NewMessage, Recipient
from node.spool.contract import JourneyLine


class Rewriter(ABC):
    """Knows what stands for which address; where addresses stand in a message is known here."""

    left: ClassVar[frozenset[str]] = frozenset()
    """Details of a journey line that stay as they are."""

    @abstractmethod
    def one(self, address: str) -> str:
        """Give what stands for an address."""

    @abstractmethod
    def text(self, text: str) -> str:
        """Give running text with what stands for the addresses in it."""

    @abstractmethod
    def recipient(self, old: Recipient) -> Recipient:
        """Give one envelope recipient with what stands for its addresses."""

    def message(self, old: NewMessage) -> NewMessage:
        """Give a message's facts with what stands for its addresses."""
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
        """Give a journey line with what stands for its addresses."""
        detail = {
            name: self.text(word) if isinstance(word, str) and name not in self.left else word
            for name, word in old.detail.items()
        }
        return msgspec.structs.replace(old, detail=detail)
