"""What the spool did to a message, as the entries its other end is told. Pure."""

from collections.abc import Iterator

from node.shadow.entries import Intent, Lines, Outcome
from node.shadow.outbox import What
from node.spool.paired import Changed


def entries_of(change: Changed, now_ms: int) -> Iterator[What]:
    """Give what is told of a change, in order; of a settled message its history only, for a discard follows.

    An attempt that must not be repeated tells its intent by itself and waits for it; any other's travels along.
    """
    if not change.finished:
        yield from _progress(change, now_ms)
    if change.lines:
        yield Lines(message_id=change.message_id, lines=change.lines)


def _progress(change: Changed, now_ms: int) -> Iterator[What]:
    ended = change.attempt_ids or (("",) if change.progress else ())
    for number, attempt_id in enumerate(ended):
        progress = change.progress if number == 0 else ()
        yield Outcome(message_id=change.message_id, attempt_id=attempt_id, progress=progress)
    for attempt_id, indexes in change.claimed if not change.careful else ():
        yield Intent(message_id=change.message_id, attempt_id=attempt_id, indexes=indexes, dot_ms=now_ms)
