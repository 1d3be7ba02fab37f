"""What every spool promises, on SQLite and in memory alike."""

import pytest

from node.policy.envelope import Direction, OnUnknown, Recipient, RecipientState
from node.policy.lifecycle import IllegalMove
from node.spool.contract import BodyFile, Filter, RecipientResult
from node.spool.errors import AttemptUnknown, MessageGone, SpoolClosed, WrongRequest
from node.spool.memory import MemorySpool
from node.spool.sqlite import SqliteSpool
from tests.support.spool_mail import BODY, T0, accepted, attempt, lane, message, outcome, settlement

S = RecipientState


@pytest.fixture(params=["sqlite", "memory"])
async def spool(request, tmp_path):
    kind = SqliteSpool if request.param == "sqlite" else MemorySpool
    made = kind(tmp_path / "spool", now_ms=lambda: T0 + 500)
    await made.open(T0)
    yield made
    await made.close()


async def put(spool, **facts):
    made = message(**facts)
    await spool.append(accepted(made))
    return made


async def states(spool, made):
    view = await spool.journey(made.id)
    return [queued.state for queued in view.recipients]


async def events(spool, made):
    view = await spool.journey(made.id)
    return [line.event for line in view.lines]


async def test_an_appended_message_is_due_and_whole(spool):
    made = await put(spool, to=("a@x.example", "b@x.example"))
    (due,) = await spool.peek(lane(made), T0, 10)
    assert due.message == made
    assert [q.address for q in due.recipients] == ["a@x.example", "b@x.example"]
    assert await spool.body(made.id) == BODY
    (state,) = await spool.lanes()
    assert (state.lane, state.waiting, state.first_due_ms, state.oldest_received_ms) == (lane(made), 2, T0, T0)
    assert await events(spool, made) == ["accepted"]


async def test_an_id_is_taken_once(spool):
    made = await put(spool)
    with pytest.raises(WrongRequest, match=made.id):
        await spool.append(accepted(made))
    assert (await spool.count()).by_state == {"queued": 1}


async def test_no_recipients_is_refused(spool):
    made = message(rcpts=())
    with pytest.raises(WrongRequest, match="0 recipients"):
        await spool.append(
            accepted(type(made)(**{f: getattr(made, f) for f in made.__struct_fields__} | {"recipients": ()}))
        )


async def test_a_full_life(spool):
    made = await put(spool)
    start = attempt(made, trace="00-1-2-01")
    assert await spool.claim(start)
    assert await spool.peek(lane(made), T0 + 9, 10) == []
    assert await spool.lanes() == []
    await spool.intend(start.attempt_id, T0 + 1500)
    await spool.settle(settlement(start, upstream_id="<up@x>"))
    view = await spool.journey(made.id)
    assert [q.state for q in view.recipients] == [S.DELIVERED]
    assert view.finished_ms == T0 + 2000
    assert [line.event for line in view.lines] == ["accepted", "claimed", "delivered"]
    assert view.lines[2].detail["upstream_id"] == "<up@x>"
    with pytest.raises(MessageGone):
        await spool.body(made.id)
    counts = await spool.count()
    assert (counts.by_state, counts.body_bytes, counts.oldest_received_ms) == ({"delivered": 1}, 0, {})


async def test_delivered_and_bounced_later(spool):
    made = await put(spool, to=("a@x.example", "b@x.example"))
    start = attempt(made, 0, 1)
    await spool.claim(start)
    await spool.settle(settlement(start))
    late = RecipientResult(index=1, state=S.BOUNCED, reason="recipient_unknown", reply="550 5.1.10 no", stage="ndr")
    with pytest.raises(IllegalMove):
        await spool.finish(made.id, [late], T0 + 9_000, "bounced")
    with pytest.raises(WrongRequest, match="only be bounced"):
        await spool.finish(made.id, [outcome(1, S.DEAD)], T0 + 9_000, "bounced_later")
    await spool.finish(made.id, [late], T0 + 9_000, "bounced_later")
    view = await spool.journey(made.id)
    assert [q.state for q in view.recipients] == [S.DELIVERED, S.BOUNCED]
    assert view.recipients[1].last_reply == "550 5.1.10 no"
    assert view.recipients[1].last_way == f"{start.path}:{start.account}", "the way it went stays known"
    assert [line.event for line in view.lines] == ["accepted", "claimed", "delivered", "bounced_later"]
    assert view.lines[3].detail == {"reason": "recipient_unknown", "reply": "550 5.1.10 no", "stage": "ndr"}
    assert view.finished_ms == T0 + 2000, "it is not finished anew"
    assert (await spool.count()).by_state == {"delivered": 1, "bounced": 1}
    with pytest.raises(IllegalMove):
        await spool.finish(made.id, [late], T0 + 9_500, "bounced_later")
    with pytest.raises(MessageGone):
        await spool.body(made.id)


