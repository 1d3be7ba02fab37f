"""The door's store against a shadow that is quick, slow, refuses or is not there, in virtual time."""

from itertools import pairwise

import pytest

from coordinator.ownership.views import State
from node.errors import TemporaryError
from node.policy.envelope import Copies
from node.shadow.errors import CopiesLost, NotCopied, WrongEpoch
from node.spool.errors import SpoolFull
from tests.support.copies_peer import ScriptedPeer, refuse
from tests.support.copying_scene import played, until

ONE, PREFERRED, REQUIRED = Copies.ONE, Copies.PREFERRED, Copies.REQUIRED


@pytest.mark.parametrize("copies", [PREFERRED, REQUIRED])
def test_a_message_is_answered_when_it_is_durable_here_and_there(copies):
    async def play(scene, loop):
        await scene.paired()
        for here_s, there_s in ((0.001, 0.05), (0.05, 0.001)):
            scene.spool.delay_s, scene.peer.delay_s = here_s, there_s
            start = loop.time()
            name, answer = scene.take(copies=copies)
            assert scene.copying.taking(name)
            await answer
            assert loop.time() - start == pytest.approx(0.05, abs=0.002)
            assert not scene.copying.taking(name)
            assert scene.spool.rows[name].pairing == 1
            assert scene.copied[-1] == scene.stored[-1] == name
        assert not scene.unprotected

    played(play)


def test_what_was_copied_is_confirmed_together_within_two_seconds():
    async def play(scene, loop):
        await scene.paired()
        names = []
        for _ in range(20):
            name, answer = scene.take()
            await answer
            names.append(name)
        assert not scene.spool.confirmed
        await until(lambda: scene.spool.confirmed, 2)
        assert scene.spool.confirmed == [(1, sorted(names))]
        await until(lambda: scene.copying.unprotected == 0, 3)
        assert scene.copied == names, "and nothing is sent twice"

    played(play)


def test_what_was_settled_meanwhile_is_not_confirmed():
    async def play(scene, loop):
        await scene.paired()
        name, answer = scene.take()
        await answer
        scene.spool.change(name, finished=True)
        await until(lambda: name in scene.discarded)
        await until(lambda: scene.spool.rows[name].told, 3)
        assert not scene.spool.confirmed

    played(play)


def test_one_copy_wanted_is_one_copy():
    async def play(scene, loop):
        await scene.paired()
        name, answer = scene.take(copies=ONE)
        await answer
        await until(lambda: loop.time() > 1_030)
        assert not scene.copied
        assert scene.spool.rows[name].pairing == 0
        assert (scene.stored, scene.unprotected) == ([name], [])

    played(play)


def test_without_a_shadow_required_is_refused_at_once_and_preferred_is_not():
    async def play(scene, loop):
        start = loop.time()
        _, refused = scene.take(copies=REQUIRED)
        with pytest.raises(NotCopied, match="no other node"):
            await refused
        assert loop.time() == start
        name, answer = scene.take()
        await answer
        assert list(scene.spool.rows) == scene.unprotected == [name]
        assert scene.spool.rows[name].pairing == 0
        assert issubclass(NotCopied, TemporaryError)

    played(play)


def test_a_copy_that_takes_too_long():
    """Preferred is accepted after half a second, required is withdrawn and its copy discarded."""

    async def play(scene, loop):
        await scene.paired()
        start = loop.time()
        preferred, accepted = scene.take()
        required, refused = scene.take(copies=REQUIRED)
        await accepted
        assert loop.time() - start == pytest.approx(0.5, abs=0.002)
        assert scene.copying.taking(required)
        with pytest.raises(NotCopied, match="in time"):
            await refused
        assert loop.time() - start == pytest.approx(0.501, abs=0.002)
        assert not scene.copying.taking(required)
        assert scene.spool.rows[required].finished
        assert (scene.stored, scene.unprotected) == ([preferred], [preferred])
        await until(lambda: scene.spool.rows[preferred].confirmed, 3)
        await until(lambda: scene.spool.rows[required].told, 4)
        assert scene.copied == [preferred, required]
        assert scene.discarded == [required]
        assert not scene.spool.rows[required].confirmed

    played(play, peer=ScriptedPeer(delay_s=0.8))


def test_what_was_tried_already_counts_as_accepted():
    async def play(scene, loop):
        await scene.paired()
        scene.spool.withdraws = False
        name, answer = scene.take(copies=REQUIRED)
        await answer
        assert (scene.stored, scene.unprotected) == ([name], [name])

    played(play, peer=ScriptedPeer(delay_s=0.8))


@pytest.mark.parametrize("copies", [PREFERRED, REQUIRED])
def test_what_is_not_durable_here_fails_at_once_and_leaves_no_copy(copies):
    async def play(scene, loop):
        await scene.paired()
        scene.spool.fault = SpoolFull("no room")
        start = loop.time()
        name, answer = scene.take(copies=copies)
        with pytest.raises(SpoolFull):
            await answer
        assert loop.time() - start == pytest.approx(0.001)
        assert not scene.copying.taking(name)
        scene.spool.fault = None
        await until(lambda: name in scene.discarded)
        assert not scene.stored

    played(play, peer=ScriptedPeer(delay_s=0.3))


