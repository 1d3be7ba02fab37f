"""The sender against a shadow that is quick, slow, refuses or dies, in virtual time."""

import asyncio

import pytest

from coordinator.peers.contract import PeerUnreachable
from node.policy.envelope import RecipientState
from node.shadow.entries import Copy, Discard, Intent, Lines, Outcome, Piece, Progress
from node.shadow.errors import CopiesLost, Gap, Refused, WrongEpoch
from node.shadow.link import Told
from node.shadow.outbox import Kept, Pace
from node.shadow.sender import Sender
from node.shadow.words import Answer, encode
from node.spool.contract import BodyFile, JourneyLine
from tests.support.copies import link
from tests.support.copies_peer import ScriptedPeer, refuse, refused, unreachable
from tests.support.spool_mail import T0, accepted, message
from tests.support.virtual_loop import run_virtual


class Scene:
    """A sender, its peer, and what it told."""

    def __init__(self, peer=None, **pace):
        self.peer = peer or ScriptedPeer()
        self.ended, self.late = [], []
        told = Told(ended=self.ended.append, late=self.late.append)
        self.sender = Sender(self.peer, link(), now_ms=lambda: T0, pace=Pace(**pace), told=told)

    def copy(self, size=100):
        return self.sender.copy_soon(accepted(message(), b"x" * size))


def played(play, **options):
    """Run a play on a scene whose sender has begun."""

    async def main(loop):
        scene = Scene(**options)
        await scene.sender.begin()
        await play(scene, loop)
        await scene.sender.close()

    run_virtual(main)


def intent(name="m1"):
    return Intent(message_id=name, attempt_id="a1", indexes=(0,), dot_ms=T0)


def test_a_copy_is_told_as_soon_as_it_is_durable_there():
    async def play(scene, loop):
        start = loop.time()
        assert await scene.copy() is Kept.COPIED
        assert loop.time() - start == pytest.approx(0.003)
        assert scene.sender.store == "store-1"

    played(play)


def test_what_comes_together_goes_together_and_batches_are_numbered():
    async def play(scene, loop):
        assert set(await asyncio.gather(*(scene.copy() for _ in range(100)))) == {Kept.COPIED}
        assert len(scene.peer.batches) == 1
        await asyncio.gather(*(scene.copy() for _ in range(3)))
        assert [(each.header.stream, each.header.sequence) for each in scene.peer.batches] == [(1, 1), (1, 2)]

    played(play)


def test_a_few_more_wait_for_the_answer_and_many_do_not():
    async def play(scene, loop):
        first = scene.copy()
        await asyncio.sleep(0.001)
        few = [scene.copy() for _ in range(3)]
        await asyncio.sleep(0.001)
        assert scene.peer.most == 1
        many = [scene.copy() for _ in range(40)]
        await asyncio.sleep(0.0005)
        assert scene.peer.most == 2
        assert set(await asyncio.gather(first, *few, *many)) == {Kept.COPIED}
        assert [len(each.entries) for each in scene.peer.batches] == [1, 43]

    played(play)


def test_batches_under_way_and_their_size_are_bounded():
    async def play(scene, loop):
        waiting = [scene.copy(200_000) for _ in range(60)]
        await asyncio.gather(*waiting)
        assert scene.peer.most == 2
        assert max(len(each.entries) for each in scene.peer.batches) == 4
        assert [each.header.sequence for each in scene.peer.batches] == list(range(1, 16))

    played(play, window=2, batch_bytes=900_000)


def test_nobody_waits_longer_than_copy_wait_and_a_late_copy_is_told():
    async def play(scene, loop):
        start = loop.time()
        waiting = [scene.copy()]
        await asyncio.sleep(0.1)
        waiting.append(scene.copy())
        assert await waiting[0] is Kept.UNPROTECTED
        assert loop.time() - start == pytest.approx(0.5, abs=0.002)
        assert await waiting[1] is Kept.UNPROTECTED
        assert loop.time() - start == pytest.approx(0.6, abs=0.002)
        assert not scene.late
        await asyncio.sleep(2)
        assert scene.late == [each.message_id for each in scene.peer.entries]
        assert (scene.ended, scene.sender.ended) == ([], "")

    played(play, peer=ScriptedPeer(delay_s=0.7))


