"""The queues of all nodes as one, over the real channel: who has what, who is missing, who carries out an action."""

import json
import logging
import time

import msgspec
import pytest

from coordinator.peers.contract import PeerError
from node.admin.everywhere import Action, Order, Place
from node.app import everywhere
from node.app.answers import ANSWER_MAX, Answer
from node.policy.envelope import Copies, RecipientState
from node.shadow import finding
from node.spool.contract import Filter, JourneyLine
from node.spool.paired import Standing
from node.spool.rows import facts_of
from tests.support.queues_house import QueuesHouse, credential
from tests.support.spool_mail import T0, accepted, attempt, message, outcome, settlement

ALICE = credential("alice")
ALL = Filter(limit=100)
S = RecipientState


@pytest.fixture
def timely():
    """The test is about how long is waited."""


@pytest.fixture(autouse=True)
def patient(request, monkeypatch):
    """Else a busy machine must not decide who is missing."""
    if "timely" not in request.fixturenames:
        monkeypatch.setattr(everywhere, "WAIT_S", 20.0)


@pytest.fixture
async def house(tmp_path):
    async with QueuesHouse(tmp_path) as made:
        yield made


@pytest.fixture
def nodes(house):
    return [*house.nodes.values()]


def order(action=Action.HOLD, which=None, **more):
    return Order(**{"action": action, "which": which or ALL, "actor": "alice", "reason": "why", **more})


async def settled(node, made, state=S.DELIVERED):
    start = attempt(made)
    assert await node.spool.claim(start)
    await node.spool.settle(settlement(start, outcome(0, state)))


# -- what is asked


async def test_a_listing_has_everybodys_mail_newest_first_and_says_whose_it_is(nodes):
    a, b, c = nodes
    wanted = [
        ((await node.put(received_ms=T0 + turn)).id, node.name) for turn, node in enumerate([a, c, b, a, b])
    ]  # fmt: skip
    found = await b.queues.find(ALL)
    assert [(each.message.id, each.node) for each in found.messages] == wanted[::-1]
    assert found.missing == {}
    assert all(each.place is Place.SPOOL for each in found.messages)
    few = await b.queues.find(Filter(limit=2))
    assert [each.message.id for each in few.messages] == [name for name, _ in wanted[:2:-1]]
    mine = await b.queues.find(ALL, here=True)
    assert {each.node for each in mine.messages} == {b.name}


async def test_a_listing_asks_the_others_what_it_was_asked(nodes):
    a, b, _ = nodes
    await a.put(client="hr")
    made = await a.put(client="apps")
    await settled(a, await a.put(client="apps"))
    found = await b.queues.find(Filter(client="apps", states=(S.QUEUED,)))
    assert [each.message.id for each in found.messages] == [made.id]


async def test_whether_another_machine_has_a_message_is_said(nodes):
    a, b, c = nodes
    twice = await a.put(b.name, confirmed=True)
    once, alone = await a.put(b.name), await a.put()
    noted = await a.put(b.name)
    a.noted.add(noted.id)
    over = await a.put(b.name, confirmed=True)
    await settled(a, over)
    wanted = msgspec.structs.replace(message(), copies=Copies.ONE)
    await a.spool.append(msgspec.structs.replace(accepted(wanted), pairing=0))
    found = {each.message.id: each.protected for each in (await c.queues.find(ALL)).messages}
    assert found == {twice.id: True, once.id: False, alone.id: False, noted.id: True, over.id: None, wanted.id: None}


async def test_who_is_gone_or_hangs_is_named_and_waited_for_a_second(house, nodes, timely):
    a, b, c = nodes
    made = await a.put()
    asked = house.hang(c.name)
    await house.gone(b.name)
    began = time.monotonic()
    found = await a.queues.find(ALL)
    assert time.monotonic() - began < 5
    assert asked.is_set()
    assert [each.message.id for each in found.messages] == [made.id]
    assert sorted(found.missing) == [b.name, c.name]
    assert "no answer within 1 s" in found.missing[c.name]


