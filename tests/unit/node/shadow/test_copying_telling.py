"""What the spool does to messages is told to their other end, or remembered until somebody can be told."""

import asyncio

import msgspec
import pytest

from coordinator.ownership.views import State
from node.policy.envelope import OnUnknown, RecipientState
from node.shadow import frames, retelling
from node.shadow.entries import Copy, Discard, Intent, Lines, Outcome
from node.shadow.errors import WrongEpoch
from node.shadow.reports import entries_of, restated
from node.spool.contract import JourneyLine
from node.spool.paired import Changed, Progress, Standing
from tests.support.copies import OWNER, SPOOL, header
from tests.support.copies_peer import ScriptedPeer, refuse
from tests.support.copying_scene import played, until
from tests.support.spool_mail import T0, message

LINE = JourneyLine(at_ms=T0, event="deferred")
STANDS = (Progress(index=0, state=RecipientState.DEFERRED, attempts=1),)
CLAIMED = (("a1", (0,)),)
INTENT = Intent(message_id="m1", attempt_id="a1", indexes=(0,), dot_ms=T0)
OUTCOME = Outcome(message_id="m1", attempt_id="a1", progress=STANDS)
LINES = Lines(message_id="m1", lines=(LINE,))
CLAIMING = JourneyLine(at_ms=T0, event="claimed", indexes=(0,), detail={"attempt": "a1"})
AGAIN = JourneyLine(at_ms=T0, event="claimed", indexes=(0,), detail={"attempt": "a9"})
LATER = (Progress(index=0, state=RecipientState.DEFERRED, attempts=2),)


def change(**more):
    return Changed(message_id="m1", pairing=1, **more)


@pytest.mark.parametrize(
    ("changed", "entries"),
    [
        (change(claimed=CLAIMED), [INTENT]),
        (change(claimed=CLAIMED, careful=True), []),
        (change(attempt_ids=("a1",), progress=STANDS, lines=(LINE,)), [OUTCOME, LINES]),
        (change(progress=STANDS), [Outcome(message_id="m1", attempt_id="", progress=STANDS)]),
        (change(attempt_ids=("a1",)), [Outcome(message_id="m1", attempt_id="a1", progress=())]),
        (
            change(attempt_ids=("a1", "a2"), progress=STANDS),
            [OUTCOME, Outcome(message_id="m1", attempt_id="a2", progress=())],
        ),
        (
            change(attempt_ids=("a0",), claimed=CLAIMED),
            [Outcome(message_id="m1", attempt_id="a0", progress=()), INTENT],
        ),
        (change(attempt_ids=("a1",), progress=STANDS, lines=(LINE,), finished=True), [LINES]),
    ],
)
def test_what_a_change_says(changed, entries):
    assert list(entries_of(changed, T0)) == entries


FLYING = (Progress(index=0, state=RecipientState.IN_FLIGHT),)


def stands(progress=(), lines=(), **more):
    made = message("m1", **more)
    return Standing(
        message=made, facts=b"", size_bytes=1, pairing=1, confirmed=True, moving=False, progress=progress, lines=lines
    )  # fmt: skip


@pytest.mark.parametrize(
    ("standing", "entries"),
    [
        (stands(), []),
        (stands(STANDS), [Outcome(message_id="m1", attempt_id="", progress=STANDS)]),
        (stands(STANDS, (CLAIMING, LINE)), [OUTCOME, Lines(message_id="m1", lines=(CLAIMING, LINE))]),
        (
            stands(STANDS, (CLAIMING, AGAIN)),
            [
                OUTCOME,
                Outcome(message_id="m1", attempt_id="a9", progress=()),
                Lines(message_id="m1", lines=(CLAIMING, AGAIN)),
            ],
        ),
        (
            stands(FLYING, (CLAIMING, AGAIN)),
            [
                Outcome(message_id="m1", attempt_id="a1", progress=()),
                Intent(message_id="m1", attempt_id="a9", indexes=(0,), dot_ms=T0),
                Lines(message_id="m1", lines=(CLAIMING, AGAIN)),
            ],
        ),
        (stands(FLYING, (AGAIN,), on_unknown=OnUnknown.BOUNCE), [Lines(message_id="m1", lines=(AGAIN,))]),
    ],
)
def test_how_a_message_stands(standing, entries):
    assert list(restated(standing, T0)) == entries


