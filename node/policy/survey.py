"""Looks over the fields of a header: which are judged, dropped, counted or left alone; and what a row of names tells.

Pure. Knows nothing of what the judged fields say.
"""

from enum import Enum
from typing import NamedTuple

import msgspec

from node.policy.headers import HEADER_BYTES, LINE_BYTES, Field, Header
from node.policy.originators import ORIGINATORS

DROPPED = frozenset({b"bcc", b"resent-bcc", b"return-path", b"traceparent", b"tracestate"})
DROPPED_PREFIXES = (
    b"x-ms-exchange-organization",
    b"x-ms-exchange-forest",
    b"x-ms-exchange-crosspremises",
    b"x-ms-exchange-crosstenant",
    b"x-ms-exchange-transport-cross",
    b"x-crosspremisesheaders",
    b"x-organizationheaders",
    b"x-externallypreserved",
)
"""Fields Exchange believes when they come through a trusted connection: SCL, AuthAs and the like (operations M13)."""
RARE = ORIGINATORS - {b"from"}
NOTED = ORIGINATORS | {
    b"received",
    b"message-id",
    b"date",
    b"reply-to",
    b"content-type",
    b"auto-submitted",
    b"precedence",
    b"x-auto-response-suppress",
}
KNOWN_NAME_BYTES = 64
"""Names up to here are remembered once judged: mail repeats the same few dozen."""
KNOWN_NAMES = 1024
"""When so many are remembered, all are forgotten."""
_PLAIN = frozenset({b"from", b"date", b"message-id", b"content-type"})
SHAPES = 512
"""Rows of field names remembered; when full all are forgotten. Applications write the same few."""
SHAPE_FIELDS = 40


class _Kind(Enum):
    NOTED = "noted"
    DROPPED = "dropped"
    LIST = "list"
    OTHER = "other"


_NOTED, _DROPPED, _LIST, _OTHER = _Kind  # a member asked of its class costs ten times a name


class Survey(msgspec.Struct):
    """What one pass over the fields found."""

    pieces: list[bytes]
    noted: dict[bytes, list[tuple[int, Field]]]
    dropped: dict[bytes, list[Field]]
    listed: bool


class Shape(msgspec.Struct, frozen=True):
    """What the names of a header's fields tell, in their order."""

    plain: bool
    """One From, Date and Message-ID each, and nothing that is dropped, judged or counted besides Content-Type."""
    author: int = 0
    message_id: int = 0
    content_type: int = -1


_shapes: dict[tuple[bytes, ...], Shape] = {}


def _kind(written: bytes) -> tuple[bytes, "_Kind"]:
    """The name to compare, and what the survey does with its field."""
    name = written.lower()
    if name in NOTED:
        return name, _NOTED
    if name in DROPPED or name.startswith(DROPPED_PREFIXES):
        return name, _DROPPED
    return name, _LIST if name.startswith(b"list-") else _OTHER


_known: dict[bytes, tuple[bytes, _Kind]] = {}


def _learn(written: bytes) -> tuple[bytes, "_Kind"]:
    """Judge a name and remember it, within the bounds."""
    judged = _kind(written)
    if len(written) <= KNOWN_NAME_BYTES:
        if len(_known) >= KNOWN_NAMES:
            _known.clear()
        _known[written] = judged
    return judged


def survey_of(header: Header) -> Survey:
    """Go over the fields once."""
    pieces: list[bytes] = []
    noted: dict[bytes, list[tuple[int, Field]]] = {}
    dropped: dict[bytes, list[Field]] = {}
    listed = False
    for raw, written, space, value in header.rows:
        name, kind = _known.get(written) or _learn(written)
        if kind is _NOTED:
            found = (len(pieces), Field(name, raw, value))
            if name in noted:
                noted[name].append(found)
            else:
                noted[name] = [found]
        elif kind is _DROPPED:
            dropped.setdefault(name, []).append(Field(name, raw, value))
            pieces.append(b"")
            continue
        elif kind is _LIST:
            listed = True
        # "Name :" came through on a legacy listener; it leaves in the one form every reader understands.
        pieces.append(written + b":" + value if space else raw)
    return Survey(pieces, noted, dropped, listed)


class Plain(NamedTuple):
    """What of a plain header has to be looked at."""

    author: bytes
    message_id: bytes
    """Values with their final CRLF."""
    content_type: bytes
    """Empty if there is none; perhaps without its CRLF."""
    body_at: int


def glance(raw: bytes) -> Plain | None:
    """Look at a header whose row of names was seen before, at a third of what taking it apart costs.

    None if that cannot be, and it has to be taken apart. Each line then begins with a name that was taken for one, so
    that no line goes on the one before it; octets that may not be and lines too long are looked for here.
    """
    end = raw.find(b"\r\n\r\n", 0, HEADER_BYTES)
    block = raw[: max(end, 0)]
    lines = block.split(b"\r\n")
    parts = [line.partition(b":") for line in lines]
    shape = _shapes.get(tuple([part[0] for part in parts]))
    if shape is None or not shape.plain or not all([part[1] for part in parts]):  # noqa: C419 - a list is faster
        return None
    breaks = len(lines) - 1
    if block.count(b"\n") != breaks or block.count(b"\r") != breaks or b"\0" in block:
        return None
    if end > LINE_BYTES and max(map(len, lines)) > LINE_BYTES:
        return None
    kind = shape.content_type
    values = parts[shape.author][2], parts[shape.message_id][2], parts[kind][2] if kind >= 0 else b""
    return Plain(values[0] + b"\r\n", values[1] + b"\r\n", values[2], end + 4)


def plain_of(header: Header) -> Plain | None:
    """The same of a header taken apart, and the row of its names is remembered; None if it is not plain."""
    rows = header.rows
    shape = shape_of(tuple([row[1] for row in rows]))
    if not shape.plain:
        return None
    kind = shape.content_type
    return Plain(rows[shape.author][3], rows[shape.message_id][3], rows[kind][3] if kind >= 0 else b"", header.body_at)


def shape_of(names: tuple[bytes, ...]) -> Shape:
    """What a row of names tells."""
    return _shapes.get(names) or _new_shape(names)


def _new_shape(names: tuple[bytes, ...]) -> Shape:
    """Judge a row of names and remember it, within the bounds."""
    judged = [_known.get(name) or _learn(name) for name in names]
    noted = [name for name, kind in judged if kind is _NOTED]
    shape = Shape(plain=False)
    once = noted.count(b"from") == noted.count(b"date") == noted.count(b"message-id") == 1
    if once and not set(noted) - _PLAIN and all(kind in (_NOTED, _OTHER) for _, kind in judged):
        flat = [name for name, _ in judged]
        if flat.count(b"content-type") <= 1:
            kind = flat.index(b"content-type") if b"content-type" in flat else -1
            shape = Shape(True, flat.index(b"from"), flat.index(b"message-id"), kind)
    if len(names) <= SHAPE_FIELDS and all(len(name) <= KNOWN_NAME_BYTES for name in names):
        if len(_shapes) >= SHAPES:
            _shapes.clear()
        _shapes[names] = shape
    return shape