async def test_a_node_with_more_than_an_answer_holds_gives_whole_messages_and_says_so(nodes):
    a, b, _ = nodes
    for turn in range(8):
        to = tuple(f"{number:04d}-{'x' * 200}@example.com" for number in range(500))
        await a.put(to=to, received_ms=T0 + turn)
    found = await b.queues.find(ALL)
    assert 0 < len(found.messages) < 8
    assert [each.message.received_ms - T0 for each in found.messages] == [*range(7, 7 - len(found.messages), -1)]
    assert "--here" in found.missing[a.name]
    answer = await a.queues.routes()[everywhere.FIND](b.name, msgspec.json.encode(ALL))
    assert len(answer) <= ANSWER_MAX
    assert msgspec.json.decode(answer, type=Answer).cut


async def test_a_journey_is_found_wherever_the_message_is(nodes):
    a, b, c = nodes
    made = await a.put(b.name, confirmed=True)
    await b.keep_of(a, made)
    found = await c.queues.trace(made.id)
    assert [(each.node, each.place, each.protected) for each in found.messages] == [
        (a.name, Place.SPOOL, True),
        (b.name, Place.COPY, None),
    ]
    assert [line.event for line in found.messages[0].lines] == ["accepted"]
    assert (await c.queues.trace(made.id, here=True)).messages == ()
    assert (await c.queues.trace("none")).messages == ()
    assert (await c.queues.trace("x" * 5_000)).messages == ()


async def test_a_copy_tells_how_far_its_owner_had_come_when_that_one_is_gone(house, nodes):
    a, b, c = nodes
    made = await a.put(b.name, to=("one@example.com", "two@example.com"))
    start = attempt(made, 0)
    assert await a.spool.claim(start)
    await a.spool.settle(settlement(start, outcome(0, S.DEFERRED, "mailbox_full", reply="452", next_attempt_ms=T0 + 9)))
    for _ in range(3):  # neighbours in the store
        await b.keep_of(a, await a.put(b.name))
    await b.keep_of(a, made)
    await house.gone(a.name)
    found = await c.queues.trace(made.id)
    (one,) = found.messages
    assert (one.node, one.place) == (b.name, Place.COPY)
    assert [(each.state, each.last_reason, each.next_attempt_ms) for each in one.recipients] == [
        (S.DEFERRED, "mailbox_full", T0 + 9),
        (S.QUEUED, "", T0),
    ]
    assert [line.event for line in one.lines] == ["accepted", "claimed", "deferred"]
    assert list(found.missing) == [a.name]


async def test_history_of_the_copy_store_tells_how_a_message_ended_when_its_owner_is_gone(house, nodes):
    a, b, c = nodes
    made = await a.put(b.name, to=("one@example.com", "two@example.com"))
    pair = await b.keep_of(a, made)
    await b.copies.settle(pair, [made.id], T0 + 50)
    await house.gone(a.name)
    (one,) = (await c.queues.trace(made.id)).messages
    assert (one.place, one.finished_ms) == (Place.PAST, T0 + 50)
    assert [(each.state, each.last_reason) for each in one.recipients] == [(S.UNKNOWN, "not_told")] * 2


async def test_mail_of_a_node_that_is_away_is_listed_as_its_copies_show_it(house, nodes):
    a, b, c = nodes
    made = [await a.put(b.name, to=(f"{name}@example.com",)) for name in ("ann", "bob")]
    for each in made:
        pair = await b.keep_of(a, each)
    of_b = await b.put(c.name)
    await c.keep_of(b, of_b)
    assert {each.place for each in (await c.queues.find(ALL)).messages} == {Place.SPOOL}, "owners know best"
    await house.gone(a.name)
    found = await c.queues.find(Filter(recipient="ann@example.com"))
    assert [(each.message.id, each.node, each.place) for each in found.messages] == [(made[0].id, b.name, Place.COPY)]
    assert list(found.missing) == [a.name]
    listed = await b.queues.find(Filter(states=(S.QUEUED,)))
    assert [(each.message.id, each.place) for each in listed.messages] == [
        (of_b.id, Place.SPOOL), (made[1].id, Place.COPY), (made[0].id, Place.COPY),
    ]  # fmt: skip
    b.owners[pair] = c.name  # it was given to a node that answers: that one knows best
    assert {each.message.id for each in (await c.queues.find(ALL)).messages} == {of_b.id}
    assert {each.message.id for each in (await b.queues.find(ALL, here=True)).messages} == {of_b.id}