async def test_what_still_waits_is_not_bounced_later(spool):
    made = await put(spool)
    with pytest.raises(IllegalMove):
        await spool.finish(made.id, [outcome(0, S.BOUNCED)], T0 + 9_000, "bounced_later")
    assert await states(spool, made) == [S.QUEUED]


async def test_a_claim_takes_all_or_nothing(spool):
    made = await put(spool, to=("a@x.example", "b@x.example"))
    assert await spool.claim(attempt(made, 0))
    assert not await spool.claim(attempt(made, 0, 1))
    assert await states(spool, made) == [S.IN_FLIGHT, S.QUEUED]
    assert not await spool.claim(attempt(message()))
    assert not await spool.claim(attempt(made, 1, 1))
    assert not await spool.claim(attempt(made, 7))


async def test_an_attempt_id_is_claimed_once(spool):
    made = await put(spool, to=("a@x.example", "b@x.example"))
    assert await spool.claim(attempt(made, 0, attempt_id="one"))
    with pytest.raises(WrongRequest, match="one"):
        await spool.claim(attempt(made, 1, attempt_id="one"))


async def test_settling_twice_changes_nothing(spool):
    made = await put(spool)
    start = attempt(made)
    await spool.claim(start)
    await spool.settle(settlement(start))
    before = await spool.journey(made.id)
    await spool.settle(settlement(start, outcome(0, S.BOUNCED)))
    assert await spool.journey(made.id) == before
    with pytest.raises(WrongRequest):
        await spool.intend(start.attempt_id, T0)


async def test_a_settlement_must_fit_its_attempt(spool):
    made = await put(spool, to=("a@x.example", "b@x.example"))
    start = attempt(made)
    await spool.claim(start)
    with pytest.raises(WrongRequest, match="each of its recipients"):
        await spool.settle(settlement(start, outcome(0, S.DELIVERED)))
    with pytest.raises(AttemptUnknown):
        await spool.settle(settlement(attempt(made)))
    with pytest.raises(IllegalMove):
        await spool.settle(settlement(start, outcome(0, S.DELIVERED), outcome(1, S.DELETED)))
    assert await states(spool, made) == [S.IN_FLIGHT, S.IN_FLIGHT]


async def test_outcomes_differ_by_recipient(spool):
    made = await put(spool, to=tuple(f"u{n}@x.example" for n in range(6)))
    start = attempt(made)
    await spool.claim(start)
    results = [
        outcome(0, S.DELIVERED),
        outcome(1, S.DEFERRED, "busy", reply="451 4.7.0 later", next_attempt_ms=T0 + 60_000),
        outcome(2, S.DEFERRED, "no_budget", next_attempt_ms=T0 + 5_000, counts_as_attempt=False),
        outcome(3, S.BOUNCED, "no_such_user", reply="x" * 900),
        outcome(4, S.HELD, "content"),
        outcome(5, S.UNKNOWN, "no_answer"),
    ]
    await spool.settle(settlement(start, *results))
    view = await spool.journey(made.id)
    assert [q.state for q in view.recipients] == [S.DELIVERED, S.DEFERRED, S.DEFERRED, S.BOUNCED, S.HELD, S.UNKNOWN]
    assert [q.attempts for q in view.recipients] == [0, 1, 0, 1, 1, 1]
    assert [q.next_attempt_ms for q in view.recipients] == [0, T0 + 60_000, T0 + 5_000, 0, 0, 0]
    assert len(view.recipients[3].last_reply) == 512
    assert view.recipients[1].last_way == "submission:relay@contoso.com"
    told = {line.event: line.indexes for line in view.lines[2:]}
    assert told == {
        "delivered": (0,),
        "deferred": (1,),
        "postponed": (2,),
        "bounced": (3,),
        "held": (4,),
        "unknown": (5,),
    }
    assert view.finished_ms == 0
    (unknown,) = await spool.unknowns(T0, 10)
    assert [q.index for q in unknown.recipients] == [5]
    assert await spool.body(made.id) == BODY