def test_what_is_told_of_many_recipients_and_steps_comes_in_entries_of_a_bounded_size():
    many = tuple(Progress(index=each, state=RecipientState.DEFERRED, reply="x" * 512) for each in range(10_000))
    steps = tuple(JourneyLine(at_ms=n, event="postponed", indexes=tuple(range(10_000))) for n in range(50))
    told = list(restated(stands(many, steps), T0))
    assert [each.index for one in told if isinstance(one, Outcome) for each in one.progress] == list(range(10_000))
    assert [line for one in told if isinstance(one, Lines) for line in one.lines] == list(steps)
    for one in told:
        assert len(msgspec.msgpack.encode(one)) <= frames.size_of(one) < (1 << 20)
        assert frames.encode(header(), [one])


async def taken(scene, *names):
    for name in names:
        await scene.take(name)[1]


def told(scene):
    """What was told, but for the empty discards that ask whether all of it is durable."""
    asking = Discard(message_ids=(), at_ms=T0)
    return [each for each in scene.peer.entries if not isinstance(each, Copy) and each != asking]


def test_changes_are_told_within_a_tenth_of_a_second_and_what_is_over_is_left_out():
    async def play(scene, loop):
        await scene.paired()
        await taken(scene, "m1", "m2", "m3")
        start = loop.time()
        for name in ("m1", "m2", "m3"):
            scene.spool.change(name, claimed=((f"a-{name}", (0,)),))
        scene.spool.change("m1", attempt_ids=("a-m1",), progress=STANDS, lines=(LINE,))
        scene.spool.change("m2", attempt_ids=("a-m2",), progress=STANDS, lines=(LINE,), finished=True)
        await until(lambda: told(scene))
        assert loop.time() - start == pytest.approx(0.1, abs=0.005)
        assert told(scene) == [
            Intent(message_id="m3", attempt_id="a-m3", indexes=(0,), dot_ms=T0),
            Outcome(message_id="m1", attempt_id="a-m1", progress=STANDS),
            LINES,
            Lines(message_id="m2", lines=(LINE,)),
            Discard(message_ids=("m2",), at_ms=T0),
        ]
        await until(lambda: scene.spool.rows["m2"].told, 3)
        assert not scene.copying._sending.current.discarded

    played(play)


def test_what_could_not_be_told_is_told_from_the_disk_to_the_next_sender():
    async def play(scene, loop):
        await scene.paired()
        await taken(scene, "m1", "m2", "m3")
        await until(lambda: scene.spool.rows["m3"].confirmed, 5)
        scene.peer.script[len(scene.peer.batches) + 1] = refuse(WrongEpoch("no"))
        scene.spool.change("m1", attempt_ids=("a1",), progress=STANDS, lines=(CLAIMING, LINE))
        scene.spool.change("m2", finished=True, lines=(LINE,))
        await until(lambda: scene.copying.shadow == "")
        scene.peer.batches.clear()
        scene.peer.script.clear()
        scene.spool.change("m3", claimed=(("a9", (0,)),), lines=(AGAIN,))
        await until(lambda: len(told(scene)) >= 6, 10)
        assert told(scene)[:6] == [
            Lines(message_id="m2", lines=(LINE,)),
            Discard(message_ids=("m2",), at_ms=T0),
            OUTCOME,
            Lines(message_id="m1", lines=(CLAIMING, LINE)),
            Intent(message_id="m3", attempt_id="a9", indexes=(0,), dot_ms=T0),
            Lines(message_id="m3", lines=(AGAIN,)),
        ]
        await until(lambda: scene.spool.rows["m2"].told, 3)

    played(play)


