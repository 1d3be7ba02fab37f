"""What is here alone is copied later: which mail, when, and never in the way; in virtual time."""

import asyncio

import pytest

from coordinator.ownership.records import PairKey
from coordinator.ownership.views import State
from node.policy.envelope import Copies, RecipientState
from node.shadow.entries import Copy
from node.shadow.protecting import parts
from node.shadow.sending import NOBODY
from node.spool.errors import SpoolBroken
from node.spool.paired import Progress
from tests.support.copies import OWNER, SHADOW, SPOOL
from tests.support.copies_peer import ScriptedPeer
from tests.support.copying_scene import played, until

ADOPTED = "33333333-3333-4333-8333-333333333333"


def test_mail_from_before_a_shadow_was_there_is_copied_with_its_progress():
    async def play(scene, loop):
        names = []
        for _ in range(250):
            name, answer = scene.take(body=b"x" * 20_000)
            await answer
            names.append(name)
        stands = (Progress(index=0, state=RecipientState.DEFERRED, attempts=3),)
        scene.spool.rows[names[7]].progress = stands
        await until(lambda: scene.copying.unprotected == 250, 3)
        await scene.paired()
        await until(lambda: all(row.confirmed for row in scene.spool.rows.values()), 5)
        assert {row.pairing for row in scene.spool.rows.values()} == {1}
        await until(lambda: scene.copying.unprotected == 0, 2)
        assert scene.copied == names
        (copy,) = (each for each in scene.peer.entries if each.message_id == names[7])
        assert copy.progress == stands
        sizes = [sum(len(each.body) for each in batch.entries) for batch in scene.peer.batches]
        assert max(sizes) <= 1 << 20

    played(play)


def test_much_mail_is_read_once_and_counts_as_unprotected_while_it_is_copied():
    """A million take minutes: what was just sent, and is not noted yet, is not read again with every part."""

    async def play(scene, loop):
        await asyncio.gather(*(scene.take()[1] for _ in range(1_000)))  # before anything was looked through
        shown, standing = [], scene.spool.standing

        async def seen(*args, **more):
            shown.append(scene.copying.unprotected)
            return await standing(*args, **more)

        scene.spool.standing = seen
        await scene.paired()
        await until(lambda: all(row.confirmed for row in scene.spool.rows.values()), 10)
        assert shown[0] == 1_000
        assert len(shown) <= 50

    played(play)


def test_mail_that_wants_one_copy_stays_alone():
    async def play(scene, loop):
        for _ in range(130):
            await scene.take(copies=Copies.ONE)[1]
        await scene.paired()
        name, answer = scene.take()
        await answer
        await asyncio.sleep(25)
        assert scene.copied == [name]
        assert scene.copying.unprotected == 130

    played(play)


async def lone(scene, number, *names):
    for name in names:
        await scene.take(name)[1]
        scene.spool.rows[name].pairing = number


@pytest.mark.parametrize(
    ("state", "epoch", "spool", "moves"),
    [
        (State.VOID, 7, SPOOL, True),
        (State.HELD, 7, SPOOL, False),
        (State.UNCLAIMED, 7, SPOOL, False),
        (State.LEAVING, 7, SPOOL, False),
        (State.SPARE, 7, SPOOL, False),
        (State.STRANGE, 8, SPOOL, False),
        (State.SPARE, 8, SPOOL, True),
        (State.HELD, 8, SPOOL, True),
        (State.VOID, 7, ADOPTED, True),
        (State.HELD, 7, ADOPTED, False),
        (State.VOID, 8, ADOPTED, False),
    ],
)
def test_only_what_nobody_can_adopt_goes_to_another_pairing(state, epoch, spool, moves):
    """``state`` and ``epoch``: of the pairing as it is now; the mail was attached to epoch 7."""

    async def play(scene, loop):
        old = await scene.spool.attach(spool, "relay-c" if spool == SPOOL else OWNER, 7)
        await lone(scene, old, "m1", "m2")
        scene.put(state, epoch=epoch, spool=spool, shadow=scene.spool.known[old - 1].shadow)
        await scene.paired(shadow=SHADOW, epoch=9)
        await asyncio.sleep(15)
        moved = {scene.spool.rows[name].pairing == 2 and scene.spool.rows[name].confirmed for name in ("m1", "m2")}
        assert moved == {moves}
        assert scene.copied == (["m1", "m2"] if moves else [])

    played(play)


def test_without_a_live_session_nothing_is_attached_elsewhere():
    async def play(scene, loop):
        await lone(scene, 0, "m1")
        scene.put(State.UNCLAIMED)
        await until(lambda: scene.copying.shadow)
        await asyncio.sleep(15)
        assert scene.spool.rows["m1"].pairing == 0
        scene.put(State.HELD)
        await until(lambda: scene.spool.rows["m1"].confirmed, 5)

    played(play)


