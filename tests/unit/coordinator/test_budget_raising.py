"""A record of an older copy of the store never counts less than the holders' ledgers, and is left alone otherwise."""

import msgspec
import pytest

from coordinator.budget.lots import QUARTER_MS
from coordinator.budget.raising import raised, together
from coordinator.budget.shares import Overdrawn

DAY = 96
NOW = 200 * QUARTER_MS + 1


def at(quarter):
    return str(quarter * QUARTER_MS)


def read(value):
    return msgspec.json.decode(value)


def test_in_each_quarter_the_higher_one_counts_and_marks_stay():
    record = msgspec.json.encode({at(198): 50, at(199): 5, "by/a": 7})
    found = raised(record, {at(198): 40, at(199): 9, at(200): 3}, NOW, 0)
    assert read(found) == {at(198): 50, at(199): 9, at(200): 3, "by/a": 7}


def test_a_record_that_counts_as_much_is_not_written():
    assert raised(msgspec.json.encode({at(200): 10}), {at(200): 10}, NOW, 0) is None


def test_a_limit_the_copy_does_not_know_gets_its_record():
    assert read(raised(None, {at(200): 4}, NOW, 0)) == {at(200): 4}


def test_quarters_that_left_the_day_are_not_written():
    assert raised(None, {at(200 - DAY - 2): 4}, NOW, 0) is None
    assert raised(None, {at(200 - DAY): 4}, NOW, 0) is not None  # the oldest one counts whole


def test_garbage_is_not_taken_for_an_empty_record():
    with pytest.raises(Overdrawn):
        raised(b'{"pool": "x"}', {at(200): 4}, NOW, 0)


def test_holders_are_added_up():
    assert together([{at(1): 2, at(2): 3}, {at(2): 4}]) == {at(1): 2, at(2): 7}


@pytest.mark.parametrize("ledger", [{"x": 1}, {"17": 1}, {at(1): -1}, {f"-{QUARTER_MS}": 1}, {"²": 1}])
def test_a_ledger_that_is_none_is_refused(ledger):
    with pytest.raises(Overdrawn):
        together([ledger])
