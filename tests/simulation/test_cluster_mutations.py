"""Each rule of sessions and addresses taken away once: some seed must then break an invariant.

A mutation that no seed catches would mean that the rule is not needed or that the simulation looks away.
"""

import math

import msgspec
import pytest

from coordinator import address as addresses
from coordinator import promises
from coordinator import session as sessions
from coordinator.address_facts import Next, Todo
from tests.simulation import cluster_host
from tests.simulation.cluster_host import Host
from tests.simulation.cluster_runs import first_caught, without_fallback
from tests.simulation.cluster_world import Weather

SEEDS = 500
LONG = ((2.0, 12.0), (8.0, 25.0))
SILENCE = Weather(faults_per_s=0.15, kinds=("split", "split", "split", "crash", "etcd_down"), lengths_s=LONG)
FREEZES = Weather(faults_per_s=0.2, kinds=("pause", "pause", "crash", "cut", "cut_etcd", "etcd_leader"))
LATE = Weather(
    faults_per_s=0.25, slow=0.4, slow_s=(0.7, 0.99), kernel_late_s=(0.35, 0.35), lengths_s=LONG, kinds=("pause",)
)
LAGGING = Weather(faults_per_s=0.2, loss=0.1, slow=0.4, lengths_s=LONG, kinds=("pause", "cut_etcd", "split"))
RESTARTS = Weather(faults_per_s=0.4, kinds=("split", "crash", "crash"))
LEAVING = Weather(faults_per_s=0.3, hiccup=0.2, kinds=("unready", "unready", "pause"))


def caught(weather, *, fallback, begin=0, seeds=SEEDS, **options):
    """The first seed from ``begin`` on that breaks an invariant, or None."""
    if not fallback:
        options |= {"timing": without_fallback(), "unanimity": False}
    return first_caught(range(begin, begin + seeds), weather=weather, **options)


def deadline_from_the_answer(patch):
    real = sessions.step

    def step(session, event, now_ms, **about):
        if "sent_ms" in about:
            about["sent_ms"] = now_ms
        return real(session, event, now_ms, **about)

    patch.setattr(sessions, "step", step)


def no_margin(patch):
    patch.setattr(sessions, "deadline_of", lambda sent_ms, timing: sent_ms + timing.ttl_ms)


def a_key_of_an_earlier_lease_counts(patch):
    patch.setattr(addresses, "same_lease", lambda key, session: True)


def no_look_at_the_deadline_before_binding(patch):
    patch.setattr(addresses, "may_bind", lambda address, facts, authority: not addresses.promising(address, facts))
    real = addresses.lifetime_s
    patch.setattr(addresses, "lifetime_s", lambda authority, facts: max(1, real(authority, facts)))


def lifetime_rounded_up(patch):
    patch.setattr(
        addresses,
        "lifetime_s",
        lambda authority, facts: max(0, math.ceil((addresses.limit_ms(authority, facts) - facts.now_ms) / 1_000)),
    )
    patch.setattr(addresses, "LATE_MS", 10_000)


def no_allowance_for_the_kernel(patch):
    patch.setattr(addresses, "limit_ms", lambda authority, facts: authority + facts.timing.margin_ms)


def no_look_at_the_clock_after_a_call(patch):
    patch.setattr(Host, "look_again", lambda self: None)


def no_lifetime_in_the_kernel(patch):
    real = Host._do_bind

    def bind(self, todo):
        real(self, todo)
        if self.kernel.until:
            self.set_kernel(math.inf)

    patch.setattr(Host, "_do_bind", bind)


def removal_not_confirmed(patch):
    def remove(self, todo):
        if self.world.random.random() < 0.5:  # the kernel was busy, and nobody read back
            self.set_kernel(0.0)
        self.address = addresses.on_removed(self.address)
        self._address_beat()

    patch.setattr(Host, "_do_remove", remove)


def key_deleted_before_the_address_is_removed(patch):
    real = addresses._while_bound

    def while_bound(address, facts, authority):
        if addresses.leaves(address, facts) and addresses.mine(address, facts):
            return Next(todo=Todo.DELETE)
        return real(address, facts, authority)

    patch.setattr(addresses, "_while_bound", while_bound)
    patch.setattr(Host, "may_delete", lambda self: True)


def a_key_given_up_counts_again(patch):
    patch.setattr(addresses, "given_up", lambda address: False)


