"""Answers of nodes about their queues, bounded: whole messages, as many as fit; and what several say of one. Pure."""

from collections.abc import Iterable
from typing import Final

import msgspec

from node.admin.everywhere import Found, Place
from node.spool.contract import MessageView

ANSWER_MAX: Final = 1 << 20
"""Bytes of one answer; the channel takes no longer one."""
_HEAD, _MIDDLE, _END = b'{"messages":[', b'],"cut":', b"}"
_ROOM: Final = ANSWER_MAX - 64


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What one node has."""

    messages: tuple[Found, ...]
    cut: bool = False
    """There is more than fits."""


def found_of(view: MessageView, node: str, place: Place, protected: bool | None) -> Found:
    """A message as *node* has it."""
    return Found(
        message=view.message,
        recipients=view.recipients,
        lines=view.lines,
        finished_ms=view.finished_ms,
        node=node,
        place=place,
        protected=protected,
    )


def rank(found: Found) -> tuple[int, int]:
    """Order what nodes have of one message: live mail first, then whoever knows how it ended, then copies."""
    live = found.place is Place.SPOOL and not found.finished_ms
    order = (Place.SPOOL, Place.COPY, Place.PAST, Place.SHUT)
    return 0 if live else 1 + order.index(found.place), -len(found.lines)


def best(answers: Iterable[Answer], limit: int) -> tuple[Found, ...]:
    """Give every message once, as whoever knows it best has it; newest first."""
    chosen: dict[str, Found] = {}
    for each in (found for answer in answers for found in answer.messages):
        other = chosen.get(each.message.id)
        if other is None or rank(each) < rank(other):
            chosen[each.message.id] = each
    return tuple(sorted(chosen.values(), key=_age, reverse=True)[:limit])


def _age(found: Found) -> tuple[int, str]:
    return found.message.received_ms, found.message.id


def answered(answer: Answer) -> bytes:
    """Write an answer in at most ANSWER_MAX bytes, the first messages first."""
    parts: list[bytes] = []
    size, cut = 0, answer.cut
    for each in answer.messages:
        part = msgspec.json.encode(each)
        size += len(part) + 1
        if size > _ROOM:
            cut = True
            break
        parts.append(part)
    return _HEAD + b",".join(parts) + _MIDDLE + (b"true" if cut else b"false") + _END
