"""Every state crossed with every event, against a second, written-out table."""

import itertools

import pytest

from node.policy.envelope import FINAL_STATES, RecipientState
from node.policy.lifecycle import (
    BODY_STATES,
    MOVES,
    TARGET,
    WAITING_STATES,
    Event,
    IllegalMove,
    allows,
    event_towards,
    step,
)

ROWS = """
          claim deliver defer requeue lose bounce hold block release kill delete return
queued      x      .      x      .     .     x     x     x      x      x     x      .
deferred    x      .      x      .     .     x     x     x      x      x     x      .
in_flight   .      x      x      x     x     x     .     x      .      x     .      .
unknown     .      x      .      x     .     x     .     x      .      x     x      .
held        .      .      .      .     .     x     .     .      x      x     x      .
dead        .      .      .      .     .     .     .     .      x      .     x      .
delivered   .      .      .      .     .     .     .     .      .      .     .      x
bounced     .      .      .      .     .     .     .     .      .      .     .      .
deleted     .      .      .      .     .     .     .     .      .      .     .      .
"""


def table():
    head, *rows = [line.split() for line in ROWS.strip().splitlines()]
    return {(row[0], event): mark == "x" for row in rows for event, mark in zip(head, row[1:], strict=True)}


def test_the_written_table_is_total():
    assert table().keys() == set(itertools.product(RecipientState, Event))


@pytest.mark.parametrize(("state", "event"), list(itertools.product(RecipientState, Event)))
def test_every_pair(state, event):
    assert allows(state, event) is table()[state.value, event.value]
    if allows(state, event):
        assert step(state, event) is TARGET[event]
    else:
        with pytest.raises(IllegalMove, match=f"{state.value} cannot {event.value}") as caught:
            step(state, event)
        assert (caught.value.state, caught.value.event) == (state, event)


def test_final_states_let_nothing_happen_but_replay_of_the_dead_and_the_truth_about_the_delivered():
    assert {state for state in FINAL_STATES if MOVES[state]} == {RecipientState.DEAD, RecipientState.DELIVERED}
    assert MOVES[RecipientState.DELIVERED] == {Event.RETURN}
    assert TARGET[Event.RETURN] in FINAL_STATES


def test_every_state_can_be_named_as_a_result():
    for state in RecipientState:
        assert TARGET[event_towards(state)] is state


def test_every_state_is_reached_from_queued():
    reached = {RecipientState.QUEUED}
    for _ in RecipientState:
        reached |= {TARGET[event] for state in reached for event in MOVES[state]}
    assert reached == set(RecipientState)


def test_bodies_are_kept_for_whatever_may_still_be_sent():
    sendable = {state for state in RecipientState if MOVES[state] - {Event.RETURN}}
    assert BODY_STATES == sendable  # noqa: SIM300 - the constant is what is tested
    assert {RecipientState.QUEUED, RecipientState.DEFERRED} == WAITING_STATES