def test_a_silent_shadow_ends_it_once_and_everything_is_unprotected_at_once():
    async def play(scene, loop):
        waiting = [scene.copy() for _ in range(3)]
        await asyncio.sleep(1.9)
        waiting += [scene.copy() for _ in range(3)]
        start = loop.time()
        assert set(await asyncio.gather(*waiting)) == {Kept.UNPROTECTED}
        assert loop.time() - start == pytest.approx(0.1, abs=0.01)
        assert scene.ended == ["relay-b: no answer within 2 s"]
        before = loop.time()
        assert await scene.copy() is Kept.UNPROTECTED
        assert await scene.sender.intend(intent()) is Kept.UNPROTECTED
        scene.sender.discard("m1")
        scene.sender.tell(intent())
        assert loop.time() == before
        await asyncio.sleep(30)
        assert len(scene.ended) == 1

    played(play, peer=ScriptedPeer(delay_s=1e6))


@pytest.mark.parametrize(
    ("act", "why"),
    [
        (refuse(WrongEpoch("no")), "wrong-epoch: no"),
        (refuse(Gap(1)), "gap"),
        (refused, "404"),
        (lambda: b"{}", "answered 0 to batch 2"),
        (lambda: b"nonsense", "not an answer"),
    ],
)
def test_a_refusal_ends_it(act, why):
    async def play(scene, loop):
        assert await scene.copy() is Kept.COPIED
        under_way = scene.copy(400_000)
        await asyncio.sleep(0.001)
        scene.peer.script[2] = act
        waiting = [scene.copy() for _ in range(3)]
        assert set(await asyncio.gather(under_way, *waiting)) == {Kept.UNPROTECTED}
        assert len(scene.ended) == 1
        assert why in scene.ended[0]

    played(play, window=1)


def test_a_connection_that_broke_is_tried_once_more():
    async def play(scene, loop):
        scene.peer.script[1] = unreachable
        assert await scene.copy() is Kept.COPIED
        assert [each.header.sequence for each in scene.peer.batches] == [1, 1]
        scene.peer.script[3] = scene.peer.script[4] = unreachable
        assert await scene.copy() is Kept.UNPROTECTED
        assert scene.ended == ["connection reset"]

    played(play)


def test_a_dead_shadow_ends_it_at_once():
    async def play(scene, loop):
        scene.peer.dead = True
        start = loop.time()
        assert await scene.copy() is Kept.UNPROTECTED
        assert loop.time() == start

    played(play)


def test_it_does_not_begin_with_one_that_refuses_or_is_gone():
    async def main(loop):
        scene = Scene()
        assert await scene.copy() is Kept.UNPROTECTED
        scene.peer.dead = True
        with pytest.raises(PeerUnreachable):
            await scene.sender.begin()
        for answer in (Answer(), Answer(stream=1)):
            scene.peer.dead, scene.peer._answer = False, answering(encode(answer))
            with pytest.raises(Refused, match="without a stream or a store"):
                await scene.sender.begin()
        scene.peer._answer = answering(refuse(CopiesLost("gone"))())
        with pytest.raises(Refused) as error:
            await scene.sender.begin()
        assert error.value.said == "copies-lost"
        assert scene.sender.ended

    run_virtual(main)


def answering(body):
    async def answer(_route, _body):
        return body

    return answer


def test_bytes_that_wait_are_bounded_and_what_is_beyond_is_unprotected_at_once():
    async def play(scene, loop):
        start = loop.time()
        kept = [scene.copy(200_000) for _ in range(20)]
        beyond = [each for each in kept if each.done()]
        assert {each.result() for each in beyond} == {Kept.UNPROTECTED}
        assert 14 <= len(beyond) <= 16
        assert loop.time() == start
        rest = await asyncio.gather(*(each for each in kept if each not in beyond))
        assert set(rest) == {Kept.COPIED}
        assert await scene.copy(200_000) is Kept.COPIED, "room is given back"
        await asyncio.sleep(0.001)
        assert scene.sender._under_way_bytes == scene.sender._outbox.size_bytes == 0

    played(play, bytes_max=1_000_000)


