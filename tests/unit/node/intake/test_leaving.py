"""Who is asked to leave when: the table of a stop, and the stages' times."""

import pytest

from node.intake.leaving import Doing, Stage, grace, leaves, leaves_answered, short_grace, shut

ARRIVED, BETWEEN, BUSY, STORING = Doing.ARRIVED, Doing.BETWEEN, Doing.BUSY, Doing.STORING
NEVER = None
PATIENCE_S = {
    Stage.OPEN: {ARRIVED: NEVER, BETWEEN: NEVER, BUSY: NEVER, STORING: NEVER},
    Stage.SHUT: {ARRIVED: 0, BETWEEN: 0, BUSY: NEVER, STORING: NEVER},
    Stage.PATIENT: {ARRIVED: 5, BETWEEN: 1, BUSY: NEVER, STORING: NEVER},
    Stage.BRISK: {ARRIVED: 2, BETWEEN: 1, BUSY: NEVER, STORING: NEVER},
    Stage.LAST: {ARRIVED: 0, BETWEEN: 0, BUSY: 0, STORING: NEVER},
}


@pytest.mark.parametrize("stage", Stage)
@pytest.mark.parametrize("doing", Doing)
def test_a_session_is_asked_to_leave_only_in_a_pause_until_the_last(stage, doing):
    patience_s = PATIENCE_S[stage][doing]
    asked = [silent_s for silent_s in (0, 0.9, 1, 1.9, 2, 4.9, 5, 1e6) if leaves(stage, doing, silent_s)]
    assert asked == [s for s in (0, 0.9, 1, 1.9, 2, 4.9, 5, 1e6) if patience_s is not None and s >= patience_s]


@pytest.mark.parametrize(
    ("stage", "doing", "more", "last"),
    [
        (Stage.OPEN, BETWEEN, False, False),
        (Stage.PATIENT, BETWEEN, False, False),  # a client that sends on and on is not cut short
        (Stage.BRISK, BETWEEN, False, True),
        (Stage.BRISK, BETWEEN, True, False),  # the next MAIL is on its way: it is taken
        (Stage.BRISK, ARRIVED, False, False),  # signed in, and still without its one message
        (Stage.BRISK, BUSY, False, False),  # a recipient was answered
        (Stage.SHUT, BETWEEN, False, True),
        (Stage.SHUT, BUSY, False, False),
        (Stage.LAST, BETWEEN, True, True),
        (Stage.LAST, BUSY, True, True),
    ],
)
def test_an_answer_is_the_last_one_only_where_a_message_ended_and_nothing_follows(stage, doing, more, last):
    assert leaves_answered(stage, doing, more=more) is last


@pytest.mark.parametrize("bound_s", [0.5, 1, 2.5, 15, 100])
@pytest.mark.parametrize("make", [grace, short_grace, shut])
def test_stages_come_in_their_order_within_the_bound(make, bound_s):
    of = make(bound_s)
    order = [Stage.SHUT, Stage.PATIENT, Stage.BRISK, Stage.LAST]
    seen = [order.index(of.stage(bound_s * part / 1000)) for part in range(1001)]
    assert seen == sorted(seen)
    assert of.stage(bound_s * 0.999) is Stage.LAST, "the last answers need a moment"
    assert bound_s - of.last_s <= 2 + bound_s / 5
    assert of.stage(0) is (Stage.SHUT if make is shut else Stage.PATIENT)


def test_half_of_the_time_is_left_to_clients_that_end_by_themselves():
    assert grace(15).brisk_s == 6.5
    assert grace(15).last_s == 13
