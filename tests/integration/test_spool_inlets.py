"""Mail past the event loop: answered only when it is durable, and by the loop when the journal cannot take it."""

import asyncio
import errno
import os

import pytest

from node.spool import accepting, segments
from node.spool.bodies import INLINE_BYTES
from node.spool.contract import Filter
from node.spool.sqlite import SqliteSpool
from tests.support.inlets import making_lanes, until
from tests.support.spool_faults import Disk
from tests.support.spool_journal import cut, put_off
from tests.support.spool_mail import BODY, T0, accepted, message

CREATING = 2
"""Writes that fill a new segment with zeros."""


@pytest.fixture
def lanes():
    with making_lanes() as make:
        yield make


async def opened(directory, **more):
    spool = SqliteSpool(directory, now_ms=lambda: T0, **more)
    await spool.open(T0)
    return spool


async def ids(spool):
    return {view.message.id for view in await spool.find(Filter(limit=1_000))}


async def test_what_is_answered_survives_a_kill_and_the_loop_hears_of_it(tmp_path, lanes, monkeypatch):
    put_off(monkeypatch)
    spool, pair, heard = await opened(tmp_path / "spool"), [lanes(), lanes()], []
    made = [message() for _ in range(40)]
    for lane in pair:
        assert spool.feed(lane.core, heard.extend)
    for at, one in enumerate(made):
        pair[at % 2].send(at, one, BODY)
    answers = [await lane.answered(20) for lane in pair]
    left = cut(tmp_path / "spool", tmp_path / "killed")
    assert [sorted(found) for found in answers] == [list(range(0, 40, 2)), list(range(1, 40, 2))]
    await until(lambda: len(heard) == 40)
    assert {one.id for one in heard} == {one.id for one in made}
    await spool.close()
    again = await opened(left)
    assert await ids(again) == {one.id for one in made}
    assert await again.body(made[7].id) == BODY
    await again.close()


async def test_what_is_not_for_the_spool_takes_the_detour_and_leaves_nothing(tmp_path, lanes):
    spool, lane, heard = await opened(tmp_path / "spool"), lanes(), []
    mine, others = message(), message()
    assert spool.feed(lane.core, heard.extend, lambda item: item.message.id == mine.id)
    lane.send(1, others, BODY)
    lane.send(2, mine, BODY)
    assert await lane.answered(1) == [2]
    await until(lambda: lane.detoured)
    assert [(number, item.message.id, item.body) for number, item in lane.detoured] == [(1, others.id, BODY)]
    await until(lambda: heard)
    assert await ids(spool) == {mine.id}
    await spool.close()


async def test_nothing_is_answered_before_its_write_is_done(tmp_path, lanes, monkeypatch):
    spool, lane = await opened(tmp_path / "spool"), lanes()
    await spool.append(accepted(message()))
    seen, real = [], os.pwrite

    class Watched:
        def __getattr__(self, name):
            return getattr(os, name)

        def pwrite(self, handle, data, at):
            seen.append(lane.answers())
            return real(handle, data, at)

    monkeypatch.setattr(segments, "os", Watched())
    assert spool.feed(lane.core)
    lane.send(1, message(), BODY)
    assert await lane.answered(1) == [1]
    assert seen
    assert not any(seen), "the write came first"
    await spool.close()


@pytest.mark.parametrize("after", [False, True], ids=["not done", "done but reported failed"])
async def test_a_failed_write_answers_nobody_and_the_loop_takes_it(tmp_path, lanes, monkeypatch, after):
    disk = Disk("pwrite", 1 + CREATING, errno.EIO, after=after)
    monkeypatch.setattr(segments, "os", disk)
    spool, lane, made = await opened(tmp_path / "spool"), lanes(), message()
    assert spool.feed(lane.core)
    disk.armed = True
    lane.send(5, made, BODY)
    await until(lambda: lane.detoured)
    assert disk.failed
    assert lane.answers() == []
    ((number, item),) = lane.detoured
    assert (number, item.message, item.body) == (5, made, BODY)
    await spool.append_soon(item)
    assert await ids(spool) == {made.id}
    await spool.close()


async def test_what_may_be_known_or_does_not_fit_takes_the_detour_and_the_rest_does_not(tmp_path, lanes):
    spool, lane, twice = await opened(tmp_path / "spool"), lanes(), message()
    assert spool.feed(lane.core)
    lane.send(1, twice, BODY)
    assert await lane.answered(1) == [1]
    large, fine = message(), message()
    lane.worker.setblocking(True)
    await asyncio.to_thread(lane.send, 2, twice, BODY)
    await asyncio.to_thread(lane.send, 3, large, b"x" * (INLINE_BYTES + 1))
    await asyncio.to_thread(lane.send, 4, fine, BODY)
    lane.worker.setblocking(False)
    assert await lane.answered(1) == [4]
    await until(lambda: len(lane.detoured) == 2)
    assert sorted(number for number, _ in lane.detoured) == [2, 3]
    await spool.close()


async def test_while_the_journal_rests_all_mail_takes_the_detour(tmp_path, lanes, monkeypatch):
    monkeypatch.setattr(accepting, "REST_S", 1_000.0)
    disk = Disk("pwrite", 1 + CREATING, errno.ENOSPC)
    monkeypatch.setattr(segments, "os", disk)
    spool, lane = await opened(tmp_path / "spool"), lanes()
    assert spool.feed(lane.core)
    disk.armed = True
    for number in range(3):
        lane.send(number, message(), BODY)
        await until(lambda number=number: len(lane.detoured) == number + 1)
    assert lane.answers() == []
    await spool.close()


async def test_an_inlet_that_ends_or_sends_rubbish_is_closed_and_the_others_go_on(tmp_path, lanes):
    spool, gone, broken, fine = await opened(tmp_path / "spool"), lanes(), lanes(), lanes()
    for lane in (gone, broken, fine):
        assert spool.feed(lane.core)
    gone.worker.close()
    broken.worker.sendall(b"\0\0\0\x05hello")
    await until(lambda: gone.core.fileno() == -1 and broken.core.fileno() == -1)
    fine.send(1, message(), BODY)
    assert await fine.answered(1) == [1]
    await spool.close()
    assert fine.core.fileno() == -1, "closing the spool hangs up"


async def test_mail_by_inlet_and_by_the_loop_share_one_journal(tmp_path, lanes):
    spool, lane = await opened(tmp_path / "spool"), lanes()
    assert spool.feed(lane.core)
    made = [message() for _ in range(60)]
    waiting = []
    for at, one in enumerate(made):
        if at % 2:
            lane.send(at, one, BODY)
        else:
            waiting.append(spool.append_soon(accepted(one)))
    await asyncio.gather(*waiting)
    await lane.answered(30)
    assert await ids(spool) == {one.id for one in made}
    await spool.close()


async def test_without_a_journal_or_closed_a_spool_is_not_fed(tmp_path, lanes):
    plain = await opened(tmp_path / "plain", journal=False)
    assert not plain.feed(lanes().core)
    await plain.close()
    closed = await opened(tmp_path / "closed")
    await closed.close()
    assert not closed.feed(lanes().core)
