"""An address kept while the store is silent, by the promises of every node that could ever take it. Pure.

A holder asks all nodes on the list stored with the address; each promises for T, from its giving, neither to transact
on the key nor to bind. A complete round is as good as a renewal sent when the round was sent (coordination-review §5).
"""

from dataclasses import replace

from coordinator.address import mine, promising
from coordinator.address_facts import Address, Facts, Round

ROUNDS_MAX = 16
"""Rounds remembered while their answers come in."""


def wants_promises(address: Address, facts: Facts) -> bool:
    """Whether a holder should ask the others now: the store gives it no answer."""
    return facts.unanimity and address.bound and facts.session.silent(facts.now_ms)


def may_promise(address: Address, facts: Facts, asker: str) -> bool:
    """Whether to promise: the store is out of my reach too, I hold nothing, nothing of mine is under way."""
    if not facts.session.silent(facts.now_ms) or address.bound or address.taking or mine(address, facts):
        return False
    return address.promised_to in {"", asker} or not promising(address, facts)


def on_asked(address: Address, facts: Facts, asker: str) -> tuple[Address, bool]:
    """Answer a holder; a promise lasts T from its giving and is remembered before it is said."""
    if not may_promise(address, facts, asker):
        return address, False
    until_ms = max(address.promised_until_ms, facts.now_ms + facts.timing.ttl_ms)
    return replace(address, promised_to=asker, promised_until_ms=until_ms), True


def on_round(address: Address, facts: Facts) -> Address:
    """Begin a round just before it is sent."""
    rounds = (*address.rounds, Round(sent_ms=facts.now_ms))[-ROUNDS_MAX:]
    return _complete(replace(address, rounds=rounds), facts)


def on_promise(address: Address, facts: Facts, sent_ms: int, giver: str) -> Address:
    """Count one answer to the round sent at ``sent_ms``."""
    rounds = tuple(
        replace(each, answered=each.answered | {giver}) if each.sent_ms == sent_ms else each for each in address.rounds
    )
    return _complete(replace(address, rounds=rounds), facts)


def asked_nodes(address: Address, facts: Facts) -> frozenset[str]:
    """Everybody whose promise is needed: the list stored with the address, never our own configuration (§5)."""
    return frozenset((*address.nodes, *address.listing)) - {facts.me}


def complete(answered: frozenset[str], asked: frozenset[str]) -> bool:
    """Only all of them count: the store's voters may sit with any one that is missing."""
    return asked <= answered


def _complete(address: Address, facts: Facts) -> Address:
    """The newest complete round extends the authority from its sending; only what is bound can be kept."""
    if not address.bound:
        return replace(address, rounds=())
    asked = asked_nodes(address, facts)
    sent = [each.sent_ms for each in address.rounds if complete(each.answered, asked)]
    if not sent or not address.nodes:
        return address
    until_ms = max(sent) + facts.timing.ttl_ms - facts.timing.margin_ms
    rounds = tuple(each for each in address.rounds if each.sent_ms > max(sent))
    return replace(address, kept_until_ms=max(address.kept_until_ms, until_ms), rounds=rounds)