async def test_who_does_not_answer_is_not_asked_again_for_copies(house, nodes, timely):
    a, b, c = nodes
    await b.keep_of(a, await a.put(b.name))
    house.hang(a.name)
    asked, ask = [], c.queues._ask

    async def noted(route, *about, **more):
        asked.append((route, more.get("but", ())))
        return await ask(route, *about, **more)

    c.queues._ask = noted
    assert [each.place for each in (await c.queues.find(ALL)).messages] == [Place.COPY]
    assert asked == [(everywhere.FIND, ()), (everywhere.KEPT, (a.name,))]


async def test_history_kept_for_another_node_is_found_by_address_and_outlives_its_disk(house, nodes):
    a, b, c = nodes
    made = await a.put(b.name, to=("ann@example.com",), sender="app@contoso.com")
    await settled(a, made)
    other = await a.put(b.name, to=("bob@example.com",))
    pair = await b.keep_of(a, other)
    await b.copies.keep(pair, a.name, [(_standing(made), b"x")])
    await b.copies.settle(pair, [made.id, other.id], T0 + 50)
    for which in (Filter(recipient="ann@example.com"), Filter(sender="*@contoso.com", recipient="ann@example.com")):
        found = (await c.queues.find(which)).messages
        assert [(each.message.id, each.node, each.place) for each in found] == [(made.id, a.name, Place.SPOOL)]
    await house.gone(a.name)
    found = (await c.queues.find(Filter(recipient="*@example.com"))).messages
    assert [(each.message.id, each.node, each.place) for each in found] == [
        (other.id, b.name, Place.PAST), (made.id, b.name, Place.PAST),
    ]  # fmt: skip
    assert (await c.queues.find(Filter(states=(S.QUEUED,)))).messages == (), "what is settled does not wait"


def _standing(made):
    return Standing(
        message=made,
        facts=facts_of(made),
        size_bytes=1,
        pairing=0,
        confirmed=False,
        moving=False,
        progress=(),
        lines=(),
    )


async def test_who_looked_at_a_part_only_is_named(house, nodes, monkeypatch):
    a, b, c = nodes
    monkeypatch.setattr(finding, "LOOKED_MAX", 1)
    monkeypatch.setattr(finding, "PAGE", 1)
    for _ in range(3):
        await b.keep_of(a, await a.put(b.name, client="apps"))
    await house.gone(a.name)
    found = await c.queues.find(Filter(client="hr"))
    assert (found.messages, sorted(found.missing)) == ((), [a.name, b.name])
    assert found.missing[b.name] == everywhere.MORE


async def test_how_each_recipient_ended_is_read_from_the_journey():
    from node.shadow.contract import Past
    from node.shadow.showing import past_view

    made = message(to=("one@example.com", "two@example.com", "three@example.com"))
    lines = (
        JourneyLine(at_ms=T0, event="deferred", indexes=(0, 1)),
        JourneyLine(at_ms=T0, event="delivered", indexes=(1,)),
        JourneyLine(at_ms=T0, event="bounced", indexes=(0,)),
    )
    shown = past_view(Past(message_id=made.id, facts=facts_of(made), discarded_ms=T0, lines=lines))
    assert [each.state for each in shown.recipients] == [S.BOUNCED, S.DELIVERED, S.UNKNOWN]


async def test_live_mail_comes_before_history_and_a_spool_not_in_use_comes_last(nodes):
    a, b, c = nodes
    made = message()
    for node in nodes:
        await node.spool.append(msgspec.structs.replace(accepted(made), pairing=0))
    await settled(b, made)
    a.usable = False
    found = await b.queues.trace(made.id)
    assert [(each.node, each.place) for each in found.messages] == [
        (c.name, Place.SPOOL),
        (b.name, Place.SPOOL),
        (a.name, Place.SHUT),
    ]
    assert [each.protected for each in found.messages] == [False, None, None]


# -- what is done


async def test_an_action_is_carried_out_by_the_node_that_has_the_message_in_the_operators_name(nodes, caplog):
    a, b, c = nodes
    made, other = await a.put(), await c.put()
    with caplog.at_level(logging.WARNING):
        done = await b.queues.act(order(which=Filter(ids=(made.id,)), rounds=1), ALICE)
    assert (done.changed, done.more, done.by_node, done.missing) == (1, False, {a.name: 1}, {})
    view = await a.spool.journey(made.id)
    assert view.recipients[0].state is S.HELD
    assert (view.lines[-1].detail["actor"], view.lines[-1].detail["why"]) == (f"alice at {b.name}", "why")
    assert (await c.spool.journey(other.id)).recipients[0].state is S.QUEUED
    assert [each.actor for each in caplog.records if each.message == "queue changed"] == [f"alice at {b.name}"]
    assert a.woken == 1


