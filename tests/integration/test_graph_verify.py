"""Mail of class ``verify`` whose answer was lost, through Graph and submission: looked for, never guessed.

What counts is at the simulator: each message there once, whatever the answer was.
"""

import asyncio
import uuid

import pytest

from node.delivery.clock import wall_ms
from node.delivery.looking import Archive
from node.policy.envelope import OnUnknown, RecipientState
from node.settings.verify import Verify
from node.settings.ways import graph_flow
from node.spool.contract import Filter
from tests.support.graph_room import MAILBOXES, cloud, graph_room, script

S = RecipientState
QUICK = Verify(settle=0.6, patience=60.0)
IMPATIENT = Verify(settle=0.3, patience=0.9)
LOST_AFTER = {"at": "graph", "reply": "504 UnknownError: gateway timeout", "accepted": True}
LOST_BEFORE = {"at": "graph", "reply": "504 UnknownError: gateway timeout"}
ANSWERS_S = 60.0
"""No answer is lost but those the script loses, however busy the machine is: mail that went well is never held."""
FIRST = {"when": {"attempt": 1}}


def archives(simulator, kinds=("graph",), **more):
    values = {"graph": simulator.graph_url, "flow": graph_flow("contoso"), "keeps_copies": True}
    return {
        f"{kind}:contoso/{name}@contoso.com": Archive(**values | {"mailbox": f"{name}@contoso.com"} | more)
        for kind in kinds
        for name in MAILBOXES
    }


def verifying(tmp_path, simulator, *, verify=QUICK, kinds=("graph",), place=None, **more):
    known = archives(simulator, kinds, **(place or {}))
    return graph_room(tmp_path, simulator, kinds=kinds, archives=known, verify=verify, answers_s=ANSWERS_S, **more)


async def hand_in(back, *to, subject="x", name=None, **more):
    name = name or uuid.uuid4().hex
    head = f"From: app@contoso.com\r\nTo: {', '.join(to or ('bob@example.com',))}\r\nSubject: {subject}\r\n"
    body = f"{head}Message-ID: <{name}@contoso.com>\r\nX-Rehearsal-Id: {name}\r\n\r\nhello\r\n".encode()
    values = {"on_unknown": OnUnknown.VERIFY, "message_id": f"<{name}@contoso.com>", **more}
    return await back.submit(*to, body=body, **values)


def arrived(simulator) -> dict[str, list[int]]:
    return {one["id"]: list(one["recipients"].values()) for one in simulator.hub.receipts.deliveries()}


async def settle_all(back, ids, seconds):
    async with asyncio.timeout(seconds):
        return [await back.until(one, S.DELIVERED, S.HELD, seconds=seconds) for one in ids]


def once(simulator, amount):
    """Nobody got anything twice, nothing is missing."""
    got = arrived(simulator)
    assert len(got) == amount
    assert all(counts == [1] * len(counts) for counts in got.values()), "duplicates"
    assert simulator.hub.stats()["violations"]["total"] == 0


@pytest.mark.parametrize("amount", [30, pytest.param(1000, marks=[pytest.mark.long, pytest.mark.timeout(3000)])])
async def test_answers_lost_after_acceptance_neither_duplicate_nor_lose(tmp_path, amount):
    async with cloud() as simulator, verifying(tmp_path, simulator) as back:
        script(simulator, LOST_AFTER | FIRST)
        ids = [await hand_in(back) for _ in range(amount)]
        views = await settle_all(back, ids, 60 + amount)
        assert {view.recipients[0].last_reason for view in views} == {"verified_sent_items"}
        assert {view.recipients[0].state for view in views} == {S.DELIVERED}
        once(simulator, amount)


