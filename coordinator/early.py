"""Early takeover: an address whose host is gone moves within two seconds, without waiting for the lease. Pure.

The rules (they replace those of coordination-review §2, see Verdict):

1. *Leash.* A holder whose heartbeats (every 200 ms, to all nodes on the address's list) have been answered for a while
   writes a leased key beside the address's: the leash, with the nodes whose answers count. From then on the kernel
   gets ``LIFE_S`` at a time, only while the newest heartbeat that one of them answered was *sent* at most ``FRESH_MS``
   ago; what a call that came later has set is taken back at once. Lease renewals no longer prolong anything.
2. *Off the leash.* Without an answer for ``SLACK_MS`` the holder loosens the leash by a transaction and then lives by
   its lease as ever. So a holder that reaches the store keeps the address, whatever becomes of the peers.
3. *Answering.* A node answers a holder only with a live session, if the key as it knows it, at a revision not older
   than its own session, is that holder's, and if it has not given its word about this leash or a later one.
4. *Word.* A node that has not heard the holder for ``DEAF_MS`` gives a candidate its word never to answer a heartbeat
   of this leash again (a promise tied to a revision: it needs no end), and says how long ago it last answered one.
   After a restart it counts as having answered until the restart.
5. *Takeover.* A candidate that has missed three heartbeats asks every other node named in the leash that has a session.
   With **all** their words it takes the key over in one transaction: key and leash unchanged, every session asked the
   same, every node not asked still without one. No moment leaves the key absent; a holder off the leash, a node that
   joined and a word forgotten by a restart all make it fail.
6. *Wait.* Nothing is bound before ``LIFE_S + FRESH_MS + late + GUARD_MS`` after the latest moment at which anybody can
   have answered: the words, our own answers, the learning of the leash and of the end of any session named in it.
   Nor is the key given back before; no probe is made (a frozen host's kernel would answer).
7. Not under ``pause``; not by a process or session younger than T; no leash for ``REST_MS`` after an early takeover.
   Where this is on, ``Timing.settled_ms`` is set: a taker's own end must not cut the wait short.

The runtime's part: one heartbeat per host for all its addresses (``answered_ms`` and ``heard_ms`` then count for the
host, and one host's lifetimes are set together); an answer wakes the decision at once; LEASH and LOOSEN run beside the
beat with at most 500 ms for an answer, so that a lapsing address is still removed; after *every* call to the kernel
``decide`` is asked again and a REMOVE done first; everything is decided anew right before a transaction is sent.

Verdict
-------
It may be on by default. Simulated (tests/simulation/test_cluster_early.py, docs/simulation.md): three hosts, 90 s runs
with 10 to 40 faults, with and without fallback, the kernel's lateness with IPv4 and with IPv6: crashes and restarts
that forget, frozen holders and members, machine pauses, cuts one way, both ways and of all links, joining and leaving
nodes, changes of etcd's leader while the transaction runs, transactions whose answer is lost or that happen long after,
clocks 500 ppm apart, calls to the kernel held up to 0.9 s. No seed shows two holders. From the host's death to the
address bound elsewhere: 1.3 to 1.7 s (IPv4), 1.7 to 2.1 s (IPv6, whose kernel lets go later), ttl 10 s; else 10.5 s.

The rule as first written failed, and why it reads otherwise now: kernels know whole seconds only, so "last
acknowledgement + 1 s" is 1.55 s after it in the worst case (200 ms until the call, 350 ms late) and a wait of 1.25 s
shows two holders (``a_wait_of_1250_ms``). As renewals counted as acknowledgements, the wait had to count from the
revocation: 2.5 s in all. Hence renewals do not count (``renewals_count_as_answers``) and the wait counts from the last
answer, which the words tell. A revoked lease left the key absent for everyone who had promised nothing.

Not covered: a process frozen between its last look at the clock and the call to the kernel *and* again right after the
call; an unrelated change of addresses on the same host in the last second of a lifetime, which makes Linux look again
only a second later (measured: a lifetime of 1 s ended after 1.98 s).
"""

from dataclasses import replace

from coordinator import address as addresses
from coordinator.address_facts import IDLE, Address, Facts, Next, Todo
from coordinator.early_bids import may_ask, may_seize, on_leash_key, waits
from coordinator.early_facts import (
    BEGIN_MS,
    FRESH_MS,
    LIFE_S,
    MISSED_MS,
    REFRESH_MS,
    SLACK_MS,
    STEADY_MS,
    Act,
    Around,
    Early,
    Leash,
    Step,
    leashed,
)


def short(early: Early, address: Address) -> bool:
    """Whether a holder must behave as on the leash: it is, or may be any moment."""
    return early.leashing or leashed(early, address)


def fresh(early: Early, now_ms: int) -> bool:
    """Whether telling the kernel may be begun now: it will be done within FRESH_MS."""
    return now_ms <= early.acknowledged_ms + BEGIN_MS


def mark(early: Early, address: Address) -> int:
    """Give the number a holder's heartbeat bears: the newest revision of its two keys."""
    return max(address.key.revision if address.key else 0, early.leash.revision if early.leash else 0)


def beats(address: Address, facts: Facts) -> bool:
    """Whether heartbeats about this address are sent: its key is mine."""
    return addresses.mine(address, facts)


