"""Runs of the address world: what is checked after every step, and what a run amounted to."""

from dataclasses import dataclass, replace

from coordinator import early_facts
from coordinator.timing import FAST, STEADY, Timing
from tests.simulation.cluster_early import EarlyHost
from tests.simulation.cluster_host import Host
from tests.simulation.cluster_world import Violation, Weather, World

NODES = ("a", "b", "c")
SECONDS = 90.0
HOUR_S = 3_600.0
SPARSE = Timing(ttl_ms=10_000, renew_ms=2_500, timeout_ms=2_000, margin_ms=500)
"""As seldom renewed as the inequalities allow with some to spare: the widest gaps between what hosts know."""
HOURLY = Weather(
    loss=0.0005, slow=0.001, hiccup=0.005, episodes=(6, 20), aim=0.4, twice=0.1, lengths_s=((0.3, 3), (2, 12), (8, 60)),
    kinds=("crash", "crash", "gone", "pause", "cut", "cut_one_way", "cut_etcd", "isolate", "deaf", "mute", "peers_gone",
           "split", "sever", "etcd_leader", "etcd_leader", "etcd_down", "compact", "slow_fsync", "machine_pause",
           "unready"),
)  # fmt: skip
SETTLED_MS = early_facts.settled_ms(early_facts.LATE_V6_MS)


@dataclass
class Tally:
    """What a run amounted to, so that a green run is known to have done something."""

    bound_s: float = 0.0
    moves: int = 0
    kept_in_silence: int = 0
    last: str = ""
    at: float = 0.0
    until: float = 0.0

    def watch(self, world) -> None:
        """Look after every change of a kernel."""
        self.bound_s += max(0.0, min(self.until, world.now) - self.at)
        found = holders(world)
        self.at, self.until = world.now, found[0].kernel.until if found else 0.0
        if found:
            self.moves += found[0].name != self.last
            self.last = found[0].name
            self.kept_in_silence += found[0].address.kept_until_ms > 0


def holders(world):
    return [host for host in world.hosts.values() if host.kernel.until > world.now]


def check_one_address(world):
    """One holder; beside it a machine that was stopped as a whole, and more that still have what they had then."""
    bound = holders(world)
    found = [host for host in bound if world.now >= host.excused_until]
    awake = [host for host in bound if not host.kernel_stood_still]
    if len(found) > 1 or (found and len(awake) > 2):
        names = ", ".join(host.name for host in found)
        raise Violation(f"I4: bound at {names} at {world.now:.3f}\n{world.tail()}")


def check_fences(world):
    for host in world.hosts.values():
        host.check_fence()


def simulate(seed, *, host=Host, timing=FAST, weather=None, seconds=SECONDS, unanimity=True, nodes=NODES, extra=None):
    world = World(seed, weather or Weather())
    for name in nodes:
        world.hosts[name] = host(world, name, timing, nodes, unanimity=unanimity)
    tally = Tally()
    world.checks += [lambda: check_one_address(world), lambda: check_fences(world), lambda: tally.watch(world)]
    if extra:
        extra(world)
    world.run(seconds)
    world.tally = tally
    return world


def hour(seed, hours=1.0):
    """An hour of six to twenty episodes. Every twentieth takes part in early takeovers, every fifth renews each second,
    every other one keeps no address in silence."""
    timing = STEADY if seed % 5 == 0 else SPARSE
    plain = seed % 2 == 1
    host = EarlyHost if seed % 20 == 9 else Host
    if plain:
        timing = without_fallback(timing)
    if host is EarlyHost:
        timing = replace(timing, settled_ms=SETTLED_MS)
    return simulate(seed, host=host, timing=timing, weather=HOURLY, seconds=HOUR_S * hours, unanimity=not plain)


def without_fallback(timing=FAST):
    return replace(timing, takeover_wait_ms=0)


def first_caught(seeds, **options):
    """The first seed that breaks an invariant, or None."""
    for seed in seeds:
        try:
            simulate(seed, **options)
        except Violation:
            return seed
    return None
