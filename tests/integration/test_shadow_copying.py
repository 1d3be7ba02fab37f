"""The door's store on a real spool, a real copy store and the real channel: 250 says two machines, or says so."""

import asyncio

import pytest

from coordinator.ownership.views import State
from node.policy.envelope import Copies, OnUnknown, RecipientState
from node.shadow.entries import Intent
from node.shadow.errors import NotCopied
from node.shadow.outbox import Pace
from node.shadow.sqlite import SqliteCopies
from node.shadow.words import BATCH
from node.spool.contract import BodyFile
from tests.support.copies import SHADOW
from tests.support.copies_house import CopiesHouse, kept_ids, until
from tests.support.copying_owner import owner_of
from tests.support.spool_mail import T0, attempt, lane, outcome, settlement

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")
REQUIRED = Copies.REQUIRED


@pytest.fixture
async def house(tmp_path):
    made = CopiesHouse(tmp_path)
    made.pairing["view"] = None  # a shadow that takes the sender's word
    yield made
    await made.close()


def hold_batches(receiver):
    """Let batches be durable, and answered only when told."""
    go, batch = asyncio.Event(), receiver.batch

    async def held(node, body):
        answer = await batch(node, body)
        await go.wait()
        return answer

    return {**receiver.routes(), BATCH: held}, go


async def serve(house, routes):
    await house.peers.server(SHADOW, routes, body_max={BATCH: 4 << 20})


async def test_accepted_mail_is_on_both_disks_and_its_discard_is_heard(house):
    copies = await house.store()
    await house.serve(copies)
    async with owner_of(house) as owner:
        await owner.paired()
        made = await owner.take("m1", copies=REQUIRED)
        assert await kept_ids(copies, owner.attached()) == ["m1"]
        assert (await owner.spool.look(["m1"]))["m1"].pairing == 1
        (due,) = await owner.spool.peek(lane(made), T0, 10)
        assert due.pairing == 1
        await until(lambda: owner.confirmed("m1"))
        await owner.deliver(made)
        await until(owner.all_told)
        assert await kept_ids(copies, owner.attached()) == []
        past = await copies.past("m1")
        assert [line.event for line in past.lines] == ["claimed", "delivered"]
        assert owner.copying.unprotected == 0
        (pair,) = await owner.spool.pairs()
        assert pair.store == copies.store_id


async def test_a_shadow_that_is_silent_required_is_refused_and_nothing_remains(house):
    copies = await house.store()
    routes, go = hold_batches(await house.serve(copies))
    await serve(house, routes)
    async with owner_of(house, Pace(copy_wait_s=0.3, silence_s=20)) as owner:
        await owner.paired()
        with pytest.raises(NotCopied):
            await owner.take("m1", copies=REQUIRED)
        assert await kept_ids(copies, owner.attached()) == ["m1"]
        assert not owner.stored
        found = await owner.spool.journey("m1")
        assert {each.state for each in found.recipients} == {RecipientState.DELETED}
        assert (await owner.spool.count()).by_state.get("queued", 0) == 0
        go.set()
        await until(owner.all_told)
        assert await kept_ids(copies, owner.attached()) == []


async def test_a_shadow_that_refuses_required_is_refused_and_preferred_is_protected_later(house):
    copies = await house.store(max_bytes=20_000)
    await house.serve(copies)
    async with owner_of(house) as owner:
        await owner.paired()
        big = await owner.take("m1", b"x" * 15_000)
        with pytest.raises(NotCopied):
            await owner.take("m2", b"x" * 15_000, copies=REQUIRED)
        await until(owner.copies_go)
        await owner.take("m3", b"x" * 15_000)
        assert owner.stored == ["m1", "m3"]
        assert not (await owner.spool.look(["m3"]))["m3"].confirmed
        await until(lambda: owner.confirmed("m1"), 20)
        await owner.deliver(big)
        await until(lambda: owner.confirmed("m3"), 40)
        assert await kept_ids(copies, owner.attached()) == ["m3"]


