"""Who should hold an address, and what it means for each (operations M9, M17)."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.address_facts import Address, Key
from coordinator.candidates import Field, candidates, standing, wanted_list

NODES = ("a", "b", "c")
FIELD = Field(name="smtp", me="a", listed=NODES, ready=frozenset(NODES), agreed=True)
FREE = Address(nodes=NODES)
HELD = Address(nodes=NODES, key=Key(holder="a", lease=7, revision=3))


def at(node, **change):
    return replace(FIELD, me=node, **change)


def test_every_candidate_has_another_rank_and_all_hosts_agree_on_it():
    ranks = {node: standing(at(node), FREE).rank for node in NODES}
    assert sorted(ranks.values()) == [0, 1, 2]
    assert [ranks[node] for node in candidates(FIELD, FREE)] == [0, 1, 2]


def test_wish_before_preference_before_spread():
    assert candidates(at("a", prefer="b"), FREE)[0] == "b"
    assert candidates(at("a", prefer="b", wish="c"), FREE)[:2] == ("c", "b")


def test_addresses_are_spread_over_hosts():
    firsts = {candidates(replace(FIELD, name=f"smtp-{number}"), FREE)[0] for number in range(20)}
    assert firsts == set(NODES)


@pytest.mark.parametrize(
    ("field", "address", "wanted"),
    [
        (at("a"), HELD, {}),
        (at("a", prefer="b"), HELD, {"yields": True}),
        (at("a", prefer="b", ready={"a"}), HELD, {}),
        (at("a", prefer="b", draining={"b"}), HELD, {}),
        (at("a", prefer="a"), HELD, {}),
        (at("a", wish="b"), HELD, {"moved": True}),
        (at("a", wish="b", ready={"a", "c"}), HELD, {}),
        (at("a", wish="nobody"), HELD, {}),
        (at("a", wish="a", prefer="b"), HELD, {}),
        (at("a", wish="b", prefer="c"), HELD, {"moved": True}),
        (at("c", wish="b", prefer="b"), HELD, {}),
        (at("a", draining={"a"}), HELD, {}),  # until its node is not ready: that sees sessions out first
        (at("a", draining={"a"}, overdue={"a"}), HELD, {"eligible": False}),
        (at("a", draining={"a"}), FREE, {"eligible": False}),
        (at("b", draining={"b"}), HELD, {"eligible": False}),
        (at("d"), FREE, {"eligible": False}),
    ],
)
def test_who_gives_way_to_whom(field, address, wanted):
    found = standing(field, address)
    assert (found.yields, found.moved, found.eligible) == (
        wanted.get("yields", False), wanted.get("moved", False), wanted.get("eligible", True),
    )  # fmt: skip


def test_whoever_has_just_resigned_holds_up_nobody():
    first, second, _ = candidates(FIELD, FREE)
    assert standing(at(second), FREE, resigned=first).rank == 0
    assert standing(at(first), FREE, resigned=first).rank == 2
    assert standing(at(second, ready={second}), FREE).rank == 0, "nor whoever is not ready"


@pytest.mark.parametrize(
    ("field", "stored", "wanted"),
    [
        (at("a"), (), ("a", "b", "c")),
        (at("a"), ("a", "b"), ("a", "b", "c")),
        (at("a"), ("a", "b", "c", "old"), ("a", "b", "c")),
        (at("a", agreed=False), ("a", "old"), ("a", "b", "c", "old")),
    ],
)
def test_the_list_shrinks_only_when_all_agree(field, stored, wanted):
    assert wanted_list(field, stored) == wanted


def test_a_list_of_strangers_is_replaced_only_by_agreed_values():
    strangers = Address(nodes=("x", "y"))
    assert not standing(at("a"), strangers).replaces
    assert not standing(at("a", cluster=("a", "x")), strangers).replaces
    assert not standing(at("a", cluster=NODES, agreed=False), strangers).replaces
    assert standing(at("a", cluster=NODES), strangers).replaces
    assert standing(at("a", cluster=NODES), strangers).rank < 3


@given(
    ready=st.sets(st.sampled_from("abcd")),
    draining=st.sets(st.sampled_from("abcd")),
    prefer=st.sampled_from(["", *"abcd"]),
    wish=st.sampled_from(["", *"abcd"]),
    holder=st.sampled_from("abc"),
)
def test_an_address_is_never_given_away_to_nobody(ready, draining, prefer, wish, holder):
    field = at(holder, ready=ready, draining=draining, prefer=prefer, wish=wish)
    address = replace(HELD, key=Key(holder=holder, lease=1, revision=1))
    found = standing(field, address)
    if found.yields or found.moved:
        first = candidates(field, address)[0]
        assert first != holder
        assert first in ready - draining
        assert standing(replace(field, me=first), replace(address, key=None), resigned=holder).rank == 0
