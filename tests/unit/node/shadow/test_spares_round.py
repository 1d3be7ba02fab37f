"""When spares are compared: soon after a change and all of them, else slowly and in turn; in virtual time."""

import asyncio

import pytest

from coordinator.peers.contract import PeerUnreachable
from node.shadow.comparing import PAUSE_S, SOON_S, Comparing
from node.shadow.contract import Held
from tests.support.copies import attached, view
from tests.support.virtual_loop import run_virtual

ONE, TWO = attached(7), attached(7, "33333333-3333-4333-8333-333333333333")


class Round:
    """What is compared, when, and how far each pass comes."""

    def __init__(self, loop, parts=2):
        self.loop, self.parts, self.asked, self.dropped = loop, parts, [], []
        self.messages = {ONE: 3, TWO: 3}
        self.known, self.silent, self.again = None, set(), 0
        self.comparing = Comparing(self, self, self, None, again=self.around)

    async def around(self):
        self.again += 1

    async def held(self):
        return [Held(attached=each, node="relay-a", messages=n, size_bytes=0) for each, n in self.messages.items()]

    async def drop(self, pair):
        self.dropped.append(pair)

    def view(self, _key):
        return self.known

    async def compare(self, pair, after):
        self.asked.append((round(self.loop.time(), 3), pair, after))
        if pair in self.silent:
            raise PeerUnreachable("nobody there")
        return str(int(after or 0) + 1) if int(after or 0) + 1 < self.parts else ""

    async def during(self, seconds):
        task = asyncio.create_task(self.comparing.run())
        await asyncio.sleep(seconds)
        task.cancel()
        return [(pair, after) for _, pair, after in self.asked]


def test_a_change_brings_all_of_them_at_once():
    async def main(loop):
        world = Round(loop)
        start = loop.time()
        world.comparing.soon()
        found = await world.during(PAUSE_S)
        assert found == [(ONE, ""), (ONE, "1"), (TWO, ""), (TWO, "1")]
        assert [at - start for at, *_ in world.asked] == [pytest.approx(SOON_S)] * 4
        assert world.again == 1

    run_virtual(main)


def test_a_change_just_before_a_slow_pass_is_not_missed():
    async def main(loop):
        world = Round(loop, parts=1)
        loop.call_later(PAUSE_S - SOON_S / 2, world.comparing.soon)
        assert await world.during(PAUSE_S + 1) == [(ONE, ""), (TWO, "")]

    run_virtual(main)


def test_without_one_a_few_are_asked_about_in_turn():
    async def main(loop):
        world = Round(loop)
        found = await world.during(6 * PAUSE_S + 1)
        assert found == [(ONE, ""), (TWO, ""), (ONE, "1"), (TWO, "1"), (ONE, ""), (TWO, "")]

    run_virtual(main)


def test_one_that_is_silent_holds_up_no_other_and_all_is_compared_again():
    async def main(loop):
        world = Round(loop, parts=1)
        world.silent = {ONE}
        world.comparing.soon()
        loop.call_later(PAUSE_S, world.silent.clear)
        found = await world.during(3 * PAUSE_S)
        assert found == [(ONE, ""), (TWO, ""), (ONE, ""), (TWO, ""), (ONE, "")]
        assert [at - world.asked[0][0] for at, *_ in world.asked] == [0, 0, PAUSE_S, PAUSE_S, 2 * PAUSE_S]

    run_virtual(main)


def test_whatever_goes_wrong_it_goes_on():
    async def main(loop):
        world = Round(loop, parts=1)
        around = world.around

        async def broken():
            await around()
            if world.again == 1:
                raise RuntimeError("a fault of the program")

        world.comparing._again = broken
        world.comparing.soon()
        assert await world.during(PAUSE_S + 1) == [(ONE, ""), (TWO, "")]

    run_virtual(main)


def test_only_epochs_that_are_over_and_empty_are_forgotten():
    async def main(loop):
        world = Round(loop)
        world.messages = {ONE: 0}
        for known, dropped in ((None, []), (view(epoch=7), []), (view(epoch=8), [ONE])):
            world.known = known
            world.comparing.soon()
            assert await world.during(1) == []
            assert world.dropped == dropped

    run_virtual(main)
