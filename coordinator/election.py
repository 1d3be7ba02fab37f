"""Who does the cluster's chores: one leader by a leased key, as a table and a step. Pure.

Winning excludes nobody by itself: every chore's write compares revisions and the member key. So a leader that was
paused can do no harm; the election only saves work.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from coordinator.session import IllegalMove, Session


class Standing(StrEnum):
    """A process's part in the election."""

    FOLLOWING = "following"
    STANDING = "standing"
    """A transaction on the key is under way, or its answer was lost."""
    LEADING = "leading"


class News(StrEnum):
    """What can happen."""

    STAND = "stand"
    WON = "won"
    """The key is there with our lease and was written by this incarnation."""
    OTHER = "other"
    """The key is there and not ours."""
    VACANT = "vacant"
    """The key is absent."""
    SESSION_LOST = "session_lost"
    RESIGNED = "resigned"


class Chores(StrEnum):
    """What becomes of the leader's chores by a step."""

    START = "start"
    STOP = "stop"
    AS_BEFORE = "as_before"


TABLE: Final = {
    (Standing.FOLLOWING, News.STAND): Standing.STANDING,
    (Standing.FOLLOWING, News.WON): Standing.LEADING,  # a transaction whose answer was lost had happened
    (Standing.FOLLOWING, News.OTHER): Standing.FOLLOWING,
    (Standing.FOLLOWING, News.VACANT): Standing.FOLLOWING,
    (Standing.FOLLOWING, News.SESSION_LOST): Standing.FOLLOWING,
    (Standing.FOLLOWING, News.RESIGNED): Standing.FOLLOWING,
    (Standing.STANDING, News.WON): Standing.LEADING,
    (Standing.STANDING, News.OTHER): Standing.FOLLOWING,
    (Standing.STANDING, News.VACANT): Standing.FOLLOWING,
    (Standing.STANDING, News.SESSION_LOST): Standing.FOLLOWING,
    (Standing.LEADING, News.WON): Standing.LEADING,
    (Standing.LEADING, News.OTHER): Standing.FOLLOWING,
    (Standing.LEADING, News.VACANT): Standing.FOLLOWING,
    (Standing.LEADING, News.SESSION_LOST): Standing.FOLLOWING,
    (Standing.LEADING, News.RESIGNED): Standing.FOLLOWING,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """Where a step leads and what it means for the chores."""

    standing: Standing
    chores: Chores


def step(standing: Standing, news: News) -> Step:
    """Take one piece of news; raises IllegalMove when it cannot happen here."""
    after = TABLE.get((standing, news))
    if after is None:
        raise IllegalMove(f"{news.value} while {standing.value}")
    if (after is Standing.LEADING) == (standing is Standing.LEADING):
        return Step(standing=after, chores=Chores.AS_BEFORE)
    return Step(standing=after, chores=Chores.START if after is Standing.LEADING else Chores.STOP)


def may_stand(session: Session, now_ms: int, *, started_ms: int) -> bool:
    """Whether to try for the key: with a live session, and not before a promise forgotten by a restart has lapsed."""
    return session.live(now_ms) and now_ms - started_ms >= session.timing.ttl_ms
