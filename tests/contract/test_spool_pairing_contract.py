"""What every spool promises about pairings, on SQLite and in memory alike."""

import asyncio

import msgspec
import pytest

from node.policy.envelope import Copies, OnUnknown, RecipientState
from node.spool.contract import Accepted, BodyFile, Filter
from node.spool.errors import MessageGone, WrongRequest
from node.spool.memory import MemorySpool
from node.spool.paired import Here, Looked, Pair, Progress
from node.spool.rows import message_of
from node.spool.sqlite import SqliteSpool
from tests.support.spool_mail import BODY, T0, accepted, attempt, lane, message, outcome, settlement

S = RecipientState
ME, OTHER = "spool-a", "relay-b"
BIG = b"L" * 300_000


@pytest.fixture(params=["sqlite", "memory"])
async def spool(request, tmp_path):
    kind = SqliteSpool if request.param == "sqlite" else MemorySpool
    made = kind(tmp_path / "spool", now_ms=lambda: T0 + 500)
    await made.open(T0)
    yield made
    await made.close()


@pytest.fixture
async def number(spool):
    return await spool.attach(ME, OTHER, 1)


async def put(spool, pairing, body=BODY, **facts):
    made = message(**facts)
    await spool.append(Accepted(message=made, body=body, pairing=pairing))
    return made


async def put_lone(spool, pairing):
    made = msgspec.structs.replace(message(), copies=Copies.ONE)
    await spool.append(Accepted(message=made, body=BODY, pairing=pairing))
    return made


async def delivered(spool, made):
    start = attempt(made)
    assert await spool.claim(start)
    await spool.settle(settlement(start))


async def looked(spool, made):
    return (await spool.look([made.id])).get(made.id)


async def names(spool, number, **more):
    return [each.message.id for each in await spool.standing(number, "", 100, **more)]


async def states(spool, made):
    return [queued.state for queued in (await spool.journey(made.id)).recipients]


async def events(spool, made):
    return [line.event for line in (await spool.journey(made.id)).lines]


# ---- numbers ---------------------------------------------------------------------------------------------------------


async def test_a_pairings_epoch_has_one_number(spool):
    first = await spool.attach(ME, OTHER, 1)
    assert first > 0
    assert await spool.attach(ME, OTHER, 1) == first
    others = [await spool.attach(*key) for key in ((ME, OTHER, 2), (ME, "relay-c", 1), ("spool-c", "relay-a", 1))]
    assert len({first, *others}) == 4
    await spool.name_store(first, "store-1")
    assert await spool.number_of(ME, OTHER, 1) == first
    assert await spool.number_of(ME, OTHER, 99) == 0
    found = {pair.number: pair for pair in await spool.pairs()}
    assert found[first] == Pair(number=first, spool=ME, shadow=OTHER, epoch=1, store="store-1")
    assert found[others[0]] == Pair(number=others[0], spool=ME, shadow=OTHER, epoch=2)
    assert len(found) == 4


async def test_a_number_nobody_was_given_is_refused(spool, number):
    made = await put(spool, number)
    with pytest.raises(WrongRequest, match="number 77"):
        await spool.name_store(77, "store")
    with pytest.raises(WrongRequest, match="number 77"):
        await spool.reattach([made.id], 77)
    assert (await looked(spool, made)).pairing == number


async def test_a_message_under_a_number_nobody_was_given_is_alone(spool, number):
    made = await put(spool, 77)
    assert (await looked(spool, made)).pairing == 0


async def test_numbers_and_rows_outlive_a_restart(spool, number):
    made = await put(spool, number)
    await spool.confirm(number, [made.id])
    await spool.remember(5)
    await spool.close()
    await spool.open(T0)
    assert await spool.attach(ME, OTHER, 1) == number
    assert await looked(spool, made) == Looked(pairing=number, confirmed=True, finished=False, moving=False)
    assert await spool.remembered() == 5
    assert await spool.attach(ME, OTHER, 2) != number


