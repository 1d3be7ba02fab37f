"""The lane's two ends: any cut of the stream, rubbish, a worker that does not listen, and the end."""

import asyncio

import pytest

from node.intake.frames import Admit, Append, Appended, pack
from node.intake.lane import WorkerLane
from node.spool.rows import facts_of
from tests.support.inlets import making_lanes, until
from tests.support.spool_mail import BODY, message

OTHER = pack(Admit(seq=1, client="a", recipients=1, held=0))


@pytest.fixture
def lanes():
    with making_lanes() as make:
        yield make


@pytest.mark.parametrize("size", [1, 7, 100, 1 << 20])
async def test_mail_survives_any_cut_and_its_facts_stay_as_they_are_encoded(lanes, size):
    lane, made = lanes(), [message() for _ in range(3)]
    stream = b"".join(pack(Append(seq=at, message=one, body=BODY)) for at, one in enumerate(made))
    got = []
    for at in range(0, len(stream), size):
        lane.worker.sendall(stream[at : at + size])
        got += lane.core.read()
    assert got == [(at, facts_of(one), BODY) for at, one in enumerate(made)]
    assert lane.core.read() == []


@pytest.mark.parametrize("rubbish", [b"\0\0\0\x05hello", b"\xff\xff\xff\xff", OTHER], ids=["text", "length", "frame"])
async def test_anything_but_mail_is_its_end(lanes, rubbish):
    lane = lanes()
    lane.worker.sendall(rubbish)
    assert lane.core.read() is None


async def test_a_worker_that_is_gone_is_its_end_and_no_error(lanes):
    lane = lanes()
    lane.worker.close()
    lane.core.stored([1])
    assert lane.core.read() is None


async def test_a_worker_that_does_not_listen_hears_it_by_its_channel(lanes):
    lane, numbers = lanes(), range(20_000)
    for number in numbers:
        lane.core.stored([number])
    await until(lambda: lane.late)
    heard = []
    while found := lane.answers():
        heard += found
    await asyncio.sleep(0)
    assert sorted(heard + lane.late) == list(numbers), "each is answered once, by the one way or the other"


async def test_the_workers_end_sends_a_turns_mail_in_one_write_and_hears_answers(lanes):
    lane, answered, lost = lanes(), [], []
    loop = asyncio.get_running_loop()
    ours = lane.worker
    _, end = await loop.create_connection(lambda: WorkerLane(answered.extend, lambda: lost.append(1)), sock=ours)
    made = [message() for _ in range(3)]
    for at, one in enumerate(made):
        end.send(Append(seq=at, message=one, body=BODY))
    got = []
    await until(lambda: got.extend(lane.core.read()) or got)
    assert [mail.number for mail in got] == [0, 1, 2]
    lane.core.stored([0, 2])
    await until(lambda: len(answered) == 2)
    assert (answered, lost) == ([0, 2], [])
    lane.core.close()
    await until(lambda: lost)


async def test_the_workers_end_gives_up_on_rubbish(lanes):
    lane, lost = lanes(), []
    _, _ = await asyncio.get_running_loop().create_connection(
        lambda: WorkerLane(lambda _: None, lambda: lost.append(1)), sock=lane.worker
    )
    lane.core._socket.sendall(OTHER + pack(Appended(seqs=[1])))
    await until(lambda: lost)


async def test_what_the_workers_end_may_still_say_after_the_end_is_no_error(lanes):
    lane, faults = lanes(), []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: faults.append(context))
    _, end = await loop.create_connection(lambda: WorkerLane(lambda _: None, lambda: None), sock=lane.worker)
    end.send(Append(seq=1, message=message(), body=BODY))
    end.close()
    await asyncio.sleep(0.01)
    assert faults == []
