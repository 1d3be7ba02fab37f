"""I4 and the fencing of sessions after every step of thousands of bad days; a failing seed replays exactly."""

from dataclasses import dataclass

import pytest

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


def simulate(seed, *, timing=FAST, weather=None, seconds=SECONDS, unanimity=True, nodes=NODES, extra=None):
    world = World(seed, weather or Weather())
    for name in nodes:
        world.hosts[name] = Host(world, name, timing, nodes, unanimity=unanimity)
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


def no_fallback(timing=FAST):
    return Timing(
        ttl_ms=timing.ttl_ms, renew_ms=timing.renew_ms, timeout_ms=timing.timeout_ms, margin_ms=timing.margin_ms,
        takeover_wait_ms=0,
    )  # fmt: skip


@pytest.mark.parametrize("block", range(4))
def test_one_kernel_at_most(block):
    moves = kept = bound = 0
    for seed in range(block * 15, block * 15 + 15):
        tally = simulate(seed).tally
        moves, kept, bound = moves + tally.moves, kept + tally.kept_in_silence, bound + tally.bound_s
    assert moves > 20
    assert kept > 0
    assert bound > 15 * SECONDS / 3


@pytest.mark.parametrize("block", range(2))
def test_one_kernel_at_most_without_fallback(block):
    for seed in range(10_000 + block * 15, 10_000 + block * 15 + 15):
        simulate(seed, timing=no_fallback(), unanimity=False)


@pytest.mark.long
@pytest.mark.parametrize("block", range(20))
def test_one_kernel_at_most_in_two_thousand_seeds(block):
    for seed in range(20_000 + block * 100, 20_100 + block * 100):
        simulate(seed)
        simulate(seed, timing=no_fallback(), unanimity=False)


def test_a_seed_replays_exactly():
    first, second = simulate(7), simulate(7)
    assert first.log == second.log
    assert first.etcd.model.items == second.etcd.model.items
    assert first.etcd.model.revision == second.etcd.model.revision
