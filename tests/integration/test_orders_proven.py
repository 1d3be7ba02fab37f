"""Another node acts for whoever proves who he is, and only for him: over the real channel, with real spools."""

import msgspec
import pytest

from coordinator.peers.contract import PeerError
from node.admin.access import Role, Token
from node.admin.everywhere import Action, Order
from node.app import erasing, everywhere
from node.app.erasing import Command
from node.policy.envelope import RecipientState
from node.policy.proof import ANY_NODE
from node.spool.contract import Filter
from tests.integration.test_erasing import made_for
from tests.support.queues_house import QueuesHouse, credential

S = RecipientState
ALICE, READER, DPO = credential("alice"), credential("reader"), credential("dpo")


@pytest.fixture
async def house(tmp_path):
    async with QueuesHouse(tmp_path) as made:
        yield made


@pytest.fixture
def nodes(house):
    return list(house.nodes.values())


def order(made, action=Action.HOLD) -> Order:
    return Order(action=action, which=Filter(ids=(made.id,)), actor="alice", reason="why", rounds=1)


async def state(node, made) -> RecipientState:
    return (await node.spool.journey(made.id)).recipients[0].state


async def sent(house, node, to, signed) -> bytes:
    """Send what a taken node could send: it has its certificate, and whatever it heard."""
    return await house.peers.client(node.name).ask(to.name, everywhere.ACT, msgspec.json.encode(signed), timeout_s=5)


async def test_the_real_person_acts_and_is_audited_where_it_is_done(nodes):
    a, b, _ = nodes
    made = await b.put()
    done = await a.queues.act(order(made), ALICE)
    assert (done.changed, done.missing) == (1, {})
    assert await state(b, made) is S.HELD
    (entry,) = b.told
    assert (entry["actor"], entry["role"], entry["from"]) == ("alice", "operator", a.name)
    assert entry["facts"]["action"] == "hold"
    assert a.told == [], "the node that was asked audits by its interface"


@pytest.mark.parametrize("who", [READER, credential("nobody"), None])
async def test_a_reader_a_stranger_and_a_node_alone_change_nothing_elsewhere(nodes, who):
    a, b, c = nodes
    made = await b.put()
    for action in Action:
        done = await a.queues.act(order(made, action), who)
        assert done.changed == 0
        assert sorted(done.missing) == [b.name, c.name]
    assert await state(b, made) is S.QUEUED
    assert b.told == []


async def test_a_node_cannot_make_up_change_redirect_or_repeat_an_order(house, nodes):
    a, b, c = nodes
    made, other = await b.put(), await b.put()
    whole = msgspec.json.encode(order(made))
    good = a.trust.signed(ALICE, b.name, everywhere.ACT, whole)
    bad = {
        "of another node": a.trust.signed(ALICE, c.name, everywhere.ACT, whole),
        "by another route": a.trust.signed(ALICE, b.name, erasing.ERASE, whole),
        "changed": msgspec.structs.replace(good, body=msgspec.json.encode(order(other))),
        "by another key": msgspec.structs.replace(good, proof=msgspec.structs.replace(good.proof, key=DPO.key)),
        "dated anew": msgspec.structs.replace(
            good, proof=msgspec.structs.replace(good.proof, at_ms=good.proof.at_ms + 1)
        ),
    }
    for why, signed in bad.items():
        with pytest.raises(PeerError, match="proof does not hold"):
            await sent(house, a, b, signed)
        assert await state(b, made) is S.QUEUED, why
    await sent(house, a, b, good)
    assert await state(b, made) is S.HELD
    await b.spool.release(Filter(ids=(made.id,)), "bob", "", 1)
    with pytest.raises(PeerError, match="heard before"):
        await sent(house, a, b, good)
    assert await state(b, made) is S.QUEUED


async def test_an_order_of_yesterday_or_of_an_ended_token_is_none(house, nodes):
    a, b, _ = nodes
    made = await b.put()
    whole = msgspec.json.encode(order(made))
    signed = a.trust.signed(ALICE, b.name, everywhere.ACT, whole)
    now_ms = signed.proof.at_ms
    for later_ms in (61_000, -61_000):
        b.trust._now_ms = lambda later_ms=later_ms: now_ms + later_ms
        with pytest.raises(PeerError, match="too old"):
            await sent(house, a, b, signed)
    b.trust._now_ms = lambda: now_ms
    ended = Token(name="alice", digest="x", role=Role.OPERATOR, until_ms=now_ms, key=ALICE.key)
    b.trust.replace([ended])
    with pytest.raises(PeerError, match="has ended"):
        await sent(house, a, b, signed)
    assert await state(b, made) is S.QUEUED


async def test_this_nodes_word_on_the_role_counts_not_that_of_the_node_that_asks(nodes):
    a, b, _ = nodes
    made = await b.put()
    b.trust.replace([Token(name="alice", digest="x", role=Role.VIEWER, until_ms=1 << 60, key=ALICE.key)])
    done = await a.queues.act(order(made), ALICE)
    assert "takes the role operator; alice is viewer" in done.missing[b.name]
    assert await state(b, made) is S.QUEUED


@pytest.mark.parametrize("who", [READER, ALICE, None])
async def test_only_an_administrator_erases_elsewhere(house, nodes, who):
    a, b, _ = nodes
    for node in nodes:
        made_for(house, node.name, [])
    client, command = house.peers.client(a.name), Command(address="ann@x.example", actor="dpo", before_ms=1)
    body = msgspec.json.encode(command)
    if who is None:
        with pytest.raises(PeerError, match="not understood"):
            await client.ask(b.name, erasing.ERASE, body, timeout_s=5)
        return
    signed = msgspec.json.encode(a.trust.signed(who, ANY_NODE, erasing.ERASE, body))
    with pytest.raises(PeerError, match="takes the role admin"):
        await client.ask(b.name, erasing.ERASE, signed, timeout_s=5)


async def test_an_erasure_nobody_proved_waits_until_somebody_does(house, nodes):
    a, b, c = nodes
    by_name = {node.name: made_for(house, node.name, []) for node in nodes}
    view = await by_name[a.name].order("ann@x.example", "root", "asked for it")
    assert (view.done_ms, sorted(view.waiting)) == (0, [b.name, c.name])
    view = await by_name[a.name].order("ann@x.example", "dpo", "asked for it", DPO)
    assert view.done_ms
    assert view.waiting == {}