async def test_peek_is_oldest_due_first_and_keeps_a_message_together(spool):
    first = await put(spool, to=("a@x.example", "b@x.example"), received_ms=T0)
    second = await put(spool, received_ms=T0 + 1)
    third = await put(spool, received_ms=T0 + 2)
    await spool.postpone(first.id, [0], T0 + 5, "later")
    seen = await spool.peek(lane(first), T0 + 10, 2)
    assert [(d.message.id, [q.index for q in d.recipients]) for d in seen] == [(first.id, [0, 1]), (second.id, [0])]
    seen = await spool.peek(lane(first), T0 + 10, 2, exclude=[first.id, "nobody"])
    assert [d.message.id for d in seen] == [second.id, third.id]
    seen = await spool.peek(lane(first), T0 + 1, 9)
    assert [[q.index for q in d.recipients] for d in seen] == [[1], [0]]
    assert await spool.peek("no/such/lane", T0 + 10, 2) == []


async def test_lanes_divide_a_message(spool):
    mixed = (
        Recipient(address="in@contoso.com", direction=Direction.INTERNAL),
        Recipient(address="out@x.example", direction=Direction.EXTERNAL),
    )
    made = await put(spool, rcpts=mixed)
    assert [(s.lane.split("/")[2], s.waiting) for s in await spool.lanes()] == [("external", 1), ("internal", 1)]
    (due,) = await spool.peek(lane(made), T0, 10)
    assert [q.index for q in due.recipients] == [0]


async def test_last_traceparent_is_of_the_newest_attempt(spool):
    made = await put(spool, to=("a@x.example", "b@x.example"))
    for index, at_ms, trace in ((0, T0 + 20, "new"), (1, T0 + 10, "old")):
        start = attempt(made, index, at_ms=at_ms, trace=trace)
        await spool.claim(start)
        await spool.settle(settlement(start, outcome(index, S.QUEUED, "switch"), at_ms=T0 + 30))
    (due,) = await spool.peek(lane(made), T0 + 30, 10)
    assert due.last_traceparent == "new"


async def test_postponing_tells_only_news_and_leaves_others_alone(spool):
    made = await put(spool, to=("a@x.example", "b@x.example"))
    await spool.claim(attempt(made, 1))
    for until_ms in (T0 + 10, T0 + 20):
        await spool.postpone(made.id, [0, 1], until_ms, "no_budget")
    view = await spool.journey(made.id)
    assert [(q.state, q.next_attempt_ms, q.attempts) for q in view.recipients] == [
        (S.DEFERRED, T0 + 20, 0),
        (S.IN_FLIGHT, 0, 0),
    ]
    assert [line.event for line in view.lines] == ["accepted", "claimed", "postponed"]
    with pytest.raises(MessageGone):
        await spool.postpone("nobody", [0], T0, "x")


