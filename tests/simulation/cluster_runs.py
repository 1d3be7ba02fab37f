"""Runs of the address world: what is checked after every step, and what a run amounted to."""

from dataclasses import dataclass

from coordinator.timing import FAST, Timing
from tests.simulation.cluster_host import Host
from tests.simulation.cluster_world import Violation, Weather, World

NODES = ("a", "b", "c")
SECONDS = 90.0


@dataclass
class Tally:
    """What a run amounted to, so that a green run is known to have done something."""

    bound_s: float = 0.0
    moves: int = 0
    kept_in_silence: int = 0
    last: str = ""
    at: float = 0.0


def holders(world):
    return [host for host in world.hosts.values() if host.kernel.until > world.now]


def check_one_address(world):
    found = [host for host in holders(world) if world.now >= host.excused_until]
    if len(found) > 1 or (found and len(holders(world)) > 2):
        names = ", ".join(host.name for host in found)
        raise Violation(f"I4: bound at {names} at {world.now:.3f}\n" + "\n".join(world.log[-40:]))


def check_fence(world):
    """Whoever believes in its session is right, now and until its deadline: the store keeps its key longer."""
    for host in world.hosts.values():
        running = host.alive and world.now >= max(host.paused_until, host.excused_until)
        if running and host.session.live(host.now_ms()):
            item = world.etcd.model.items.get(f"coordinators/{host.name}")
            if item is None or item.create_revision != host.session.inc:
                raise Violation(f"I3: {host.name} believes in a session that is gone at {world.now:.3f}")
            ends = world.etcd.model.leases[host.session.lease].ends_s
            if host.true_time(host.session.deadline_ms) > ends:
                raise Violation(f"I3: {host.name} will believe in its session beyond its end at {ends:.3f}")


def simulate(seed, *, host=Host, timing=FAST, weather=None, seconds=SECONDS, unanimity=True, nodes=NODES, extra=None):
    world = World(seed, weather or Weather())
    for name in nodes:
        world.hosts[name] = host(world, name, timing, nodes, unanimity=unanimity)
    tally = Tally()

    def watch():
        found = holders(world)
        if found:
            tally.bound_s += world.now - tally.at
            tally.moves += found[0].name != tally.last
            tally.last = found[0].name
            tally.kept_in_silence += found[0].address.kept_until_ms > 0
        tally.at = world.now

    world.checks += [lambda: check_one_address(world), lambda: check_fence(world), watch]
    if extra:
        extra(world)
    world.run(seconds)
    world.tally = tally
    return world


def without_fallback(timing=FAST, *, takeover_wait_ms=0):
    return Timing(
        ttl_ms=timing.ttl_ms, renew_ms=timing.renew_ms, timeout_ms=timing.timeout_ms, margin_ms=timing.margin_ms,
        takeover_wait_ms=takeover_wait_ms,
    )  # fmt: skip


def first_caught(seeds, **options):
    """The first seed that breaks an invariant, or None."""
    for seed in seeds:
        try:
            simulate(seed, **options)
        except Violation:
            return seed
    return None