def decide(early: Early, address: Address, facts: Facts, around: Around) -> Step:
    """Say what to do now, in place of ``address.decide``; asked again after every event and every 100 ms."""
    if addresses.mine(address, facts):
        return _as_holder(early, address, facts, around)
    if may_seize(early, address, facts, around):
        return Step(act=Act.SEIZE)
    if may_ask(early, address, facts, around):
        return Step(act=Act.ASK)
    return Step(todo=addresses.decide(address, facts))


# Holder ---------------------------------------------------------------------------------------------------------------


def _as_holder(early: Early, address: Address, facts: Facts, around: Around) -> Step:
    if waits(early, address, facts, around):
        return Step()
    if short(early, address):
        on = on_leash(early, address, facts)  # an address to be removed goes before anything else is begun
        if on.todo is not Todo.REMOVE and loosens(early, address, facts, around):
            return Step(act=Act.LOOSEN)
        return Step(todo=on)
    todo = addresses.decide(address, facts)
    if todo.todo in {Todo.NOTHING, Todo.BIND} and wants_leash(early, address, facts, around):
        if address.bound_until_ms <= leash_limit_ms(early):
            return Step(act=Act.LEASH)
        return Step(todo=Next(todo=Todo.BIND, lifetime_s=LIFE_S))
    return Step(todo=todo)


def on_leash(early: Early, address: Address, facts: Facts) -> Next:
    """What ``address.decide`` says of a key of mine, with the answers in the place of the session's deadline."""
    if addresses.leaves(address, facts):
        return addresses.decide(address, facts)
    life_s = life_on_leash_s(early, address, facts)
    if not address.bound:
        if not life_s or not addresses.may_bind(address, facts, facts.session.deadline_ms):
            return IDLE
        return Next(todo=Todo.BIND, lifetime_s=life_s) if address.probed else Next(todo=Todo.PROBE)
    by_promises_ms = addresses.limit_ms(address.kept_until_ms, facts) + addresses.LATE_MS
    too_long = address.bound_until_ms > max(leash_limit_ms(early), by_promises_ms)
    if facts.now_ms >= address.bound_until_ms or (too_long and not life_s):
        return Next(todo=Todo.REMOVE)
    if life_s and (too_long or facts.now_ms + life_s * 1_000 >= address.bound_until_ms + REFRESH_MS):
        return Next(todo=Todo.BIND, lifetime_s=life_s)
    return IDLE


def life_on_leash_s(early: Early, address: Address, facts: Facts) -> int:
    """Seconds the kernel may have now: by a fresh answer, or by everybody's promise while the store is silent."""
    if not facts.fresh:
        return 0
    by_promises_s = addresses.lifetime_s(address.kept_until_ms, facts)
    by_answer = fresh(early, facts.now_ms) and addresses.lifetime_s(facts.session.deadline_ms, facts) >= LIFE_S
    return max(LIFE_S if by_answer else 0, by_promises_s)


def leash_limit_ms(early: Early) -> int:
    """When the kernel must let go on the leash."""
    return early.acknowledged_ms + FRESH_MS + LIFE_S * 1_000


def wants_leash(early: Early, address: Address, facts: Facts, around: Around) -> bool:
    """Whether a holder puts itself on the leash: answers are steady, and nothing else is going on."""
    now_ms = facts.now_ms
    if not (around.enabled and address.bound and not address.taking) or facts.paused or facts.yields or facts.moved:
        return False
    steady = fresh(early, now_ms) and now_ms - early.steady_ms >= STEADY_MS
    return steady and now_ms >= early.rest_until_ms and len(around.members) > 1


def loosens(early: Early, address: Address, facts: Facts, around: Around) -> bool:
    """Whether a holder asks the store to live by its lease again (rule 2), or to settle a leash that told nothing."""
    if address.taking or addresses.given_up(address) or addresses.keeps(address, facts):
        return False
    unanswered = facts.now_ms - early.acknowledged_ms > SLACK_MS
    unsettled = early.leashing and not leashed(early, address)
    return unanswered or unsettled or not around.enabled or facts.paused


def on_ack(early: Early, address: Address, node: str, sent_ms: int) -> Early:
    """Count an answer to the heartbeat sent at ``sent_ms``; never from its coming."""
    if node not in (early.counted if short(early, address) else address.nodes):
        return early
    if sent_ms <= early.acknowledged_ms:
        return early
    gap = sent_ms - early.acknowledged_ms > MISSED_MS
    return replace(early, acknowledged_ms=sent_ms, steady_ms=sent_ms if gap else early.steady_ms)


def on_leash_sent(early: Early, nodes: tuple[str, ...]) -> Early:
    """Remember, before it is sent, that the leash may be on any moment, and whose answers count from now on."""
    return replace(early, leashing=True, counted=nodes)


def on_leash_refused(early: Early) -> Early:
    """Our transaction on the leash was answered: it changed nothing."""
    return replace(early, leashing=False)


def on_leash_written(early: Early, leash: Leash, now_ms: int) -> Early:
    """Our transaction on the leash succeeded: the only thing that settles one whose answer was lost."""
    return on_leash_key(replace(early, leashing=False), leash, leash.revision, now_ms)