@pytest.mark.parametrize("amount", [30, pytest.param(1000, marks=[pytest.mark.long, pytest.mark.timeout(3000)])])
async def test_answers_lost_before_and_after_acceptance_neither_duplicate_nor_lose(tmp_path, amount):
    """What was not taken is sent again, once mail that left later proves that its copy would be there."""
    async with cloud(graph={"sent_items_after": "200ms"}) as simulator, verifying(tmp_path, simulator) as back:
        script(
            simulator,
            LOST_AFTER | {"when": {"attempt": 1, "subject": "after"}},
            LOST_BEFORE | {"when": {"attempt": 1, "subject": "before"}},
        )
        subjects = ("after", "before", "fine")
        ids = [await hand_in(back, subject=subjects[number % 3]) for number in range(amount)]
        lost = [one for number, one in enumerate(ids) if number % 3 == 1]
        proofs = asyncio.create_task(later_mail(back))
        try:
            views = await settle_all(back, ids, 60 + amount)
        finally:
            proofs.cancel()
            later = (await asyncio.gather(proofs, return_exceptions=True))[0] or back.ids[amount:]
        assert all(view.recipients[0].state is S.DELIVERED for view in views)
        events = [[line.event for line in view.lines] for view in views if view.message.id in lost]
        assert all("resent" in told for told in events)
        await settle_all(back, back.ids, 60)
        once(simulator, len(back.ids))
        assert later is not None


@pytest.mark.parametrize("amount", [30, pytest.param(1000, marks=[pytest.mark.long, pytest.mark.timeout(3000)])])
@pytest.mark.parametrize("said", [False, True], ids=["said so", "promised"])
async def test_without_copies_lost_answers_are_held_and_not_guessed(tmp_path, amount, said):
    """Neither sent again nor called delivered, whether it was taken or not, and whatever else leaves meanwhile."""
    never, place = {"sent_items_after": "24h"}, {"keeps_copies": said}
    async with cloud(graph=never) as simulator, verifying(tmp_path, simulator, verify=IMPATIENT, place=place) as back:
        script(simulator, LOST_AFTER | {"when": {"subject": "after"}}, LOST_BEFORE | {"when": {"subject": "before"}})
        subjects = ("after", "before", "fine")
        ids = [await hand_in(back, subject=subjects[number % 3]) for number in range(amount)]
        views = await settle_all(back, ids, 60 + amount)
        ended = [(view.recipients[0].state, view.recipients[0].last_reason) for view in views]
        fine = [views[number] for number in range(2, amount, 3)]
        lost = {one for number, one in enumerate(ended) if number % 3 != 2}
        odd = [view.lines for view in fine if view.recipients[0].state is not S.DELIVERED]
        assert not odd, f"{len(odd)} that went well are not delivered, the first: {odd[0]}"
        assert lost == {(S.HELD, "unknown_unproven")}
        assert not any(line.event == "resent" for view in views for line in view.lines)
        once(simulator, sum(number % 3 != 1 for number in range(amount)))


async def later_mail(back):
    while True:
        await hand_in(back, subject="later")
        await asyncio.sleep(0.25)


async def test_several_recipients_lost_together_are_found_each(tmp_path):
    async with cloud() as simulator, verifying(tmp_path, simulator) as back:
        script(simulator, LOST_AFTER | FIRST)
        to = ("bob@example.com", "eve@example.com", "al@example.org")
        view = await back.until(await hand_in(back, *to), S.DELIVERED)
        assert [one.last_reason for one in view.recipients] == ["verified_sent_items"] * 3
        once(simulator, 1)


async def test_a_copy_of_other_mail_with_the_same_message_id_proves_nothing(tmp_path):
    async with cloud() as simulator, verifying(tmp_path, simulator, verify=IMPATIENT) as back:
        await back.until(await hand_in(back, name="same"), S.DELIVERED)
        script(simulator, LOST_BEFORE)
        view = await back.until(await hand_in(back, name="same"), S.DELIVERED, S.HELD)
        assert (view.recipients[0].state, view.recipients[0].last_reason) == (S.HELD, "unknown_unproven")
        assert simulator.hub.counts["graph_looks"] > 1


