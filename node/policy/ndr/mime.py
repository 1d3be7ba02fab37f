"""Walks the parts of a message without believing it: iterative, linear, every count bounded. Knows no report.

Boundaries are looked for as lines, as RFC 2046 §5.1.1 has them; a part ends at its boundary or at its parent's end.
What is beyond a bound is left out and said, never an error: the beginning of a report is worth more than its rest.
"""

import binascii
import re
from collections.abc import Iterator
from itertools import islice
from typing import Final, NamedTuple

READ_BYTES: Final = 4 << 20
"""So much of a message is looked at: what a report says stands before the returned message."""
DEPTH_MAX: Final = 8
PARTS_MAX: Final = 64
HEADER_BYTES: Final = 64 << 10
FIELDS_MAX: Final = 500
VALUE_BYTES: Final = 4096
BOUNDARY_CHARS: Final = 200
"""RFC 2046 allows 70; some write more."""
_BLANK: Final = re.compile(rb"\r?\n\r?\n")
_LINE_END: Final = re.compile(rb"\r?\n")
_FIELD: Final = re.compile(rb"([!-9;-~]{1,78})[ \t]*:(.*)", re.DOTALL)
_PARAMETER: Final = re.compile(r';\s*([A-Za-z0-9*_-]{1,40})\s*=\s*("(?:[^"\\]|\\.){0,400}"|[^\s;"]{1,400})', re.DOTALL)
_COMMENT: Final = re.compile(r"\([^()]*\)")
_BOUNDARY_END: Final = re.compile(rb"(--)?[ \t]{0,80}(?:\r?\n|\Z)")
LOOKS_MAX: Final = 10_000
"""Lines that begin like a boundary, in one multipart."""
_NOT_BASE64: Final = re.compile(rb"[^A-Za-z0-9+/]")

Fields = dict[str, list[str]]
"""Lower-case name to its values, unfolded, in order."""


class Part(NamedTuple):
    """A leaf: its header and where its body stands."""

    kind: str
    """Lower-case media type, ``text/plain`` when none is said."""
    fields: Fields
    body: bytes
    depth: int


class Walk:
    """One message's leaves, found as they are asked for."""

    def __init__(self, data: bytes) -> None:
        """Look at the beginning of *data* only."""
        self._data = data[:READ_BYTES]
        self.cut = len(data) > READ_BYTES
        self.fields: Fields = {}
        """The message's own header."""

    def leaves(self) -> Iterator[Part]:
        """Give every leaf in the order of the text; multiparts deeper than DEPTH_MAX are left out."""
        waiting = [(0, len(self._data), 0)]
        seen = 0
        while waiting:
            start, end, depth = waiting.pop()
            seen += 1
            if seen > PARTS_MAX:
                self.cut = True
                return
            fields, body_at = read_fields(self._data, start, end)
            if not depth:
                self.fields = fields
            kind, parameters = content_type(first(fields, "content-type"))
            boundary = parameters.get("boundary", "")
            if kind.startswith("multipart/") and boundary:
                if depth >= DEPTH_MAX:
                    self.cut = True
                    continue
                waiting += [(a, b, depth + 1) for a, b in reversed(self._split(body_at, end, boundary))]
            else:
                yield Part(kind, fields, self._data[body_at:end], depth)

    def _split(self, start: int, end: int, boundary: str) -> list[tuple[int, int]]:
        """Where the parts between boundary lines begin and end; preamble and epilogue are left out."""
        mark = b"--" + boundary.encode("utf-8", "surrogateescape")
        found: list[tuple[int, int]] = []
        opened = -1
        for at, after, closing in self._marks(mark, start, end):
            if opened >= 0:
                found.append((opened, max(opened, at)))
            if closing:
                return found
            if len(found) >= PARTS_MAX:
                self.cut = True
                return found
            opened = after
        return [*found, (opened, end)] if opened >= 0 else found

    def _marks(self, mark: bytes, start: int, end: int) -> Iterator[tuple[int, int, bool]]:
        """Each boundary line: where it begins, where the next one does, and whether it is the closing one."""
        at = start if self._data.startswith(mark, start, end) else self._line(mark, start, end)
        for _ in range(LOOKS_MAX):
            if at < 0:
                return
            after = at + len(mark)
            match = _BOUNDARY_END.match(self._data, after, end)
            if match is not None:
                yield at, match.end(), match[1] == b"--"
            at = self._line(mark, after, end)
        self.cut = True

    def _line(self, mark: bytes, start: int, end: int) -> int:
        found = self._data.find(b"\n" + mark, start, end)
        return found + 1 if found >= 0 else -1


