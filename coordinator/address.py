"""Who may hold a virtual address, and for how long the kernel may keep it (coordination-review §2 and §5). Pure.

An address belongs to whoever holds its leased key. The right to have it *bound* ends at the authority: the session's
deadline while the key bears the session's lease, or the end of the last complete round of promises while the store is
silent. The kernel gets a lifetime that ends before that, so it lets go even of a frozen process's address.

``decide`` says the next thing to do; the functions ``on_…`` take what came of it. Nothing here waits or calls.
Promises are in ``promises.py``.
"""

from dataclasses import replace

from coordinator.address_facts import IDLE, Address, Facts, Key, Next, Todo
from coordinator.session import Session, delay_over
from coordinator.timing import Timing

LIFETIME_MIN_S = 1
"""Never bound with less: the kernel's seconds are too coarse."""
GAIN_MS = 500
"""The kernel is told again when it may keep the address for this much longer: its seconds are whole, so a refresh at
the right moment ends close to the limit, and promises have time to come in before that (``timing: fast``)."""
LATE_MS = 150
"""A lifetime set this much later than it was decided is still within the allowance (kernel ≤ 350 ms late)."""
RANK_MS = 150
"""How much longer each less preferred candidate waits, so that the preferred one usually finds the key absent."""


def mine(address: Address, facts: Facts) -> bool:
    """Whether the key bears my live session's very lease."""
    key = address.key
    return (
        key is not None
        and key.holder == facts.me
        and same_lease(key, facts.session)
        and not given_up(address)
        and facts.session.live(facts.now_ms)
    )


def given_up(address: Address) -> bool:
    """Whether we have asked the store to delete the key; an answer that got lost does not take that back."""
    return address.key is not None and address.key.revision == address.given_up


def others(address: Address, facts: Facts) -> bool:
    """Whether the key is known to be somebody else's."""
    return address.key is not None and address.key.holder != facts.me


def same_lease(key: Key, session: Session) -> bool:
    """A key of an earlier session of mine is no authority: it may go any moment."""
    return key.lease == session.lease


def authority_ms(address: Address, facts: Facts) -> int:
    """Until when the address may be bound here; 0 when it may not at all."""
    by_session = facts.session.deadline_ms if mine(address, facts) else 0
    return max(by_session, address.kept_until_ms)