# ---- what there is of one --------------------------------------------------------------------------------------------


async def test_what_came_in_before_is_here_alone(spool):
    old = await put(spool, None, on_unknown=OnUnknown.VERIFY)
    past = await put(spool, None)
    await delivered(spool, past)
    number = await spool.attach(ME, OTHER, 1)
    assert await spool.here(0) == Here(own=True, unconfirmed=True, careful=True)
    assert await names(spool, 0) == [old.id]
    assert await spool.unprotected() == 1
    assert await spool.here(number) == Here()
    assert await spool.reattach([old.id], number) == [old.id]
    assert (await spool.here(0), (await spool.here(number)).careful) == (Here(), True)


async def test_what_is_here_alone_is_known_before_any_number_was_given(spool):
    await put(spool, None)
    assert await spool.here(0) == Here(own=True, unconfirmed=True)
    assert await spool.unprotected() == 1


async def test_without_a_pairing_named_it_is_alone_in_a_cluster(spool, number):
    report = await put(spool, None)
    assert await looked(spool, report) == Looked(pairing=0, confirmed=False, finished=False, moving=False)
    assert (await spool.here(0)).own


async def test_here_follows_every_step(spool, number):
    assert await spool.here(number) == Here()
    made = await put(spool, number, on_unknown=OnUnknown.BOUNCE)
    assert await spool.here(number) == Here(own=True, unconfirmed=True, careful=True)
    await spool.confirm(number, [made.id])
    assert await spool.here(number) == Here(own=True, careful=True)
    start = attempt(made)
    await spool.claim(start)
    assert await spool.here(number) == Here(own=True, careful=True, moving=True)
    await spool.settle(settlement(start, outcome(0, S.DEFERRED)))
    assert await spool.here(number) == Here(own=True, careful=True)
    await spool.unconfirm(number)
    assert await spool.here(number) == Here(own=True, unconfirmed=True, careful=True)
    await spool.finish(made.id, [outcome(0, S.BOUNCED)], T0, "expired")
    assert await spool.here(number) == Here()
    assert await spool.here(0) == Here()


async def test_one_pairing_says_nothing_of_another(spool, number):
    second = await spool.attach(ME, "relay-c", 1)
    made = await put(spool, number, on_unknown=OnUnknown.VERIFY)
    await spool.claim(attempt(made))
    assert await spool.here(second) == Here()
    await spool.confirm(second, [made.id])
    assert not (await looked(spool, made)).confirmed
    await spool.confirm(number, [made.id])
    await spool.unconfirm(second)
    assert (await looked(spool, made)).confirmed


async def test_due_mail_says_its_pairing(spool, number):
    made = await put(spool, number, on_unknown=OnUnknown.VERIFY, expires_ms=T0 + 5)
    alone = await put(spool, 0, expires_ms=T0 + 5)
    assert [due.pairing for due in await spool.peek(lane(made), T0, 9)] == [number, 0]
    assert [due.pairing for due in await spool.expired(T0 + 9, 9)] == [number, 0]
    start = attempt(made)
    await spool.claim(start)
    await spool.settle(settlement(start, outcome(0, S.UNKNOWN)))
    assert [due.pairing for due in await spool.unknowns(T0 + 9, 9)] == [number]
    assert alone.id


# ---- confirmed or not ------------------------------------------------------------------------------------------------


async def test_confirm_ignores_what_is_settled_elsewhere_or_unknown(spool, number):
    second = await spool.attach(ME, "relay-c", 1)
    live, past, elsewhere, alone = [await put(spool, n) for n in (number, number, second, 0)]
    await delivered(spool, past)
    await spool.confirm(number, [past.id, "nobody", elsewhere.id, live.id, alone.id, live.id])
    await spool.confirm(0, [alone.id])
    await spool.confirm(number, [])
    assert [(await looked(spool, each)).confirmed for each in (live, past, elsewhere, alone)] == [True] + [False] * 3
    assert await spool.unprotected() == 2
    assert await spool.untold(number, 9) == [past.id]


