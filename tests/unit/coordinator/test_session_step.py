"""Every state of a session meets every event; the deadline is the guard."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.session import TABLE, Event, IllegalMove, Phase, Renewal, Session, delay_over, next_renewal, step
from coordinator.timing import FAST

OUT = Session(timing=FAST)
JOINING = step(OUT, Event.BEGIN, 0)


def live(sent_ms=1_000, now_ms=1_100):
    return step(JOINING, Event.JOINED, now_ms, sent_ms=sent_ms, lease=7, inc=3)


@pytest.mark.parametrize("event", Event)
@pytest.mark.parametrize("phase", Phase)
def test_every_state_meets_every_event(phase, event):
    session = {Phase.OUT: OUT, Phase.JOINING: JOINING, Phase.LIVE: live()}[phase]
    if (phase, event) not in TABLE:
        with pytest.raises(IllegalMove):
            step(session, event, 2_000, sent_ms=1_900, lease=7)
        return
    after = step(session, event, 2_000, sent_ms=1_900, lease=7, inc=3)
    # The table's word holds, but for a deadline told of while it is still ahead.
    expected = Phase.LIVE if (phase, event) == (Phase.LIVE, Event.DEADLINE) else TABLE[phase, event]
    assert after.phase is expected


def test_the_deadline_counts_from_before_the_sending():
    session = live(sent_ms=1_000, now_ms=3_000)
    assert session.deadline_ms == 1_000 + 5_000 - 500
    assert session.live(5_499)
    assert not session.live(5_500)
    renewed = step(session, Event.RENEWED, 5_000, sent_ms=2_000, lease=7)
    assert renewed.deadline_ms == 6_500


def test_an_answer_after_the_deadline_revives_nothing():
    late = step(live(), Event.RENEWED, 5_500, sent_ms=5_400, lease=7)
    assert late.phase is Phase.OUT
    assert step(late, Event.RENEWED, 5_600, sent_ms=5_400, lease=7).phase is Phase.OUT


def test_a_join_answered_too_late_is_none():
    assert step(JOINING, Event.JOINED, 5_500, sent_ms=1_000, lease=7, inc=3).phase is Phase.OUT


def test_what_concerns_an_earlier_lease_changes_nothing():
    assert step(live(), Event.LOST, 2_000, lease=6).phase is Phase.LIVE
    assert step(live(), Event.RENEWED, 2_000, sent_ms=1_900, lease=6).renewed_ms == 1_000


def test_answers_out_of_order_never_shorten():
    session = step(live(), Event.RENEWED, 2_100, sent_ms=2_000, lease=7)
    assert step(session, Event.RENEWED, 2_200, sent_ms=1_500, lease=7).renewed_ms == 2_000


def test_what_tells_nothing_changes_nothing_until_the_deadline():
    session = live()
    for now_ms in range(1_200, 5_500, 100):
        session = step(session, Event.UNSURE, now_ms)
        assert session.phase is Phase.LIVE
    assert step(session, Event.UNSURE, 5_500).phase is Phase.OUT


def test_silence_is_measured_from_the_last_answer():
    session = live(now_ms=1_100)
    assert not session.silent(1_100 + FAST.silent_ms)
    assert session.silent(1_101 + FAST.silent_ms)
    assert OUT.silent(0)
    assert not step(session, Event.UNSURE, 3_000).silent(3_000)
    assert step(session, Event.UNSURE, 3_200).silent(3_200)
    assert not step(session, Event.HEARD, 3_200).silent(3_200)
    assert step(JOINING, Event.FAILED, 3_200).silent(3_200), "a failed join shows no store"


def test_delays_count_from_the_later_of_two_moments():
    assert not delay_over(gone_ms=100, began_ms=900, delay_ms=500, now_ms=1_300)
    assert delay_over(gone_ms=100, began_ms=900, delay_ms=500, now_ms=1_400)
    assert not delay_over(gone_ms=1_000, began_ms=900, delay_ms=500, now_ms=1_499)


def test_a_hung_loop_is_not_renewed():
    session = live()
    assert next_renewal(session, 2_000, due_ms=2_000, progress_ms=1_990) is Renewal.SEND
    assert next_renewal(session, 1_999, due_ms=2_000, progress_ms=1_990) is Renewal.WAIT
    assert next_renewal(session, 4_500, due_ms=2_000, progress_ms=1_999) is Renewal.HUNG


@given(st.lists(st.tuples(st.sampled_from([e for e in Event if e is not Event.JOINED]), st.integers(1, 3_000),
                          st.integers(0, 2_500)), max_size=40))  # fmt: skip
def test_no_sequence_of_events_outlives_the_lease_at_the_store(events):
    """The store keeps the key until it received the last answered renewal + T; we stop before, whatever comes."""
    session, now_ms, sent_at_store = live(), 1_100, 1_000
    for event, gap, answer in events:
        now_ms += gap
        if (session.phase, event) not in TABLE:
            continue
        session = step(session, event, now_ms, sent_ms=now_ms - answer, lease=7)
        if event is Event.RENEWED:
            sent_at_store = max(sent_at_store, now_ms - answer)
        if session.live(now_ms):
            assert now_ms < sent_at_store + FAST.ttl_ms - FAST.margin_ms
