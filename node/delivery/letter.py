"""What one transaction sends: addresses, ESMTP parameters and the body as it goes over the line. Reads no reply."""

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from node.policy.admission import SIZE_DIGITS
from node.policy.envelope import NewMessage, Notify
from node.policy.marker import marker_line
from node.spool.contract import Queued

CHUNK_BYTES = 64 << 10  # about one transport buffer: a 150 MB body never needs more memory than this
_UNSAFE_ADDRESS = re.compile(r"[\x00-\x20\x7f<>]")
_NOT_XTEXT = re.compile(r"[^!-*,-<>-~]")
_EIGHT_BIT = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """One message with the recipients that share a transaction."""

    message: NewMessage
    recipients: tuple[Queued, ...]
    body: bytes | Path
    mail_from: str
    head: bytes = b""
    """Header lines of our own that go in front of the body, each with its CRLF."""
    marked: bool = False
    """Says in one more line whom it was sent for."""

    def front(self, accepted: Sequence[Queued]) -> bytes:
        """Give what goes in front of the body; whom the server refused is not named, or a copy would prove too much."""
        mark = marker_line(self.message.id, [one.index for one in accepted]) if self.marked else b""
        return mark + self.head

    @property
    def size_bytes(self) -> int:
        """Size as it goes over the line, at most."""
        return self.message.size_bytes + len(self.front(self.recipients))

    @property
    def needs_utf8(self) -> bool:
        """True when the envelope or the header cannot be said in ASCII (RFC 6531)."""
        addresses = (self.mail_from, *(recipient.address for recipient in self.recipients))
        return self.message.smtputf8 or not all(address.isascii() for address in addresses)


def safe(address: str) -> bool:
    """Tell whether an address can be put between angle brackets without changing the command."""
    return _UNSAFE_ADDRESS.search(address) is None


def missing(letter: Letter, extensions: dict[str, str]) -> tuple[int, str, str] | None:
    """Name what the server lacks for this letter as code, enhanced code and text; None: it can be sent.

    Eight-bit mail to a server without 8BITMIME is refused, not converted: a conversion would break signatures
    and rewrite the sender's MIME structure (RFC 6152 §3 allows either). Microsoft always offers it.
    """
    if letter.message.eight_bit and "8BITMIME" not in extensions:
        return 554, "5.6.3", "the next server takes no eight-bit mail, and this relay converts none"
    if letter.needs_utf8 and "SMTPUTF8" not in extensions:
        return 553, "5.6.7", "the next server takes no internationalised addresses"
    limit = extensions.get("SIZE", "")
    if limit.isascii() and limit.isdigit() and len(limit) <= SIZE_DIGITS and 0 < int(limit) < letter.size_bytes:
        return 552, "5.3.4", f"message of {letter.size_bytes} bytes exceeds the {int(limit)} the next server takes"
    return None


def mail_command(letter: Letter, extensions: dict[str, str]) -> bytes:
    """Write MAIL with the parameters the server offers and the letter needs."""
    parts = [f"MAIL FROM:<{letter.mail_from}>"]
    message = letter.message
    if "SIZE" in extensions:
        parts.append(f"SIZE={letter.size_bytes}")
    if message.eight_bit:
        parts.append("BODY=8BITMIME")
    if letter.needs_utf8:
        parts.append("SMTPUTF8")
    if "DSN" in extensions:
        if message.ret:
            parts.append(f"RET={message.ret}")
        if message.envid:
            parts.append(f"ENVID={xtext(message.envid)}")
    return " ".join(parts).encode()


def rcpt_command(recipient: Queued, extensions: dict[str, str]) -> bytes:
    """Write RCPT; DSN wishes travel on where the server takes them (RFC 3461 §5.2.1)."""
    parts = [f"RCPT TO:<{recipient.address}>"]
    if "DSN" in extensions:
        if not recipient.notify & Notify.DEFAULT.value:
            parts.append(f"NOTIFY={_notify(recipient.notify)}")
        if recipient.orcpt:
            parts.append(f"ORCPT={recipient.orcpt}")
    return " ".join(parts).encode()


def _notify(bits: int) -> str:
    words = [kind.name for kind in (Notify.SUCCESS, Notify.FAILURE, Notify.DELAY) if bits & kind.value]
    return ",".join(words) or "NEVER"


def xtext(text: str) -> str:
    """Encode as RFC 3461 §4 xtext."""
    return _NOT_XTEXT.sub(lambda match: "".join(f"+{byte:02X}" for byte in match[0].encode()), text)


def stuffed(data: bytes, *, line_start: bool) -> bytes:
    """Double the dots that begin lines (RFC 5321 §4.5.2).

    A dot after a bare line feed is doubled as well: the intake lets none pass, and should one be there all the
    same, no server can take it for the end of the data.
    """
    if b"\n." in data:
        data = data.replace(b"\n.", b"\n..")
    return b"." + data if line_start and data.startswith(b".") else data


def whole(body: bytes) -> bytes:
    """Give a small body ready for the line, ending in CRLF, without the final dot."""
    data = stuffed(body, line_start=True)
    return data if data.endswith(b"\r\n") or not data else data + b"\r\n"


async def pieces(path: Path) -> AsyncIterator[bytes]:
    """Read a large body in chunks ready for the line; reading happens in a thread, since disks can be slow."""
    file = await asyncio.to_thread(path.open, "rb")
    line_start, last = True, b"\r\n"
    try:
        while chunk := await asyncio.to_thread(file.read, CHUNK_BYTES):
            # A dot and the line feed before it may lie in different chunks.
            yield stuffed(chunk, line_start=line_start)
            line_start = chunk.endswith(b"\n")
            last = (last + chunk)[-2:]
    finally:
        await asyncio.to_thread(file.close)
    if last != b"\r\n":
        yield b"\r\n"
