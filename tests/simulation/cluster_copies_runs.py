"""Runs of the world `copies`: where rows come in, what the weather is, and what a run amounted to."""

from coordinator.ownership.rows import OnUnknown
from coordinator.timing import FAST
from tests.simulation.cluster_copies_disk import Disk
from tests.simulation.cluster_copies_retiring import judge_keys
from tests.simulation.cluster_copies_rows import Host
from tests.simulation.cluster_copies_world import CopiesWorld
from tests.simulation.cluster_runs import HOUR_S, NODES, check_fences
from tests.simulation.cluster_world import Violation, Weather

SECONDS, CALM_S = 110.0, 50.0
SITES = {"a": "one", "b": "one", "c": "two", "d": "two"}
KINDS = ("crash", "crash", "power", "destroy", "reverted", "pause", "machine_pause", "cut", "cut_one_way", "cut_etcd",
         "peers_gone", "isolate", "deaf", "mute", "split", "etcd_leader", "etcd_down", "slow_fsync", "slow_disk",
         "compact", "drain", "swap", "upstream_down", "operator_pause")  # fmt: skip
ROUGH = Weather(faults_per_s=0.12, kinds=KINDS)
SWAPS = Weather(
    faults_per_s=0.1, kinds=("swap", "swap", "destroy", "crash", "cut_etcd", "isolate", "peers_gone"),
    lengths_s=((1.0, 8.0), (6.0, 14.0)),
)  # fmt: skip
"""Disks replaced again and again, some put back after they were given up as lost."""
SWAPPED = {"rate_s": 0.8, "seconds": 90.0, "calm_s": 45.0}
HOURLY = Weather(
    loss=0.0005, slow=0.001, hiccup=0.005, episodes=(8, 24), twice=0.1, lengths_s=((0.3, 3), (2, 12), (8, 60)),
    kinds=KINDS,
)  # fmt: skip
PAIR = {"nodes": ("a", "c")}
FOUR = {"nodes": ("a", "b", "c", "d")}
CLOSED = {"closed": True}
POLICIES = (OnUnknown.REPEAT, OnUnknown.REPEAT, OnUnknown.REPORT, OnUnknown.VERIFY)


def simulate(seed, weather=ROUGH, seconds=SECONDS, *, nodes=NODES, rate_s=1.5, calm_s=CALM_S, closed=False):
    """``closed``: the other side takes nothing from the begin of the calm on."""
    world = CopiesWorld(seed, weather, calm_s=calm_s)
    for name in nodes:
        world.hosts[name] = Host(world, name, FAST, nodes, Disk(world), site=SITES[name])
    world.checks.append(lambda: check_fences(world))
    if closed:
        world.at(seconds - calm_s, lambda: setattr(world, "closed_until", seconds))
    arrivals(world, seconds - calm_s / 2, rate_s)
    world.run(seconds)
    if closed:
        world.judge_waiting()
    else:
        world.judge_end()
    judge_keys(world)
    return world


def hour(seed, hours=1.0):
    """An hour of eight to twenty-four episodes, a row every three seconds or so."""
    return simulate(seed, HOURLY, HOUR_S * hours, rate_s=0.3)


def arrivals(world, until: float, rate_s: float) -> None:
    """Clients send to whoever takes it."""
    draw, number = world.random, 0

    def next_one() -> None:
        nonlocal number
        number += 1
        name, host = f"m{number}", world.hosts[draw.choice(sorted(world.hosts))]
        policy, required = draw.choice(POLICIES), draw.random() < 0.3
        if not (host.alive and world.now < host.paused_until):
            host.deliver(lambda: host.arrive(name, policy, required=required))
        if world.now < until:
            world.after(draw.expovariate(rate_s), next_one)

    world.after(1.0, next_one)


def first_caught(seeds, weather=ROUGH, **options):
    for seed in seeds:
        try:
            simulate(seed, weather, **options)
        except Violation:
            return seed
    return None