@pytest.mark.parametrize(
    ("on_unknown", "dot", "expected"),
    [
        (OnUnknown.RESEND, False, S.QUEUED),
        (OnUnknown.RESEND, True, S.QUEUED),
        (OnUnknown.BOUNCE, False, S.QUEUED),
        (OnUnknown.BOUNCE, True, S.UNKNOWN),
        (OnUnknown.VERIFY, False, S.QUEUED),
        (OnUnknown.VERIFY, True, S.UNKNOWN),
    ],
)
async def test_recover_judges_by_class_and_intent(spool, on_unknown, dot, expected):
    made = await put(spool, on_unknown=on_unknown)
    start = attempt(made)
    await spool.claim(start)
    if dot:
        await spool.intend(start.attempt_id, T0 + 1100)
    await spool.close()
    await spool.open(T0 + 5000)
    (found,) = await spool.recover(T0 + 5000, T0 + 65_000)
    assert (found.start, found.dot_ms, found.finished_ms, found.recipients) == (start, T0 + 1100 if dot else 0, 0, 1)
    assert await states(spool, made) == [expected]
    told = ["accepted", "claimed", "unknown"] + ([] if expected is S.UNKNOWN else ["resent"])
    assert await events(spool, made) == told
    (again,) = await spool.recover(T0 + 9000)
    assert again.finished_ms == T0 + 65_000, "a second crash does not make an answer of what had none"
    assert await events(spool, made) == told


async def test_recover_gives_attempts_of_25_hours_that_said_mail(spool):
    made = await put(spool, to=("a@x.example", "b@x.example", "c@x.example"))
    hour = 3_600_000
    for index, at_ms, sent in ((0, T0, True), (1, T0 + 2 * hour, True), (2, T0 + 3 * hour, False)):
        start = attempt(made, index, at_ms=at_ms, attempt_id=f"n{index}")
        await spool.claim(start)
        await spool.settle(settlement(start, at_ms=at_ms + 1, mail_sent=sent))
    found = await spool.recover(T0 + 26 * hour)
    assert [open_attempt.start.attempt_id for open_attempt in found] == ["n1"]


async def test_finish_without_an_attempt(spool):
    made = await put(spool, expires_ms=T0 + 100, to=("a@x.example", "b@x.example"))
    assert await spool.expired(T0 + 99, 10) == []
    (due,) = await spool.expired(T0 + 100, 10)
    assert len(due.recipients) == 2
    with pytest.raises(IllegalMove):
        await spool.finish(made.id, [outcome(0, S.BOUNCED), outcome(1, S.DELIVERED)], T0, "expired")
    assert await states(spool, made) == [S.QUEUED, S.QUEUED]
    await spool.finish(made.id, [outcome(0, S.BOUNCED, "expired"), outcome(1, S.DEAD, "no_way")], T0 + 100, "expired")
    assert await states(spool, made) == [S.BOUNCED, S.DEAD]
    assert (await events(spool, made))[1:] == ["expired", "expired"]
    assert await spool.body(made.id) == BODY  # a dead one keeps it
    assert await spool.expired(T0 + 100, 10) == []


async def test_dead_letters_are_replayed(spool):
    made = await put(spool)
    await spool.finish(made.id, [outcome(0, S.DEAD, "undeliverable")], T0, "dead")
    assert (await spool.journey(made.id)).finished_ms == T0
    assert await spool.release(Filter(states=(S.DEAD,)), "ann", "fixed", T0 + 50) == 1
    view = await spool.journey(made.id)
    assert (view.finished_ms, view.recipients[0].state, view.recipients[0].next_attempt_ms) == (0, S.QUEUED, T0 + 50)
    assert view.lines[-1].event == "replayed"
    assert view.lines[-1].detail == {"actor": "ann", "why": "fixed"}


async def test_a_deleted_dead_letter_loses_its_body(spool):
    made = await put(spool)
    await spool.finish(made.id, [outcome(0, S.DEAD, "undeliverable")], T0, "dead")
    assert await spool.delete(Filter(ids=(made.id,)), "ann", "old", T0 + 50) == 1
    with pytest.raises(MessageGone):
        await spool.body(made.id)
    assert (await spool.count()).body_bytes == 0


