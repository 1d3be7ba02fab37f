"""Spares are compared with their owner until each is settled or counted; on real disks and over real TLS."""

import asyncio
from dataclasses import replace

import msgspec
import pytest

from coordinator.ownership.answers import Answer
from coordinator.ownership.records import Pairing, PairKey
from node.policy.envelope import RecipientState
from node.shadow import comparing, questions
from node.shadow.entries import Discard, Lines, Outcome, Progress
from node.shadow.errors import Refused
from node.shadow.words import answer_of
from node.spool.contract import JourneyLine
from tests.support.copies import OWNER, SHADOW, SPOOL, attached, batch
from tests.support.copies_house import kept_ids, until
from tests.support.spares_house import NOW, PAIR, SparesHouse, compare, copied, keep, live, put
from tests.support.spool_mail import T0, accepted, attempt, lane, message, outcome, settlement

S = RecipientState


@pytest.fixture
async def house(tmp_path):
    async with SparesHouse(tmp_path) as house:
        yield house


# ---- the five answers ------------------------------------------------------------------------------------------------


async def test_each_spare_is_answered_as_its_owner_knows_it(house):
    owner, shadow = house.owner, house.shadow
    names = ("keep", "settled", "elsewhere", "wait", "moved", "send")
    made = {name: message(f"0190-{name}") for name in names}
    await keep(shadow, *(copied(each) for each in made.values()))
    house.sees(OWNER)
    for name in ("keep", "settled", "wait"):
        await put(owner, made[name])
    owner.taking.add(made["wait"].id)
    start = attempt(made["settled"])
    assert await owner.spool.claim(start)
    await owner.spool.settle(settlement(start))
    number = await owner.spool.attach(SPOOL, "relay-c", 9)
    for name in ("elsewhere", "moved"):
        await owner.spool.append(msgspec.structs.replace(accepted(made[name]), pairing=number))
    await owner.spool.confirm(number, [made["elsewhere"].id])
    other = PairKey(spool=SPOOL, shadow="relay-c")
    owner.keeper.known[other] = replace(
        owner.sees(OWNER), key=other, pairing=Pairing(owner=OWNER, epoch=9, copy="another")
    )
    assert await owner.spool.unprotected() == 3
    await compare(shadow)
    assert await kept_ids(shadow.copies, PAIR) == sorted(made[name].id for name in ("keep", "wait", "moved", "send"))
    assert (await owner.spool.look([made["keep"].id]))[made["keep"].id].confirmed
    assert not (await owner.spool.look([made["wait"].id]))[made["wait"].id].confirmed
    brought = (await owner.spool.look([made["send"].id]))[made["send"].id]
    assert (brought.confirmed, brought.pairing, owner.arrived) == (True, await owner.number(), 1)
    assert (await owner.spool.journey(made["send"].id)).lines[-1].detail == {"from": SHADOW}
    for name in ("settled", "elsewhere"):
        assert await shadow.copies.past(made[name].id) is not None


async def test_without_a_session_nothing_is_said_but_what_is_settled(house):
    owner, shadow = house.owner, house.shadow
    unknown, done = message("0190-a"), message("0190-b")
    await keep(shadow, copied(unknown), copied(done))
    house.sees(OWNER)
    await put(owner, done)
    await owner.spool.finish(done.id, [outcome(0, S.BOUNCED)], NOW, "bounced")
    owner.keeper.is_live = False
    await compare(shadow)
    assert await kept_ids(shadow.copies, PAIR) == [unknown.id]
    assert await owner.spool.look([unknown.id]) == {}