def promises_of_a_majority(patch):
    patch.setattr(promises, "complete", lambda answered, asked: (len(answered) + 1) * 2 > len(asked) + 1)


def promises_of_ones_own_configuration(patch):
    # Somebody shortened the file of one node, or it knows no others yet.
    patch.setattr(promises, "asked_nodes", lambda address, facts: frozenset({"a", "b"}) - {facts.me})


def promises_of_those_seen(patch):
    patch.setattr(promises, "complete", lambda answered, asked: len(answered) > 0)


def promises_not_kept(patch):
    patch.setattr(addresses, "promising", lambda address, facts: False)


def promise_while_the_store_answers(patch):
    patch.setattr(
        promises, "may_promise", lambda address, facts, asker: not address.bound and not addresses.mine(address, facts)
    )
    patch.setattr(addresses, "promising", lambda address, facts: False)


def promise_counted_from_the_answer(patch):
    real = promises.on_promise

    def on_promise(address, facts, sent_ms, giver):
        after = real(address, facts, sent_ms, giver)
        if after.kept_until_ms > address.kept_until_ms:
            late = facts.now_ms + facts.timing.ttl_ms + 1_500
            after = cluster_host.replace(after, kept_until_ms=late)
        return after

    patch.setattr(promises, "on_promise", on_promise)


def promises_forgotten_at_once(patch):
    patch.setattr(promises, "on_asked", _promise_without_memory)


def _promise_without_memory(address, facts, asker):
    return address, promises.may_promise(address, facts, asker)


def the_young_may_take(patch):
    real = Host.facts
    patch.setattr(Host, "facts", lambda self, at=None: msgspec.structs.replace(real(self, at), started_ms=-(10**9)))


def a_foreign_key_is_no_reason_to_leave(patch):
    patch.setattr(addresses, "others", lambda address, facts: False)
    patch.setattr(addresses, "promising", lambda address, facts: False)


MUTATIONS = [
    (deadline_from_the_answer, FREEZES, False),
    (no_margin, FREEZES, False),
    (a_key_of_an_earlier_lease_counts, LAGGING, False),
    (no_look_at_the_deadline_before_binding, FREEZES, False),
    (lifetime_rounded_up, LATE, False),
    (no_allowance_for_the_kernel, LATE, False),
    (no_look_at_the_clock_after_a_call, FREEZES, False),
    (no_lifetime_in_the_kernel, FREEZES, False),
    (removal_not_confirmed, LEAVING, False),
    (key_deleted_before_the_address_is_removed, LEAVING, False),
    (promises_of_a_majority, SILENCE, True),
    (promises_of_ones_own_configuration, SILENCE, True),
    (promises_of_those_seen, SILENCE, True),
    (promises_not_kept, SILENCE, True),
    (promise_while_the_store_answers, SILENCE, True),
    (promise_counted_from_the_answer, SILENCE, True),
    (promises_forgotten_at_once, SILENCE, True),
    (the_young_may_take, RESTARTS, True),
    (a_foreign_key_is_no_reason_to_leave, SILENCE, True),
]


OPEN = [(a_key_given_up_counts_again, LEAVING, False)]
"""No seed found since the store is read every 5 s, as the product does, and not every 2 s. Not run as a test."""


BEGIN = {
    a_key_of_an_earlier_lease_counts: 83,
    no_look_at_the_clock_after_a_call: 19,
    no_look_at_the_deadline_before_binding: 44,
    lifetime_rounded_up: 414,
    no_allowance_for_the_kernel: 27,
    promises_not_kept: 47,
}
"""The first seeds find nothing; not to try them again saves time."""


@pytest.mark.parametrize(("mutation", "weather", "fallback"), MUTATIONS, ids=[each[0].__name__ for each in MUTATIONS])
def test_a_rule_taken_away_is_missed(monkeypatch, mutation, weather, fallback):
    mutation(monkeypatch)
    assert caught(weather, fallback=fallback, begin=BEGIN.get(mutation, 0)) is not None


WEATHERS = [
    (SILENCE, True),
    (RESTARTS, True),
    (LAGGING, True),
    (FREEZES, False),
    (LATE, False),
    (LAGGING, False),
    (LEAVING, False),
]


@pytest.mark.parametrize(("weather", "fallback"), WEATHERS)
def test_with_every_rule_in_place_the_same_weather_breaks_nothing(weather, fallback):
    assert caught(weather, fallback=fallback, seeds=25) is None