def test_what_was_heard_is_noted_and_never_told_again():
    async def play(scene, loop):
        await scene.paired()
        await taken(scene, "m1")
        await asyncio.sleep(3)
        scene.spool.change("m1", attempt_ids=("a1",), progress=STANDS, lines=(CLAIMING, LINE))
        await until(lambda: scene.spool.marks.get(1) == scene.spool.steps, 4)
        scene.peer.dead = True
        await scene.take()[1]
        await until(lambda: scene.copying.shadow == "", 5)
        scene.peer.dead = False
        scene.peer.batches.clear()
        await until(lambda: scene.copying.shadow, 10)
        await asyncio.sleep(5)
        assert not [each for each in told(scene) if not isinstance(each, Discard)]

    played(play)


def test_where_nothing_happens_nothing_is_noted():
    async def play(scene, loop):
        await scene.paired()
        await taken(scene, "m1")
        await asyncio.sleep(5)
        noted, batches = [], len(scene.peer.batches)
        scene.spool.note_heard = lambda *args: noted.append(args)
        await asyncio.sleep(60)
        assert (noted, len(scene.peer.batches)) == ([], batches)

    played(play)


def test_what_changes_while_it_is_read_is_read_again_before_it_is_told():
    """What was read before would undo the outcome told meanwhile."""

    async def play(scene, loop):
        await scene.spool.attach(SPOOL, "relay-b", 7)
        await taken(scene, "m1", "m2")
        for row in scene.spool.rows.values():
            row.pairing, row.confirmed, row.lines, row.written, row.progress = 1, True, (CLAIMING,), 1, STANDS
        newer = scene.spool.newer

        async def changing(*args):
            found = await newer(*args)
            if scene.spool.steps < 3:
                scene.spool.change("m1", attempt_ids=("a1",), progress=LATER, lines=(LINE,))
            return found

        scene.spool.newer = changing
        await scene.paired()
        await until(lambda: scene.spool.marks.get(1), 5)
        stands = [each.progress for each in told(scene) if isinstance(each, Outcome) and each.message_id == "m1"]
        assert set(stands) == {LATER}
        assert [each.progress for each in told(scene) if each == msgspec.structs.replace(OUTCOME, message_id="m2")]

    played(play)


def test_much_is_told_in_parts_that_wait_for_each_other(monkeypatch):
    monkeypatch.setattr(retelling, "CHUNK", 10)

    async def play(scene, loop):
        await scene.spool.attach(SPOOL, "relay-b", 7)
        await taken(scene, *(f"m{each:03}" for each in range(95)))
        for row in scene.spool.rows.values():
            row.pairing, row.confirmed, row.lines, row.written, row.progress = 1, True, (CLAIMING,), 1, STANDS
        await scene.paired()
        await until(lambda: scene.spool.marks.get(1) is not None and len(told(scene)) >= 190, 10)
        assert [each.message_id for each in told(scene) if isinstance(each, Outcome)] == list(scene.spool.rows)
        assert max(len(batch.entries) for batch in scene.peer.batches) <= 21

    played(play)


def test_what_happens_while_a_new_sender_catches_up_is_told_by_it():
    async def play(scene, loop):
        await scene.spool.attach(SPOOL, "relay-b", 7)
        await taken(scene, "m1", "m2")
        for row in scene.spool.rows.values():
            row.pairing = 1
        scene.spool.rows["m2"].finished = True
        scene.peer.delay_s = 0.3
        scene.put()
        await until(lambda: scene.peer.batches)
        scene.spool.change("m1", claimed=CLAIMED, lines=(CLAIMING,))
        assert not scene.copying.shadow
        await until(lambda: len(told(scene)) >= 2, 2)
        assert told(scene)[:2] == [Discard(message_ids=("m2",), at_ms=T0), INTENT]

    played(play)


