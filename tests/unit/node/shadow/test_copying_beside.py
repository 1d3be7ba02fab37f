"""Pairings held beside the one in use: their shadows hear what becomes of their copies as soon as any other."""

import asyncio

from coordinator.ownership.views import State
from node.policy.envelope import OnUnknown, RecipientState
from node.shadow.entries import Copy, Discard, Intent, Lines, Outcome
from node.spool.contract import JourneyLine
from node.spool.paired import Progress
from tests.support.copies_peer import ScriptedPeer
from tests.support.copying_scene import played, until
from tests.support.spool_mail import T0

STANDS = (Progress(index=0, state=RecipientState.DEFERRED, attempts=1),)
CLAIMING = JourneyLine(at_ms=T0, event="claimed", indexes=(0,), detail={"attempt": "a1"})
LINE = JourneyLine(at_ms=T0 + 1, event="deferred", indexes=(0,), detail={"attempt": "a1"})
INTENT = Intent(message_id="m1", attempt_id="a1", indexes=(0,), dot_ms=T0)
OTHER = "relay-c"


async def left_beside(scene, *names):
    """Mail at the first shadow, which has it; copies go to another one since."""
    await scene.paired()
    for name in names:
        await scene.take(name)[1]
    await until(lambda: all(row.confirmed for row in scene.spool.rows.values()), 5)
    scene.peer.batches.clear()
    await scene.paired(shadow=OTHER, epoch=9)


def to(scene, epoch):
    entries = [each for batch in scene.peer.batches if batch.header.epoch == epoch for each in batch.entries]
    return [each for each in entries if each != Discard(message_ids=(), at_ms=T0)]


def test_what_becomes_of_mail_there_is_told_within_a_tenth_of_a_second():
    async def play(scene, loop):
        await left_beside(scene, "m1", "m2")
        await asyncio.sleep(3)
        start = loop.time()
        scene.spool.change("m1", attempt_ids=("a1",), progress=STANDS, lines=(CLAIMING, LINE))
        scene.spool.change("m2", finished=True, lines=(LINE,))
        await until(lambda: len(to(scene, 7)) == 4, 1)
        assert loop.time() - start < 0.12
        assert to(scene, 7) == [
            Outcome(message_id="m1", attempt_id="a1", progress=STANDS),
            Lines(message_id="m1", lines=(CLAIMING, LINE)),
            Lines(message_id="m2", lines=(LINE,)),
            Discard(message_ids=("m2",), at_ms=T0),
        ]
        await until(lambda: scene.spool.rows["m2"].told, 3)
        assert not to(scene, 9)

    played(play)


def test_what_happened_before_somebody_could_be_told_is_told_from_the_disk():
    async def play(scene, loop):
        await left_beside(scene, "m1", "m2", "m3")
        scene.spool.change("m1", attempt_ids=("a1",), progress=STANDS, lines=(CLAIMING, LINE))
        scene.spool.change("m2", finished=True, lines=(LINE,))
        await until(lambda: len(to(scene, 7)) == 4, 4)
        assert to(scene, 7) == [
            Lines(message_id="m2", lines=(LINE,)),
            Outcome(message_id="m1", attempt_id="a1", progress=STANDS),
            Lines(message_id="m1", lines=(CLAIMING, LINE)),
            Discard(message_ids=("m2",), at_ms=T0),
        ]

    played(play)


def test_mail_that_must_not_be_repeated_is_attempted_there_too():
    async def play(scene, loop):
        await scene.paired()
        await scene.take("m1", on_unknown=OnUnknown.BOUNCE)[1]
        await until(lambda: scene.spool.rows["m1"].confirmed, 5)
        await scene.paired(shadow=OTHER, epoch=9)
        assert not scene.copying.may_intend(1), "nobody can be told yet"
        assert not await scene.copying.intend(1, INTENT)
        await until(lambda: scene.copying.may_intend(1), 5)
        assert await scene.copying.intend(1, INTENT)
        assert to(scene, 7)[-1] == INTENT
        scene.put(State.LEAVING)
        assert not scene.copying.may_intend(1)
        assert not await scene.copying.intend(1, INTENT)

    played(play)


def test_nobody_is_asked_where_there_is_no_mail():
    async def play(scene, loop):
        await scene.paired()
        begun = scene.peer.begun
        await scene.paired(shadow=OTHER, epoch=9)
        await asyncio.sleep(10)
        assert scene.peer.begun == begun + 1

    played(play)


def test_it_ends_with_the_pairing_and_goes_on_when_that_is_in_use_again():
    async def play(scene, loop):
        await left_beside(scene, "m1")
        await until(lambda: scene.copying._beside.at(1), 5)
        scene.put(epoch=7)
        await until(lambda: scene.copying.shadow == "relay-b", 5)
        await until(lambda: scene.copying._beside.at(1) is None, 5)
        scene.peer.batches.clear()
        scene.spool.change("m1", attempt_ids=("a1",), progress=STANDS, lines=(LINE,))
        await until(lambda: to(scene, 7), 5)
        await asyncio.sleep(5)
        assert [each for each in to(scene, 7) if isinstance(each, Outcome)] == [
            Outcome(message_id="m1", attempt_id="a1", progress=STANDS)
        ]
        scene.put(State.HELD, shadow=OTHER, epoch=9)
        await until(lambda: scene.copying._beside.at(1), 5)
        scene.put(State.VOID)
        scene.pairs.put(shadow=OTHER, epoch=9)
        await until(lambda: scene.copying._beside.at(1) is None, 5)

    played(play)


def test_copies_that_wait_for_their_answer_are_not_cut_off_by_it():
    """A second stream under the same pairing would end the first, and with it what a client waits for."""

    async def play(scene, loop):
        await scene.paired()
        await scene.take("m0")[1]
        await asyncio.sleep(2)
        scene.peer.delay_s = 0.4
        name, answer = scene.take()
        await asyncio.sleep(0.05)
        scene.put(shadow=OTHER, epoch=9)
        await answer
        assert [each.message_id for each in to(scene, 7) if isinstance(each, Copy)] == ["m0", name]
        begun = scene.peer.begun
        await until(lambda: not scene.copying._sending.ends(1), 3)
        await until(lambda: scene.peer.begun > begun, 3)

    played(play)


def test_one_that_cannot_be_told_is_asked_again_and_hears_all_of_it():
    async def play(scene, loop):
        await left_beside(scene, "m1")
        await until(lambda: scene.copying._beside.at(1), 5)
        scene.peer.dead = True
        scene.spool.change("m1", attempt_ids=("a1",), progress=STANDS, lines=(CLAIMING, LINE))
        await until(lambda: scene.copying._beside.at(1) is None, 5)
        await asyncio.sleep(2)
        scene.peer.dead = False
        scene.peer.batches.clear()
        await until(lambda: Outcome(message_id="m1", attempt_id="a1", progress=STANDS) in to(scene, 7), 10)

    played(play, peer=ScriptedPeer())
