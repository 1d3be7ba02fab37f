"""Message content as it arrives after DATA: finds the end, takes the stuffed dots out, hashes; keeps what is asked for.

Only CRLF.CRLF ends it (RFC 5321 §4.1.1.4). Holds a bounded start of the message, never all of it.
"""

import hashlib
from typing import IO

from node.rehearsal.simulator.headers import HEADERS_BYTES

_END = b"\r\n.\r\n"
_HOLD = len(_END) - 1  # so much of the end may be the beginning of the terminator
LONGEST_LINE_BYTES = 1000  # RFC 5321 §4.5.3.1.6, CRLF included


class Unstuffer:
    """Feed it chunks after 354; it gives content without stuffing, and says when the end came."""

    def __init__(self) -> None:
        """Start as if a line had just ended: a lone dot may be the first line."""
        self._held = b"\r\n"
        self._first = True

    def feed(self, chunk: bytes) -> tuple[bytes, bytes | None]:
        """Give (content, None) while it goes on, or (content, what follows the end)."""
        work = self._held + chunk
        end = work.find(_END)
        if end >= 0:
            return self._clean(work[: end + 2]), work[end + len(_END) :]
        cut = work.find(b"\r", max(0, len(work) - _HOLD))
        if cut < 0:
            cut = len(work)
        self._held = work[cut:]
        return self._clean(work[:cut]), None

    def _clean(self, stuffed: bytes) -> bytes:
        if not stuffed:
            return stuffed
        plain = stuffed.replace(b"\r\n..", b"\r\n.") if b"\r\n.." in stuffed else stuffed
        if self._first:
            self._first = False
            return plain[2:]
        return plain


class Content:
    """One message's bytes as they pass: counted, hashed, optionally written to a file."""

    def __init__(self, keep: IO[bytes] | None = None) -> None:
        """Write every byte to ``keep`` as well when given (the caller owns and closes it)."""
        self._keep = keep
        self._hash = hashlib.sha256()
        self._line_bytes = 0
        self.size_bytes = 0
        self.start = b""
        self.bare_line_feed = False
        self.long_lines = 0
        self.eight_bit = False

    def add(self, data: bytes) -> None:
        """Take the next part, whose end is never inside a CRLF pair."""
        self._hash.update(data)
        self.size_bytes += len(data)
        if len(self.start) < HEADERS_BYTES:
            self.start += data[: HEADERS_BYTES - len(self.start)]
        if data.count(b"\n") != data.count(b"\r\n"):
            self.bare_line_feed = True
        if not self.eight_bit:
            self.eight_bit = not data.isascii()
        self._measure(data)
        if self._keep is not None:
            self._keep.write(data)

    def sha256(self) -> str:
        """Give the hash of everything so far, in hex."""
        return self._hash.hexdigest()

    def _measure(self, data: bytes) -> None:
        lengths = list(map(len, data.split(b"\r\n")))
        lengths[0] += self._line_bytes
        self._line_bytes = lengths[-1]
        if max(lengths) + 2 > LONGEST_LINE_BYTES:
            self.long_lines += 1
