"""A message taken over as it stands: which state each recipient has here, and when it is due. Pure.

What a crash of the owner cut off is judged as after a crash here (``steps.recover``): an attempt that may have sent
the final dot leaves its recipients unknown, by their class; one that had not is due again.

A wait belongs either to the mail or to the node it was at. What the upstream said of a recipient or of the message
holds wherever it is tried from, so its time stays. A path broken there, an account that rested, no permit, no
connection: whoever takes the mail over has its own of these (what the cluster shares it knows itself), so it is due.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from node.policy.envelope import NewMessage, OnUnknown, RecipientState, lane_of
from node.policy.lifecycle import WAITING_STATES
from node.policy.verdict import Scope
from node.spool.contract import JourneyLine
from node.spool.errors import WrongRequest
from node.spool.paired import Progress, Standing
from node.spool.steps import countable
from node.spool.work import Arrival, Entry, Work

_S = RecipientState
_OPEN: Final = frozenset({_S.IN_FLIGHT, _S.UNKNOWN})
INTERRUPTED: Final = "interrupted"
POSTPONED: Final = "postponed"
_PUT_OFF: Final = frozenset({"deferred", POSTPONED})
_OF_THE_WAY: Final = frozenset({Scope.ACCOUNT, Scope.PATH_SITE, Scope.PATH, Scope.TENANT, Scope.CONNECTION})


def entries_of(standing: Standing, sent: frozenset[int], now_ms: int) -> tuple[Entry, ...]:
    """Say where every recipient stands for whoever takes the message over."""
    message = standing.message
    told = {each.index: each for each in standing.progress}
    first, put_off = _S.HELD if message.held else _S.QUEUED, _put_off(standing.lines)
    return tuple(
        _entry(message, told.get(index) or Progress(index=index, state=first), sent, put_off, now_ms)
        for index in range(len(message.recipients))
    )


def _put_off(lines: Iterable[JourneyLine]) -> dict[int, JourneyLine]:
    """Find for every recipient the step that put it off last."""
    return {index: line for line in lines if line.event in _PUT_OFF for index in line.indexes}


def _waits_there(told: Progress, line: JourneyLine | None) -> bool:
    """Whether what it waits for was a matter of the node it was at; where nothing tells, what was tried has its plan.

    That it was postponed is written only when the reason changes, so the last step counts, however old it is.
    """
    if line is None:
        return not told.attempts
    return line.event == POSTPONED or line.detail.get("scope") in _OF_THE_WAY


def _cut_off(state: RecipientState, index: int, sent: frozenset[int]) -> bool:
    """Whether an attempt was under way when its owner was last heard of."""
    return state in _OPEN or (state in WAITING_STATES and index in sent)


def _entry(
    message: NewMessage, told: Progress, sent: frozenset[int], put_off: Mapping[int, JourneyLine], now_ms: int
) -> Entry:
    state, due_ms, reason = told.state, told.next_attempt_ms or message.received_ms, told.reason
    if _cut_off(state, told.index, sent):
        unsent = state is _S.IN_FLIGHT and told.index not in sent
        again = unsent or message.on_unknown is OnUnknown.RESEND
        state, due_ms, reason = (_S.QUEUED if again else _S.UNKNOWN), now_ms, INTERRUPTED
    elif state is _S.DEFERRED and _waits_there(told, put_off.get(told.index)):
        due_ms = min(due_ms, now_ms)
    return Entry(
        index=told.index,
        state=state,
        due_ms=due_ms if state in WAITING_STATES else None,
        lane=lane_of(message, message.recipients[told.index].direction),
        attempts=told.attempts,
        reason=reason,
        reply=told.reply,
        way=told.way,
        trace=told.traceparent,
    )


def take_over(
    arrival: Arrival, entries: Sequence[Entry], lines: Iterable[JourneyLine], now_ms: int, work: Work
) -> None:
    """Put a message into the spool as it stands; raises WrongRequest if it cannot be, or is here already."""
    message, pairing = arrival.item.message, arrival.item.pairing
    if message.id in work.records:
        raise WrongRequest(f"message {message.id} is in the spool already")
    if not countable(message):
        raise WrongRequest(f"message {message.id} has {len(message.recipients)} recipients")
    if pairing and pairing not in (work.pairs or ()):
        raise WrongRequest(f"no pairing has number {pairing} in this spool")
    record = work.add(arrival.item, entries, arrival.size_bytes, arrival.file)
    work.facts[record.seq] = arrival.facts
    work.taken_over.add(record.seq)
    for entry in entries:  # rows are made with a state and a time only; the rest follows as a move to where it is
        work.moved[record.seq, entry.index] = entry.state, record
    for line in lines:
        work.tell(record, line)
    work.close(record, now_ms)


def lines_of(
    standing: Standing, entries: Sequence[Entry], sent: frozenset[int], origin: str, now_ms: int
) -> list[JourneyLine]:
    """Tell the journey so far, that it was adopted, and what was cut off by that."""
    lines = [*standing.lines, JourneyLine(at_ms=now_ms, event="adopted", detail={"from": origin})]
    told = {each.index: each.state for each in standing.progress}
    cut = [each for each in entries if _cut_off(told.get(each.index, _S.QUEUED), each.index, sent)]
    for event, states in (("unknown", WAITING_STATES | _OPEN), ("resent", WAITING_STATES)):
        indexes = tuple(each.index for each in cut if each.state in states)
        if indexes:
            lines.append(JourneyLine(at_ms=now_ms, event=event, indexes=indexes, detail={"reason": INTERRUPTED}))
    return lines
