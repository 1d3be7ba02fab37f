"""Which alarms stand, when they are told, told again, and over."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.policy.alarms import Alarm, Board, Bounds, Facts, Limit, Rest, Severity, Weak, standing

NOW = 1_800_000_000_000
MINUTE = 60_000
DAY = 1_440 * MINUTE
BOUNDS = Bounds(nothing_delivered_s=900, urgent_waits_s=60, rests_s=600)


def names(**facts) -> set[str]:
    return {alarm.name for alarm in standing(Facts(now_ms=NOW, **{"delivered_ms": NOW} | facts), BOUNDS)}


@pytest.mark.parametrize(
    ("facts", "told"),
    [
        ({}, set()),
        ({"shut": ("door shut: disk",)}, {"RelayDoorClosed"}),
        ({"quarantined": True}, {"RelayQuarantined"}),
        ({"unprotected": 3}, {"RelayUnprotected"}),
        ({"strangers": ("contoso",)}, {"RelayConnectorIsDirectSend"}),
        ({"delivered_ms": NOW - 60 * MINUTE}, set()),  # nothing waits
        ({"delivered_ms": NOW - 60 * MINUTE, "oldest_ms": {"normal": NOW - MINUTE}}, set()),
        ({"delivered_ms": NOW - MINUTE, "oldest_ms": {"normal": NOW - 60 * MINUTE}}, set()),
        ({"delivered_ms": NOW - 20 * MINUTE, "oldest_ms": {"bulk": NOW - 16 * MINUTE}}, {"RelayNothingDelivered"}),
        ({"oldest_ms": {"urgent": NOW - 61_000}}, {"RelayUrgentWaits"}),
        ({"oldest_ms": {"urgent": NOW - 60_000}}, set()),
        ({"rests": (Rest(scope="tenant/contoso", state="resting", reason="x"),)}, {"RelayTenantRests"}),
        ({"rests": (Rest(scope="site/contoso/graph@dc1", state="resting", reason="x"),)}, {"RelayPathRests"}),
        ({"rests": (Rest(scope="account/contoso/a@b", state="parked", reason="x"),)}, {"RelayAccountRests"}),
        ({"rests": (Rest(scope="pair/contoso/a", state="resting", reason="x"),)}, set()),
        ({"limits": (Limit(scope="a", kind="day", used=79, limit=100),)}, set()),
        ({"limits": (Limit(scope="a", kind="day", used=80, limit=100),)}, {"RelayDayBudgetNearlyUsed"}),
        (
            {"limits": (Limit(scope="a", kind="day", used=50, limit=100, exhausted_ms=NOW + MINUTE),)},
            {"RelayDayBudgetRunsOut"},
        ),
        ({"troubles": ("the client secret of tenants.contoso.app.secret ends in 6 days",)}, {"RelayCredential"}),
    ],
)
def test_what_stands(facts, told):
    assert names(**facts) == told


@pytest.mark.parametrize(
    ("left_ms", "severity", "said"),
    [
        (31 * DAY, None, ""),
        (30 * DAY + 1, None, ""),
        (30 * DAY, Severity.WARNING, "ends in 30 days"),
        (DAY - 1, Severity.WARNING, "ends in 0 days"),
        (0, Severity.CRITICAL, "has ended"),
        (-DAY, Severity.CRITICAL, "has ended"),
    ],
)
def test_a_weak_client_is_told_thirty_days_before_its_exception_ends(left_ms, severity, said):
    weak = Weak(client="printer", what=("clear_auth", "old_tls"), owner="it@contoso.com", ends_ms=NOW + left_ms)
    alarms = list(standing(Facts(now_ms=NOW, delivered_ms=NOW, weak=(weak,)), BOUNDS))
    assert [(one.name, one.severity) for one in alarms] == ([("RelayWeakClient", severity)] if severity else [])
    for one in alarms:
        text = f"client printer still uses clear_auth, old_tls; its exception {said}, ask it@contoso.com"
        assert (one.key, one.text, one.hold_s) == ("weak printer", text, 0.0)


def test_a_credential_keeps_its_key_as_its_end_comes_nearer():
    keys = {
        alarm.key
        for days in (30, 7, 1)
        for alarm in standing(Facts(now_ms=NOW, troubles=(f"the secret of a ends in {days} days",)), BOUNDS)
    }
    assert len(keys) == 1


def alarm(key: str = "a", hold_s: float = 10, text: str = "") -> Alarm:
    return Alarm(key=key, name="Name", severity=Severity.WARNING, text=text, hold_s=hold_s)


def test_told_after_its_hold_time_again_at_the_interval_and_once_when_over():
    board, told = Board(repeat_s=60), []
    for second in range(0, 200, 5):
        now, over = board.look([alarm()] if second < 150 else [], second * 1000)
        told += [(second, "stands") for _ in now] + [(second, "over") for _ in over]
        board.told(now, over, second * 1000)
    assert told == [(10, "stands"), (70, "stands"), (130, "stands"), (150, "over")]


def test_what_mends_itself_within_its_hold_time_is_never_told():
    board = Board(repeat_s=60)
    assert board.look([alarm()], 0) == ([], [])
    assert board.look([], 5_000) == ([], [])
    assert board.look([alarm()], 12_000) == ([], []), "it began anew"


def test_what_could_not_be_told_is_due_until_it_is_and_what_came_back_is_not_over():
    board = Board(repeat_s=60)
    board.look([alarm()], 0)
    for now_ms in (10_000, 15_000, 20_000):
        now, _ = board.look([alarm(text=str(now_ms))], now_ms)
        assert [one.alarm.text for one in now] == [str(now_ms)]
    board.told(now, (), 20_000)
    assert len(board.look([], 25_000)[1]) == len(board.look([], 30_000)[1]) == 1
    assert board.look([alarm()], 35_000)[1] == []


@given(st.lists(st.lists(st.integers(0, 2_000), max_size=30), max_size=60))
def test_memory_is_bounded_and_over_comes_only_after_stands(rounds):
    board, open_ = Board(repeat_s=60), set()
    for at, keys in enumerate(rounds):
        now, over = board.look([alarm(str(key), 0) for key in keys], at * 1000 + 1)
        assert {one.alarm.key for one in over} <= open_
        open_ = (open_ | {one.alarm.key for one in now}) - {one.alarm.key for one in over}
        board.told(now, over, at * 1000 + 1)
        assert open_ <= {str(key) for key in keys}


def test_new_alarms_are_not_taken_on_without_bound():
    board = Board(repeat_s=60)
    now, _ = board.look([alarm(str(number), 0) for number in range(3 * Board.KEPT_MAX)], 1)
    assert len(now) == Board.KEPT_MAX
