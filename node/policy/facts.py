"""What is known about a message when its data has arrived; handed to the pure code that finishes it."""

import msgspec

from node.policy.admission import MailFrom
from node.policy.clients import ClientRule
from node.policy.envelope import Recipient
from node.policy.rulebook import IntakeRules


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """One transaction: who, by which protocol, from whom, to whom, and when."""

    id: str
    """UUIDv7, canonical lower-case text."""
    now_ms: int
    rules: IntakeRules
    client: ClientRule
    mail: MailFrom
    recipients: tuple[Recipient, ...]
    protocol: str = "ESMTP"
    """``SMTP``, ``ESMTP``, ``ESMTPS``, ``ESMTPA``, ``ESMTPSA``, with ``UTF8`` before (RFC 3848, RFC 6531 §4.3)."""
    helo: str = ""
    """As the client gave it; quoted here, so anything may stand in it."""
    peer: str = ""
    """Client's address, without port."""
    tls: str = ""
    """Version and cipher, ``TLSv1.3 TLS_AES_256_GCM_SHA384``; empty in clear."""
    lenient: bool = False
    """The listener's profile is legacy."""
