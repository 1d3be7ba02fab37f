"""Answers of one node about its queue to another, bounded: whole messages, as many as fit. Pure."""

from collections.abc import Iterable
from typing import Final

import msgspec

from node.admin.everywhere import Found

ANSWER_MAX: Final = 1 << 20
"""Bytes of one answer; the channel takes no longer one."""
_HEAD, _MIDDLE, _END = b'{"messages":[', b'],"cut":', b"}"
_ROOM: Final = ANSWER_MAX - 64


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What one node has."""

    messages: tuple[Found, ...]
    cut: bool = False
    """There is more than fits."""


def answered(found: Iterable[Found]) -> bytes:
    """Give an ``Answer`` of at most ANSWER_MAX bytes, the first ones first."""
    parts: list[bytes] = []
    size, cut = 0, False
    for each in found:
        part = msgspec.json.encode(each)
        size += len(part) + 1
        if size > _ROOM:
            cut = True
            break
        parts.append(part)
    return _HEAD + b",".join(parts) + _MIDDLE + (b"true" if cut else b"false") + _END