def test_what_is_in_flight_waits_for_a_later_round():
    async def play(scene, loop):
        await lone(scene, 0, "m1", "m2")
        await lone(scene, await scene.spool.attach(SPOOL, SHADOW, 7), "m3")
        scene.spool.rows["m1"].moving = scene.spool.rows["m3"].moving = True
        await scene.paired()
        await until(lambda: scene.copied == ["m2"], 3)
        await asyncio.sleep(5)
        assert scene.copied == ["m2"]
        scene.spool.rows["m1"].moving = scene.spool.rows["m3"].moving = False
        await until(lambda: scene.spool.rows["m1"].confirmed and scene.spool.rows["m3"].confirmed, 13)

    played(play)


def test_what_is_given_back_while_it_is_read_is_not_attached_elsewhere():
    async def play(scene, loop):
        old = await scene.spool.attach(SPOOL, "relay-c", 7)
        await lone(scene, old, "m1")
        scene.put(State.VOID, shadow="relay-c")
        standing = scene.spool.standing

        async def back(number, after, limit, *, unconfirmed=False):
            found = await standing(number, after, limit, unconfirmed=unconfirmed)
            if number == old:
                scene.pairs.found[PairKey(spool=SPOOL, shadow="relay-c")] = scene.pairs.put(shadow="relay-c")
                scene.pairs.put(epoch=9)
            return found

        scene.spool.standing = back
        await scene.paired(epoch=9)
        await asyncio.sleep(15)
        assert scene.spool.rows["m1"].pairing == old
        assert not scene.copied

    played(play)


def test_what_changes_while_it_is_read_is_read_again():
    """A copy that says where recipients stood would undo the outcome told before it."""

    async def play(scene, loop):
        await lone(scene, 0, "m1")
        stands = Progress(index=0, state=RecipientState.DEFERRED, attempts=1)
        standing = scene.spool.standing

        async def changing(number, after, limit, *, unconfirmed=False):
            found = await standing(number, after, limit, unconfirmed=unconfirmed)
            if found and number == 1 and not scene.spool.rows["m1"].progress:
                scene.spool.rows["m1"].progress = (stands,)
                scene.spool.change("m1", attempt_ids=("a1",), progress=(stands,))
            return found

        scene.spool.standing = changing
        await scene.paired()
        await until(lambda: scene.spool.rows["m1"].confirmed, 5)
        copies = [each for each in scene.peer.entries if isinstance(each, Copy)]
        assert [each.progress for each in copies] == [(stands,)]

    played(play)


def test_what_is_settled_while_it_is_read_is_not_copied():
    async def play(scene, loop):
        await lone(scene, 0, "m1", "m2")
        body = scene.spool.body

        async def settling(name):
            if name == "m1":
                scene.spool.change("m1", finished=True)
            return await body(name)

        scene.spool.body = settling
        await scene.paired()
        await until(lambda: scene.spool.rows["m2"].confirmed and scene.spool.rows["m1"].told, 5)
        assert scene.copied == ["m2"]

    played(play)


def test_a_slow_copy_is_not_sent_twice():
    async def play(scene, loop):
        await scene.paired()
        scene.peer.delay_s = 1.9
        name, answer = scene.take()
        await answer
        assert scene.unprotected == [name]
        await until(lambda: scene.spool.rows[name].confirmed, 4)
        assert scene.copied == [name]

    played(play)


def test_half_of_the_room_is_left_to_what_comes_in():
    async def play(scene, loop):
        for _ in range(20):
            await scene.take(body=b"x" * 100_000)[1]
        await scene.paired()
        scene.peer.delay_s = 0.3
        while scene.copying.unprotected or len(scene.copied) < 20:
            await asyncio.sleep(0.01)
            assert scene.copying._sending.current.sender.room_bytes >= 690_000
        assert len(set(scene.copied)) == 20

    played(play, bytes_max=1_600_000, batch_bytes=200_000)


def test_a_shadow_that_stops_amid_it_is_gone_on_with_later():
    async def play(scene, loop):
        for _ in range(300):
            await scene.take()[1]
        await scene.paired()
        await until(lambda: scene.copied)
        scene.peer.dead = True
        await until(lambda: not scene.copying.shadow, 5)
        await asyncio.sleep(20)
        scene.peer.dead = False
        await until(lambda: all(row.confirmed for row in scene.spool.rows.values()), 20)

    played(play)


def test_another_node_comes_first_when_a_shadow_is_there_and_takes_nothing():
    async def play(scene, loop):
        await scene.paired()
        scene.peer.dead = True
        name, answer = scene.take()
        await answer
        await until(lambda: scene.shunnings, 10)
        assert scene.copying.shunned_until_s(SHADOW)
        assert not scene.pairs.lost, "there is nobody else yet"
        scene.peer.dead = False
        # What it was sent counts no more once copies go elsewhere: only then its pairing may become void.
        first = scene.pairs.target
        await scene.paired(shadow="relay-c", epoch=9)
        assert scene.pairs.lost == [(first.key, first.epoch)]
        assert not scene.spool.rows[name].confirmed
        await asyncio.sleep(61)
        assert not scene.copying.shunned_until_s(SHADOW)
        assert scene.shunnings == 1

    played(play)


