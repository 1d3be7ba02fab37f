"""I2 in virtual time: the worst window and the sessions an upstream sees, whatever happens to hosts and store."""

import pytest

from coordinator import fallback as fallbacks
from coordinator.budget import leased_slots, shares
from coordinator.timing import FAST
from tests.simulation.cluster_budget import LIMIT, SESSIONS, Upstream, Worker
from tests.simulation.cluster_world import Violation, Weather, World

NODES = ("a", "b", "c")
KINDS = ("crash", "crash", "pause", "cut", "cut_one_way", "cut_etcd", "etcd_leader", "etcd_down", "split", "slow_fsync")
ROUGH = Weather(faults_per_s=0.12, kinds=KINDS)
SILENT = Weather(faults_per_s=0.1, kinds=("etcd_down", "split", "crash", "cut_etcd"), lengths_s=((8.0, 25.0),))
DYING = Weather(faults_per_s=0.25, kinds=("crash", "crash", "cut_etcd"))
SEVERED = Weather(faults_per_s=0.05, kinds=("sever",), lengths_s=((45.0, 70.0),))
LOSSY = Weather(faults_per_s=0.1, loss=0.08, slow=0.2, kinds=("cut_etcd", "slow_fsync", "etcd_leader"))


def simulate(seed, weather=ROUGH, seconds=90.0):
    world = World(seed, weather)
    upstream = Upstream(world)
    Worker.upstream = upstream
    for name in NODES:
        world.hosts[name] = Worker(world, name, FAST, NODES)

    def few_sessions():
        if upstream.open_connections() > SESSIONS:
            raise Violation(f"I2: {upstream.connections} at {world.now:.3f}\n" + "\n".join(world.log[-20:]))

    world.checks.append(few_sessions)
    world.run(seconds)
    if upstream.worst_window() > LIMIT:
        raise Violation(f"I2: {upstream.worst_window()} of {LIMIT} in one window, seed {seed}")
    return upstream


def caught(weather, seeds=200):
    for seed in range(seeds):
        try:
            simulate(seed, weather)
        except Violation:
            return seed
        except shares.Overdrawn:
            return seed
    return None


@pytest.mark.parametrize(
    "weather", [ROUGH, SILENT, SEVERED, DYING, LOSSY], ids=["rough", "silent", "severed", "dying", "lossy"]
)
def test_no_window_and_no_session_too_many(weather):
    used = 0
    for seed in range(20):
        used += len(simulate(seed, weather).counted)
    assert used > 20 * LIMIT


@pytest.mark.long
@pytest.mark.parametrize("block", range(10))
def test_no_window_and_no_session_too_many_in_a_thousand_seeds(block):
    for seed in range(1_000 + block * 100, 1_100 + block * 100):
        simulate(seed)


def token_back_from_the_start(patch):
    patch.setattr(Worker, "finish_unit", lambda self, begun_ms: self.permits.finish(begun_ms))


def share_moved_while_out(patch):
    patch.setattr(Worker, "movable", lambda self, now_ms: max(0, self.permits.limit))


def reclaimed_at_once(patch):
    patch.setattr(shares, "reclaim_delay_ms", lambda settle_ms, window_ms: 0)


def reclaimed_without_the_settle_horizon(patch):
    patch.setattr(shares, "reclaim_delay_ms", lambda settle_ms, window_ms: window_ms - 4_000)


def slot_taken_without_linger(patch):
    patch.setattr(leased_slots, "still", lambda since_ms, began_ms, now_ms, linger_ms: False)


def fallback_by_majority(patch):
    patch.setattr(fallbacks, "unanimous", lambda answered, nodes: (len(answered) + 1) * 2 > len(nodes) + 1)


def fallback_by_those_seen(patch):
    patch.setattr(fallbacks, "unanimous", lambda answered, nodes: True)


def attempt_without_a_session(patch):
    patch.setattr(Worker, "may_work", lambda self: True)


def a_lost_answer_counts_as_done(patch):
    def after(self, moved):
        self._adopt(dict(moved.record), self.record_revision + 1)

    patch.setattr(Worker, "after_lost_answer", after)


MUTATIONS = [
    (token_back_from_the_start, ROUGH),
    (share_moved_while_out, ROUGH),
    (reclaimed_at_once, DYING),
    (reclaimed_without_the_settle_horizon, DYING),
    (slot_taken_without_linger, DYING),
    (fallback_by_majority, SEVERED),
    (fallback_by_those_seen, SEVERED),
    (attempt_without_a_session, SILENT),
    (a_lost_answer_counts_as_done, LOSSY),
]


@pytest.mark.parametrize(("mutation", "weather"), MUTATIONS, ids=[each[0].__name__ for each in MUTATIONS])
def test_a_rule_taken_away_is_missed(monkeypatch, mutation, weather):
    mutation(monkeypatch)
    assert caught(weather) is not None
