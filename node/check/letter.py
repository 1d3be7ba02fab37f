"""The message a check sends: says what it is, from whom, and that nobody need answer. Pure."""

from node.policy.stamp import mail_date


def letter_for(sender: str, to: str, way: str, now_ms: int) -> bytes:
    """Give the message, lines ended by CRLF."""
    domain = sender.rpartition("@")[2]
    lines = [
        f"From: <{sender}>",
        f"To: <{to}>",
        "Subject: Test of the mail relay",
        f"Date: {mail_date(now_ms)}",
        f"Message-ID: <relay-check-{now_ms}-{abs(hash((sender, way))) % 10**8}@{domain}>",
        "Auto-Submitted: auto-generated",
        "X-Auto-Response-Suppress: All",
        "MIME-Version: 1.0",
        "Content-Type: text/plain; charset=us-ascii",
        "",
        "`relayctl m365 check` sent this to see whether the account may send so. It can be deleted.",
        "",
    ]
    return "\r\n".join(lines).encode()