def test_copies_of_a_shadow_that_takes_them_again_are_not_given_up():
    """Found by rounds of faults: its pairing became void with all its mail, and half a second later a disk was lost."""

    async def play(scene, loop):
        first = await scene.paired()
        scene.peer.dead = True
        await scene.take()[1]
        await until(lambda: scene.shunnings, 10)
        assert scene.copying.shunned_until_s(SHADOW)
        scene.peer.dead = False
        await until(lambda: scene.copying.shadow == SHADOW, 10)
        await until(lambda: all(row.confirmed for row in scene.spool.rows.values()), 10)
        assert not scene.copying.shunned_until_s(SHADOW), "it takes copies: it is no worse than others"
        await scene.paired(shadow="relay-c", epoch=9)
        await asyncio.sleep(1)
        assert (first.key, first.epoch) not in scene.pairs.lost

    played(play)


def test_a_shadow_that_was_gone_between_two_looks_gets_copies_again():
    async def play(scene, loop):
        view = await scene.paired()
        scene.peer.dead = True
        await scene.take()[1]
        await until(lambda: not scene.copying.shadow, 5)
        scene.pairs.target = None
        await until(lambda: scene.copying.why == NOBODY, 10)
        scene.pairs.target, scene.peer.dead = view, False  # nobody tells: it is what it was when last told
        await until(lambda: scene.copying.shadow, 3)

    played(play)


def test_mail_that_a_shadow_not_in_use_has_not_said_it_has_is_copied_elsewhere():
    async def play(scene, loop):
        first = await scene.paired()
        kept, answer = scene.take("kept")
        await answer
        await until(lambda: scene.spool.rows[kept].confirmed, 5)
        scene.peer.dead = True
        await scene.take("alone")[1]
        # It is there again before its pairing became void, but copies go elsewhere by now.
        scene.peer.dead = False
        await scene.paired(shadow="relay-c", epoch=9)
        await asyncio.sleep(8)
        assert not scene.pairs.lost, "comparing may still tell that it is there"
        await until(lambda: scene.pairs.lost, 8)
        assert set(scene.pairs.lost) == {(first.key, first.epoch)}
        scene.put(State.VOID)
        await until(lambda: all(row.confirmed and row.pairing == 2 for row in scene.spool.rows.values()), 30)

    played(play)


def test_a_pairing_not_in_use_is_left_alone_while_its_shadow_has_everything():
    async def play(scene, loop):
        await scene.paired()
        name, answer = scene.take()
        await answer
        await until(lambda: scene.spool.rows[name].confirmed, 5)
        await scene.take(copies=Copies.ONE)[1]
        await scene.paired(shadow="relay-c", epoch=9)
        await asyncio.sleep(40)
        assert not scene.pairs.lost
        assert scene.spool.rows[name].pairing == 1

    played(play)


def test_a_hiccup_of_a_shadow_is_none_of_that():
    async def play(scene, loop):
        await scene.paired()
        for _ in range(20):
            scene.peer.dead = True
            await scene.take()[1]
            await asyncio.sleep(1.5)
            scene.peer.dead = False
            await until(lambda: scene.copying.shadow, 5)
        assert not scene.shunnings

    played(play)


def test_a_spool_that_fails_for_a_while_ends_nothing():
    async def play(scene, loop):
        await lone(scene, 0, "m1")
        await scene.paired()
        scene.spool.fault = SpoolBroken("a fault")
        await asyncio.sleep(5)
        scene.spool.fault = None
        await until(lambda: scene.spool.rows["m1"].confirmed, 13)

    played(play)


def test_what_nobody_was_told_of_is_found_within_a_while():
    """An operator's release makes mail live again, alone."""

    async def play(scene, loop):
        await scene.paired()
        await asyncio.sleep(5)
        await scene.take("m1")[1]
        await until(lambda: scene.spool.rows["m1"].confirmed, 3)
        await lone(scene, 0, "m1")
        scene.spool.rows["m1"].confirmed = False
        await until(lambda: scene.spool.rows["m1"].confirmed, 13)

    played(play)


def test_parts_are_bounded_and_hold_one_message_at_least():
    class Sized:
        def __init__(self, size_bytes):
            self.size_bytes = size_bytes

    sizes = [400_000, 400_000, 400_000, 3 << 20, 1, 1 << 20]
    cut = [[each.size_bytes for each in part] for part in parts(map(Sized, sizes))]
    assert cut == [[400_000, 400_000], [400_000], [3 << 20], [1], [1 << 20]]
    assert parts([]) == []


def test_a_slow_shadow_is_waited_for_patiently():
    """What is copied later has no caller that waits half a second; the next part goes when the last is there."""

    async def play(scene, loop):
        await lone(scene, 0, *(f"m{number:03}" for number in range(250)))
        await scene.paired()
        await until(lambda: all(row.confirmed for row in scene.spool.rows.values()), 12)
        assert scene.copied == list(scene.spool.rows)
        assert scene.peer.most == 1

    played(play, peer=ScriptedPeer(delay_s=1.5))
