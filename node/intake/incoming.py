"""Reads the octets between 354 and the final dot: finds the end, un-stuffs, and judges framing. Pure.

Works on whole chunks, not on lines: what is looked for are the few octets that must not be there. Only CRLF.CRLF
ends the data (RFC 5321 §4.1.1.4; "SMTP smuggling"); a bare CR is always an error, a bare LF an error or, on a
legacy listener, turned into CRLF. Knows nothing of sessions, headers' meaning, or where the octets go.

Line lengths: RFC 5321 §4.5.3.1.6 says 998 octets and CRLF. Header lines are held to that by the policy. Body lines
may have up to 64 KiB: scripts do send a whole HTML page in one line, Exchange takes it, and breaking the line would
change signed content.
"""

import re
from enum import Enum
from typing import Final

from node.intake.lines import crlf_lines, longest_exceeds, uniform_lines

MAX_BODY_LINE_BYTES: Final = 65_536
MAX_HEADER_BYTES: Final = 256 << 10
_DOT_LINE: Final = re.compile(rb"\n\.")
_BARE_CR: Final = re.compile(rb"\r[^\n]")
"""Both start with a literal, which the expression engine finds faster than ``bytes.find`` finds a pair."""
WHOLE_MAX_BYTES: Final = MAX_BODY_LINE_BYTES
"""A message up to this size needs no look at the length of its lines, and is judged in one go if it came in one."""
SPLIT_BYTES: Final = 16 << 10
"""In larger chunks the header, if it ends within so much, is read by itself."""
DRAIN_SLACK_BYTES: Final = 16 << 20
"""How much of an oversized message is still read, so that its sender hears 552 instead of a reset."""


class Fault(Enum):
    """What can be wrong with the data; the first four make the end unfindable or pointless: the session closes."""

    BARE_LF = "bare_lf"
    BARE_CR = "bare_cr"
    ENDLESS_LINE = "endless_line"
    ENDLESS = "endless"
    NUL = "nul"
    BODY_LINE = "body_line"
    HEADER = "header_too_large"
    SIZE = "too_large"


CLOSING: Final = frozenset({Fault.BARE_LF, Fault.BARE_CR, Fault.ENDLESS_LINE, Fault.ENDLESS})


