"""A client in the middle of a message: half of it is said, and the rest when it is told to.

``python -m tests.failover.sender ADDRESS FILE`` writes "half" to FILE, waits until FILE says "go", says the rest, and
writes the reply to the message, and whatever comes behind it.
"""

import smtplib
import sys
import time
from pathlib import Path
from typing import Final

PORT: Final = 25
WAIT_S: Final = 20.0


def main() -> None:
    """Send one message, slowly."""
    address, file = sys.argv[1], Path(sys.argv[2])
    with smtplib.SMTP(address, PORT, timeout=WAIT_S) as smtp:
        smtp.ehlo("slow.test")
        for command in ("MAIL FROM:<app@contoso.com>", "RCPT TO:<b@example.com>", "DATA"):
            code, text = smtp.docmd(command)
            assert code in (250, 354), text
        smtp.send("From: app@contoso.com\r\nSubject: half\r\n\r\nhalf\r\n")
        file.write_text("half")
        until_s = time.monotonic() + WAIT_S
        while file.read_text() != "go" and time.monotonic() < until_s:
            time.sleep(0.002)
        smtp.send("the rest\r\n.\r\n")
        answered = smtp.getreply()[0]
        try:
            behind = smtp.getreply()[0]
        except smtplib.SMTPServerDisconnected:
            behind = 0
        file.write_text(f"{answered} {behind}")


if __name__ == "__main__":
    main()
