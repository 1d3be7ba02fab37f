"""A report of failed delivery as Exchange Online writes it (RFC 3464 with Microsoft's own header fields). Pure.

Form: ``multipart/report`` with text and HTML for people, ``message/delivery-status``, the returned message; answered by
``In-Reply-To``, marked by ``X-MS-Exchange-Message-Is-Ndr`` (public code that reads such reports; the codes of facts
m365 §4.5 to §4.8).
"""

import email.utils
from dataclasses import dataclass

TEXT = "Your message couldn't be delivered."
WORDS = {
    "5.1.10": "RESOLVER.ADR.RecipientNotFound; Recipient {recipient} not found by SMTP address lookup",
    "5.7.233": "Tenant exceeded the external recipient rate limit",
    "5.1.8": "Access denied, bad outbound sender",
    "4.4.7": "QUEUE.Expired; message expired",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """What is reported about one recipient."""

    recipient: str
    status: str = "5.1.10"
    words: str = ""
    """What the server said; empty: Microsoft's words for the status."""

    def diagnostic(self) -> str:
        """Give the text of Diagnostic-Code."""
        words = self.words or WORDS.get(self.status, "Message rejected").format(recipient=self.recipient)
        return f"550 {self.status} {words}"


def exchange_ndr(
    failures: tuple[Failure, ...],
    *,
    to: str,
    message_id: str,
    returned: str = "",
    host: str = "AM0PR01MB0001.eurprd01.prod.outlook.com",
    number: int = 0,
    now_s: float = 0.0,
) -> bytes:
    """Write one report; ``returned`` is the header of the message that came back, empty: none comes back."""
    parts = [_people(), _status(failures, host)]
    if returned:
        parts.append(f"Content-Type: message/rfc822\r\n\r\n{returned.rstrip()}\r\n\r\nDear all\r\n")
    domain = to.rpartition("@")[2]
    head = [
        f"From: Microsoft Outlook <MicrosoftExchange329e71ec88ae4615bbc36ab6ce41109e@{domain}>",
        f"To: <{to}>",
        f"Date: {email.utils.formatdate(now_s)}",
        "Subject: Undeliverable: your message",
        f"Message-ID: <ndr-{number}@{host}>",
        f"In-Reply-To: {message_id}",
        f"References: {message_id}",
        "MIME-Version: 1.0",
        "Auto-Submitted: auto-replied",
        "X-MS-Exchange-Message-Is-Ndr:",
        f'Content-Type: multipart/report; report-type=delivery-status;\r\n\tboundary="_{number}_outer"',
    ]
    body = "".join(f"--_{number}_outer\r\n{part}\r\n" for part in parts)
    return ("\r\n".join(head) + f"\r\n\r\n{body}--_{number}_outer--\r\n").encode()


def _people() -> str:
    return (
        "Content-Type: multipart/alternative; differences=Content-Type;\r\n\tboundary=inner\r\n\r\n"
        f"--inner\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\n{TEXT}\r\n"
        f"--inner\r\nContent-Type: text/html\r\n\r\n<p>{TEXT}</p>\r\n--inner--\r\n"
    )


def _status(failures: tuple[Failure, ...], host: str) -> str:
    groups = "".join(
        f"\r\nFinal-Recipient: rfc822;{one.recipient}\r\nAction: failed\r\nStatus: {one.status}\r\n"
        f"Diagnostic-Code: smtp;{one.diagnostic()}\r\nX-Display-Name: {one.recipient}\r\n"
        for one in failures
    )
    return f"Content-Type: message/delivery-status\r\n\r\nReporting-MTA: dns;{host}\r\n{groups}"