def test_the_number_that_waits_is_bounded_too():
    async def play(scene, loop):
        kept = [scene.copy() for _ in range(15)]
        assert sum(each.done() for each in kept) == 4
        scene.peer.delay_s = 1e6
        scene.copy()
        for n in range(12):
            scene.sender.tell(intent(f"m{n}"))
        assert scene.ended == ["the shadow is too far behind"]

    played(play, entries_max=10)


def test_discards_gather_and_come_after_what_they_end():
    async def play(scene, loop):
        kept = scene.copy()
        await kept
        (sent,) = scene.peer.entries
        start = loop.time()
        for _ in range(10):
            scene.sender.discard(sent.message_id)
            await asyncio.sleep(0.005)
        scene.sender.tell(Lines(message_id="m1", lines=(JourneyLine(at_ms=T0, event="delivered"),)))
        scene.sender.tell(Outcome(message_id="m2", attempt_id="a", progress=()))
        scene.sender.discard("m1")
        while len(scene.peer.batches) < 2:  # noqa: ASYNC110 - to see when
            await asyncio.sleep(0.001)
        assert loop.time() - start == pytest.approx(0.1, abs=0.002)
        *told, discard = scene.peer.batches[1].entries
        assert [type(each) for each in told] == [Lines, Outcome]
        assert discard == Discard(message_ids=(sent.message_id,) * 10 + ("m1",), at_ms=T0)

    played(play)


def test_an_intent_does_not_gather():
    async def play(scene, loop):
        start = loop.time()
        assert await scene.sender.intend(intent()) is Kept.COPIED
        assert loop.time() - start == pytest.approx(0.003)

    played(play)


def test_a_message_copied_again_says_where_it_stands():
    async def play(scene, loop):
        stands = (Progress(index=0, state=RecipientState.DEFERRED, attempts=2),)
        for size in (100, 1 << 20):
            assert await scene.sender.copy_soon(accepted(message(), b"x" * size), stands) is Kept.COPIED
            assert scene.peer.entries[-1].progress == stands

    played(play)


def test_a_large_body_goes_in_pieces_that_leave_room_for_others():
    async def play(scene, loop):
        large = scene.copy(5 << 20)
        await asyncio.sleep(0)
        small = scene.copy()
        assert await small is Kept.COPIED
        assert not large.done()
        assert await large is Kept.COPIED
        parts = [each for each in scene.peer.entries if isinstance(each, Piece)]
        assert b"".join(each.data for each in parts) == b"x" * (5 << 20)
        assert [each.start for each in parts] == [n << 19 for n in range(10)]
        last = scene.peer.entries[-1]
        assert (type(last), last.pieced, last.size_bytes, last.body) == (Copy, True, 5 << 20, b"")
        assert not scene.sender._large

    played(play)


def test_a_large_body_given_up_is_discarded_after_its_pieces():
    async def play(scene, loop):
        made = message()
        large = scene.sender.copy_soon(accepted(made, b"x" * (5 << 20)))
        await asyncio.sleep(0.004)
        assert scene.sender.carries(made.id)
        scene.sender.discard(made.id)
        assert await large is Kept.UNPROTECTED
        assert not scene.sender.carries(made.id)
        await asyncio.sleep(0.2)
        assert scene.peer.entries[-1] == Discard(message_ids=(made.id,), at_ms=T0)
        assert not any(isinstance(each, Copy) for each in scene.peer.entries)

    played(play)


def test_a_large_body_that_takes_too_long_is_unprotected_and_told_later():
    async def play(scene, loop):
        start = loop.time()
        assert await scene.copy(5 << 20) is Kept.UNPROTECTED
        assert loop.time() - start == pytest.approx(0.5, abs=0.002)
        await asyncio.sleep(5)
        assert scene.late == [scene.peer.entries[-1].message_id]

    played(play, peer=ScriptedPeer(delay_s=0.2))