async def test_what_counts_as_kept_twice_by_a_pairing_that_is_void_is_not_dropped(house):
    """The spool notes it a moment later; a spare dropped before would be the only other one."""
    owner, shadow, made = house.owner, house.shadow, message()
    await keep(shadow, copied(made))
    house.sees(OWNER)
    number = await owner.spool.attach(SPOOL, "relay-c", 9)
    await owner.spool.append(msgspec.structs.replace(accepted(made), pairing=number))
    await owner.spool.confirm(number, [made.id])
    other = PairKey(spool=SPOOL, shadow="relay-c")
    seen = replace(owner.sees(OWNER), key=other, pairing=Pairing(owner=OWNER, epoch=9, copy="another", void=True))
    owner.keeper.known[other] = seen
    await compare(shadow)
    assert await kept_ids(shadow.copies, PAIR) == [made.id]


async def test_one_that_goes_to_the_copies_meanwhile_is_not_asked_for(house):
    owner, made = house.owner, await put(house.owner, message())
    house.sees(OWNER)
    seen = owner.copies.seen

    async def and_then(ids):
        found = await seen(ids)
        if not found:
            await owner.spares._giving.run(attached(6), await owner.number(), OWNER)
        return found

    owner.copies.seen = and_then
    asked = questions.Asked(**questions.about(PAIR), ids=(made.id, "never-seen"))
    answer = answer_of(await owner.routes()[questions.COMPARE](SHADOW, questions.encoded(asked)))
    assert questions.answers_of(answer.said, asked.ids) == {made.id: Answer.WAIT, "never-seen": Answer.SEND}


async def test_who_is_not_known_as_the_other_end_does_not_make_a_row_count_as_kept_twice(house):
    owner, shadow, made = house.owner, house.shadow, message()
    await keep(shadow, copied(made))
    house.sees(OWNER)
    await put(owner, made)
    owner.keeper.there.clear()
    await compare(shadow)
    assert await owner.spool.unprotected() == 1


async def test_a_spare_is_asked_of_whoever_owns_it(house):
    """Also of the shadow, of what came in here and was adopted there; and not at all while it is taken over here."""
    owner, shadow = house.owner, house.shadow
    made = await put(owner, message())
    await owner.align(SHADOW)
    shadow.sees(SHADOW)
    await compare(owner)
    assert await live(shadow) == [made.id]
    assert (await shadow.spool.look([made.id]))[made.id].confirmed
    owner.sees(OWNER)
    assert owner.spares._asking.owner(PAIR) == ""
    owner.sees(OWNER, void=True)
    assert owner.spares._asking.owner(PAIR) == SHADOW


# ---- what is settled -------------------------------------------------------------------------------------------------


async def settled_alone(node, made):
    start = attempt(made)
    assert await node.spool.claim(start)
    await node.spool.settle(settlement(start))


async def test_what_was_settled_before_the_loss_is_not_sent_again(house):
    owner, shadow = house.owner, house.shadow
    waits, flies, spare, unknown = [await put(owner, message(f"0190-{n}")) for n in "abcd"]
    await keep(shadow, *(copied(each) for each in (waits, flies)))
    await shadow.align(SHADOW)
    await keep(shadow, copied(spare))
    for each in (waits, flies, spare, unknown):
        await settled_alone(owner, each)
    start = attempt(flies)
    assert await shadow.spool.claim(start)
    await owner.align(SHADOW)
    number = await owner.number()
    assert await owner.spool.untold(number, 9) == [flies.id]
    assert await shadow.spool.peek(lane(waits), NOW, 9) == []
    view = await shadow.spool.journey(waits.id)
    assert [each.state for each in view.recipients] == [S.DELETED]
    assert (view.lines[-1].event, view.lines[-1].detail["reply"]) == ("settled_elsewhere", f"settled by {OWNER}")
    assert await kept_ids(shadow.copies, PAIR) == []
    assert await shadow.copies.past(spare.id) is not None
    await shadow.spool.settle(settlement(start, outcome(0, S.DEFERRED, "busy", next_attempt_ms=NOW)))
    await owner.spares._again()
    assert await owner.spool.untold(number, 9) == []
    assert await live(shadow) == []