def lifetime_s(authority: int, facts: Facts) -> int:
    """Whole seconds the kernel may keep the address from now: ``floor(sent + T − 1 s − now)`` (§2)."""
    return max(0, (limit_ms(authority, facts) - facts.now_ms) // 1_000)


def limit_ms(authority: int, facts: Facts) -> int:
    """When the kernel must have been told to let go by: ``sent + T − 1 s``."""
    return authority + facts.timing.margin_ms - facts.allowance_ms


def promising(address: Address, facts: Facts) -> bool:
    """Whether a promise of ours is outstanding."""
    return facts.now_ms < address.promised_until_ms


def decide(address: Address, facts: Facts) -> Next:
    """Say what to do now; asked again after every event and every 100 ms."""
    authority = authority_ms(address, facts)
    if address.bound:
        return _while_bound(address, facts, authority)
    if not mine(address, facts):
        return _while_free(address, facts)
    if leaves(address, facts):
        return Next(todo=Todo.DELETE)
    if not may_bind(address, facts, authority):
        return IDLE
    if not address.probed:
        return Next(todo=Todo.PROBE)
    return Next(todo=Todo.BIND, lifetime_s=lifetime_s(authority, facts))


def _while_free(address: Address, facts: Facts) -> Next:
    if given_up(address) and facts.session.live(facts.now_ms):
        return Next(todo=Todo.DELETE)
    return Next(todo=Todo.TAKE) if may_take(address, facts) else IDLE


def _while_bound(address: Address, facts: Facts, authority: int) -> Next:
    life_s = lifetime_s(authority, facts)
    lapsed = facts.now_ms >= min(authority, address.bound_until_ms)
    if lapsed or leaves(address, facts) or others(address, facts):
        return Next(todo=Todo.REMOVE)
    if may_take(address, facts):  # kept by promises, and the store is back
        return Next(todo=Todo.TAKE)
    too_long = address.bound_until_ms > limit_ms(authority, facts) + LATE_MS
    if too_long and life_s < LIFETIME_MIN_S:
        return Next(todo=Todo.REMOVE)
    gained = facts.now_ms + life_s * 1_000 >= address.bound_until_ms + GAIN_MS
    if too_long or (gained and facts.fresh and life_s >= LIFETIME_MIN_S):
        return Next(todo=Todo.BIND, lifetime_s=life_s)
    return Next(todo=Todo.LIST) if relists(address, facts) else IDLE


def relists(address: Address, facts: Facts) -> bool:
    """Whether a holder changes the list: it alone does, while the store answers, and never to leave itself out."""
    differs = bool(address.nodes and facts.wanted) and frozenset(address.nodes) != frozenset(facts.wanted)
    return differs and mine(address, facts) and facts.me in facts.wanted


def leaves(address: Address, facts: Facts) -> bool:
    """Whether a holder gives the address up of its own accord.

    One whose node is not ready does so even if nobody else is ready: it would only refuse what comes in, and whoever
    is ready first takes the free key at once. For wish and preference it stays until another is there and waiting. A
    node that is late with its word keeps what the kernel still has: clients would be cut off from one that goes on.
    """
    rested = facts.now_ms - address.held_since_ms >= facts.timing.hold_ms
    ready = facts.ready and (facts.fresh or address.bound)
    return not ready or not facts.eligible or facts.moved or (facts.yields and rested)


def may_take(address: Address, facts: Facts) -> bool:
    """Whether to try for the key: it is absent, every delay is over, and nothing promised stands in the way."""
    now_ms, session = facts.now_ms, facts.session
    if address.key is not None or address.taking or not session.live(now_ms):
        return False
    if not (facts.ready and facts.fresh and facts.eligible) or promising(address, facts):
        return False
    if address.nodes and facts.me not in address.nodes and not facts.replaces:
        return False
    in_turn_ms = now_ms - facts.rank * RANK_MS
    if in_turn_ms - facts.started_ms < facts.timing.ttl_ms or (facts.paused and not address.clean):
        return False
    wait_ms = 0 if address.clean or keeps(address, facts) else takeover_wait_ms(address, facts)
    return delay_over(address.gone_ms, session.began_ms, wait_ms, in_turn_ms)


def takeover_wait_ms(address: Address, facts: Facts) -> int:
    """How long to wait after an unclean end.

    No round of promises is complete without those of the whole list, so who is on it knows whether one may still run:
    its own bars it (``promising``), and one forgotten by a restart has lapsed before it may take anything. Only who is
    not on the list has to wait for others'.
    """
    timing = facts.timing
    return timing.settled_ms if facts.me in address.nodes else max(timing.settled_ms, timing.takeover_wait_ms)


def keeps(address: Address, facts: Facts) -> bool:
    """Whether others' promises keep the address here right now, so nobody else may have it."""
    return address.bound and facts.now_ms < address.kept_until_ms


def may_bind(address: Address, facts: Facts, authority: int) -> bool:
    """Look again before binding (§2): session and key as they are *now*, no promise, enough time left."""
    if promising(address, facts) or facts.now_ms < address.conflict_until_ms:
        return False
    return facts.now_ms < authority and lifetime_s(authority, facts) >= LIFETIME_MIN_S


# What came of it ------------------------------------------------------------------------------------------------------


def on_key(address: Address, key: Key | None, revision: int, now_ms: int, *, clean: bool = False) -> Address:
    """Take what the store told of the key at a revision; older news than known is ignored."""
    if revision < address.revision:
        return address
    address = replace(address, key=key, revision=revision, taking=False)
    if key is None:
        return replace(address, gone_ms=now_ms, clean=clean, probed=False)
    return address


def on_take_sent(address: Address) -> Address:
    """Remember that a transaction on the key is under way."""
    return replace(address, taking=True)


def on_delete_sent(address: Address) -> Address:
    """Remember, before it is sent, that the key is given up."""
    return replace(address, given_up=address.key.revision) if address.key is not None else address


def on_taken(address: Address, key: Key, now_ms: int) -> Address:
    """Our transaction put the key. After a clean end nobody answers for the address: it was read back as gone."""
    if key.revision < address.revision:
        return replace(address, taking=False)
    probed = address.bound or address.clean
    address = replace(address, key=key, revision=key.revision, taking=False, held_since_ms=now_ms, listing=())
    return replace(address, probed=probed)


def on_list_sent(address: Address, nodes: tuple[str, ...]) -> Address:
    """Remember, before it is sent, that the list may change any moment."""
    return replace(address, listing=nodes)


def on_list(address: Address, nodes: tuple[str, ...]) -> Address:
    """Take the list as it certainly stands after a transaction on it was answered."""
    return replace(address, nodes=nodes, listing=())


def on_probe(address: Address, now_ms: int, *, answered: bool, timing: Timing) -> Address:
    """Take the probe's result: somebody answering costs one T, then the key decides (RFC 5227, §2)."""
    waits_ms = now_ms + timing.ttl_ms if answered else 0
    return replace(address, probed=True, conflict_until_ms=waits_ms)


def on_bound(address: Address, life_s: int, done_ms: int) -> Address:
    """Remember that the kernel keeps the address for ``life_s`` from ``done_ms``. Ask ``decide`` again at once."""
    return replace(address, bound=True, bound_until_ms=done_ms + life_s * 1_000)


def on_removed(address: Address) -> Address:
    """The kernel was read back: the address is not there."""
    return replace(address, bound=False, bound_until_ms=0, kept_until_ms=0, rounds=(), probed=False)