def test_a_large_body_whose_file_is_not_there_is_unprotected(tmp_path):
    async def play(scene, loop):
        item = accepted(message(), BodyFile(path=str(tmp_path / "gone"), size_bytes=10))
        assert await scene.sender.copy_soon(item) is Kept.UNPROTECTED
        assert not scene.sender.ended

    played(play)


def test_large_bodies_at_once_are_bounded():
    async def play(scene, loop):
        kept = [scene.copy(1 << 20) for _ in range(4)]
        assert [each.done() for each in kept] == [False, False, True, True]
        assert await kept[0] is Kept.COPIED

    played(play, large_max=2)


def test_a_refusal_amid_a_large_body_leaves_nobody_waiting():
    async def play(scene, loop):
        scene.peer.script[3] = refuse(WrongEpoch("no"))
        assert await scene.copy(5 << 20) is Kept.UNPROTECTED
        await asyncio.sleep(0.1)
        assert not scene.sender._large
        assert len(scene.ended) == 1

    played(play)


def test_closing_sends_what_waits():
    async def main(loop):
        scene = Scene()
        await scene.sender.begin()
        kept = scene.copy()
        scene.sender.discard("m1")
        await scene.sender.close()
        assert await kept is Kept.COPIED
        assert [type(each) for each in scene.peer.entries] == [Copy, Discard]
        await scene.sender.close()
        assert scene.ended == ["closed"]

    run_virtual(main)


def test_closing_does_not_wait_for_a_silent_shadow():
    async def main(loop):
        scene = Scene(ScriptedPeer(delay_s=1e6))
        await scene.sender.begin()
        kept = scene.copy()
        start = loop.time()
        await scene.sender.close()
        assert loop.time() - start == pytest.approx(0.5, abs=0.002)
        assert await kept is Kept.UNPROTECTED

    run_virtual(main)


def test_a_patient_caller_waits_as_long_as_it_takes_and_no_longer_than_the_sending():
    async def play(scene, loop):
        start = loop.time()
        for size in (100, 1 << 20):
            assert await scene.sender.copy_soon(accepted(message(), b"x" * size), patient=True) is Kept.COPIED
        assert loop.time() - start > 1
        assert not scene.late
        waiting = [scene.sender.copy_soon(accepted(message(), b"x" * size), patient=True) for size in (100, 1 << 20)]
        scene.peer.dead = True
        assert set(await asyncio.gather(*waiting)) == {Kept.UNPROTECTED}
        assert not any(scene.sender.carries(each.message_id) for each in scene.peer.entries)

    played(play, peer=ScriptedPeer(delay_s=0.8))


def test_discards_that_are_durable_there_are_heard():
    async def main(loop):
        heard = []
        told = Told(heard=heard.extend)
        sender = Sender(ScriptedPeer(), link(), now_ms=lambda: T0, told=told)
        await sender.begin()
        sender.discard("m1")
        sender.flush()
        await asyncio.sleep(0.01)
        assert heard == ["m1"]
        sender.discard("m2")
        sender.tell(intent())
        sender._peers.dead = True
        await asyncio.sleep(0.2)
        assert heard == ["m1"]

    run_virtual(main)


def test_a_caller_that_went_away_hurts_nobody():
    async def play(scene, loop):
        gone, stays = scene.copy(), scene.copy()
        gone.cancel()
        assert await stays is Kept.COPIED
        gone = scene.copy(5 << 20)
        gone.cancel()
        await asyncio.sleep(1)
        assert not scene.sender.ended

    played(play)


def test_after_a_new_begin_the_numbers_start_anew():
    async def main(loop):
        peer = ScriptedPeer()
        for stream in (1, 2):
            scene = Scene(peer)
            await scene.sender.begin()
            assert await scene.copy() is Kept.COPIED
            assert (peer.batches[-1].header.stream, peer.batches[-1].header.sequence) == (stream, 1)

    run_virtual(main)
