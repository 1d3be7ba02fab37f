"""I2 in virtual time: the worst window, day and sessions an upstream sees, whatever happens to hosts and store."""

import pytest

from coordinator import fallback as fallbacks
from coordinator.budget import day_part, leased_slots, lots, shares, silent_moves
from coordinator.budget import holding as holdings
from tests.simulation.cluster_budget import Worker
from tests.simulation.cluster_process import Machine
from tests.simulation.cluster_shares import (
    BROUGHT_BACK,
    DYING,
    GIFTS,
    HOURLY,
    LOSSY,
    REBOOTED,
    REBOOTS,
    ROUGH,
    SEVERED,
    SILENT,
    first_caught,
    hour,
    simulate,
)
from tests.simulation.cluster_upstream import LIMIT

SEEDS = 200


@pytest.mark.parametrize(
    "weather", [ROUGH, SILENT, SEVERED, DYING, LOSSY], ids=["rough", "silent", "severed", "dying", "lossy"]
)
def test_no_window_no_day_and_no_session_too_many(weather):
    used = 0
    for seed in range(20):
        used += len(simulate(seed, weather).counted)
    assert used > 20 * LIMIT * 2


def test_permits_move_and_slots_are_had_again_while_the_store_is_silent_for_all():
    """And every limit holds on both sides of the silence, over restarts within it too."""
    moved = sum(simulate(seed, GIFTS).world.count["moved_in_silence"] for seed in range(20))
    assert moved > 10
    assert all(simulate(seed, REBOOTS, **REBOOTED).counted for seed in range(15))


@pytest.mark.long
@pytest.mark.parametrize("block", range(10))
def test_silences_in_a_thousand_seeds(block):
    for seed in range(5_000 + block * 100, 5_100 + block * 100):
        simulate(seed, GIFTS)
        simulate(seed, REBOOTS, **REBOOTED)


@pytest.mark.parametrize("seed", range(6))
def test_an_hour_of_sharing(seed):
    assert len(hour(seed).counted) > 500


@pytest.mark.parametrize("seed", [11, 13])
def test_an_hour_in_which_the_store_comes_back_from_an_older_copy(seed):
    upstream = hour(seed, weather=BROUGHT_BACK)
    assert upstream.counted
    assert any(host.refused for host in upstream.world.hosts.values())


@pytest.mark.long
@pytest.mark.parametrize("block", range(50))
def test_a_thousand_hours_of_sharing(block):
    for seed in range(100 + block * 20, 120 + block * 20):
        hour(seed, weather=BROUGHT_BACK if seed % 4 == 0 else HOURLY)


@pytest.mark.long
@pytest.mark.parametrize("block", range(10))
def test_no_window_and_no_session_too_many_in_a_thousand_seeds(block):
    for seed in range(1_000 + block * 100, 1_100 + block * 100):
        simulate(seed)


def test_a_seed_replays_exactly():
    first, second = simulate(7), simulate(7)
    assert first.counted == second.counted
    assert first.world.log == second.world.log


def token_back_from_the_start(patch):
    patch.setattr(Worker, "finish_unit", lambda self, begun_ms: self.permits.finish(begun_ms))


def share_moved_while_out(patch):
    real = Worker._situation

    def situation(self, now_ms):
        return holdings.replace(real(self, now_ms), out=0)

    patch.setattr(Worker, "_situation", situation)


def reclaimed_at_once(patch):
    patch.setattr(shares, "reclaim_delay_ms", lambda settle_ms, window_ms: 0)


def reclaimed_without_the_settle_horizon(patch):
    patch.setattr(shares, "reclaim_delay_ms", lambda settle_ms, window_ms: window_ms - 4_000)


def delays_counted_only_from_the_end(patch):
    from coordinator import session as sessions

    patch.setattr(sessions, "delay_over", lambda gone_ms, began_ms, delay_ms, now_ms: now_ms >= gone_ms + delay_ms)


def slot_taken_without_linger(patch):
    patch.setattr(leased_slots, "still", lambda since_ms, began_ms, now_ms, linger_ms: False)


def fallback_by_majority(patch):
    patch.setattr(fallbacks, "unanimous", lambda answered, nodes: (len(answered) + 1) * 2 > len(nodes) + 1)


def fallback_by_those_seen(patch):
    patch.setattr(fallbacks, "unanimous", lambda answered, nodes: True)


def attempt_without_a_session(patch):
    patch.setattr(Worker, "may_work", lambda self: True)


def a_lost_answer_counts_as_done(patch):
    patch.setattr(holdings, "unanswered", lambda holding: holdings.done(holding, holding.revision + 1))