def test_another_pairings_news_are_not_told_to_this_one():
    async def play(scene, loop):
        await scene.paired()
        await taken(scene, "m1")
        scene.peer.dead = True
        scene.spool.change("m1", claimed=CLAIMED)
        await until(lambda: scene.copying.shadow == "", 5)
        scene.put(State.VOID)
        scene.peer.dead = False
        scene.peer.batches.clear()
        await scene.paired(epoch=8, shadow="relay-c")
        await asyncio.sleep(1)
        assert not told(scene)

    played(play)


def test_after_a_restart_what_is_untold_is_told_in_parts():
    async def play(scene, loop):
        number = await scene.spool.attach(SPOOL, "relay-b", 7)
        await taken(scene, *(f"m{each:05}" for each in range(9_000)))
        for row in scene.spool.rows.values():
            row.pairing, row.finished = number, True
        await scene.paired()
        await until(lambda: all(row.told for row in scene.spool.rows.values()), 30)
        assert scene.discarded == list(scene.spool.rows)
        assert not scene.copied

    played(play)


@pytest.mark.parametrize(("state", "forgotten"), [(State.VOID, True), (State.SPARE, False), (State.HELD, False)])
def test_of_a_pairing_nobody_can_adopt_the_other_end_need_not_hear(state, forgotten):
    async def play(scene, loop):
        number = await scene.spool.attach("33333333-3333-4333-8333-333333333333", OWNER, 7)
        await taken(scene, "m1")
        scene.spool.rows["m1"].pairing = number
        await scene.paired(epoch=9)
        scene.put(state, spool=scene.spool.known[0].spool, shadow=OWNER)
        scene.spool.change("m1", finished=True)
        await asyncio.sleep(5)
        assert scene.spool.rows["m1"].told is forgotten
        assert not told(scene)

    played(play)


def test_an_intent_that_must_be_there_is():
    async def play(scene, loop):
        await scene.paired()
        await taken(scene, "m1")
        start = loop.time()
        assert scene.copying.may_intend(1)
        assert await scene.copying.intend(1, INTENT)
        assert loop.time() - start == pytest.approx(0.003)
        assert told(scene) == [INTENT]
        scene.peer.delay_s = 0.8
        assert not await scene.copying.intend(1, INTENT)
        scene.peer.dead = True
        assert not await scene.copying.intend(1, INTENT)
        await until(lambda: scene.copying.shadow == "")
        assert not scene.copying.may_intend(1)
        assert not await scene.copying.intend(1, INTENT)

    played(play)


@pytest.mark.parametrize(
    ("state", "epoch", "spool", "free"),
    [
        (State.VOID, 7, SPOOL, True),
        (State.SPARE, 8, SPOOL, True),
        (State.HELD, 7, "33333333-3333-4333-8333-333333333333", False),
        (State.VOID, 7, "33333333-3333-4333-8333-333333333333", True),
        (State.LEAVING, 7, SPOOL, False),
        (State.UNCLAIMED, 7, SPOOL, False),
    ],
)
def test_where_nobody_need_know_of_an_intent(state, epoch, spool, free):
    async def play(scene, loop):
        number = await scene.spool.attach(spool, "relay-c", 7)
        assert await scene.copying.intend(0, INTENT)
        assert scene.copying.may_intend(0)
        assert not scene.copying.may_intend(number), "not read yet"
        assert not await scene.copying.intend(number, INTENT), "nothing is known of the pairing"
        scene.put(state, epoch=epoch, spool=spool, shadow="relay-c")
        assert await scene.copying.intend(number, INTENT) is free
        assert scene.copying.may_intend(number) is free
        assert not await scene.copying.intend(99, INTENT)
        assert not scene.peer.entries

    played(play, peer=dead())


def dead():
    peer = ScriptedPeer()
    peer.dead = True
    return peer


def test_the_end_lets_the_other_side_hear_what_waits():
    scenes = []

    async def play(scene, loop):
        scenes.append(scene)
        await scene.paired()
        await taken(scene, "m1")
        scene.spool.change("m1", finished=True)

    played(play)
    (scene,) = scenes
    assert scene.discarded == ["m1"]
    assert scene.spool.rows["m1"].told
    assert scene.copying.why == "closed"
