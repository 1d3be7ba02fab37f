"""What a client's owner is told of mail that bounced after it had been delivered: one message, bounded, plain words.

A digest, because a dead list of ten thousand addresses must not become ten thousand messages; and because the owner of
an application wants to know how many and why before which.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Final

import msgspec

from node.policy.addresses import needs_utf8
from node.policy.dsn import Report
from node.policy.dsn_text import one_line, plain_words
from node.policy.stamp import mail_date

LISTED: Final = 100
"""Recipients named; the rest is counted."""
_WIDTH: Final = 200


class Bounced(msgspec.Struct, frozen=True, kw_only=True):
    """One recipient that bounced later."""

    at_ms: int
    message_id: str
    """Queue id."""
    client: str
    recipient: str
    reason: str
    reply: str


def build_digest(
    news: Sequence[Bounced], *, more: int, sender: str, target: str, hostname: str, report_id: str, now_ms: int
) -> Report:
    """Write the message; ``more``: how many there were besides ``news``."""
    total = len(news) + more
    utf8 = needs_utf8(target)
    head = [
        f"From: Mail relay <{sender}>",
        f"To: <{target}>",
        f"Subject: {total} recipient{'s' if total != 1 else ''} bounced after delivery",
        f"Date: {mail_date(now_ms)}",
        f"Message-ID: <{report_id}@{hostname}>",
        "Auto-Submitted: auto-generated",
        "X-Auto-Response-Suppress: All",
        "MIME-Version: 1.0",
        "Content-Type: text/plain; charset=utf-8",
        "Content-Transfer-Encoding: 8bit",
    ]
    text = "\r\n".join([*head, "", *_lines(news, more, hostname), ""])
    data = text.encode()
    return Report(data=data, eight_bit=not data.isascii(), smtputf8=utf8, message_id=f"<{report_id}@{hostname}>")


def _lines(news: Sequence[Bounced], more: int, hostname: str) -> list[str]:
    lines = [
        f"This is the mail relay {hostname}.",
        "",
        "Microsoft 365 had taken the messages below and reported afterwards that they could not be delivered.",
        "They are not sent again.",
        "",
    ]
    counts = Counter((one.client, one.reason) for one in news)
    lines += [f"  {number} of client {client}: {_why(reason)}" for (client, reason), number in counts.most_common()]
    if more:
        lines.append(f"  {more} more, of which only the number is kept")
    lines.append("")
    for one in news[:LISTED]:
        lines.append(f"{mail_date(one.at_ms)}  {one_line(one.recipient)}")
        lines.append(f"    {one_line(one.reply)[:_WIDTH] or _why(one.reason)}")
        lines.append(f"    message {one.message_id}")
    if len(news) > LISTED:
        lines.append(f"and {len(news) - LISTED} more of these; `relayctl trace --to ADDRESS` finds each.")
    return lines


def _why(reason: str) -> str:
    return plain_words(reason) or reason.replace("_", " ")