async def test_hold_release_delete_by_filter(spool):
    one = await put(spool, client="one", to=("a@x.example", "b@y.example"))
    two = await put(spool, client="two")
    flying = await put(spool, client="one")
    await spool.claim(attempt(flying))
    assert await spool.hold(Filter(client="one"), "ann", "look", T0) == 2
    assert await states(spool, one) == [S.HELD, S.HELD]
    assert await states(spool, two) == [S.QUEUED]
    assert await states(spool, flying) == [S.IN_FLIGHT]
    assert await spool.release(Filter(recipient="*@y.example"), "ann", "ok", T0 + 7) == 1
    assert await states(spool, one) == [S.HELD, S.QUEUED]
    assert await spool.delete(Filter(states=(S.HELD,)), "ann", "spam", T0 + 8) == 1
    assert await states(spool, one) == [S.DELETED, S.QUEUED]
    assert await events(spool, one) == ["accepted", "held", "released", "deleted"]
    assert await spool.hold(Filter(states=(S.DELIVERED,)), "ann", "x", T0) == 0


async def test_operators_touch_at_most_limit_messages_and_can_go_on(spool):
    for _ in range(5):
        await put(spool)
    changed = [await spool.hold(Filter(limit=2), "ann", "x", T0) for _ in range(4)]
    assert changed == [2, 2, 1, 0]


async def test_accepted_on_hold(spool):
    made = await put(spool, held=True)
    assert await states(spool, made) == [S.HELD]
    assert await spool.lanes() == []
    assert await events(spool, made) == ["accepted", "held"]


async def test_find_by_everything(spool):
    old = await put(spool, client="erp", sender="Erp@Contoso.com", to=("Ann@X.example",), received_ms=T0)
    new = await put(
        spool,
        client="web",
        sender="web@fabrikam.com",
        mail_from="bounce@contoso.com",
        rcpts=(Recipient(address="dest@z.example", direction=Direction.EXTERNAL, original="list@y.example"),),
        received_ms=T0 + 10,
    )

    async def ids(**fields):
        return [view.message.id for view in await spool.find(Filter(**fields))]

    assert await ids() == [new.id, old.id]
    assert await ids(limit=1) == [new.id]
    assert await ids(limit=0) == []
    assert await ids(ids=(old.id, "nobody")) == [old.id]
    assert await ids(client="erp") == [old.id]
    assert await ids(sender="erp@contoso.com") == [old.id]
    assert await ids(sender="*@contoso.com") == [new.id, old.id]
    assert await ids(sender="*@contoso.co") == []
    assert await ids(recipient="ann@x.example") == [old.id]
    assert await ids(recipient="list@Y.example") == [new.id]
    assert await ids(recipient="*@z.example", client="web", since_ms=T0 + 10) == [new.id]
    assert await ids(until_ms=T0 + 10) == [old.id]
    assert await ids(since_ms=T0 + 11) == []
    assert await ids(states=(S.HELD,)) == []
    assert await ids(states=(S.QUEUED,), recipient="ann@x.example") == [old.id]
    await spool.hold(Filter(ids=(old.id,)), "ann", "x", T0)
    assert await ids(states=(S.HELD, S.DEAD)) == [old.id]
    assert await ids(states=(S.QUEUED,)) == [new.id]
    assert await ids(reason="nothing") == []


async def test_prune_drops_the_oldest_finished_first(spool):
    kept = await put(spool)
    for number in range(3):
        made = await put(spool)
        await spool.finish(made.id, [outcome(0, S.BOUNCED)], T0 + number, "bounced")
    dead = await put(spool)
    await spool.finish(dead.id, [outcome(0, S.DEAD)], T0 + 9, "dead")
    assert await spool.prune(T0 + 2, 1) == 1
    assert await spool.prune(T0 + 2, 10) == 1
    assert await spool.prune(T0 + 2, 10) == 0
    assert await spool.prune(T0 + 99, 10) == 2
    assert await spool.journey(dead.id) is None
    counts = await spool.count()
    assert (counts.by_state, counts.body_bytes) == ({"queued": 1}, len(BODY))
    assert await states(spool, kept) == [S.QUEUED]


