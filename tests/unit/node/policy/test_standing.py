"""The standing of a scope: every state × every event, escalation, probes, and what never changes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.policy.standing import (
    ABANDONED_REST_MS,
    HEALTHY,
    PROBE_LAPSES_MS,
    Event,
    Standing,
    State,
    moves,
    rest_s,
    step,
)
from node.policy.verdict import Outcome, Scope, Verdict

NOW = 10_000_000
LOGIN = Verdict(
    scope=Scope.ACCOUNT, outcome=Outcome.SWITCH, reason="login_refused", cool_down_s=900, schedule=(900, 3600, 14400)
)
SHORT = Verdict(scope=Scope.ACCOUNT, outcome=Outcome.SWITCH, reason="busy", cool_down_s=10, schedule=(10, 20))
LOCKOUT = Verdict(scope=Scope.ACCOUNT, outcome=Outcome.SWITCH, reason="credentials_incorrect", park=True, alert=True)

ENDED = NOW - 1
START = {
    State.HEALTHY: HEALTHY,
    State.RESTING: Standing(state=State.RESTING, reason="login_refused", since_ms=0, until_ms=ENDED, strikes=1),
    State.PROBING: Standing(state=State.PROBING, reason="login_refused", since_ms=0, until_ms=NOW + 5, strikes=1),
    State.PARKED: Standing(state=State.PARKED, reason="by hand", since_ms=0, by="alice"),
}
H, R, P, K = State.HEALTHY, State.RESTING, State.PROBING, State.PARKED
EXPECTED = {
    #            failed succeeded abandoned probed park resume
    H: (R, H, H, H, K, H),
    R: (R, H, R, P, K, H),  # succeeded: its rest has ended, so the attempt came after it
    P: (R, H, R, P, K, H),
    K: (K, K, K, K, K, H),
}


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("event", Event)
def test_every_state_and_event(state, event):
    after = step(START[state], event, NOW, verdict=LOGIN, reason="maintenance", by="bob")
    assert after.state is EXPECTED[state][list(Event).index(event)]


def test_the_table_is_complete():
    assert {state: set(row) for state, row in moves().items()} == {state: set(Event) for state in State}


def test_strikes_escalate_over_failed_probes_and_a_success_forgets_them():
    standing, now, rests = HEALTHY, NOW, []
    for _ in range(5):
        standing = step(standing, Event.FAILED, now, verdict=LOGIN)
        rests.append((standing.until_ms - now) // 1000)
        now = standing.until_ms
        assert not standing.blocks(now)
        standing = step(standing, Event.PROBED, now)
        assert standing.state is State.PROBING
        assert standing.blocks(now)
    assert rests == [900, 3600, 14400, 14400, 14400]
    assert step(standing, Event.SUCCEEDED, now) == HEALTHY


def test_attempts_that_began_before_the_rest_are_no_strikes_and_prove_nothing():
    resting = step(HEALTHY, Event.FAILED, NOW, verdict=LOGIN)
    assert step(resting, Event.FAILED, NOW + 1000, verdict=LOGIN) == resting
    assert step(resting, Event.SUCCEEDED, NOW + 1000) == resting
    assert step(resting, Event.ABANDONED, NOW + 1000) == resting
    assert step(resting, Event.PROBED, NOW + 1000) == resting


def test_the_longer_of_two_rests_counts():
    brief = step(HEALTHY, Event.FAILED, NOW, verdict=SHORT)
    longer = step(brief, Event.FAILED, NOW + 1, verdict=LOGIN)
    assert (longer.reason, longer.until_ms) == ("login_refused", NOW + 1 + 900_000)
    assert step(longer, Event.FAILED, NOW + 2, verdict=SHORT) == longer


def test_another_reason_starts_its_own_count():
    ended = step(HEALTHY, Event.FAILED, NOW, verdict=LOGIN)
    later = ended.until_ms
    assert step(ended, Event.FAILED, later, verdict=SHORT).strikes == 1
    assert step(ended, Event.FAILED, later, verdict=LOGIN).strikes == 2


def test_short_rests_end_without_a_probe_but_keep_the_count_until_a_success():
    standing = step(HEALTHY, Event.FAILED, NOW, verdict=SHORT)
    after = step(standing, Event.PROBED, standing.until_ms)
    assert after == standing
    assert step(after, Event.FAILED, standing.until_ms, verdict=SHORT).until_ms == standing.until_ms + 20_000
    assert step(after, Event.SUCCEEDED, standing.until_ms) == HEALTHY


def test_an_abandoned_probe_leaves_room_for_another_soon_and_a_silent_one_lapses():
    probing = step(START[R], Event.PROBED, NOW)
    again = step(probing, Event.ABANDONED, NOW)
    assert (again.state, again.until_ms, again.strikes) == (R, NOW + ABANDONED_REST_MS, 1)
    assert step(again, Event.PROBED, NOW + ABANDONED_REST_MS).state is P
    assert probing.blocks(NOW + PROBE_LAPSES_MS - 1)
    assert not probing.blocks(NOW + PROBE_LAPSES_MS)


def test_a_lock_out_risk_parks_even_a_resting_scope():
    for state in (H, R, P):
        after = step(START[state], Event.FAILED, NOW, verdict=LOCKOUT)
        assert (after.state, after.until_ms, after.alert) == (K, None, True)
        assert after.blocks(10**15)


def test_a_failure_needs_its_verdict():
    with pytest.raises(ValueError, match="verdict"):
        step(HEALTHY, Event.FAILED, NOW)


def test_rests_by_strike():
    assert [rest_s(LOGIN, n) for n in (0, 1, 2, 3, 4, 10**9)] == [900, 900, 3600, 14400, 14400, 14400]
    assert rest_s(Verdict(scope=Scope.PATH, outcome=Outcome.RETRY, reason="x", cool_down_s=7), 3) == 7


EVENTS = st.tuples(st.sampled_from(Event), st.integers(0, 4_000_000), st.sampled_from([LOGIN, SHORT, LOCKOUT]))


@given(st.lists(EVENTS, max_size=60))
def test_any_history_keeps_its_invariants(events):
    standing, now = HEALTHY, NOW
    for event, passed, verdict in events:
        now += passed
        before = standing
        standing = step(before, event, now, verdict=verdict, by="op")
        if before.state is K and event is not Event.RESUME:
            assert standing.state is K
        if standing.state is H:
            assert standing == HEALTHY
            assert not standing.blocks(now)
        if standing.state in (R, P):
            assert standing.until_ms is not None
            assert standing.until_ms <= now + max(14_400_000, PROBE_LAPSES_MS)
        if standing.state is P and before.state is R:
            assert not before.blocks(now)
