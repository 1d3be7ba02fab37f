"""Which ids are taken for new without a look into the database, also long after the start."""

from node.spool.accepting import RECENT_IDS, Fresh


def name(number: int) -> str:
    return f"{number:08d}"


def test_an_id_is_new_once():
    fresh = Fresh(name(10), [name(12)])
    assert [fresh.take(name(number)) for number in (9, 10, 11, 11, 12, 13)] == [False, False, True, False, False, True]


def test_what_is_no_longer_recent_still_bars_ids_that_are_not_greater():
    fresh = Fresh("")
    assert all(fresh.take(name(2 * number)) for number in range(1, RECENT_IDS + 3))
    assert not fresh.take(name(4))  # forgotten as such, but not greater than those forgotten
    assert not fresh.take(name(3))
    assert fresh.take(name(7))  # in disorder, still greater than all forgotten
    assert not fresh.take(name(6))
    assert not fresh.take(name(2 * RECENT_IDS + 4))
