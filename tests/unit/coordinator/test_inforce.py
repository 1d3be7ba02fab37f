"""Values in force: the lower limit and the longer list until all living nodes want the same (operations M17)."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.inforce import InForce, Wanted, agreed, in_force_of, lower, meanwhile, wanted_of
from coordinator.keys import Keys, encode
from coordinator.store.contract import Item

KEYS = Keys(cluster="c")
OLD = Wanted(hash="old", nodes=("a", "b"), limits={"x": (30, 10_000)})
NEW = Wanted(hash="new", nodes=("a", "b", "c"), limits={"x": (20, 12_000), "y": (5,)})
FORCE = InForce(revision=4, hash="old", nodes=("a", "b"), limits={"x": (30, 10_000)})

NUMBERS = st.lists(st.integers(0, 50), min_size=1, max_size=3).map(tuple)
LIMITS = st.dictionaries(st.sampled_from("xyz"), NUMBERS)
WANTED = st.builds(
    Wanted, hash=st.sampled_from(["h1", "h2"]), nodes=st.lists(st.sampled_from("abcd")).map(tuple), limits=LIMITS
)


def test_the_lower_limit_and_the_longer_list_count_meanwhile():
    values = meanwhile(FORCE, [NEW])
    assert values.nodes == ("a", "b", "c")
    assert values.limits == {"x": (20, 10_000), "y": (5,)}
    assert meanwhile(None, [OLD]).limits == OLD.limits
    assert meanwhile(None, []).nodes == ()


@given(st.lists(WANTED, max_size=4), st.randoms())
def test_no_side_is_exceeded_and_the_order_does_not_matter(wishes, random):
    values = meanwhile(None, wishes)
    for wish in wishes:
        assert set(wish.nodes) <= set(values.nodes)
        for scope, numbers in wish.limits.items():
            assert all(low <= high for low, high in zip(values.limits[scope], numbers, strict=False))
    random.shuffle(wishes)
    assert meanwhile(None, wishes) == values


@given(NUMBERS, NUMBERS)
def test_lower_commutes_and_keeps_what_one_side_alone_has(one, other):
    assert lower(one, other) == lower(other, one)
    assert len(lower(one, other)) == max(len(one), len(other))


@pytest.mark.parametrize(
    ("in_force", "wanted", "live", "revision"),
    [
        (None, {"a": OLD, "b": OLD}, ("a", "b"), 1),
        (FORCE, {"a": NEW, "b": NEW}, ("a", "b"), 5),
        (FORCE, {"a": NEW, "b": OLD}, ("a", "b"), None),
        (FORCE, {"a": NEW}, ("a", "b"), None),
        (FORCE, {"a": NEW, "b": None}, ("a", "b"), None),
        (FORCE, {"a": NEW, "b": OLD}, ("a",), 5),
        (FORCE, {"a": OLD, "b": OLD}, ("a", "b"), None),
        (FORCE, {"a": NEW}, (), None),
        (FORCE, {"a": NEW, "b": msgspec.structs.replace(NEW, limits={})}, ("a", "b"), None),
    ],
)
def test_new_values_need_every_living_node(in_force, wanted, live, revision):
    fresh = agreed(in_force, wanted, live)
    assert (fresh.revision if fresh else None) == revision
    if fresh:
        assert (fresh.hash, fresh.nodes, fresh.limits) == (
            wanted["a"].hash, wanted["a"].nodes, wanted["a"].limits,
        )  # fmt: skip


@given(st.dictionaries(st.sampled_from("abc"), st.none() | WANTED), st.sets(st.sampled_from("abc")))
def test_once_in_force_the_same_wishes_change_nothing_more(wanted, live):
    fresh = agreed(None, wanted, live)
    if fresh is not None:
        assert agreed(fresh, wanted, live) is None


def test_what_cannot_be_read_agrees_with_nobody():
    items = [
        Item(key=KEYS.wanted("a"), value=encode(OLD), create_revision=1, mod_revision=1),
        Item(key=KEYS.wanted("b"), value=b"\xff", create_revision=1, mod_revision=1),
        Item(key=KEYS.config, value=b"{}", create_revision=1, mod_revision=1),
    ]
    assert wanted_of(items, KEYS) == {"a": OLD, "b": None}
    assert in_force_of(items[2]) is None
    assert in_force_of(None) is None
