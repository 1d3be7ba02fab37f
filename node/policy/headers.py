"""Takes a header block apart byte for byte: every field keeps its octets and its place.

Only what may be read in exactly one way is taken; the rest is a HeaderFault that names the line. Knows nothing of what
fields mean. Input has CRLF line ends already (the data reader saw to it); bare CR, bare LF and NUL are refused all the
same. Source: RFC 5322 §2.1.1, §2.2, §3.6.8; RFC 5321 §4.5.3.1.6.
"""

import re
from typing import NamedTuple

HEADER_BYTES = 256 << 10
"""Longest header block taken; Exchange's own limit is of this size (facts m365 §4: 552 5.3.4)."""
FIELDS = 1000
LINE_BYTES = 998
LENIENT_LINE_BYTES = 8190
_FIELDS = re.compile(rb"^(([!-9;-~]+)([ \t]*):([^\r\n\x00]*\r\n(?:[ \t][^\r\n\x00]*\r\n)*))", re.MULTILINE)
_NAME = re.compile(rb"[!-9;-~]+[ \t]*:")
_BLANK_FOLD = re.compile(rb"\r\n[ \t]+(?=\r\n)")
_FOLD = re.compile(rb"\r\n(?=[ \t])")
_BARE = re.compile(rb"\r(?!\n)|(?<!\r)\n|\x00")


class HeaderFault(NamedTuple):
    """Why a header block is refused."""

    reason: str
    """``too_large``, ``too_many_fields``, ``bad_octet``, ``long_line``, ``malformed``."""
    line: int
    """Number of the line at fault, counted from 1."""


Row = tuple[bytes, bytes, bytes, bytes]
"""A field as found: all its octets, name as written, space before the colon, value with folds and final CRLF."""


class Field(NamedTuple):
    """One field as it stood in the message."""

    name: bytes
    """Lower-case name."""
    raw: bytes
    """The whole field with its name, folds and final CRLF."""
    value: bytes
    """What follows the colon, folds and final CRLF included."""


class Header(NamedTuple):
    """A header block taken apart."""

    rows: list[Row]
    body_at: int
    """Where the body begins in the octets given; a blank line before it is not part of the body."""

    @property
    def fields(self) -> list[Field]:
        """The rows with names to compare; made when asked for, as most fields are only copied."""
        return [Field(name.lower(), raw, value) for raw, name, _, value in self.rows]


def parse_header(raw: bytes, *, lenient: bool = False) -> Header | HeaderFault:
    """Take the header off a message; ``raw`` is the message, or its first HEADER_BYTES octets or more.

    A first line that is no field means there is no header and all is body. No blank line: all is header. Later lines
    that are neither field nor continuation are a fault; ``lenient`` ends the header before them instead, as MTAs of old
    did. ``b"".join(field.raw)`` is the block, octet for octet.
    """
    end = _end_of(raw)
    if end < 0 or end > HEADER_BYTES:
        begins = _NAME.match(raw) is not None or raw[:1] in b" \t"
        return HeaderFault("too_large", 0) if begins else _stop(raw, [], 0, lenient=lenient)
    rows: list[Row] = _FIELDS.findall(raw, 0, end)
    if sum([len(row[0]) for row in rows]) != end:  # matches never overlap, so equal lengths leave no gap
        return _until_fault(raw, end, lenient=lenient)
    body_at = end + 2 if raw[end : end + 2] == b"\r\n" else end
    return _check(Header(rows, body_at), raw, end, lenient=lenient)


def _until_fault(raw: bytes, end: int, *, lenient: bool) -> Header | HeaderFault:
    """Go field by field to the line that is none."""
    rows: list[Row] = []
    at = 0
    while (found := _FIELDS.match(raw, at, end)) is not None:
        rows.append((found[1], found[2], found[3], found[4]))
        at = found.end()
    return _stop(raw, rows, at, lenient=lenient)


def unfold(value: bytes) -> str:
    """Give a field's value on one line, ends stripped, decoded as UTF-8 (undecodable octets as surrogates)."""
    flat = _FOLD.sub(b"", value) if value.find(b"\r\n") != len(value) - 2 else value
    return flat.strip(b" \t\r\n").decode("utf-8", "surrogateescape")


def without_blank_folds(octets: bytes) -> bytes:
    """Drop continuation lines of white space alone, which some readers take for the header's end (RFC 5322 §4.2)."""
    return _BLANK_FOLD.sub(b"", octets)


def _end_of(raw: bytes) -> int:
    """Where the blank line stands; the length when there is none; -1 when the limit comes first."""
    if raw.startswith(b"\r\n"):
        return 0
    at = raw.find(b"\r\n\r\n", 0, HEADER_BYTES + 4)
    if at >= 0:
        return at + 2
    return -1 if len(raw) > HEADER_BYTES else len(raw)


def _stop(raw: bytes, rows: list[Row], at: int, *, lenient: bool) -> Header | HeaderFault:
    """A line that is no field: no header at all, the header's end (lenient), or a fault."""
    line_end = raw.find(b"\r\n", at)
    bare = _BARE.search(raw, at, len(raw) if line_end < 0 else line_end)
    if bare is not None:
        return HeaderFault("bad_octet", _line(raw, bare.start()))
    if not rows and raw[at : at + 1] not in b" \t" and at + 2 <= len(raw):
        return Header([], 0)
    if lenient and rows:
        return _check(Header(rows, at), raw, at, lenient=True)
    return HeaderFault("malformed", _line(raw, at))


def _check(header: Header, raw: bytes, end: int, *, lenient: bool) -> Header | HeaderFault:
    if len(header.rows) > FIELDS:
        return HeaderFault("too_many_fields", 0)
    if not lenient and any(row[2] for row in header.rows):  # "From :" is From to some and nothing to others
        at = next(index for index, row in enumerate(header.rows) if row[2])
        return HeaderFault("malformed", _line(raw, sum(len(row[0]) for row in header.rows[:at])))
    longest = LENIENT_LINE_BYTES if lenient else LINE_BYTES
    if end > longest:
        start = 0
        while start < end:
            stop = raw.find(b"\r\n", start, end)
            if stop - start > longest:
                return HeaderFault("long_line", _line(raw, start))
            start = stop + 2
    blank = None if lenient else _BLANK_FOLD.search(raw, 0, end)
    return HeaderFault("malformed", _line(raw, blank.start()) + 1) if blank else header


def _line(raw: bytes, at: int) -> int:
    return raw.count(b"\n", 0, at) + 1