async def test_a_stranger_settles_nothing(house):
    made = await put(house.owner, message())
    house.sees(OWNER)
    house.owner.keeper.there.clear()
    asked = questions.Asked(**questions.about(PAIR), ids=(made.id,))
    with pytest.raises(Refused) as refused:
        answer_of(await house.owner.routes()[questions.SETTLED](SHADOW, questions.encoded(asked)))
    assert refused.value.said == "busy"
    assert await live(house.owner) == [made.id]


async def test_copies_and_discards_that_come_after_the_adoption_count(house):
    shadow = house.shadow
    first, second, told = message("0190-a"), message("0190-b"), message("0190-c")
    await keep(shadow, copied(first), copied(told))
    await shadow.align(SHADOW)
    house.run(shadow)
    entries = (
        copied(second),
        Discard(message_ids=(first.id,), at_ms=T0),
        Outcome(message_id=told.id, attempt_id="a", progress=(Progress(index=0, state=S.DEFERRED),)),
        Lines(message_id=told.id, lines=(JourneyLine(at_ms=T0, event="deferred"),)),
    )
    stream = await shadow.copies.stream(PAIR)
    late = batch(stream.expected, *entries, stream=stream.number)
    await shadow.copies.put(PAIR, late)
    shadow.spares.owned(PAIR, late)
    await until(lambda: is_live(shadow, [second.id, told.id]))
    await until(lambda: nothing_told(shadow))
    assert await kept_ids(shadow.copies, PAIR) == []
    line = (await shadow.spool.journey(first.id)).lines[-1]
    assert (line.event, line.detail["reply"]) == ("settled_elsewhere", f"settled by {OWNER}")


async def is_live(node, ids):
    return await live(node) == ids


async def nothing_told(node):
    database = node.copies._writer()
    try:
        return database.number_text("SELECT count(*) FROM told") == 0
    finally:
        database.close()


# ---- by itself -------------------------------------------------------------------------------------------------------


async def test_all_is_compared_soon_after_a_change_and_again_until_the_owner_answers(house):
    owner, shadow = house.owner, house.shadow
    shadow.spares._comparing._pause_s = 0.05
    many = [message(f"0190-{n:05d}") for n in range(1_200)]
    await keep(shadow, *(copied(each, b"x") for each in many))
    house.sees(OWNER)
    owner.keeper.judged = False
    house.run(shadow)
    await shadow.align(OWNER)
    await asyncio.sleep(0.3)
    assert len(await kept_ids(shadow.copies, PAIR)) == 1_200
    await owner.copies.settle(PAIR, [], NOW)
    stream = await owner.copies.begin(PAIR, SHADOW)
    gone = Discard(message_ids=tuple(each.id for each in many), at_ms=T0)
    await owner.copies.put(PAIR, batch(1, *(copied(each, b"x") for each in many), gone, stream=stream))
    owner.keeper.judged = True
    await until(lambda: nothing_kept(shadow))


async def nothing_kept(node):
    return await kept_ids(node.copies, PAIR) == []


async def test_an_epoch_that_is_over_is_forgotten_when_it_is_empty(house):
    owner, shadow, made = house.owner, house.shadow, message()
    await keep(shadow, copied(made))
    house.sees(OWNER, epoch=8)
    shadow.spares._comparing._pause_s = 0.05
    house.run(shadow)
    await until(lambda: is_live(owner, [made.id]))
    assert await owner.spool.unprotected() == 1
    assert [each.attached.epoch for each in await shadow.copies.held()] == [7]
    await owner.spool.finish(made.id, [outcome(0, S.DEAD)], NOW, "dead")
    await until(lambda: nothing_held(shadow))


async def nothing_held(node):
    return await node.copies.held() == []


async def test_the_shadow_is_asked_for_the_key(house, monkeypatch):
    monkeypatch.setattr(comparing, "ASK_BACK_S", 0.01)
    house.owner.keeper.wanted = [("relay-c", PAIR.key, 1), (SHADOW, PAIR.key, 4)]
    house.run(house.owner)
    await until(lambda: was_asked(house.shadow, (PAIR.key, 4)))


async def was_asked(node, what):
    return what in node.keeper.asked
