"""Reports of failed delivery as servers write them, for tests."""

from collections.abc import Sequence

from node.rehearsal.simulator import ndr_text
from node.rehearsal.simulator.ndr_text import TEXT, Failure


def returned_header(message_id: str, queue_id: str = "", host: str = "relay.contoso.com") -> str:
    """The header of the message that came back."""
    by = f"by {host} (m365-relay {host}) with ESMTP\r\n\tid {queue_id}; Mon, 23 Nov 2026 10:00:00 +0000"
    own = f"Received: from app ([10.1.2.3])\r\n\t{by}\r\n" if queue_id else ""
    return (
        "Received: from relay.contoso.com (192.0.2.1) by AM0PR01MB0001.prod.outlook.com\r\n"
        f"{own}From: app@contoso.com\r\nSubject: invoice\r\nMessage-ID: {message_id}\r\n"
    )


def exchange_ndr(
    *,
    to: str,
    recipient: str,
    status: str = "5.1.10",
    words: str = "",
    message_id: str = "<one@contoso.com>",
    queue_id: str = "",
    returned: bool = True,
) -> bytes:
    """One report about one recipient as Exchange Online writes it."""
    failure = Failure(recipient=recipient, status=status, words=words)
    header = returned_header(message_id, queue_id) if returned else ""
    return ndr_text.exchange_ndr((failure,), to=to, message_id=message_id, returned=header)


def plain_ndr(
    to: str, rows: Sequence[tuple[str, str, str]], *, action: str = "failed", message_id: str = "<one@contoso.com>"
) -> bytes:
    """One report as most other servers write it; rows are recipient, status and words."""
    groups = "".join(
        f"\r\nFinal-Recipient: rfc822; {recipient}\r\nAction: {action}\r\nStatus: {status}\r\n"
        f"Remote-MTA: dns; mx.example\r\nDiagnostic-Code: smtp; {said}\r\n"
        for recipient, status, said in rows
    )
    return (
        f"From: MAILER-DAEMON@mx.example\r\nTo: {to}\r\nSubject: Undelivered Mail Returned to Sender\r\n"
        "MIME-Version: 1.0\r\nAuto-Submitted: auto-replied\r\n"
        'Content-Type: multipart/report; report-type=delivery-status; boundary="b"\r\n\r\n'
        f"--b\r\nContent-Type: text/plain\r\n\r\n{TEXT}\r\n"
        f"--b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.example\r\n{groups}\r\n"
        f"--b\r\nContent-Type: text/rfc822-headers\r\n\r\n{returned_header(message_id)}\r\n--b--\r\n"
    ).encode()
