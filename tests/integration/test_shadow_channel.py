"""Copies over mutual TLS on loopback, kept on a real disk."""

import asyncio
import os
import random

import pytest

from coordinator.peers.contract import PeerRefused, PeerUnreachable
from node.shadow.entries import Intent
from node.shadow.errors import Refused
from node.shadow.frames import encode
from node.shadow.outbox import Kept, Pace
from node.shadow.words import BATCH
from node.spool.bodies import Bodies
from node.spool.contract import BodyFile
from tests.support.copies import OWNER, SHADOW, attached, copy, header, link, view
from tests.support.copies_house import CopiesHouse, kept_ids, until
from tests.support.spool_mail import BODY, T0, accepted, message

PAIR = attached()
CALM = Pace(copy_wait_s=20, silence_s=20)
"""Where timing is not what is tested, a busy machine must not decide."""


@pytest.fixture
async def house(tmp_path):
    house = CopiesHouse(tmp_path)
    yield house
    await house.close()


@pytest.fixture
async def copies(house):
    copies = await house.store()
    await house.serve(copies)
    return copies


async def begun(house, pace=CALM, **options):
    sender = house.sender(pace, **options)
    await sender.begin()
    return sender


async def test_a_message_is_copied_and_kept_as_it_was_accepted(house, copies):
    sender = await begun(house)
    made = message()
    assert await sender.copy_soon(accepted(made)) is Kept.COPIED
    assert await kept_ids(copies, PAIR) == [made.id]
    assert await copies.body(PAIR, made.id) == BODY
    assert sender.store == copies.store_id


async def test_many_at_once_go_in_few_batches_and_all_arrive(house, copies):
    sender = await begun(house)
    made = [message() for _ in range(2_000)]
    kept = await asyncio.gather(*(sender.copy_soon(accepted(each)) for each in made))
    assert set(kept) == {Kept.COPIED}
    assert await kept_ids(copies, PAIR) == sorted(each.id for each in made)
    assert (await copies.stream(PAIR)).expected <= 20


async def test_messages_of_all_sizes_while_others_are_settled(house, copies):
    """Whatever overtakes what on the way, what is left is what was copied and not settled."""
    sender, rng = await begun(house), random.Random(5)
    bodies = {}

    async def client():
        for _ in range(25):
            made = message()
            bodies[made.id] = rng.randbytes(rng.choice([0, 10, 4_096, 260_000, 600_000]))
            assert await sender.copy_soon(accepted(made, bodies[made.id])) is Kept.COPIED
            if rng.random() < 0.5:
                del bodies[made.id]
                sender.discard(made.id)
            assert await sender.intend(Intent(message_id=made.id, attempt_id="a", indexes=(0,), dot_ms=T0))

    await asyncio.gather(*(client() for _ in range(6)))

    async def settled():
        return len(await kept_ids(copies, PAIR)) == len(bodies)

    await until(settled)
    assert await kept_ids(copies, PAIR) == sorted(bodies)
    for name, body in bodies.items():
        found = await copies.body(PAIR, name)
        assert (found if isinstance(found, bytes) else found.read_bytes()) == body
    assert not house.ended


async def test_a_file_is_copied_though_the_spool_moves_it_meanwhile(house, copies, tmp_path):
    sender = await begun(house)
    bodies = Bodies(tmp_path)
    bodies.prepare()
    made, body = message(), os.urandom(40 << 20)
    path = bodies.path_for(made.id)
    path.write_bytes(body)
    item = accepted(made, BodyFile(path=str(path), size_bytes=len(body)))
    copied = sender.copy_soon(item)
    bodies.take(made.id, item.body)
    assert await copied is Kept.COPIED
    assert (await copies.body(PAIR, made.id)).read_bytes() == body


async def test_a_file_shorter_than_said_is_not_protected(house, copies, tmp_path):
    sender = await begun(house)
    path = tmp_path / "body"
    path.write_bytes(b"x" * 700_000)
    for said in (700_001, 699_999):
        item = accepted(message(), BodyFile(path=str(path), size_bytes=said))
        assert await sender.copy_soon(item) is Kept.UNPROTECTED
    assert await sender.copy_soon(accepted(message())) is Kept.COPIED
    assert len(await kept_ids(copies, PAIR)) == 1


