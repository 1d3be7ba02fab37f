"""Permits moved without the store, and the way back: whoever writes first, nobody has more out than is its own."""

from hypothesis import given, settings
from hypothesis import strategies as st

from coordinator.budget import holding as h
from coordinator.budget import silent_moves
from tests.unit.coordinator.test_budget_holding import NAMES, STEPS, Holder, Store, live, play, record

SILENT = st.lists(
    st.tuples(st.sampled_from(NAMES), st.sampled_from(NAMES), st.integers(0, 6), st.sampled_from(["heard", "lost"])),
    max_size=25,
)


def fits(nodes, limit):
    assert sum(node.out for node in nodes.values()) <= limit
    assert sum(node.holding.share for node in nodes.values()) <= limit
    for node in nodes.values():
        assert node.out <= node.holding.share


def silent(nodes, moves):
    """As ``Holds`` does it: the giver's book first, then the taker's, unless the answer is lost."""
    for giver, taker, count, answer in moves:
        one, other = nodes[giver], nodes[taker]
        if giver == taker:  # some use of what there is
            one.out = max(one.out, min(one.out + count, h.usable(one.holding, needs=False))) if answer == "heard" else 0
            yield
            continue
        free = min(count, one.holding.share - one.out, silent_moves.givable(one.holding))
        total = max(
            silent_moves.moved_total(one.holding, giver, taker), silent_moves.moved_total(other.holding, giver, taker)
        ) + max(0, free)
        one.holding = silent_moves.moved_to(one.holding, giver, taker, total)
        if answer == "heard":
            other.holding = silent_moves.moved_to(other.holding, giver, taker, total)
        yield


@settings(max_examples=500, deadline=None)
@given(st.lists(st.integers(0, 4), min_size=3, max_size=3), SILENT, STEPS)
def test_what_moved_in_silence_is_written_down_by_anybody_in_any_order(parts, moves, after):
    limit = sum(parts) + 1
    store = Store()
    store.value, store.revision = h.encode(record(pool=1, **dict(zip(NAMES, parts, strict=True)))), 10
    nodes = {name: Holder(name, store, limit) for name in NAMES}
    for node in nodes.values():
        node.rejoin()
    for _ in silent(nodes, moves):
        fits(nodes, limit)
    for node in nodes.values():
        node.rejoin()
    for _ in play(after, limit, store=store, nodes=nodes):
        fits(nodes, limit)


def test_what_came_without_the_store_is_not_passed_on_before_it_is_written_down():
    middle = live("b", record=record(a=10, b=10, c=10))
    middle = silent_moves.moved_to(middle, "a", "b", 10)
    assert (middle.share, silent_moves.givable(middle)) == (20, 10)
    middle = silent_moves.moved_to(middle, "b", "c", 10)
    assert (middle.share, silent_moves.givable(middle)) == (10, 0)
    written = h.learned(middle, h.encode(record(b=10, c=20) | {"moved/a/b": 10, "moved/b/c": 10}), 9)
    assert (written.share, silent_moves.givable(written)) == (10, 10)