async def test_unprotected_counts_live_mail_that_is_not_known_to_be_kept_twice(spool, number):
    made = [await put(spool, number) for _ in range(6)]
    assert await spool.unprotected() == 6
    await spool.confirm(number, [each.id for each in made[:4]])
    assert await spool.unprotected() == 2
    await delivered(spool, made[0])
    await delivered(spool, made[5])
    assert await spool.unprotected() == 1
    await spool.unconfirm(number)
    assert await spool.unprotected() == 4
    await spool.yield_up([made[1].id])
    assert await spool.unprotected() == 3
    await spool.confirm(number, [each.id for each in made])
    assert await spool.unprotected() == 0


async def test_reattached_is_unconfirmed_and_only_what_is_live_and_not_in_flight(spool, number):
    second = await spool.attach(ME, "relay-c", 1)
    made = [await put(spool, number) for _ in range(4)]
    await spool.confirm(number, [each.id for each in made])
    await delivered(spool, made[1])
    await spool.claim(attempt(made[2]))
    done = await spool.reattach([*(each.id for each in made), "nobody"], second)
    assert sorted(done) == [made[0].id, made[3].id]
    assert await names(spool, second) == [made[0].id, made[3].id]
    assert await names(spool, number) == [made[2].id]
    assert await spool.unprotected() == 2
    assert await spool.untold(number, 9) == [made[1].id]
    assert await spool.reattach([made[0].id], 0) == [made[0].id]
    assert (await looked(spool, made[0])).pairing == 0


# ---- standing --------------------------------------------------------------------------------------------------------


async def test_standing_comes_by_id_and_in_parts(spool, number):
    made = [await put(spool, number, message_id=f"s{n:02d}") for n in (4, 0, 3, 1, 2)]
    await spool.confirm(number, ["s01", "s03"])
    assert await names(spool, number) == [f"s{n:02d}" for n in range(5)]
    assert await names(spool, number, unconfirmed=True) == ["s00", "s02", "s04"]
    assert [each.message.id for each in await spool.standing(number, "s01", 2)] == ["s02", "s03"]
    await spool.yield_up(["s01"])
    assert [each.message.id for each in await spool.standing(number, "s01", 9)] == ["s02", "s03", "s04"]
    assert [each.confirmed for each in await spool.standing(number, "", 9)] == [False, False, True, False]
    assert await spool.standing(number, "", 0) == []
    assert len(made) == 5


async def test_standing_says_all_that_is_known(spool, number):
    made = await put(spool, number, to=("a@x.example", "b@x.example", "c@x.example"))
    (fresh,) = await spool.standing(number, "", 9)
    assert (fresh.message, fresh.size_bytes, fresh.pairing, fresh.progress, fresh.lines) == (
        made, len(BODY), number, (), (),
    )  # fmt: skip
    assert message_of(fresh.facts) == made
    first, second = attempt(made, 0, trace="00-1-2-01"), attempt(made, 1)
    await spool.claim(first)
    await spool.claim(second)
    await spool.settle(settlement(first, outcome(0, S.DEFERRED, "busy", reply="450", next_attempt_ms=T0 + 9)))
    (now,) = await spool.standing(number, "", 9)
    waiting, flying = now.progress
    assert (waiting.index, waiting.state, waiting.attempts, waiting.next_attempt_ms) == (0, S.DEFERRED, 1, T0 + 9)
    assert (waiting.reason, waiting.reply, waiting.traceparent) == ("busy", "450", "00-1-2-01")
    assert waiting.way == "submission:relay@contoso.com"
    assert (flying.index, flying.state, now.moving) == (1, S.IN_FLIGHT, True)
    assert [line.event for line in now.lines] == ["claimed", "claimed", "deferred"]