async def test_an_action_on_a_filter_reaches_every_node(nodes):
    a, b, c = nodes
    for node in (a, a, b, c):
        await node.put(client="apps")
    done = await b.queues.act(order(which=Filter(client="apps", limit=1_000)), ALICE)
    assert (done.changed, done.by_node) == (4, {a.name: 2, b.name: 1, c.name: 1})
    here = await b.queues.act_here(order(Action.RELEASE, which=Filter(client="apps", states=(S.HELD,))))
    assert (here.changed, here.more, here.by_node) == (1, False, {b.name: 1})
    done = await b.queues.act(order(Action.DELETE, which=Filter(client="apps", limit=1_000)), ALICE)
    assert done.changed == 4


async def test_nodes_that_cannot_be_asked_are_named_and_a_spool_not_in_use_is_left_alone(house, nodes):
    a, b, c = nodes
    made = [await node.put() for node in nodes]
    a.usable = False
    await house.gone(c.name)
    done = await b.queues.act(order(), ALICE)
    assert (done.changed, sorted(done.missing)) == (1, [a.name, c.name])
    assert "not in use" in done.missing[a.name]
    assert (await a.spool.journey(made[0].id)).recipients[0].state is S.QUEUED
    mine = await a.queues.act(order(Action.RELEASE), ALICE)
    assert "not in use" in mine.missing[a.name]
    assert (await a.queues.act_here(order())).changed == 1


# -- who may ask, and what


@pytest.mark.parametrize("route", [everywhere.FIND, everywhere.KEPT, everywhere.TRACE, everywhere.ACT])
@pytest.mark.parametrize("body", [b"", b"\xff", b"[", b"7", b'{"limit": "many"}', b"[" * 60_000])
async def test_what_is_not_understood_is_refused(house, nodes, route, body):
    a, b, _ = nodes
    await b.put()
    with pytest.raises(PeerError, match="not understood"):
        await house.peers.client(a.name).ask(b.name, route, body, timeout_s=5)


@pytest.mark.parametrize("changes", [{"form": 2}, {"only": "x"}, {"action": "burn"}])
async def test_an_order_of_another_form_is_refused_for_it_may_mean_less(house, nodes, changes):
    a, b, _ = nodes
    await b.put()
    plain = msgspec.json.encode({**msgspec.to_builtins(order(Action.DELETE)), **changes})
    body = msgspec.json.encode(a.trust.signed(ALICE, b.name, everywhere.ACT, plain))
    with pytest.raises(PeerError, match="not understood"):
        await house.peers.client(a.name).ask(b.name, everywhere.ACT, body, timeout_s=5)
    assert (await b.spool.count()).by_state == {S.QUEUED: 1}


async def test_what_is_released_is_released_once(nodes):
    a = nodes[0]
    held = [await a.put(client="apps", held=True) for _ in range(3)]
    queued = await a.put(client="apps")
    done = await a.queues.act_here(order(Action.RELEASE, which=Filter(client="apps", limit=2)))
    assert (done.changed, done.more) == (1 + 3, False)
    done = await a.queues.act_here(order(Action.RELEASE, which=Filter(client="apps", states=(S.QUEUED,))))
    assert (done.changed, done.more) == (4, False)
    for made in (*held, queued):
        view = await a.spool.journey(made.id)
        assert view.recipients[0].state is S.QUEUED
        assert [line.event for line in view.lines].count("released") == 2


async def test_who_is_not_on_the_list_learns_nothing_and_changes_nothing(house, nodes):
    a, b, _ = nodes
    made = await b.put()
    house.peers.nodes.remove(a.name)
    found = await a.queues.find(ALL)
    assert found.messages == ()
    assert b.name in found.missing
    await a.queues.act(order(Action.DELETE), ALICE)
    assert (await b.spool.journey(made.id)).recipients[0].state is S.QUEUED


async def test_an_answer_that_makes_no_sense_is_as_good_as_none(house, nodes):
    a, b, _ = nodes

    async def nonsense(_caller, _body):
        return json.dumps({"messages": [{"node": 7}]}).encode()

    house.servers[b.name]._routes = {everywhere.FIND: nonsense}
    assert list((await a.queues.find(ALL)).missing) == [b.name]
