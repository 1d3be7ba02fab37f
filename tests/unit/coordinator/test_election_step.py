"""Every standing meets every piece of news; chores start and stop with leading."""

import itertools

import pytest

from coordinator.election import TABLE, Chores, News, Standing, may_stand, step
from coordinator.session import Event, IllegalMove, Session
from coordinator.session import step as session_step
from coordinator.timing import FAST


@pytest.mark.parametrize(("standing", "news"), list(itertools.product(Standing, News)))
def test_every_standing_meets_every_news(standing, news):
    if (standing, news) not in TABLE:
        with pytest.raises(IllegalMove):
            step(standing, news)
        return
    after = step(standing, news)
    assert after.standing is TABLE[standing, news]
    leads, led = after.standing is Standing.LEADING, standing is Standing.LEADING
    assert after.chores is (Chores.AS_BEFORE if leads == led else Chores.START if leads else Chores.STOP)


@pytest.mark.parametrize("news", [News.OTHER, News.VACANT, News.SESSION_LOST, News.RESIGNED])
def test_whatever_ends_leading_stops_the_chores(news):
    assert step(Standing.LEADING, news).chores is Chores.STOP


def test_a_young_process_does_not_stand():
    session = session_step(Session(timing=FAST), Event.BEGIN, 0)
    session = session_step(session, Event.JOINED, 3_000, sent_ms=2_900, lease=1, inc=1)
    assert not may_stand(session, 4_999, started_ms=0)
    assert may_stand(session, 5_000, started_ms=0)
    assert not may_stand(session, 7_400, started_ms=0), "without a live session neither"
