"""History of three nodes as one, over the real channel, real spools and real copy stores."""

import pytest

from node.admin.everywhere import Place
from node.admin.history import before_of
from node.app import history
from node.policy.envelope import RecipientState
from node.spool.contract import Filter
from tests.support.queues_house import QueuesHouse
from tests.support.spool_mail import T0, attempt, outcome, settlement

S = RecipientState


@pytest.fixture(autouse=True)
def patient(monkeypatch):
    monkeypatch.setattr(history, "WAIT_S", 20.0)


@pytest.fixture
async def house(tmp_path):
    async with QueuesHouse(tmp_path) as made:
        yield made


async def settled(node, made):
    start = attempt(made)
    assert await node.spool.claim(start)
    await node.spool.settle(settlement(start, outcome(0, S.DELIVERED)))


async def pages(node, limit, **which):
    before, found, number = None, [], 0
    while number < 50:
        page = await node.history.page(Filter(limit=limit, **which), before)
        assert (len(page.messages) <= limit, page.missing) == (True, {})
        found += [(each.message.id, each.node, each.place) for each in page.messages]
        before, number = before_of({"before": page.next}), number + 1
        if before is None:
            return found
    raise AssertionError("the pages have no end")


async def test_pages_go_over_all_nodes_and_the_copies_they_kept_each_message_once(house):
    a, b, c = house.nodes.values()
    made = {}
    for number in range(9):
        node = (a, b, c)[number % 3]
        made[number] = await node.put(
            b.name if node is a else "", message_id=f"m{number}", received_ms=T0 + number, to=("ann@x.example",)
        )
    pair = await b.keep_of(a, made[0])
    await b.keep_of(a, made[3])
    await settled(a, made[0])
    await b.copies.settle(pair, ["m0"], T0 + 9)
    for limit in (1, 2, 4, 50):
        for node in (a, c):
            found = await pages(node, limit, recipient="ann@x.example")
            assert [name for name, _, _ in found] == [f"m{number}" for number in range(8, -1, -1)]
            assert found[-1] == ("m0", a.name, Place.SPOOL)
    assert [name for name, _, _ in await pages(c, 2, states=(S.DELIVERED,))] in (["m0"], [])


async def test_history_of_a_lost_node_is_found_where_its_copies_were_kept_and_the_node_is_named(house):
    a, b, c = house.nodes.values()
    made = await a.put(b.name, message_id="m1", to=("ann@x.example",))
    pair = await b.keep_of(a, made)
    await settled(a, made)
    await b.copies.settle(pair, ["m1"], T0 + 9)
    await house.gone(a.name)
    page = await c.history.page(Filter(recipient="ann@x.example", limit=5), None)
    assert [(each.message.id, each.node, each.place) for each in page.messages] == [("m1", b.name, Place.PAST)]
    assert list(page.missing) == [a.name]
    assert page.missing[a.name]
    here = await c.history.page(Filter(limit=5), None, here=True)
    assert (here.messages, here.missing) == ((), {})
