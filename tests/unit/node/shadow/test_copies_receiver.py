"""Who may put copies where, and in which order batches are taken however they arrive; on a store in memory."""

import asyncio
import itertools

import pytest

from coordinator.ownership.views import Me, leaving
from node.shadow import receiver as room
from node.shadow.entries import Discard
from node.shadow.errors import Refused
from node.shadow.frames import encode
from node.shadow.link import Link
from node.shadow.memory import MemoryCopies
from node.shadow.receiver import Here, Receiver
from node.shadow.words import Begin, answer_of
from node.shadow.words import encode as encode_word
from tests.support.copies import CLUSTER, COPY, ME, OWNER, SHADOW, SPOOL, attached, copy, header, link, view
from tests.support.virtual_loop import run_virtual

PAIR = attached()


class House:
    def __init__(self, known=None, copies=None, me=ME):
        self.view, self.me = known, me
        self.copies = copies or MemoryCopies()
        self.owned, self.begun, self.judged, self.full = [], [], True, False
        self.retired = False
        here = Here(
            cluster=CLUSTER,
            me=lambda: self.me,
            view=lambda _key: self.view,
            owned=lambda pair, batch: self.owned.append((pair, batch.entries)),
            begun=self.begun.append,
            full=lambda: self.full,
            judged=lambda: self.judged,
            retired=lambda _spool: self.retired,
        )
        self.receiver = Receiver(self.copies, here)

    async def begin(self, between: Link | None = None, node=OWNER):
        return answer_of(await self.receiver.begin(node, encode_word((between or link()).question())))

    async def put(self, sequence, *entries, stream=1, node=OWNER, **more):
        entries = entries or (copy(f"m{sequence:03d}"),)
        return answer_of(await self.receiver.batch(node, encode(header(sequence, stream, **more), entries)))

    async def ids(self):
        return [row.message_id for row in await self.copies.rows(PAIR, "", 999)]


async def said(answer):
    with pytest.raises(Refused) as refused:
        await answer
    return refused.value.said


async def test_a_batch_is_answered_with_what_is_durable():
    house = House(view())
    begun = await house.begin()
    assert (begun.stream, begun.store) == (1, house.copies.store_id)
    assert (await house.put(1)).durable == 1
    assert await house.ids() == ["m001"]


async def test_a_full_disk_takes_no_copies_and_still_hears_what_makes_room():
    house = House(view())
    await house.begin()
    await house.put(1)
    house.full = True
    assert await said(house.put(2)) == "full"
    assert (await house.put(2, Discard(message_ids=("m001",), at_ms=1))).durable == 2
    assert await house.ids() == []
    house.full = False
    assert (await house.put(3)).durable == 3


KNOWN = {
    "not known yet": (None, ""),
    "mine to keep": (view(), ""),
    "an older epoch is known": (view(epoch=6), ""),
    "taken over by this node": (view(SHADOW), ""),
    "void": (view(void=True), "wrong-epoch"),
    "a newer epoch": (view(epoch=8), "wrong-epoch"),
    "with another disk of mine": (view(copy=SPOOL), "wrong-epoch"),
    "of another owner": (view("relay-c"), "wrong-node"),
    "being given away": (leaving(view(SHADOW)), "wrong-epoch"),
}


@pytest.mark.parametrize(("known", "word"), KNOWN.values(), ids=KNOWN.keys())
async def test_the_pairing_decides_as_it_is_known(known, word):
    house = House(known)
    if word:
        assert await said(house.begin()) == word
        house.view = None
    await house.begin()
    house.view = known
    if word:
        assert await said(house.put(1)) == word
        assert await house.ids() == []
    else:
        assert (await house.put(1)).durable == 1


@pytest.mark.parametrize(("after", "word"), [(view(SHADOW), ""), (view(void=True), "wrong-epoch")])
async def test_a_pairing_that_changes_while_a_batch_is_written_is_judged_as_it_is_then(after, word):
    """Else a copy would lie here after its pairing was adopted, and nobody would know; or count after it is void."""
    house = House(view())
    await house.begin()
    put = house.copies.put

    async def meanwhile(pair, batch):
        house.view = after
        return await put(pair, batch)

    house.copies.put = meanwhile
    if word:
        assert await said(house.put(1)) == word
        assert not house.owned
    else:
        assert (await house.put(1)).durable == 1
        assert [pair for pair, _ in house.owned] == [PAIR]


