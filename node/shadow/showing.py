"""Messages of the copy store as operators see them: what is kept for another node, and history of what was."""

from collections.abc import Iterable
from typing import Final

import msgspec

from node.policy.envelope import FINAL_STATES, NewMessage, RecipientState
from node.shadow.contract import Copies, KeptCopy, Past
from node.spool.contract import JourneyLine, MessageView
from node.spool.paired import Progress
from node.spool.rows import message_of, view_of
from node.spool.steps import first_entries
from node.spool.work import Entry, Record

NOT_TOLD: Final = "not_told"
"""Reason of a recipient that is settled, while nobody said here how."""
_ENDS: Final = {state.value: state for state in FINAL_STATES}


def kept_view(row: KeptCopy) -> MessageView:
    """Show a copy as it stands, as far as its owner told; raises Unreadable."""
    message = message_of(row.facts)
    entries = {each.index: each for each in first_entries(message)}
    for told in row.progress:
        if told.index in entries:
            entries[told.index] = _entry(entries[told.index], told)
    return _view(message, entries.values(), row.lines, 0)


def past_view(past: Past) -> MessageView:
    """Show a settled message; how its recipients ended is read from its journey. Raises Unreadable."""
    message = message_of(past.facts)
    ends = {index: _ENDS[line.event] for line in past.lines if line.event in _ENDS for index in line.indexes}
    entries = (_ended(each, ends.get(each.index)) for each in first_entries(message))
    return _view(message, entries, past.lines, past.discarded_ms)


def _view(
    message: NewMessage, entries: Iterable[Entry], lines: tuple[JourneyLine, ...], finished_ms: int
) -> MessageView:
    by_index = {each.index: each for each in entries}
    return view_of(message, Record(seq=0, id=message.id, entries=by_index, finished_ms=finished_ms), lines)


def _entry(first: Entry, told: Progress) -> Entry:
    return msgspec.structs.replace(
        first,
        state=told.state,
        due_ms=told.next_attempt_ms or None,
        attempts=told.attempts,
        reason=told.reason,
        reply=told.reply,
        way=told.way,
    )


def _ended(first: Entry, end: RecipientState | None) -> Entry:
    if end is None:
        return msgspec.structs.replace(first, state=RecipientState.UNKNOWN, due_ms=None, reason=NOT_TOLD)
    return msgspec.structs.replace(first, state=end, due_ms=None)


async def kept_of(copies: Copies, message_id: str) -> KeptCopy | None:
    """Find a copy by its id, under whatever pairing it is kept."""
    if (await copies.seen([message_id])).get(message_id) is not False:
        return None
    before = message_id[:-1] + chr(ord(message_id[-1]) - 1) + "\U0010ffff"
    for held in await copies.held():
        for row in await copies.rows(held.attached, before, 1):
            if row.message_id == message_id:
                return row
    return None