async def test_held_by_its_plan_is_untried_and_released_is_not(spool, number):
    made = await put(spool, number, held=True)
    assert (await spool.standing(number, "", 9))[0].progress == ()
    await spool.release(Filter(ids=(made.id,)), "ann", "why", T0)
    assert [each.state for each in (await spool.standing(number, "", 9))[0].progress] == [S.QUEUED]


# ---- look ------------------------------------------------------------------------------------------------------------


async def test_look_knows_live_and_past_and_misses_what_was_never_seen(spool, number):
    live, past, flying = [await put(spool, number) for _ in range(3)]
    await delivered(spool, past)
    await spool.claim(attempt(flying))
    assert await spool.look([live.id, past.id, flying.id, "nobody"]) == {
        live.id: Looked(pairing=number, confirmed=False, finished=False, moving=False),
        past.id: Looked(pairing=0, confirmed=False, finished=True, moving=False),
        flying.id: Looked(pairing=number, confirmed=False, finished=False, moving=True),
    }
    assert await spool.look([]) == {}


# ---- settled ---------------------------------------------------------------------------------------------------------


async def test_settled_is_remembered_until_the_other_end_has_heard(spool, number):
    made = [await put(spool, number) for _ in range(3)]
    alone = await put(spool, 0)
    for each in [*reversed(made), alone]:
        await delivered(spool, each)
    assert await spool.untold(number, 9) == [each.id for each in made]
    assert await spool.untold(number, 2) == [each.id for each in made[:2]]
    assert await spool.untold(0, 9) == []
    live = await put(spool, number)
    await spool.told([made[1].id, live.id, "nobody"])
    assert await spool.untold(number, 9) == [made[0].id, made[2].id]
    assert (await looked(spool, live)).pairing == number
    await spool.told([])


async def test_what_lives_again_is_here_alone(spool, number):
    heard, unheard = [await put(spool, number, on_unknown=OnUnknown.VERIFY) for _ in range(2)]
    await spool.confirm(number, [heard.id, unheard.id])
    for each in (heard, unheard):
        await spool.finish(each.id, [outcome(0, S.DEAD)], T0, "dead")
    await spool.told([heard.id])
    assert await spool.release(Filter(states=(S.DEAD,)), "ann", "again", T0) == 2
    for each in (heard, unheard):
        assert await looked(spool, each) == Looked(pairing=0, confirmed=False, finished=False, moving=False)
    assert await spool.untold(number, 9) == []
    assert await spool.here(0) == Here(own=True, unconfirmed=True, careful=True)


async def test_prune_leaves_nothing_behind(spool, number):
    made = await put(spool, number)
    await delivered(spool, made)
    assert await spool.prune(T0 + 99_999, 9) == 1
    assert await spool.untold(number, 9) == []
    assert await spool.look([made.id]) == {}


# ---- giving up and withdrawing ---------------------------------------------------------------------------------------


async def test_what_is_given_up_is_gone_without_a_trace(spool, number):
    kept = await put(spool, number)
    small = await put(spool, number, to=("a@x.example", "b@x.example"))
    large = await put(spool, number, BIG)
    start = attempt(small, 0)
    await spool.claim(start)
    await spool.settle(settlement(start, outcome(0, S.DEFERRED)))
    file = await spool.body(large.id)
    await spool.yield_up([small.id, large.id, "nobody"])
    for each in (small, large):
        assert await spool.journey(each.id) is None
        assert await looked(spool, each) is None
        with pytest.raises(MessageGone):
            await spool.body(each.id)
        assert not await spool.claim(attempt(each))
    counts = await spool.count()
    assert (counts.by_state.get("deferred", 0), counts.by_state["queued"], counts.body_bytes) == (0, 1, len(BODY))
    assert await names(spool, number) == [kept.id]
    assert await spool.unprotected() == 1
    await spool.close()
    assert not file.exists()