@pytest.mark.parametrize(
    ("kept", "said"), [(False, False), (False, True), (True, False)], ids=["none", "none, denied", "kept, denied"]
)
async def test_absence_counts_only_where_copies_are_kept_and_seen(tmp_path, kept, said):
    """Settings that promise copies the mailbox does not keep must not make mail leave twice."""
    boxes = {name: {"keeps_copies": kept} for name in MAILBOXES}
    place = {"keeps_copies": said}
    async with (
        cloud(boxes=boxes) as simulator,
        verifying(tmp_path, simulator, kinds=("submission",), verify=IMPATIENT, place=place) as back,
    ):
        script(simulator, {"at": "dot", "when": {"subject": "lost"}, "cut": True, "accepted": True})
        first = await hand_in(back, subject="lost")
        view = await back.until(first, S.UNKNOWN, S.DELIVERED, S.HELD)
        await back.until(await hand_in(back), S.DELIVERED)
        view = await back.until(first, S.DELIVERED, S.HELD)
        wanted = (S.DELIVERED, "verified_sent_items") if kept else (S.HELD, "unknown_unproven")
        assert (view.recipients[0].state, view.recipients[0].last_reason) == wanted
        await settle_all(back, back.ids, 30)
        once(simulator, 2)


async def test_by_submission_the_copy_names_whom_the_server_took(tmp_path):
    """Bob is refused for now while Eve's mail goes: Eve's copy must not prove anything about Bob."""
    async with (
        cloud() as simulator,
        verifying(tmp_path, simulator, kinds=("submission",), verify=IMPATIENT) as back,
    ):
        script(
            simulator,
            {"at": "rcpt", "when": {"recipient": "bob@*"}, "times": 1, "reply": "451 4.7.0 Not now"},
            {"at": "dot", "when": {"recipient": "bob@*"}, "cut": True, "accepted": False},
        )
        made = await hand_in(back, "bob@example.com", "eve@example.com")
        await back.until(made, S.DEFERRED, S.DELIVERED)
        await back.spool.release(Filter(ids=(made,)), "test", "now", wall_ms())
        back.delivery.wake()
        view = await back.until(made, S.DELIVERED, S.HELD)
        assert [one.state for one in view.recipients] == [S.HELD, S.DELIVERED]


@pytest.mark.parametrize(
    "fault",
    [
        {"reply": "403 ErrorAccessDenied: no"},
        {"reply": "500 ErrorInternalServerError: oh"},
        {"garbage": True},
        {"half": True},
        {"cut": True},
    ],
    ids=lambda fault: next(iter(fault.values())) if "reply" in fault else next(iter(fault)),
)
async def test_what_cannot_be_looked_for_is_held(tmp_path, fault):
    async with cloud() as simulator, verifying(tmp_path, simulator, verify=IMPATIENT) as back:
        script(simulator, LOST_AFTER | FIRST, {"at": "look", **fault})
        view = await back.until(await hand_in(back), S.HELD)
        assert view.recipients[0].last_reason == "unknown_unproven"
        once(simulator, 1)


async def test_looking_waits_as_long_as_it_is_told(tmp_path):
    async with cloud() as simulator, verifying(tmp_path, simulator) as back:
        script(
            simulator, LOST_AFTER | FIRST, {"at": "look", "times": 1, "reply": "429 TooMany: slow", "retry_after": "2s"}
        )
        view = await back.until(await hand_in(back), S.DELIVERED)
        lost = next(line.at_ms for line in view.lines if line.event == "unknown")
        assert view.finished_ms - lost > 1900
        assert simulator.hub.counts["graph_looks"] == 2


async def test_the_message_trace_may_prove_what_sent_items_cannot(tmp_path):
    boxes = {name: {"keeps_copies": False} for name in MAILBOXES}
    async with (
        cloud(boxes=boxes, graph={"trace_after": "100ms"}) as simulator,
        verifying(tmp_path, simulator, kinds=("submission",), place={"traced": True}) as back,
    ):
        script(simulator, {"at": "dot", "when": {"subject": "lost"}, "cut": True, "accepted": True})
        view = await back.until(await hand_in(back, subject="lost"), S.DELIVERED)
        assert view.recipients[0].last_reason == "verified_trace"
        once(simulator, 1)


async def test_where_nothing_can_be_looked_into_it_is_held_at_once(tmp_path):
    async with cloud() as simulator, graph_room(tmp_path, simulator, archives={}) as back:
        script(simulator, LOST_AFTER)
        view = await back.until(await hand_in(back), S.HELD)
        assert view.recipients[0].last_reason == "unknown_verify"
        assert simulator.hub.counts["graph_looks"] == 0