async def test_erase_takes_an_address_out_of_finished_messages_only(spool):
    done = await put(spool, to=("Ann@x.example", "bob@x.example"))
    results = [
        outcome(0, S.BOUNCED, reply="550 5.1.1 <ann@x.example> unknown"),
        outcome(1, S.DELIVERED, reply="250 joann@x.example is not ann@x.example.org"),
    ]
    start = attempt(done)
    await spool.claim(start)
    await spool.settle(settlement(start, *results))
    live = await put(spool, to=("ann@x.example",))
    assert await spool.erase("ann@x.example", "dpo", T0 + 50) == 1
    view = await spool.journey(done.id)
    assert [q.address for q in view.recipients] == ["erased@erased.invalid", "bob@x.example"]
    assert view.recipients[0].last_reply == "550 5.1.1 <erased@erased.invalid> unknown"
    assert view.recipients[1].last_reply == "250 joann@x.example is not ann@x.example.org"
    assert "<ann@x.example>" not in repr(view)
    assert view.lines[-1].event == "erased"
    assert [v.message.id for v in await spool.find(Filter(recipient="ann@x.example"))] == [live.id]
    assert await spool.erase("ann@x.example", "dpo", T0 + 60) == 0


async def test_erase_of_a_sender(spool):
    done = await put(spool, sender="ann@contoso.com")
    await spool.finish(done.id, [outcome(0, S.BOUNCED)], T0, "bounced")
    assert await spool.erase("ann@contoso.com", "dpo", T0 + 50) == 1
    assert await spool.find(Filter(sender="ann@contoso.com")) == []
    assert (await spool.journey(done.id)).message.header_from == "erased@erased.invalid"


async def test_large_bodies_are_files_until_done(spool):
    big = b"x" * 300_000
    made = message()
    path = spool.new_body_path(made.id)
    path.write_bytes(big)
    await spool.append(accepted(made, BodyFile(path=str(path), size_bytes=len(big))))
    kept = await spool.body(made.id)
    assert kept.read_bytes() == big
    assert not path.exists()
    assert b"".join([piece async for piece in spool.export(made.id)]) == big
    start = attempt(made)
    await spool.claim(start)
    await spool.settle(settlement(start))
    await spool.close()
    assert not kept.exists()


async def test_large_bytes_are_put_into_a_file(spool):
    made = message()
    await spool.append(accepted(made, b"y" * 300_000))
    assert (await spool.body(made.id)).read_bytes() == b"y" * 300_000
    small = await put(spool)
    assert b"".join([piece async for piece in spool.export(small.id)]) == BODY


async def test_a_body_file_must_be_as_described(spool, tmp_path):
    made = message()
    path = spool.new_body_path(made.id)
    path.write_bytes(b"short")
    with pytest.raises(WrongRequest, match="5 bytes"):
        await spool.append(accepted(made, BodyFile(path=str(path), size_bytes=6)))
    elsewhere = tmp_path / "passwd"
    elsewhere.write_bytes(b"root")
    with pytest.raises(WrongRequest, match="incoming"):
        await spool.append(accepted(made, BodyFile(path=str(elsewhere), size_bytes=4)))
    for name in ("", "../x", ".hidden"):
        with pytest.raises(WrongRequest):
            spool.new_body_path(name)
    assert await spool.journey(made.id) is None


async def test_closed_is_closed_and_close_is_idempotent(spool):
    await spool.close()
    await spool.close()
    with pytest.raises(SpoolClosed):
        await spool.append(accepted(message()))


async def test_missing_things(spool):
    assert await spool.journey("nobody") is None
    with pytest.raises(MessageGone):
        await spool.body("nobody")
    with pytest.raises(MessageGone):
        await spool.finish("nobody", [outcome(0, S.DEAD)], T0, "dead")
    with pytest.raises(AttemptUnknown):
        await spool.intend("nobody", T0)


async def test_a_failing_operation_does_not_fail_its_neighbours(spool):
    import asyncio

    taken = await put(spool)
    fresh = [message() for _ in range(20)]
    results = await asyncio.gather(
        *(spool.append(accepted(made)) for made in [*fresh[:10], taken, *fresh[10:]]), return_exceptions=True
    )
    assert [type(result) for result in results] == [type(None)] * 10 + [WrongRequest] + [type(None)] * 10
    assert (await spool.count()).by_state == {"queued": 21}