async def test_one_in_flight_keeps_all_from_being_given_up(spool, number):
    still, flying = [await put(spool, number) for _ in range(2)]
    await spool.claim(attempt(flying))
    with pytest.raises(WrongRequest, match=flying.id):
        await spool.yield_up([still.id, flying.id])
    assert await names(spool, number) == [still.id, flying.id]


async def test_history_is_not_given_up(spool, number):
    past = await put(spool, number)
    await delivered(spool, past)
    await spool.yield_up([past.id])
    assert (await looked(spool, past)).finished


async def test_a_message_nobody_was_promised_is_withdrawn(spool, number):
    made = await put(spool, number, to=("a@x.example", "b@x.example"))
    await spool.postpone(made.id, [0], T0 + 99, "no_budget")
    assert await spool.withdraw(made.id, "no second copy", T0 + 5)
    view = await spool.journey(made.id)
    assert [queued.state for queued in view.recipients] == [S.DELETED] * 2
    assert (view.lines[-1].event, view.lines[-1].detail) == ("withdrawn", {"why": "no second copy"})
    assert view.finished_ms == T0 + 5
    assert await spool.peek(lane(made), T0 + 999, 9) == []
    assert await spool.untold(number, 9) == [made.id]
    before = view
    assert await spool.withdraw(made.id, "again", T0 + 9)
    assert await spool.journey(made.id) == before
    assert await spool.withdraw("nobody", "why", T0)


@pytest.mark.parametrize("then", [S.DELIVERED, S.DEFERRED, S.QUEUED, S.UNKNOWN, S.BOUNCED, S.HELD, None])
async def test_what_was_tried_is_not_withdrawn(spool, number, then):
    made = await put(spool, number, to=("a@x.example", "b@x.example"))
    start = attempt(made, 0)
    await spool.claim(start)
    if then is not None:
        await spool.settle(settlement(start, outcome(0, then)))
    before = await spool.journey(made.id)
    assert not await spool.withdraw(made.id, "no second copy", T0 + 5)
    assert await spool.journey(made.id) == before


async def test_what_an_attempt_took_up_is_not_withdrawn_although_it_counted_for_nothing(spool, number):
    sent, cut_off = await put(spool, number), await put(spool, number)
    start = attempt(sent)
    await spool.claim(start)
    await spool.settle(settlement(start, outcome(0, S.QUEUED, counts_as_attempt=False)))
    await spool.claim(attempt(cut_off))
    await spool.recover(T0 + 5)
    for each in (sent, cut_off):
        assert await states(spool, each) == [S.QUEUED]
        assert not await spool.withdraw(each.id, "no second copy", T0 + 9)


# ---- adopting --------------------------------------------------------------------------------------------------------


async def moved_out(spool, number, body=BODY, **facts):
    """A message's standing after it was moved out."""
    made = await put(spool, number, body, **facts)
    (standing,) = await spool.standing(number, "", 9)
    await spool.yield_up([made.id])
    return standing


async def test_given_up_and_taken_back_it_stands_as_before(spool, number):
    made = await put(spool, number, to=("a@x.example", "b@x.example"))
    start = attempt(made, 0)
    await spool.claim(start)
    await spool.settle(settlement(start, outcome(0, S.DEFERRED, "busy", next_attempt_ms=T0 + 9)))
    await spool.confirm(number, [made.id])
    (standing,) = await spool.standing(number, "", 9)
    await spool.yield_up([made.id])
    assert await spool.adopt(standing, BODY, origin="relay-b", now_ms=T0 + 7)
    (again,) = await spool.standing(number, "", 9)
    assert again.progress == standing.progress
    assert (again.facts, again.confirmed, again.pairing) == (standing.facts, False, number)
    assert await events(spool, made) == ["accepted", "claimed", "deferred", "adopted"]
    assert (await spool.journey(made.id)).lines[-1].detail == {"from": "relay-b"}
    assert await spool.body(made.id) == BODY
    assert [queued.index for due in await spool.peek(lane(made), T0, 9) for queued in due.recipients] == [1]
    counts = await spool.count()
    assert {state: n for state, n in counts.by_state.items() if n} == {"queued": 1, "deferred": 1}
    assert counts.body_bytes == len(BODY)


