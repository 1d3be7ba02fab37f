"""The others' part in an early takeover: whom a node answers, when it gives its word, how a candidate bids. Pure.

The rules are numbered in ``early.py``; ``decide`` is there too.
"""

from collections.abc import Mapping
from dataclasses import replace

from coordinator import address as addresses
from coordinator.address_facts import Address, Facts, Key
from coordinator.early_facts import (
    DEAF_MS,
    MISSED_MS,
    REST_MS,
    RETRY_MS,
    Around,
    Bid,
    Early,
    Leash,
    leashed,
    settled_ms,
)


def on_leash_key(early: Early, leash: Leash | None, revision: int, now_ms: int) -> Early:
    """Take what the store told of the leash at a revision; older news than known is ignored.

    Reading the same leash again teaches nothing about it: a wait that counts from the learning does not begin anew.
    """
    if revision < early.leash_revision:
        return early
    known = leash is not None and leash == early.leash
    return replace(early, leash=leash, leash_revision=revision, learnt_ms=early.learnt_ms if known else now_ms)


def on_holder(early: Early, holder: str, me: str, now_ms: int) -> Early:
    """Another holder than before was learnt: it is given time to be heard, and a bid of ours is over unless it won."""
    if holder == me:
        return early
    return replace(early, heard_ms=max(early.heard_ms, now_ms), bid=None, seized=False)


def on_heartbeat(
    early: Early, address: Address, facts: Facts, around: Around, *, holder: str, key: int, number: int
) -> tuple[Early, bool]:
    """Hear a holder and say whether it is answered (rule 3). ``key``: revision of its key; ``number``: its mark."""
    now_ms = facts.now_ms
    if address.key is None or address.key.holder != holder:
        return early, False
    heard_ms = max(early.heard_ms, now_ms)
    known = address.key.revision == key and around.seen >= facts.session.inc
    if not known or not facts.session.live(now_ms) or not answers(early, number):
        return replace(early, heard_ms=heard_ms), False
    return replace(early, heard_ms=heard_ms, answered_ms=max(early.answered_ms, now_ms)), True


def answers(early: Early, number: int) -> bool:
    """Whether no word stands in the way."""
    return number > early.given


def on_asked(
    early: Early, address: Address, facts: Facts, around: Around, *, candidate: str, revision: int
) -> tuple[Early, int | None]:
    """Give a candidate one's word about a leash (rule 4): how long ago we last answered, in ms; None is a refusal."""
    leash, now_ms = early.leash, facts.now_ms
    if leash is None or leash.revision != revision or not leashed(early, address) or facts.paused:
        return early, None
    if facts.me in {leash.holder, candidate} or not facts.session.live(now_ms) or not around.enabled:
        return early, None
    if now_ms - early.heard_ms < DEAF_MS or around.seen < facts.session.inc:
        return early, None
    return replace(early, given=max(early.given, revision)), now_ms - early.answered_ms


# Candidate ------------------------------------------------------------------------------------------------------------


def may_bid(early: Early, address: Address, facts: Facts, around: Around) -> bool:
    """Whether an early takeover may be tried: the holder is silent, and nothing stands in our own way (rule 7)."""
    leash, now_ms = early.leash, facts.now_ms
    if leash is None or not leashed(early, address) or leash.holder == facts.me or not around.enabled:
        return False
    if facts.paused or not (facts.ready and facts.eligible) or address.bound or address.taking:
        return False
    if addresses.promising(address, facts) or facts.me not in address.nodes or facts.me not in leash.nodes:
        return False
    if not facts.session.live(now_ms) or around.seen < facts.session.inc:
        return False
    old = now_ms - max(facts.started_ms, facts.session.began_ms) >= facts.timing.ttl_ms
    return old and now_ms - early.heard_ms >= MISSED_MS + facts.rank * RETRY_MS


def may_ask(early: Early, address: Address, facts: Facts, around: Around) -> bool:
    """Whether to ask (again)."""
    if not may_bid(early, address, facts, around) or early.leash is None:
        return False
    bid = early.bid
    return bid is None or bid.leash != early.leash or facts.now_ms >= bid.sent_ms + RETRY_MS


def asks(early: Early, facts: Facts, around: Around) -> dict[str, int]:
    """Whose word is needed: every node named in the leash that has a session, but the holder and ourselves."""
    if early.leash is None:
        return {}
    ours = {facts.me, early.leash.holder}
    return {node: inc for node, inc in around.members.items() if node in early.leash.nodes and node not in ours}


def on_ask_sent(early: Early, facts: Facts, around: Around) -> Early:
    """Begin a round just before it is sent; our own word is given first."""
    if early.leash is None:
        return early
    bid = Bid(leash=early.leash, sent_ms=facts.now_ms, asked=asks(early, facts, around))
    return replace(early, bid=bid, given=max(early.given, early.leash.revision))


def on_word(early: Early, node: str, *, inc: int, revision: int, ago_ms: int, now_ms: int) -> Early:
    """Count one node's word: it last answered the holder ``ago_ms`` before it said so."""
    bid = early.bid
    if bid is None or bid.leash.revision != revision or bid.asked.get(node) != inc:
        return early
    return replace(early, bid=replace(bid, words={**bid.words, node: now_ms - ago_ms}))


def complete(words: Mapping[str, int], asked: Mapping[str, int]) -> bool:
    """All, not most of them and not those seen."""
    return set(asked) <= set(words)


def may_seize(early: Early, address: Address, facts: Facts, around: Around) -> bool:
    """Whether the key may be taken over now: every word is there, and nobody has come or gone since."""
    bid = early.bid
    if bid is None or bid.leash != early.leash:
        return False
    same = dict(bid.asked) == asks(early, facts, around)
    return same and complete(bid.words, bid.asked) and may_bid(early, address, facts, around)


def on_seize_sent(early: Early, around: Around) -> Early:
    """Remember, before it is sent, how long to wait once the key is ours (rule 6)."""
    words = early.bid.words.values() if early.bid is not None else ()
    last = max(early.learnt_ms, early.answered_ms, *words)
    until_ms = max(early.not_before_ms, last + settled_ms(around.late_ms))
    return replace(early, seized=True, not_before_ms=until_ms)


def waits(early: Early, address: Address, facts: Facts, around: Around) -> bool:
    """Whether the key was taken over and the former holder's kernel may still have the address (rule 6)."""
    if not early.seized or address.key is None or address.bound:
        return False
    until_ms = max(early.not_before_ms, _last_end_ms(early, facts, around) + settled_ms(around.late_ms))
    return facts.now_ms < until_ms or around.seen < address.key.revision


def _last_end_ms(early: Early, facts: Facts, around: Around) -> int:
    """When the last of the nodes named in the leash and not asked, having no session, was learnt to have none."""
    bid = early.bid
    if bid is None:
        return facts.session.began_ms
    unasked = set(bid.leash.nodes) - set(bid.asked) - {facts.me, bid.leash.holder}
    return max((around.gone_ms.get(node, facts.session.began_ms) for node in unasked), default=facts.started_ms)


def on_seized(early: Early, address: Address, key: Key, now_ms: int) -> tuple[Early, Address]:
    """Our takeover happened: the address is ours as after any transaction, without a probe, and rests from leashes."""
    address = replace(addresses.on_taken(address, key, now_ms), probed=True)
    return replace(early, rest_until_ms=now_ms + REST_MS), address


def on_bound(early: Early) -> Early:
    """The address is bound here: the wait is over."""
    return replace(early, seized=False, bid=None) if early.seized or early.bid is not None else early
