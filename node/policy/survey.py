"""Looks over the fields of a header: which are judged, dropped, counted or left alone; and what a row of names tells.

Pure. Knows nothing of what the judged fields say.
"""

from enum import Enum

import msgspec

from node.policy.headers import Field, Header
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