@pytest.mark.parametrize("on_unknown", OnUnknown)
async def test_one_whose_dot_may_have_been_sent_is_unknown_by_its_class(spool, number, on_unknown):
    standing = await moved_out(spool, number, on_unknown=on_unknown)
    assert await spool.adopt(standing, BODY, sent=frozenset({0}), origin="relay-b", now_ms=T0 + 7)
    made = standing.message
    (queued,) = (await spool.journey(made.id)).recipients
    again = on_unknown is OnUnknown.RESEND
    assert queued.state is (S.QUEUED if again else S.UNKNOWN)
    assert await events(spool, made) == ["accepted", "adopted", "unknown", *(["resent"] if again else [])]


async def test_what_is_here_is_not_taken_twice_live_or_past(spool, number):
    standing = await moved_out(spool, number)
    assert await spool.adopt(standing, BODY, origin="relay-b", now_ms=T0)
    assert not await spool.adopt(standing, BODY, origin="relay-b", now_ms=T0)
    await delivered(spool, standing.message)
    assert not await spool.adopt(standing, BODY, origin="relay-b", now_ms=T0)
    assert (await looked(spool, standing.message)).finished


async def test_taken_at_once_from_two_sides_it_is_here_once(spool, number):
    standing = await moved_out(spool, number)
    both = await asyncio.gather(*(spool.adopt(standing, BODY, origin="relay-b", now_ms=T0) for _ in range(3)))
    assert sorted(both) == [False, False, True]
    assert (await spool.count()).by_state["queued"] == 1


async def test_large_bodies_are_shared_and_outlive_where_they_came_from(spool, number, tmp_path):
    standing = await moved_out(spool, number, BIG)
    source = tmp_path / "elsewhere"
    source.write_bytes(BIG)
    assert await spool.adopt(standing, source, origin="relay-b", now_ms=T0)
    kept = await spool.body(standing.message.id)
    assert kept.stat().st_ino == source.stat().st_ino
    source.unlink()
    assert kept.read_bytes() == BIG
    await spool.yield_up([standing.message.id])
    assert await spool.adopt(standing, BIG, origin="relay-b", now_ms=T0)
    assert (await spool.body(standing.message.id)).read_bytes() == BIG


async def test_one_that_is_settled_already_is_history_at_once_and_to_be_told(spool, number):
    standing = await moved_out(spool, number, BIG)
    done = msgspec.structs.replace(standing, progress=(Progress(index=0, state=S.DELIVERED),))
    assert await spool.adopt(done, BIG, origin="relay-b", now_ms=T0 + 7)
    assert (await spool.journey(standing.message.id)).finished_ms == T0 + 7
    assert (await spool.count()).body_bytes == 0
    assert await spool.untold(number, 9) == [standing.message.id]


async def test_under_a_number_nobody_was_given_nothing_is_taken(spool, number):
    standing = msgspec.structs.replace(await moved_out(spool, number), pairing=77)
    with pytest.raises(WrongRequest, match="number 77"):
        await spool.adopt(standing, BODY, origin="relay-b", now_ms=T0)
    assert await looked(spool, standing.message) is None
    alone = msgspec.structs.replace(standing, pairing=0)
    assert await spool.adopt(alone, BODY, origin="relay-b", now_ms=T0)
    assert (await looked(spool, standing.message)).pairing == 0


# ---- what is told of changes -----------------------------------------------------------------------------------------


@pytest.fixture
def heard(spool):
    found = []
    spool.on_changed = found.extend
    return found


async def test_taking_in_and_what_is_alone_is_no_news(spool, number, heard):
    await put(spool, number)
    await put(spool, number, held=True)
    await delivered(spool, await put(spool, 0))
    await delivered(spool, await put(spool, None))
    standing = await moved_out(spool, await spool.attach(ME, "relay-c", 1))
    await spool.adopt(standing, BODY, origin="relay-b", now_ms=T0)
    await spool.count()
    assert heard == []


