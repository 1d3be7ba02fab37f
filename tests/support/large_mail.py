"""Mail too large for one request to Graph, and what of it must arrive."""

import hashlib
from email.message import EmailMessage

SMALL, LARGE = b"s" * 90_000, bytes(range(256)) * 15_600
"""Below 3 MB, and above: one goes with the draft, the other by an upload session, in two chunks."""
TEXT = "see attached: äöü\r\n"


def large(*to: str, name: str = "large", data=(SMALL, LARGE), sender: str = "App <app@contoso.com>", **fields) -> bytes:
    """A message of text and attachments."""
    made = EmailMessage()
    made["From"], made["To"] = sender, ", ".join(to or ("bob@example.com",))
    made["Subject"], made["Message-ID"], made["X-Rehearsal-Id"] = "large", f"<{name}@contoso.com>", name
    for key, value in fields.items():
        made[key.replace("_", "-")] = value
    made.set_content(TEXT.replace("\r\n", "\n"), cte="base64")
    for number, octets in enumerate(data):
        made.add_attachment(octets, "application", "octet-stream", filename=f"{number}.bin")
    return made.as_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


def parts(data=(SMALL, LARGE), text: str = TEXT.replace("\r\n", "\n")) -> list[tuple]:
    """Kind, name, size and SHA-256 of every part, in order."""
    whole = [("text/plain", "", text.encode())]
    whole += [("application/octet-stream", f"{number}.bin", octets) for number, octets in enumerate(data)]
    return [(kind, name, len(octets), hashlib.sha256(octets).hexdigest()) for kind, name, octets in whole]
