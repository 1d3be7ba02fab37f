"""The life of one recipient: every legal move as one table, and ``step`` which refuses all others.

All transition logic lives here; this file knows neither where states are kept nor why an event happened.
A missing entry *is* the definition of illegal (design §5.3).
"""

from enum import StrEnum

from node.policy.envelope import FINAL_STATES, RecipientState

_S = RecipientState


class Event(StrEnum):
    """What can happen to one recipient; each names the state it leads to."""

    CLAIM = "claim"  # an attempt took it
    DELIVER = "deliver"  # the upstream said 2xx, or was found to have taken it
    DEFER = "defer"  # tried or postponed: due again later
    REQUEUE = "requeue"  # due at once: switch of way, or an unknown one sent again
    LOSE = "lose"  # the final dot was sent and no answer read
    BOUNCE = "bounce"  # failed for good
    HOLD = "hold"  # by an operator
    BLOCK = "block"  # by a verdict: a person must look before it is tried again
    RELEASE = "release"  # an operator makes it due now
    KILL = "kill"  # undeliverable bounce, or its body cannot be read
    DELETE = "delete"  # an operator removes it
    RETURN = "return"  # Microsoft had taken it and reported afterwards that it failed


class IllegalMove(ValueError):  # noqa: N818 - says what happened, as the table does
    """An event met a recipient in a state that does not allow it; nothing was changed."""

    def __init__(self, state: RecipientState, event: Event) -> None:
        """Name both halves of the pair."""
        super().__init__(f"a recipient that is {state.value} cannot {event.value}")
        self.state = state
        self.event = event


TARGET = {
    Event.CLAIM: _S.IN_FLIGHT,
    Event.DELIVER: _S.DELIVERED,
    Event.DEFER: _S.DEFERRED,
    Event.REQUEUE: _S.QUEUED,
    Event.LOSE: _S.UNKNOWN,
    Event.BOUNCE: _S.BOUNCED,
    Event.HOLD: _S.HELD,
    Event.BLOCK: _S.HELD,
    Event.RELEASE: _S.QUEUED,
    Event.KILL: _S.DEAD,
    Event.DELETE: _S.DELETED,
    # No state of its own: an older version reads what this one wrote, and for people it is a bounce; the journey
    # tells that it was delivered before.
    Event.RETURN: _S.BOUNCED,
}
"""Where each event leads, whatever state it found."""

_WAITING_MOVES = frozenset(
    {Event.CLAIM, Event.DEFER, Event.BOUNCE, Event.HOLD, Event.BLOCK, Event.RELEASE, Event.KILL, Event.DELETE}
)

MOVES: dict[RecipientState, frozenset[Event]] = {
    # A queued recipient is due already: releasing it would only hide a mistake of the operator.
    _S.QUEUED: _WAITING_MOVES,  # RELEASE: one waiting for its time after an unknown outcome becomes due now
    _S.DEFERRED: _WAITING_MOVES,
    # An operator cannot touch what is on the wire: the answer decides.
    _S.IN_FLIGHT: frozenset(
        {Event.DELIVER, Event.DEFER, Event.REQUEUE, Event.LOSE, Event.BOUNCE, Event.BLOCK, Event.KILL}
    ),
    # REQUEUE only by the message's class or its verification: it may send a second copy (I5).
    _S.UNKNOWN: frozenset({Event.DELIVER, Event.REQUEUE, Event.BOUNCE, Event.BLOCK, Event.KILL, Event.DELETE}),
    _S.HELD: frozenset({Event.RELEASE, Event.BOUNCE, Event.KILL, Event.DELETE}),
    _S.DEAD: frozenset({Event.RELEASE, Event.DELETE}),
    # A 250 of Microsoft's is no delivery (facts m365 §1.4): the report that contradicts it may come a day later.
    _S.DELIVERED: frozenset({Event.RETURN}),
    _S.BOUNCED: frozenset(),
    _S.DELETED: frozenset(),
}
"""State to the events it allows."""

WAITING_STATES = frozenset({_S.QUEUED, _S.DEFERRED})
"""States in which a recipient has a time it is due at."""

BODY_STATES = frozenset(RecipientState) - (FINAL_STATES - {_S.DEAD})
"""States that need the body: a dead recipient may be replayed."""

_TOWARDS = {
    _S.IN_FLIGHT: Event.CLAIM,
    _S.DELIVERED: Event.DELIVER,
    _S.DEFERRED: Event.DEFER,
    _S.QUEUED: Event.REQUEUE,
    _S.UNKNOWN: Event.LOSE,
    _S.BOUNCED: Event.BOUNCE,
    _S.HELD: Event.BLOCK,
    _S.DEAD: Event.KILL,
    _S.DELETED: Event.DELETE,
}


def allows(state: RecipientState, event: Event) -> bool:
    """Say whether ``event`` is legal in ``state``."""
    return event in MOVES[state]


def step(state: RecipientState, event: Event) -> RecipientState:
    """Give the state after ``event``; raises IllegalMove for a pair that is not in the table."""
    if event not in MOVES[state]:
        raise IllegalMove(state, event)
    return TARGET[event]


def event_towards(state: RecipientState) -> Event:
    """Name the event by which a judged result puts a recipient into ``state``."""
    return _TOWARDS[state]