async def test_a_life_is_told_step_by_step_before_its_caller_goes_on(spool, number, heard):
    made = await put(spool, number, to=("a@x.example", "b@x.example"), on_unknown=OnUnknown.VERIFY)
    start = attempt(made, 1)
    await spool.claim(start)
    (claimed,) = heard
    assert (claimed.message_id, claimed.pairing, claimed.careful) == (made.id, number, True)
    assert claimed.claimed == ((start.attempt_id, (1,)),)
    assert (claimed.attempt_ids, claimed.progress, claimed.finished) == ((), (), False)
    assert [line.event for line in claimed.lines] == ["claimed"]
    heard.clear()
    await spool.intend(start.attempt_id, T0 + 1)
    assert heard == []
    await spool.settle(settlement(start, outcome(1, S.DEFERRED, "busy", next_attempt_ms=T0 + 9)))
    (settled,) = heard
    assert (settled.attempt_ids, settled.claimed, settled.finished) == ((start.attempt_id,), (), False)
    (moved,) = settled.progress
    assert (moved.index, moved.state, moved.attempts, moved.next_attempt_ms) == (1, S.DEFERRED, 1, T0 + 9)
    assert [line.event for line in settled.lines] == ["deferred"]
    heard.clear()
    await spool.postpone(made.id, [0, 1], T0 + 50, "no_budget")
    assert [[each.index for each in one.progress] for one in heard] == [[0, 1]]
    heard.clear()
    await spool.finish(made.id, [outcome(0, S.BOUNCED), outcome(1, S.DEAD)], T0 + 60, "expired")
    (last,) = heard
    assert (last.finished, [each.state for each in last.progress]) == (True, [S.BOUNCED, S.DEAD])
    assert last.pairing == number


async def test_operators_and_withdrawing_are_told(spool, number, heard):
    held, withdrawn = await put(spool, number), await put(spool, number)
    await spool.hold(Filter(ids=(held.id,)), "ann", "why", T0)
    await spool.withdraw(withdrawn.id, "why", T0)
    assert [(each.message_id, each.finished) for each in heard] == [(held.id, False), (withdrawn.id, True)]
    assert heard[0].progress[0].state is S.HELD


async def test_nothing_is_told_of_what_failed_or_changed_nothing(spool, number, heard):
    made = await put(spool, number)
    await spool.withdraw("nobody", "why", T0)
    with pytest.raises(MessageGone):
        await spool.finish("nobody", [outcome(0, S.DEAD)], T0, "dead")
    await spool.confirm(number, [made.id])
    await spool.reattach([made.id], number)
    await spool.unconfirm(number)
    assert heard == []


# ---- the sequence ----------------------------------------------------------------------------------------------------


async def test_the_sequence_told_is_remembered(spool):
    assert await spool.remembered() == 0
    before = await spool.sequence()
    await put(spool, None)
    assert await spool.sequence() > before
    await spool.remember(12)
    assert await spool.remembered() == 12


async def test_a_body_file_at_the_door_keeps_its_pairing(spool, number):
    made = message()
    path = spool.new_body_path(made.id)
    path.write_bytes(BIG)
    await spool.append(Accepted(message=made, body=BodyFile(path=str(path), size_bytes=len(BIG)), pairing=number))
    assert (await looked(spool, made)).pairing == number
    assert accepted(made).pairing is None


async def test_what_shall_lie_here_alone_is_not_unprotected(spool, number):
    lone = await put_lone(spool, 0)
    await put(spool, 0)
    paired = await put_lone(spool, number)  # its copy was asked for: it counts like any other
    assert await spool.unprotected() == 2
    assert (await looked(spool, lone)).confirmed
    assert not (await looked(spool, paired)).confirmed
    assert len(await names(spool, 0, unconfirmed=True)) == 1
