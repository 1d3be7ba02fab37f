"""Going on without the store, by everybody's word (coordination-review §5). Pure.

A process without a session asks *all* configured nodes; only when each has answered, within a second, that its own
session is lost too, may it go on with what it held. So nobody can take, adopt or reclaim meanwhile: all of that needs
a live session. One missing answer, or one node with a session, ends it everywhere within ``VALID_MS``.
"""

from dataclasses import dataclass, replace

from coordinator.session import Session

VALID_MS = 3_000
"""From the sending of the last complete round."""
ANSWER_MS = 1_000
"""An answer older than this says nothing about now."""
ROUNDS_MAX = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One round of questions."""

    sent_ms: int
    answered: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Fallback:
    """What one process knows of everybody's word."""

    nodes: frozenset[str]
    """All configured nodes but ourselves: the longer list while two are in force."""
    valid_until_ms: int = 0
    rounds: tuple[Asked, ...] = ()


def active(fallback: Fallback, session: Session, now_ms: int) -> bool:
    """Whether to go on now with what was held; never beside a live session."""
    return now_ms < fallback.valid_until_ms and not session.live(now_ms)


def lost(session: Session, now_ms: int) -> bool:
    """Answer to another's question: my session is lost."""
    return not session.live(now_ms)


def on_round(fallback: Fallback, now_ms: int) -> Fallback:
    """Begin a round just before it is sent."""
    rounds = (*fallback.rounds, Asked(sent_ms=now_ms))[-ROUNDS_MAX:]
    return _complete(replace(fallback, rounds=rounds))


def on_answer(fallback: Fallback, node: str, sent_ms: int, now_ms: int, *, is_lost: bool) -> Fallback:
    """Count an answer to the round sent at ``sent_ms``; a live session anywhere ends everything at once."""
    if not is_lost:
        return ended(fallback)
    if now_ms - sent_ms > ANSWER_MS:
        return fallback
    rounds = tuple(
        replace(each, answered=each.answered | {node}) if each.sent_ms == sent_ms else each for each in fallback.rounds
    )
    return _complete(replace(fallback, rounds=rounds))


def ended(fallback: Fallback) -> Fallback:
    """Stop: somebody is back, or we are about to begin a session and have said so to all."""
    return replace(fallback, valid_until_ms=0, rounds=())


def unanimous(answered: frozenset[str], nodes: frozenset[str]) -> bool:
    """All configured nodes, not those seen and not most of them."""
    return nodes <= answered


def _complete(fallback: Fallback) -> Fallback:
    sent = [each.sent_ms for each in fallback.rounds if unanimous(each.answered, fallback.nodes)]
    if not sent:
        return fallback
    return replace(fallback, valid_until_ms=max(fallback.valid_until_ms, max(sent) + VALID_MS))
