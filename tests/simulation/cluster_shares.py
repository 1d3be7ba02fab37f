"""Runs of the budget world: what is checked after every step, and days short enough to pass within an hour."""

from collections import Counter
from contextlib import contextmanager
from dataclasses import replace
from unittest.mock import patch

from coordinator.budget import day_part, lots
from coordinator.timing import FAST
from tests.simulation.cluster_budget import WALL_MS, Worker
from tests.simulation.cluster_runs import HOUR_S, NODES, check_fences
from tests.simulation.cluster_upstream import LIMIT, SESSIONS, Upstream
from tests.simulation.cluster_world import Violation, Weather, World

KINDS = ("crash", "crash", "pause", "machine_pause", "cut", "cut_one_way", "cut_etcd", "etcd_leader", "etcd_down",
         "split", "slow_fsync", "compact", "restored")  # fmt: skip
ROUGH = Weather(faults_per_s=0.12, kinds=KINDS)
SILENT = Weather(faults_per_s=0.1, kinds=("etcd_down", "split", "crash", "cut_etcd"), lengths_s=((8.0, 25.0),))
GIFTS = Weather(faults_per_s=0.12, kinds=("etcd_down", "etcd_down", "crash", "cut"), lengths_s=((6.0, 25.0),))
"""The store is silent for all again and again: permits of who has no connection go to who has work."""
REBOOTS = Weather(faults_per_s=0.2, kinds=("etcd_down", "crash", "crash", "cut"), lengths_s=((0.5, 3.0), (25.0, 40.0)))
"""Hosts die and are back at once while the store is silent for long."""
REBOOTED = {"idle_ms": 12_000, "day_limit": 10_000}
DYING = Weather(faults_per_s=0.25, kinds=("crash", "crash", "cut_etcd"))
SEVERED = Weather(faults_per_s=0.05, kinds=("sever",), lengths_s=((45.0, 70.0),))
LOSSY = Weather(faults_per_s=0.1, loss=0.08, slow=0.2, kinds=("cut_etcd", "slow_fsync", "etcd_leader"))
BROUGHT_BACK = Weather(loss=0.0005, slow=0.001, episodes=(6, 20), twice=0.1, lengths_s=((0.3, 3), (2, 12), (8, 60)),
                       kinds=KINDS)  # fmt: skip
"""An hour in which an older copy of the store may come back: who notices stays out for the rest of it, until an
operator has a say; so nothing can be said of how much flows."""
HOURLY = replace(BROUGHT_BACK, kinds=tuple(kind for kind in KINDS if kind != "restored"))
SHORTER = 30
"""An hour holds a day of 48 minutes with quarters of 30 s, while clocks are off by as much as ever."""


def simulate(seed, weather=ROUGH, seconds=90.0, *, day_limit=None, day_s=86_400.0, idle_ms=4_000):
    world = World(seed, weather)
    world.count, world.idle_ms = Counter(), idle_ms
    world.wall_ms = WALL_MS + world.random.randrange(lots.QUARTER_MS)
    world.day_limit = day_limit or (50 if seed % 3 == 2 else 10_000)
    upstream = world.upstream = Worker.upstream = Upstream(world, day_limit=world.day_limit, day_s=day_s)
    for name in NODES:
        world.hosts[name] = Worker(world, name, FAST, NODES)

    def few_sessions():
        if upstream.open_connections() > SESSIONS:
            raise Violation(f"I2: {upstream.connections} at {world.now:.3f}\n{world.tail()}")

    world.checks += [few_sessions, lambda: check_fences(world)]
    world.run(seconds)
    judge(world, seed)
    return upstream


def judge(world, seed) -> None:
    """No window of a run held more than the limit, no day more than the day's; every moment is looked at."""
    upstream = world.upstream
    if upstream.worst_window() > LIMIT:
        raise Violation(f"I2: {upstream.worst_window()} of {LIMIT} in one window, seed {seed}\n{world.tail()}")
    day = upstream.worst_window(upstream.day_s)
    if day > upstream.day_limit:
        raise Violation(f"I2: {day} of {upstream.day_limit} in a day, seed {seed}\n{world.tail()}")


def hour(seed, hours=1.0, weather=HOURLY):
    with short_days():
        return simulate(seed, weather, HOUR_S * hours, day_limit=1_500, day_s=86_400.0 / SHORTER)


@contextmanager
def short_days():
    with (
        patch.object(lots, "QUARTER_MS", lots.QUARTER_MS // SHORTER),
        patch.object(lots, "DAY_MS", lots.DAY_MS // SHORTER),
        patch.object(day_part, "DAY_MS", day_part.DAY_MS // SHORTER),
        patch.object(day_part, "AHEAD_MS", day_part.AHEAD_MS // SHORTER),
    ):
        yield


def first_caught(seeds, weather, **options):
    for seed in seeds:
        try:
            simulate(seed, weather, **options)
        except Violation:
            return seed
    return None
