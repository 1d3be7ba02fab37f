"""What the owner's machine had not told when it died is told from its disk when it is back; real spools and stores."""

import pytest

from node.policy.envelope import OnUnknown, RecipientState
from node.shadow.entries import Intent
from tests.support.copies_house import CopiesHouse, kept_ids, until
from tests.support.copying_owner import owner_of
from tests.support.spool_mail import T0, attempt, outcome, settlement

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")
S = RecipientState


@pytest.fixture
async def house(tmp_path):
    made = CopiesHouse(tmp_path)
    made.pairing["view"] = None  # a shadow that takes the sender's word
    yield made
    await made.close()


async def cut_off(house):
    """Nobody hears the owner any more."""
    house.peers.targets.clear()
    await house.peers.closing.aclose()


async def deferred(owner, made, *indexes, dot=False):
    start = attempt(made, *indexes)
    assert await owner.spool.claim(start)
    if dot:
        await owner.spool.intend(start.attempt_id, T0)
        intent = Intent(message_id=made.id, attempt_id=start.attempt_id, indexes=start.indexes, dot_ms=T0)
        assert await owner.copying.intend(1, intent)
    results = [outcome(index, S.DEFERRED, "busy", next_attempt_ms=T0 + 9_000) for index in start.indexes]
    await owner.spool.settle(settlement(start, *results))


async def row_of(copies, owner, name):
    (row,) = [each for each in await copies.rows(owner.attached(), "", 10) if each.message_id == name]
    return row


async def knows(copies, owner, *events):
    """Until the shadow knows a journey that ends with these steps."""

    async def known():
        lines = (await row_of(copies, owner, "m1")).lines
        return tuple(line.event for line in lines[-len(events) :]) == events

    await until(known, 20)
    return await row_of(copies, owner, "m1")


async def test_an_outcome_nobody_could_be_told_is_known_to_the_shadow_after_a_restart(house):
    copies = await house.store()
    await house.serve(copies)
    async with owner_of(house) as owner:
        await owner.paired()
        made = await owner.take("m1", on_unknown=OnUnknown.BOUNCE)
        await until(lambda: owner.confirmed("m1"))
        start = attempt(made)
        await owner.spool.claim(start)
        intent = Intent(message_id="m1", attempt_id=start.attempt_id, indexes=(0,), dot_ms=T0)
        assert await owner.copying.intend(1, intent)
        await cut_off(house)
        result = outcome(0, S.DEFERRED, "busy", next_attempt_ms=T0 + 9_000)
        await owner.spool.settle(settlement(start, result))
    assert (await row_of(copies, owner, "m1")).intents == (intent,)
    await house.serve(copies)
    async with owner_of(house) as owner:
        await owner.paired()
        row = await knows(copies, owner, "claimed", "deferred")
        assert (row.intents, [(each.state, each.attempts) for each in row.progress]) == ((), [(S.DEFERRED, 1)])


async def test_what_is_attempted_before_anybody_can_be_told_comes_with_its_journey(house):
    """After a start mail goes out as soon as it is this node's, which may be before its shadow answers."""
    copies = await house.store()
    await house.serve(copies)
    async with owner_of(house) as owner:
        await owner.paired()
        made = await owner.take("m1", to=("a@x.example", "b@x.example"))
        await until(lambda: owner.confirmed("m1"))
        await deferred(owner, made, 0)
        await knows(copies, owner, "claimed", "deferred")
    async with owner_of(house) as owner:
        await deferred(owner, made, 1)
        await owner.paired()
        row = await knows(copies, owner, "claimed", "deferred", "claimed", "deferred")
        assert [(each.index, each.state) for each in row.progress] == [(0, S.DEFERRED), (1, S.DEFERRED)]
        assert row.lines == (await owner.spool.journey("m1")).lines[1:]


async def test_what_a_crash_cut_off_is_told_as_the_owner_found_it(house):
    copies = await house.store()
    await house.serve(copies)
    async with owner_of(house) as owner:
        await owner.paired()
        made = await owner.take("m1")
        await until(lambda: owner.confirmed("m1"))
        await owner.spool.claim(attempt(made))

        async def begun():
            return bool((await row_of(copies, owner, "m1")).intents)

        await until(begun)
        await cut_off(house)
    await house.serve(copies)
    async with owner_of(house) as owner:
        await owner.spool.recover(T0 + 5)
        await owner.paired()
        row = await knows(copies, owner, "claimed", "unknown", "resent")
        assert (row.intents, [each.state for each in row.progress]) == ((), [S.QUEUED])


async def test_history_of_what_was_settled_untold_says_how_it_ended(house):
    copies = await house.store()
    await house.serve(copies)
    async with owner_of(house) as owner:
        await owner.paired()
        made = await owner.take("m1")
        await until(lambda: owner.confirmed("m1"))
        await cut_off(house)
        await owner.deliver(made)
    await house.serve(copies)
    async with owner_of(house) as owner:
        await owner.paired()
        await until(owner.all_told)
        assert await kept_ids(copies, owner.attached()) == []
        assert [line.event for line in (await copies.past("m1")).lines] == ["claimed", "delivered"]
