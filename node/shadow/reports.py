"""What the spool did to a message, and where one stands, as the entries its other end is told. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from node.policy.envelope import OnUnknown, RecipientState
from node.shadow.entries import Intent, Lines, Outcome, Progress
from node.shadow.outbox import What
from node.spool.contract import JourneyLine
from node.spool.paired import Changed, Standing

PROGRESS_MAX: Final = 512
"""Recipients in one entry: with the longest replies far below what an entry may hold."""
INDEXES_MAX: Final = 32_768
"""Recipients named by the steps in one entry, counting each step as some."""
_STEP: Final = 64


def entries_of(change: Changed, now_ms: int) -> Iterator[What]:
    """Give what is told of a change, in order; of a settled message its history only, for a discard follows.

    An attempt that must not be repeated tells its intent by itself and waits for it; any other's travels along.
    """
    if not change.finished:
        ended = change.attempt_ids or (("",) if change.progress else ())
        yield from _outcomes(change.message_id, ended, change.progress)
        for attempt_id, indexes in change.claimed if not change.careful else ():
            yield Intent(message_id=change.message_id, attempt_id=attempt_id, indexes=indexes, dot_ms=now_ms)
    yield from journey_of(change.message_id, change.lines)


def restated(standing: Standing, now_ms: int) -> Iterator[What]:
    """Give where a live message stands and how it came to it: every attempt that is over is said to be.

    What was told before is told again; only what is in flight is left to whoever hears of its end.
    """
    name, claims = standing.message.id, _claims(standing.lines)
    flying = {each.index for each in standing.progress if each.state is RecipientState.IN_FLIGHT}
    last = {index: attempt_id for attempt_id, indexes in claims.items() for index in indexes}
    open_ = {last[index]: claims[last[index]] for index in sorted(flying) if index in last}
    over = [attempt_id for attempt_id in claims if attempt_id not in open_]
    stands = tuple(each for each in standing.progress if each.index not in flying)
    yield from _outcomes(name, over or (("",) if stands else ()), stands)
    for attempt_id, indexes in open_.items() if standing.message.on_unknown is OnUnknown.RESEND else ():
        yield Intent(message_id=name, attempt_id=attempt_id, indexes=indexes, dot_ms=now_ms)
    yield from journey_of(name, standing.lines)


def _claims(lines: Iterable[JourneyLine]) -> Mapping[str, tuple[int, ...]]:
    """Every attempt that was begun, in order, with its recipients."""
    begun = (line for line in lines if line.event == "claimed" and "attempt" in line.detail)
    return {str(line.detail["attempt"]): line.indexes for line in begun}


def standing_entries(message_id: str, progress: Sequence[Progress]) -> Iterator[Outcome]:
    """Give where recipients stand, in entries of a bounded size."""
    for start in range(0, len(progress), PROGRESS_MAX):
        part = tuple(progress[start : start + PROGRESS_MAX])
        yield Outcome(message_id=message_id, attempt_id="", progress=part)


def _outcomes(message_id: str, ended: Sequence[str], progress: tuple[Progress, ...]) -> Iterator[Outcome]:
    for number, attempt_id in enumerate(ended):
        first = progress[:PROGRESS_MAX] if number == 0 else ()
        yield Outcome(message_id=message_id, attempt_id=attempt_id, progress=first)
    yield from standing_entries(message_id, progress[PROGRESS_MAX:])


def journey_of(message_id: str, lines: Iterable[JourneyLine]) -> Iterator[Lines]:
    """Give steps of a journey, in entries of a bounded size."""
    part: list[JourneyLine] = []
    room = INDEXES_MAX
    for line in lines:
        cost = _STEP + len(line.indexes)
        if part and cost > room:
            yield Lines(message_id=message_id, lines=tuple(part))
            part, room = [], INDEXES_MAX
        part.append(line)
        room -= cost
    if part:
        yield Lines(message_id=message_id, lines=tuple(part))