async def test_mail_that_was_alone_over_a_restart_is_copied_with_its_states(house):
    async with owner_of(house) as owner:
        deferred = await owner.take("m1", to=("a@example.com", "b@example.com"))
        await owner.take("m2", copies=Copies.ONE)
        with pytest.raises(NotCopied):
            await owner.take("m3", copies=REQUIRED)
        start = attempt(deferred)
        await owner.spool.claim(start)
        results = outcome(0, RecipientState.DELIVERED), outcome(1, RecipientState.DEFERRED, next_attempt_ms=T0 + 9_000)
        await owner.spool.settle(settlement(start, *results))
    copies = await house.store()
    await house.serve(copies)
    async with owner_of(house) as owner:
        await owner.paired()
        await until(lambda: owner.confirmed("m1"), 30)
        (row,) = await copies.rows(owner.attached(), "", 10)
        assert [(each.index, each.state, each.attempts) for each in row.progress] == [
            (0, RecipientState.DELIVERED, row.progress[0].attempts),
            (1, RecipientState.DEFERRED, 1),
        ]
        assert [line.event for line in row.lines][-2:] == ["delivered", "deferred"]
        assert (await owner.spool.look(["m2"]))["m2"].pairing == 0


async def test_what_was_settled_untold_before_a_restart_is_told_after_it(house):
    copies = await house.store()
    await house.serve(copies)
    async with owner_of(house) as owner:
        await owner.paired()
        made = await owner.take("m1")
        await owner.take("m2")
        await until(lambda: owner.confirmed("m1", "m2"))
        house.peers.targets.clear()
        await house.peers.closing.aclose()
        await owner.deliver(made)
    await house.serve(copies)
    async with owner_of(house) as owner:
        assert await owner.spool.untold(1, 10) == ["m1"]
        await owner.paired()
        await until(owner.all_told)
        assert await kept_ids(copies, owner.attached()) == ["m2"]
        assert await owner.confirmed("m2")


async def test_a_store_that_was_replaced_makes_the_pairing_void_and_all_is_copied_anew(house):
    copies = await house.store()
    await house.serve(copies)
    async with owner_of(house) as owner:
        await owner.paired()
        await owner.take("m1")
        await until(lambda: owner.confirmed("m1"))
        other = SqliteCopies(house.root / "other")
        await other.open(T0)
        house.closing.push_async_callback(other.close)
        await house.serve(other)
        await owner.take("m2")

        async def lost():
            return owner.pairs.lost == [(owner.attached().key, 7)]

        await until(lost)
        owner.put(State.VOID)
        await owner.spool.unconfirm(1)  # as whoever brings rows in line does
        await owner.paired(epoch=8)
        await until(lambda: owner.confirmed("m1", "m2"), 30)
        assert await kept_ids(other, owner.attached(8)) == ["m1", "m2"]
        assert {each.pairing for each in (await owner.spool.look(["m1", "m2"])).values()} == {2}
        assert await kept_ids(other, owner.attached(7)) == []


async def test_a_body_of_three_megabytes(house):
    copies = await house.store()
    await house.serve(copies)
    whole = bytes(range(256)) * (3 << 12)
    async with owner_of(house) as owner:

        async def large(name, **more):
            path = owner.copying.new_body_path(name)
            path.write_bytes(whole)
            return await owner.take(name, BodyFile(path=str(path), size_bytes=len(whole)), **more)

        await large("m0")
        await owner.paired()
        await large("m1", copies=REQUIRED)
        await until(lambda: owner.confirmed("m0", "m1"), 30)
        for name in ("m0", "m1"):
            assert (await copies.body(owner.attached(), name)).read_bytes() == whole
            assert (await owner.spool.body(name)).read_bytes() == whole


async def test_an_intent_that_must_be_there_is_durable_there(house):
    copies = await house.store()
    await house.serve(copies)
    async with owner_of(house) as owner:
        await owner.paired()
        made = await owner.take("m1", on_unknown=OnUnknown.BOUNCE)
        start = attempt(made)
        await owner.spool.claim(start)
        assert owner.copying.may_intend(1)
        intent = Intent(message_id="m1", attempt_id=start.attempt_id, indexes=(0,), dot_ms=T0)
        assert await owner.copying.intend(1, intent)
        (row,) = await copies.rows(owner.attached(), "", 10)
        assert row.intents == (intent,)
        await house.peers.closing.aclose()
        house.peers.targets.clear()
        assert not await owner.copying.intend(1, intent)
        assert await owner.copying.intend(0, intent)