async def test_copies_of_a_pairing_taken_over_are_told_to_the_adopter():
    house = House(view())
    await house.begin()
    await house.put(1)
    assert not house.owned
    house.view = view(SHADOW)
    await house.put(2, copy("m2"), Discard(message_ids=("m001",), at_ms=0))
    ((pair, entries),) = house.owned
    assert (pair, [type(each).__name__ for each in entries]) == (PAIR, ["Copy", "Discard"])


OTHERS = {
    "cluster": ({"cluster": "corp-uat"}, "wrong-cluster"),
    "disk": ({"copy": SPOOL}, "wrong-epoch"),
    "spool, mine": ({"spool": COPY}, "wrong-epoch"),
    "epoch": ({"epoch": 6}, "wrong-epoch"),
}


@pytest.mark.parametrize(("more", "word"), OTHERS.values(), ids=OTHERS.keys())
async def test_what_is_meant_for_another_is_refused(more, word):
    house = House(view())
    await house.begin()
    assert await said(house.put(1, **more)) == word
    facts = {"cluster": CLUSTER, "spool": SPOOL, "copy": COPY, "epoch": 7} | more
    answer = house.receiver.begin(OWNER, encode_word(Begin(**facts)))
    assert await said(answered(answer)) == word
    assert await house.ids() == []


async def answered(answer):
    return answer_of(await answer)


async def test_before_the_spool_is_judged_nothing_is_taken():
    house = House(view())
    house.judged = False
    assert await said(house.begin()) == "busy"
    house.judged = True
    await house.begin()
    assert house.begun == [PAIR]
    house.judged = False
    assert await said(house.put(1)) == "busy"
    assert await house.ids() == []


async def test_a_new_disk_of_this_node_takes_nothing_meant_for_the_old_one():
    house = House(None)
    await house.begin()
    house.me = Me(node=SHADOW, spool=SPOOL[:-1] + "9")
    assert await said(house.put(1)) == "wrong-epoch"


async def test_another_node_cannot_speak_for_the_owner():
    house = House(None)
    await house.begin()
    await house.put(1)
    assert await said(house.put(2, node="relay-c")) == "wrong-node"
    assert await said(house.begin(node="relay-c")) == "wrong-node"
    house.receiver._lines.clear()
    assert await said(house.put(2, node="relay-c")) == "wrong-node"
    assert (await house.put(2)).durable == 2


async def test_a_store_that_is_gone_is_told():
    house = House(view())
    begun = await house.begin()
    assert (await house.begin(link(store=begun.store))).stream == 2
    assert await said(house.begin(link(store="another"))) == "copies-lost"


@pytest.mark.parametrize(
    ("body", "word"),
    [(b"", "malformed"), (b"[]", "malformed"), (b"{", "malformed"), (b'{"version": 9}', "malformed")],
)
async def test_questions_that_are_none(body, word):
    assert await said(answered(House().receiver.begin(OWNER, body))) == word


@pytest.mark.parametrize(
    "name", ["", "../../etc", SPOOL.upper().replace("1", "A"), f"{SPOOL}/x", "*", "{" + SPOOL + "}"]
)
async def test_a_spool_is_named_by_a_uuid_because_it_names_files(name):
    for more in ({"spool": name}, {"copy": name}):
        question = Begin(**({"cluster": CLUSTER, "spool": SPOOL, "copy": COPY, "epoch": 7} | more))
        assert await said(answered(House().receiver.begin(OWNER, encode_word(question)))) == "malformed"


@pytest.mark.parametrize("epoch", [0, -1, 1 << 63])
async def test_an_epoch_is_a_number_a_store_can_hold(epoch):
    question = Begin(cluster=CLUSTER, spool=SPOOL, copy=COPY, epoch=epoch)
    assert await said(answered(House().receiver.begin(OWNER, encode_word(question)))) == "malformed"


async def test_other_versions_are_refused_by_name():
    question = Begin(version=2, cluster=CLUSTER, spool=SPOOL, copy=COPY, epoch=7)
    assert await said(answered(House().receiver.begin(OWNER, encode_word(question)))) == "wrong-version"
    whole = bytearray(encode(header(), [copy()]))
    whole[4] = 2
    assert await said(answered(House().receiver.batch(OWNER, bytes(whole)))) == "wrong-version"
    assert await said(answered(House().receiver.batch(OWNER, bytes(whole)[:20]))) == "torn"


async def test_without_a_stream_nothing_is_taken():
    house = House(view())
    assert await said(house.put(1)) == "wrong-stream"
    await house.begin()
    await house.begin()
    assert await said(house.put(1, stream=1)) == "wrong-stream"
    assert (await house.put(1, stream=2)).durable == 1