class DataReader:
    """One message's worth of data. Feed chunks until ``done``; take ``header`` once and ``body`` parts as they come."""

    __slots__ = (
        "_at_line_start",
        "_fresh",
        "_held",
        "_limit",
        "_normalise",
        "body",
        "done",
        "eight_bit",
        "fault",
        "header",
        "header_done",
        "normalised",
        "rest",
        "size_bytes",
    )

    def __init__(self, limit_bytes: int, *, normalise: bool = False) -> None:
        self._limit = limit_bytes
        self._normalise = normalise
        self._held = b""
        self._at_line_start = True
        self._fresh = True
        self.header = b""
        """Every octet up to and including the empty line; grows until ``header_done``."""
        self.header_done = False
        self.body: list[bytes] = []
        """Un-stuffed parts after the header, not yet taken."""
        self.size_bytes = 0
        self.eight_bit = False
        self.normalised = False
        self.fault: Fault | None = None
        self.done = False
        self.rest = b""
        """What followed the final dot: the next commands."""

    def feed(self, chunk: bytes) -> None:
        """Take one chunk; sets ``done`` at the final dot or when a fault closes the session."""
        if self._fresh and chunk.endswith(b"\r\n.\r\n") and self._take_whole(chunk):
            return
        self._fresh = False
        if len(chunk) > SPLIT_BYTES and not self.header_done:
            # Lines of many lengths and of one do not mix well: attachments are judged by their stride.
            split = chunk.find(b"\r\n\r\n", 0, SPLIT_BYTES) + 4
            if split > 4:  # noqa: PLR2004 - found
                self._feed(chunk[:split])
                chunk = chunk[split:]
                if self.done:
                    self.rest += chunk if not self.closes else b""
                    return
        self._feed(chunk)

    def _feed(self, chunk: bytes) -> None:
        data = self._held + chunk if self._held else chunk
        dot = self._find_dot_line(data)
        end = self._find_end(data, dot) if dot >= 0 else -1
        if end >= 0:
            self._held = b""
            self.done = True
            self.rest = data[end + 3 :]
            if end:
                self._block(data[:end], dotted=dot < end)
            if not self.header_done and self.fault is None:
                self._end_header(self.header, b"")  # headers only: the empty line may be left out
            return
        cut = data.rfind(b"\n" if self._normalise else b"\r\n")
        cut = 0 if cut < 0 else cut + (1 if self._normalise else 2)
        self._held = data[cut:]  # data[:cut] is no copy when nothing is held
        if cut:
            self._block(data[:cut], dotted=dot >= 0)
        if not self.done:
            self._check_held()

    def _take_whole(self, data: bytes) -> bool:
        """Take a whole message without any peculiarity that came in one chunk; False, changing nothing, if it has one.

        Most mail is like that, and a few looks at all of it are cheaper than the general way's bookkeeping.
        """
        end = len(data) - 3
        if end > min(self._limit, WHOLE_MAX_BYTES) or b"\0" in data:
            return False
        split = data.find(b"\r\n\r\n") + 4
        if not 4 < split <= min(end, MAX_HEADER_BYTES) or data.startswith((b"\r\n", b".")):  # noqa: PLR2004 - not found
            return False
        header, body = data[:split], data[split:end]
        # Looked for apart, as a body of base64 holds no dot at all.
        if _DOT_LINE.search(header) or body.startswith(b".") or (b"." in body and _DOT_LINE.search(body)):
            return False
        if not crlf_lines(header) or not (uniform_lines(body) or crlf_lines(body)):
            return False
        self.size_bytes = end
        self.eight_bit = not data.isascii()
        self.header = header
        self.header_done = self.done = True
        if body:
            self.body.append(body)
        return True

    @property
    def closes(self) -> bool:
        """Whether the fault leaves the end of the data unknown, so that the session must close."""
        return self.fault in CLOSING

    def take_body(self) -> list[bytes]:
        """Hand over the body parts gathered so far."""
        parts, self.body = self.body, []
        return parts

    def _find_dot_line(self, data: bytes) -> int:
        """Where the first line that starts with a dot begins, -1 without one. Attachments in base64 hold no dot."""
        first = data.find(b".")
        if first <= 0:
            return first
        found = _DOT_LINE.search(data, first - 1)
        return found.start() + 1 if found is not None else -1

    def _find_end(self, data: bytes, dot: int) -> int:
        """Where the final ``.CRLF`` starts, -1 if it is not there; ``dot`` is the first line starting with a dot."""
        if dot == 0 and self._at_line_start and data.startswith(b".\r\n"):
            return 0
        found = data.find(b"\r\n.\r\n", max(dot - 2, 0))
        return found + 2 if found >= 0 else -1

    def _check_held(self) -> None:
        """An unfinished line: a sender of bare line feeds never finishes one, so look inside."""
        held = self._held
        if not held:
            return
        if held.find(b"\r", 0, len(held) - 1) >= 0:
            self._fail(Fault.BARE_CR)
        elif not self._normalise and held.find(b"\n") >= 0:
            self._fail(Fault.BARE_LF)
        elif len(held) > MAX_BODY_LINE_BYTES + 2:
            self._fail(Fault.BODY_LINE)
            self._skip_line(held)

    def _skip_line(self, held: bytes) -> None:
        """Forget the inside of a line that is refused anyway; keep what decides whether a CRLF follows."""
        self.size_bytes += len(held)
        self._held = held[-1:]
        self._at_line_start = False
        if self.size_bytes > self._limit + DRAIN_SLACK_BYTES:
            self._fail(Fault.ENDLESS_LINE)

    def _fail(self, fault: Fault) -> None:
        if self.fault is None or (fault in CLOSING and self.fault not in CLOSING):
            self.fault = fault
        self.body.clear()
        self.header = b""
        self.header_done = True
        if fault in CLOSING:
            self.done = True
            self.rest = b""

    def _block(self, block: bytes, *, dotted: bool) -> None:
        """Judge and keep complete lines; ``dotted`` if one of them may start with a dot."""
        touched = False
        if not uniform_lines(block):
            if _BARE_CR.search(block) is not None:
                self._fail(Fault.BARE_CR)
                return
            # Every CR is followed by LF, so there are more LFs than CRs exactly if one is bare.
            touched = block.count(b"\n") != block.count(b"\r")
            if touched and not self._normalise:
                self._fail(Fault.BARE_LF)
                return
        self._at_line_start = block.endswith(b"\r\n")
        self.size_bytes += len(block)
        if self.size_bytes > self._limit:
            self._fail(Fault.ENDLESS if self.size_bytes > self._limit + DRAIN_SLACK_BYTES else Fault.SIZE)
        if self.fault is None:
            self._keep(_to_crlf(block) if touched else block, touched=touched, dotted=dotted)

    def _keep(self, block: bytes, *, touched: bool, dotted: bool) -> None:
        if touched:
            self.normalised = True
        if b"\0" in block:
            self._fail(Fault.NUL)
            return
        if not self.eight_bit and not block.isascii():
            self.eight_bit = True
        if dotted:
            block = _unstuff(block)
        if self.header_done:
            self._keep_body(block)
        else:
            self._keep_header(block)

    def _keep_header(self, block: bytes) -> None:
        """Lines until the empty one; the search starts where the last block's end could take part in it."""
        start = max(len(self.header) - 2, 0)
        whole = self.header + block if self.header else block
        end = 0 if whole.startswith(b"\r\n") else whole.find(b"\r\n\r\n", start)
        if end >= 0:
            split = end + (4 if end else 2)
            self._end_header(whole[:split], whole[split:])
        elif len(whole) > MAX_HEADER_BYTES:
            self._fail(Fault.HEADER)
        else:
            self.header = whole

    def _end_header(self, header: bytes, body: bytes) -> None:
        self.header_done = True
        self.header = header
        if len(header) > MAX_HEADER_BYTES:
            self._fail(Fault.HEADER)
        elif body:
            self._keep_body(body)

    def _keep_body(self, block: bytes) -> None:
        if len(block) > MAX_BODY_LINE_BYTES and longest_exceeds(block, MAX_BODY_LINE_BYTES):
            self._fail(Fault.BODY_LINE)
            return
        self.body.append(block)


def _to_crlf(block: bytes) -> bytes:
    return block.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


def _unstuff(block: bytes) -> bytes:
    """Take one dot from every line that starts with one and goes on (RFC 5321 §4.5.2).

    A line of a single dot stays: it can only come from a legacy sender's bare LF and did not end the data.
    """
    whole = b"\r\n" + block
    while b"\r\n.\r\n" in whole:  # neighbours share a CRLF, so one pass may leave every second one
        whole = whole.replace(b"\r\n.\r\n", b"\r\n..\r\n")
    return whole.replace(b"\r\n.", b"\r\n")[2:]
