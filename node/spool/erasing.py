"""Takes one address out of a finished message: its facts, its recipients and every word of its journey.

Pure. What remains still tells when, by which client and with what outcome; ``MARK`` stands where the address was.
"""

import re

import msgspec

from node.policy.envelope import Recipient
from node.spool.rewriting import Rewriter
from node.spool.search import key_of

MARK = "erased@erased.invalid"
"""Fixed, so that nothing about the address can be learnt from it (RFC 2606 name)."""


class Eraser(Rewriter):
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