def a_lost_answer_counts_as_not_done(patch):
    patch.setattr(holdings, "unanswered", holdings.refused)


def a_share_is_used_before_it_is_read(patch):
    patch.setattr(Worker, "adopted", lambda self: True)
    patch.setattr(Worker, "fresh_life", property(lambda self: False, lambda self, value: None), raising=False)


def an_older_store_is_believed(patch):
    patch.setattr(Machine, "went_back", lambda self, known, revision: False)


def day_units_used_in_a_later_quarter(patch):
    patch.setattr(day_part.DayPart, "room", lambda self, now_ms, **about: self.free)
    patch.setattr(lots, "restamp", lambda counts, lot, now_ms, settle_ms: lots.Reserved(counts=counts, lot=lot))


def day_units_of_a_lost_answer_are_had(patch):
    def unanswered(self):
        self.free += max(0, self._sent.gained)
        self._sent = None

    patch.setattr(day_part.DayPart, "unanswered", unanswered)


def a_permit_that_is_out_is_moved(patch):
    """While the store is silent, whoever is asked gives of what it has, used or not."""
    patch.setattr(Worker, "_to_spare", lambda self, now_ms: max(0, silent_moves.givable(self.holding)))


def a_gift_is_not_in_its_givers_books(patch):
    real = Worker._book

    def book(self, giver, taker, total):
        if giver != self.name:
            real(self, giver, taker, total)

    patch.setattr(Worker, "_book", book)


def a_slot_is_used_at_once_after_the_machine_went_down(patch):
    patch.setattr(Worker, "rests_until_ms", property(lambda self: 0, lambda self, value: None), raising=False)


def a_gift_is_forgotten_over_a_restart(patch):
    """It is not noted before it is said; whoever gave it dies."""
    real = Worker.crash

    def crash(self):
        self.notes.moved.clear()
        real(self)

    patch.setattr(Worker, "crash", crash)


def what_was_noted_counts_as_unused_after_a_restart(patch):
    real = Worker.remember

    def remember(self, now_ms):
        real(self, now_ms)
        self.permits._returns.clear()
        self.fresh_life = self.fresh_life and self.notes.share is None

    patch.setattr(Worker, "remember", remember)


MUTATIONS = [
    (token_back_from_the_start, ROUGH),
    (reclaimed_at_once, DYING),
    (a_lost_answer_counts_as_done, LOSSY),
    (a_share_is_used_before_it_is_read, DYING),
    (slot_taken_without_linger, DYING),
    (fallback_by_majority, SEVERED),
    (fallback_by_those_seen, SEVERED),
    (attempt_without_a_session, SEVERED),
    (an_older_store_is_believed, ROUGH),
    (a_permit_that_is_out_is_moved, GIFTS),
    (a_gift_is_not_in_its_givers_books, GIFTS),
    (a_slot_is_used_at_once_after_the_machine_went_down, REBOOTS),
]
OPTIONS = {a_slot_is_used_at_once_after_the_machine_went_down: REBOOTED}

OPEN = [
    (share_moved_while_out, ROUGH),
    (reclaimed_without_the_settle_horizon, DYING),
    (delays_counted_only_from_the_end, SILENT),
    (a_lost_answer_counts_as_not_done, LOSSY),
    (day_units_of_a_lost_answer_are_had, LOSSY),
    (a_gift_is_forgotten_over_a_restart, GIFTS),
    (what_was_noted_counts_as_unused_after_a_restart, REBOOTS),
]
"""Rules for which no seed has been found yet since hosts run on the product's own holder. Not run as tests."""


LATE = {an_older_store_is_believed}
"""Caught by a late seed only: minutes."""


def case(mutation, weather):
    marks = [pytest.mark.long, pytest.mark.timeout(1200)] if mutation in LATE else []
    return pytest.param(mutation, weather, id=mutation.__name__, marks=marks)


BEGIN = {
    fallback_by_majority: 6,
    fallback_by_those_seen: 6,
    slot_taken_without_linger: 13,
    a_permit_that_is_out_is_moved: 9,
    a_slot_is_used_at_once_after_the_machine_went_down: 5,
}
"""The first seeds find nothing; not to try them again saves time."""


@pytest.mark.parametrize(("mutation", "weather"), [case(*each) for each in MUTATIONS])
def test_a_rule_taken_away_is_missed(monkeypatch, mutation, weather):
    mutation(monkeypatch)
    begin = BEGIN.get(mutation, 0)
    assert first_caught(range(begin, begin + SEEDS), weather, **OPTIONS.get(mutation, {})) is not None