def read_fields(data: bytes, start: int = 0, end: int | None = None) -> tuple[Fields, int]:
    """Read a header block and say where the body begins; lines that are no field are passed over."""
    limit = len(data) if end is None else end
    empty = _LINE_END.match(data, start, limit)
    if empty is not None:
        return {}, empty.end()
    blank = _BLANK.search(data, start, min(limit, start + HEADER_BYTES))
    stop, body_at = (blank.start(), blank.end()) if blank else (min(limit, start + HEADER_BYTES), limit)
    return fields_of(data[start:stop]), body_at


def fields_of(block: bytes) -> Fields:
    """Read a block of fields, unfolding each (RFC 5322 §2.2.3); bounded in number and in length."""
    found: Fields = {}
    for name, value in islice(_unfolded(block), FIELDS_MAX):
        found.setdefault(name, []).append(value)
    return found


def _unfolded(block: bytes) -> Iterator[tuple[str, str]]:
    whole: list[bytes] = []
    length = 0
    for line in _LINE_END.split(block):
        if line[:1] in (b" ", b"\t") and whole:
            if length < VALUE_BYTES:
                whole.append(line)
                length += len(line)
            continue
        if whole:
            yield from _named(whole)
        whole, length = [line], len(line)
    if whole:
        yield from _named(whole)


def _named(lines: list[bytes]) -> Iterator[tuple[str, str]]:
    match = _FIELD.match(b" ".join(line.strip(b" \t") for line in lines)[:VALUE_BYTES])
    if match is not None:
        yield match[1].decode("ascii").lower(), match[2].strip(b" \t\r\n").decode("utf-8", "replace")


def first(fields: Fields, name: str) -> str:
    """Give the first value of a field; empty if there is none."""
    return fields.get(name, [""])[0]


def content_type(value: str) -> tuple[str, dict[str, str]]:
    """Take a Content-Type apart: lower-case type, and its parameters with quotes taken off (RFC 2045 §5.1)."""
    kind = _COMMENT.sub("", value.partition(";")[0][:200]).strip().lower()
    parameters: dict[str, str] = {}
    for name, text in _PARAMETER.findall(value):
        plain = re.sub(r"\\(.)", r"\1", text[1:-1]) if text.startswith('"') else text
        parameters.setdefault(name.lower(), plain[:BOUNDARY_CHARS])
    return kind or "text/plain", parameters


def decoded(part: Part, most_bytes: int) -> bytes:
    """Give a leaf's body without its transfer encoding, at most so many octets; what cannot be decoded stays as it is.

    RFC 2046 §5.2 forbids encodings on reports; gateways apply them all the same.
    """
    encoding = first(part.fields, "content-transfer-encoding").lower().strip()
    if encoding == "base64":
        plain = _NOT_BASE64.sub(b"", part.body[: most_bytes * 2])
        try:
            return binascii.a2b_base64(plain[: len(plain) // 4 * 4] + _tail(plain))[:most_bytes]
        except binascii.Error:
            return part.body[:most_bytes]
    if encoding == "quoted-printable":
        return binascii.a2b_qp(part.body[: most_bytes * 3])[:most_bytes]
    return part.body[:most_bytes]


def _tail(plain: bytes) -> bytes:
    rest = plain[len(plain) // 4 * 4 :]
    return rest + b"=" * (4 - len(rest)) if len(rest) > 1 else b""
