"""A store that went back is told from one that goes on, whatever the order in which answers come."""

import pytest

from coordinator.store.ageing import Age
from coordinator.store.contract import Refused, WentBack


def age_at(revision: int) -> tuple[Age, list]:
    age, told = Age(), []
    age.on_went_back(told.append)
    age.learned(revision)
    return age, told


def test_an_answer_is_compared_with_what_was_known_when_it_was_asked_for():
    age, told = age_at(10)
    early = age.asking()
    age.answered(age.asking(), 12)
    age.answered(early, 10)  # overtaken on its way
    age.learned(3)  # a member that lags
    assert (age.newest, told) == (12, [])


def test_it_is_told_once_and_before_the_asker_hears_of_it():
    age, told = age_at(10)
    other = age.asking()
    with pytest.raises(WentBack) as caught:
        age.answered(age.asking(), 9)
    assert [str(each) for each in told] == [str(caught.value)]
    assert isinstance(caught.value, Refused)
    for revision in (9, 10, 99):
        with pytest.raises(WentBack):
            age.answered(other, revision)
        with pytest.raises(WentBack):
            age.asking()
    assert len(told) == 1
    assert age.newest == 10
