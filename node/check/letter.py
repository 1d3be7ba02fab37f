"""The message a check sends: says what it is, from whom, and that nobody need answer."""

import secrets
from typing import Final

from node.policy.stamp import mail_date

WHY: Final = "`relayctl m365 check` sent this to see whether the account may send so. It can be deleted."


def new_message_id(sender: str, now_ms: int) -> str:
    """Give a Message-ID at the sender's domain that no other message has."""
    return f"<relay-check-{now_ms}-{secrets.token_hex(8)}@{sender.rpartition('@')[2]}>"


def letter_for(sender: str, to: str, now_ms: int, message_id: str, why: str = WHY) -> bytes:
    """Give the message, lines ended by CRLF."""
    lines = [
        f"From: <{sender}>",
        f"To: <{to}>",
        "Subject: Test of the mail relay",
        f"Date: {mail_date(now_ms)}",
        f"Message-ID: {message_id}",
        "Auto-Submitted: auto-generated",
        "X-Auto-Response-Suppress: All",
        "MIME-Version: 1.0",
        "Content-Type: text/plain; charset=us-ascii",
        "",
        why,
        "",
    ]
    return "\r\n".join(lines).encode()