@pytest.mark.parametrize("order", list(itertools.permutations([1, 2, 3, 4])))
def test_batches_that_overtake_each_other_are_taken_in_order(order):
    async def main(loop):
        house = House(view())
        await house.begin()
        seen = []
        put = house.copies.put

        async def noted(pair, batch):
            seen.append(batch.header.sequence)
            return await put(pair, batch)

        house.copies.put = noted
        tasks = []
        for sequence in order:
            tasks.append(asyncio.create_task(house.put(sequence)))
            await asyncio.sleep(0.001)
        answers = await asyncio.gather(*tasks)
        assert [each.durable for each in answers] == list(order)
        assert seen == [1, 2, 3, 4]
        assert not house.receiver._lines[PAIR].early

    run_virtual(main)


def test_one_that_is_never_followed_up_is_a_gap_with_what_is_expected():
    async def main(loop):
        house = House(view())
        await house.begin()
        start = loop.time()
        with pytest.raises(Refused) as refused:
            await house.put(3)
        assert (refused.value.said, refused.value.expected) == ("gap", 1)
        assert loop.time() - start == pytest.approx(room.EARLY_S)
        start = loop.time()
        assert await said(house.put(99)) == "gap"
        assert loop.time() == start, "one far ahead is not waited for"
        for sequence in (1, 2, 3):
            assert (await house.put(sequence)).durable == sequence

    run_virtual(main)


def test_a_replay_is_answered_and_not_done_again_even_while_the_first_is_under_way():
    async def main(loop):
        house = House(view())
        await house.begin()
        await asyncio.gather(house.put(1), house.put(1), house.put(2), house.put(2))
        await house.put(3, Discard(message_ids=("m001",), at_ms=0))
        assert (await house.put(1)).durable == 3
        assert await house.ids() == ["m002"]

    run_virtual(main)


def test_those_behind_a_batch_that_failed_are_refused():
    async def main(loop):
        house = House(view(), MemoryCopies(max_bytes=10_000))
        await house.begin()
        big = house.put(1, copy("m1", b"x" * 20_000))
        words = await asyncio.gather(said(big), said(house.put(2)), said(house.put(3)))
        assert words[0] == "full"
        assert set(words[1:]) == {"gap"}
        assert (await house.put(1)).durable == 1

    run_virtual(main)


def test_one_that_waits_for_a_batch_that_failed_is_refused_at_once():
    async def main(loop):
        house = House(view(), MemoryCopies(max_bytes=10_000))
        await house.begin()
        start = loop.time()
        early = asyncio.create_task(said(house.put(3)))
        await asyncio.sleep(0.001)
        assert await said(house.put(1, copy("m1", b"x" * 20_000))) == "full"
        assert await early == "gap"
        assert loop.time() - start < 0.01

    run_virtual(main)


def test_batches_that_wait_are_bounded(monkeypatch):
    monkeypatch.setattr(room, "BATCHES_MAX", 3)

    async def main(loop):
        house = House(view())
        await house.begin()
        early = [asyncio.create_task(said(house.put(n))) for n in (2, 3, 4)]
        await asyncio.sleep(0.001)
        assert await said(house.put(1)) == "busy"
        assert set(await asyncio.gather(*early)) == {"gap"}
        assert (await house.put(1)).durable == 1

    run_virtual(main)


def test_pairings_remembered_are_bounded(monkeypatch):
    monkeypatch.setattr(room, "LINES_MAX", 3)

    async def main(loop):
        house = House(None)
        for epoch in range(1, 9):
            stream = (await house.begin(link(epoch))).stream
            assert (await house.put(1, stream=stream, epoch=epoch)).durable == 1
        assert len(house.receiver._lines) == 3
        assert (await house.put(2, stream=1, epoch=1)).durable == 2

    run_virtual(main)


async def test_copies_of_a_disk_given_up_as_lost_are_refused_also_those_under_way():
    house = House(view())
    await house.begin()
    await house.put(1)
    house.retired = True
    assert await said(house.put(2)) == "wrong-epoch"
    house.retired, put = False, house.copies.put

    async def marked_meanwhile(pair, batch):
        durable = await put(pair, batch)
        house.retired = True
        return durable

    house.copies.put = marked_meanwhile
    house.view = None
    await house.begin()
    assert await said(house.put(1, stream=2)) == "wrong-epoch"
