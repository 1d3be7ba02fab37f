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
_FIELD = re.compile(rb"([!-9;-~]+)([ \t]*):([^\r\n\x00]*\r\n(?:[ \t][^\r\n\x00]*\r\n)*)")
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

    fields: list[Field]
    body_at: int
    """Where the body begins in the octets given; a blank line before it is not part of the body."""


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
    fields: list[Field] = []
    at = 0
    match = _FIELD.match
    while at < end and len(fields) <= FIELDS:
        found = match(raw, at, end)
        if found is None:
            return _stop(raw, fields, at, lenient=lenient)
        name, space, value = found.groups()
        if space and not lenient:  # "From :" is From to some readers and nothing to others
            return HeaderFault("malformed", _line(raw, at))
        fields.append(Field(name.lower(), found[0], value))
        at = found.end()
    body_at = end + 2 if raw[end : end + 2] == b"\r\n" else end
    header = Header(fields, body_at)
    return _check(header, raw, end, lenient=lenient)


def unfold(value: bytes) -> str:
    """Give a field's value on one line, ends stripped, decoded as UTF-8 (undecodable octets as surrogates)."""
    flat = _FOLD.sub(b"", value) if value.find(b"\r\n") != len(value) - 2 else value
    return flat.strip(b" \t\r\n").decode("utf-8", "surrogateescape")


def _end_of(raw: bytes) -> int:
    """Where the blank line stands; the length when there is none; -1 when the limit comes first."""
    if raw.startswith(b"\r\n"):
        return 0
    at = raw.find(b"\r\n\r\n", 0, HEADER_BYTES + 4)
    if at >= 0:
        return at + 2
    return -1 if len(raw) > HEADER_BYTES else len(raw)


def _stop(raw: bytes, fields: list[Field], at: int, *, lenient: bool) -> Header | HeaderFault:
    """A line that is no field: no header at all, the header's end (lenient), or a fault."""
    line_end = raw.find(b"\r\n", at)
    bare = _BARE.search(raw, at, len(raw) if line_end < 0 else line_end)
    if bare is not None:
        return HeaderFault("bad_octet", _line(raw, bare.start()))
    if not fields and raw[at : at + 1] not in b" \t" and at + 2 <= len(raw):
        return Header(fields, 0)
    if lenient and fields:
        return _check(Header(fields, at), raw, at, lenient=True)
    return HeaderFault("malformed", _line(raw, at))


def _check(header: Header, raw: bytes, end: int, *, lenient: bool) -> Header | HeaderFault:
    if len(header.fields) > FIELDS:
        return HeaderFault("too_many_fields", 0)
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