def test_a_refused_withdrawal_is_still_a_refusal():
    async def play(scene, loop):
        await scene.paired()
        name, answer = scene.take(copies=REQUIRED)
        await until(lambda: name in scene.spool.rows)
        scene.spool.fault = SpoolFull("no room")
        with pytest.raises(NotCopied):
            await answer
        assert not scene.copying.taking(name)

    played(play, peer=ScriptedPeer(delay_s=0.8))


def test_a_client_that_went_away_changes_nothing():
    async def play(scene, loop):
        await scene.paired()
        name, answer = scene.take()
        gone, other = scene.take(copies=REQUIRED)
        answer.cancel()
        other.cancel()
        await until(lambda: scene.stored == [name, gone])
        assert not scene.copying.taking(name)

    played(play)


def test_a_copy_under_a_pairing_that_is_over_does_not_count():
    """It is durable there, but meanwhile the pairing is being made void: nobody will adopt it."""

    async def play(scene, loop):
        await scene.paired()
        name, answer = scene.take()
        _, refused = scene.take(copies=REQUIRED)
        await until(lambda: scene.spool.rows)
        scene.put(State.LEAVING)
        await answer
        with pytest.raises(NotCopied):
            await refused
        assert scene.unprotected == [name]
        scene.put(State.VOID)
        await until(lambda: loop.time() > 1_010)
        assert not scene.spool.confirmed
        assert scene.copying.unprotected == 1

    played(play, peer=ScriptedPeer(delay_s=0.1))


def test_what_was_copied_a_moment_before_its_pairing_became_void_is_not_confirmed():
    async def play(scene, loop):
        await scene.paired()
        await scene.take()[1]
        scene.put(State.VOID)
        await until(lambda: loop.time() > 1_005)
        assert not scene.spool.confirmed

    played(play)


def test_while_the_session_is_lost_copies_go_on():
    async def play(scene, loop):
        await scene.paired()
        scene.put(State.UNCLAIMED)
        name, answer = scene.take(copies=REQUIRED)
        await answer
        await until(lambda: scene.spool.rows[name].confirmed, 3)

    played(play)


def test_a_shadow_that_refuses_is_asked_again_after_longer_and_longer_pauses():
    async def play(scene, loop):
        scene.peer.dead = True
        scene.put()
        await until(lambda: "nobody listens" in scene.copying.why)
        _, refused = scene.take(copies=REQUIRED)
        with pytest.raises(NotCopied, match="nobody listens"):
            await refused
        asked = []
        ask = scene.peer.ask

        async def asking(*args, **more):
            asked.append(loop.time())
            return await ask(*args, **more)

        scene.peer.ask = asking
        await until(lambda: loop.time() > 1_040)
        gaps = [round(after - before, 1) for before, after in pairwise(asked)]
        assert gaps[:5] == [0.4, 0.8, 1.6, 3.2, 5.0]
        assert set(gaps[4:]) == {5.0}
        scene.peer.dead = False
        await until(lambda: scene.copying.shadow, 6)
        assert scene.copying.why == ""

    played(play)


def test_a_sending_that_ended_is_begun_again_soon_and_what_waited_is_protected():
    async def play(scene, loop):
        await scene.paired()
        scene.peer.script[1] = refuse(WrongEpoch("no"))
        name, answer = scene.take()
        await answer
        assert scene.unprotected == [name]
        await until(lambda: scene.copying.shadow == "", 1)
        assert "wrong-epoch" in scene.copying.why
        await until(lambda: scene.copying.shadow, 0.3)
        await until(lambda: scene.spool.rows[name].confirmed, 4)
        assert scene.copied == [name, name]
        assert (scene.copying.unprotected, scene.peer.begun) == (0, 2)

    played(play)


def test_a_store_that_is_another_one_is_told_and_its_name_is_kept():
    async def play(scene, loop):
        view = await scene.paired()
        assert scene.spool.known[0].store == "store-1"
        ask, asked = scene.peer._answer, []

        async def lost(route, body):
            asked.append(body)
            return refuse(CopiesLost("gone"))()

        scene.peer._answer = lost
        _, answer = scene.take()
        await answer
        await until(lambda: scene.pairs.lost == [(view.key, 7)])
        assert b'"store":"store-1"' in asked[-1]
        scene.put(State.VOID)
        scene.peer._answer = ask
        await scene.paired(epoch=8)
        assert [each.store for each in scene.spool.known] == ["store-1", "store-1"]

    played(play)


def test_a_new_pairing_replaces_the_sender_and_the_old_one_says_what_waits():
    async def play(scene, loop):
        await scene.paired()
        name, answer = scene.take()
        await answer
        scene.spool.change(name, finished=True)
        scene.put(epoch=8)
        assert scene.copying.shadow == ""
        await until(lambda: scene.copying.shadow)
        again, answer = scene.take(copies=REQUIRED)
        await answer
        await until(lambda: scene.discarded == [name])
        epochs = [(each.header.epoch, type(each.entries[0]).__name__) for each in scene.peer.batches]
        assert sorted(set(epochs)) == [(7, "Copy"), (7, "Discard"), (8, "Copy")]
        assert scene.spool.rows[again].pairing == 2

    played(play)