async def test_a_restarted_sender_goes_on_and_the_old_one_is_out(house, copies):
    old = await begun(house)
    await old.copy_soon(accepted(message("m1")))
    new = await begun(house, between=link(store=old.store))
    assert await old.copy_soon(accepted(message("m2"))) is Kept.UNPROTECTED
    assert house.ended == ["wrong-stream: stream 1, while 2 is in use"]
    assert await new.copy_soon(accepted(message("m3"))) is Kept.COPIED
    assert await kept_ids(copies, PAIR) == ["m1", "m3"]


async def test_a_shadow_that_lost_its_copies_says_so(house, copies):
    with pytest.raises(Refused, match="copies-lost"):
        await house.sender(CALM, between=link(store="11111111-0000-4000-8000-000000000000")).begin()


async def test_a_shadow_that_restarts_keeps_what_it_answered_and_goes_on(house):
    copies = await house.store()
    receiver = await house.serve(copies)
    sender = await begun(house)
    await sender.copy_soon(accepted(message("m1")))
    await copies.close()
    assert await sender.copy_soon(accepted(message("m2"))) is Kept.UNPROTECTED
    assert house.ended == ["closed: the copy store is closed"]
    await copies.open(T0)
    receiver._lines.clear()
    again = await begun(house, between=link(store=sender.store))
    assert await again.copy_soon(accepted(message("m3"))) is Kept.COPIED
    assert await kept_ids(copies, PAIR) == ["m1", "m3"]


async def test_a_void_pairing_ends_it_and_one_taken_over_is_told(house, copies):
    sender = await begun(house)
    house.pairing["view"] = view(SHADOW)
    assert await sender.copy_soon(accepted(message("m1"))) is Kept.COPIED
    assert house.owned == ["m1"]
    house.pairing["view"] = view(void=True)
    assert await sender.copy_soon(accepted(message("m2"))) is Kept.UNPROTECTED
    assert house.ended[0].startswith("wrong-epoch")


async def test_the_certificate_says_who_sends(house, copies):
    with pytest.raises(Refused, match="wrong-node"):
        await house.sender(CALM, node="relay-c").begin()
    await begun(house)
    body = encode(header(1, 1), [copy("m1")])
    answer = await house.peers.client("relay-c").ask(SHADOW, BATCH, body, timeout_s=10)
    assert b"wrong-node" in answer
    assert await kept_ids(copies, PAIR) == []


async def test_a_quota_reached_is_temporary(house):
    copies = await house.store(max_bytes=20_000)
    await house.serve(copies)
    sender = await begun(house)
    assert await sender.copy_soon(accepted(message("m1"), b"x" * 15_000)) is Kept.COPIED
    assert await sender.copy_soon(accepted(message("m2"), b"x" * 15_000)) is Kept.UNPROTECTED
    assert house.ended[0].startswith("full")
    sender = await begun(house)
    sender.discard("m1")
    await sender.close()
    sender = await begun(house)
    assert await sender.copy_soon(accepted(message("m3"), b"x" * 15_000)) is Kept.COPIED


@pytest.mark.filterwarnings("ignore::ResourceWarning")
async def test_batches_are_bounded_before_they_are_read(house, copies):
    with pytest.raises(PeerRefused, match="413"):
        await house.peers.client(OWNER).ask(SHADOW, BATCH, bytes(5 << 20), timeout_s=10)


async def test_a_shadow_that_is_not_there(house, copies):
    house.peers.targets.clear()
    with pytest.raises(PeerUnreachable):
        await house.sender(CALM).begin()


async def test_a_lost_answer_is_asked_for_again_and_nothing_is_kept_twice(house):
    """The connection breaks after the batch is durable: the same batch comes again and is answered."""
    copies = await house.store()
    receiver = await house.serve(copies)
    put, lost = receiver.batch, []

    async def losing(node, body):
        answer = await put(node, body)
        if len(lost) < 1:
            lost.append(answer)
            raise RuntimeError
        return answer

    await house.peers.server(SHADOW, {**receiver.routes(), BATCH: losing}, body_max={BATCH: 4 << 20})
    sender = await begun(house)
    assert await sender.copy_soon(accepted(message("m1"))) is Kept.COPIED
    assert lost
    assert (await copies.stream(PAIR)).expected == 2
    assert await kept_ids(copies, PAIR) == ["m1"]
