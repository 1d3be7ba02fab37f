"""Going on without the store: what one end's word about a pairing is worth to the other, in virtual time."""

import asyncio
from functools import partial

import pytest

from coordinator.ownership.freely import Word, stands, word
from coordinator.ownership.moves import Here
from coordinator.ownership.records import PairKey
from coordinator.ownership.rows import Row
from coordinator.ownership.views import Me, State, View
from tests.support.ownership_house import KEYS, until
from tests.support.ownership_world import paired, run_house, states


@pytest.fixture
def world(tmp_path):
    return partial(run_house, tmp_path)


class Talk:
    """Questions between the nodes of a house."""

    def __init__(self, house):
        self.house, self.asked, self.deaf = house, [], set()

    async def __call__(self, node, key, epoch):
        self.asked.append((node, key, epoch))
        if node in self.deaf or node not in self.house.nodes:
            await asyncio.sleep(5)
            raise OSError("no way")
        await asyncio.sleep(0.01)
        found = self.house.nodes[node]
        return found.keeper.word(key, epoch) if found.tasks else None


async def silence(loop, house, *nodes):
    house.store.silent = True
    for node in nodes or house.nodes.values():
        await until(loop, lambda n=node: not n.session.session.live(loop.now_ms()), 10)
    await asyncio.sleep(0.1)


def test_in_silence_the_other_end_of_every_pairing_with_rows_is_asked_and_no_other(world):
    async def scenario(loop, house):
        await paired(loop, house)
        a, b = house.nodes.values()
        attached = a.take_in("m1")
        talk = Talk(house)
        assert not await a.keeper.agreed(talk), "there is a session"
        assert a.keeper.word(a.key("b"), attached.epoch).owned, "and whoever has one may take anything"
        await silence(loop, house)
        assert await a.keeper.agreed(talk)
        assert talk.asked == [("b", attached.key, attached.epoch)]
        assert await b.keeper.agreed(talk)
        assert len(talk.asked) == 1, "b has no rows: nobody to ask"
        talk.deaf.add("b")
        begun = loop.time()
        assert not await a.keeper.agreed(talk)
        assert loop.time() - begun < 1.5
        a.disk.rows.clear()
        a.disk.put("alone", Row())
        assert await a.keeper.agreed(talk), "what is here alone needs no word"

    world(scenario)


def test_who_adopted_before_the_silence_says_so(world):
    """a is cut from the store, b adopts a's rows, then the store falls silent for b too."""

    async def scenario(loop, house):
        await paired(loop, house)
        a, b = house.nodes.values()
        attached = a.take_in("m1")
        await a.cut(loop)
        await states(loop, {(b, attached.key): State.HELD}, 30)
        await silence(loop, house)
        assert a.keeper.view(attached.key).pairing.owner == "a", "it has not heard of it"
        assert a.disk.rows["m1"].kind == "own"
        assert not await a.keeper.agreed(Talk(house))
        assert b.keeper.word(attached.key, attached.epoch) == Word(owned=True)
        assert not await b.keeper.agreed(Talk(house)), "a believes what it last knew"

    world(scenario)


def test_a_taking_that_is_unanswered_counts_as_taken(world):
    async def scenario(loop, house):
        await paired(loop, house)
        a, b = house.nodes.values()
        attached = a.take_in("m1")
        await a.cut(loop)
        house.store.lose.append((KEYS.ownership(attached.key.spool, "b"), False))
        await until(loop, lambda: attached.key in b.keeper._known.taking, 30)
        await silence(loop, house)
        assert b.state(attached.key) is State.SPARE
        assert b.keeper.word(attached.key, attached.epoch).owned
        assert not await a.keeper.agreed(Talk(house))

    world(scenario)


def test_a_node_that_began_in_the_silence_knows_nothing_and_is_no_help(world):
    async def scenario(loop, house):
        await paired(loop, house)
        a, b = house.nodes.values()
        attached = a.take_in("m1")
        await silence(loop, house)
        await b.kill()
        b.start()
        await asyncio.sleep(1)
        assert b.keeper.word(attached.key, attached.epoch).owned
        assert not await a.keeper.agreed(Talk(house))
        await a.kill()
        a.start()
        await asyncio.sleep(1)
        assert not await a.keeper.agreed(Talk(house))

    world(scenario)


def test_what_i_was_giving_away_no_word_makes_mine(world):
    async def scenario(loop, house):
        await paired(loop, house)
        a, b = house.nodes.values()
        attached = a.take_in("m1")
        house.store.lose.append((KEYS.ownership(attached.key.spool, "b"), False))
        a.keeper.leaving = True
        await until(loop, lambda: a.state(attached.key) is State.LEAVING, 5)
        await silence(loop, house)
        assert a.keeper.view(attached.key).left
        assert not b.keeper.word(attached.key, attached.epoch).owned
        assert not await a.keeper.agreed(Talk(house))

    world(scenario)


def test_an_end_that_is_not_known_or_rows_that_are_not_in_line_stop_it(world):
    async def scenario(loop, house):
        await paired(loop, house)
        a, b = house.nodes.values()
        attached = a.take_in("m1")
        await a.kill()
        await states(loop, {(b, attached.key): State.HELD}, 30)
        b.keeper.leaving = True  # what it adopted stays where it is
        a.disk.gate.clear()
        a.start()
        await states(loop, {(a, attached.key): State.SPARE}, 10)
        await until(loop, a.keeper.live, 5)
        await silence(loop, house)
        assert not await a.keeper.agreed(Talk(house)), "b's rows are still in a's spool"
        a.disk.gate.set()
        await until(loop, lambda: a.disk.rows["m1"].kind == "given", 5)
        await asyncio.sleep(0.1)
        assert await a.keeper.agreed(Talk(house))
        talk = Talk(house)
        assert await b.keeper.agreed(talk)
        assert talk.asked == [("a", attached.key, attached.epoch)]
        b.feed._items.pop(KEYS.spool("disk-a"))
        assert not await b.keeper.agreed(talk), "nobody knows whose spool it is"

    world(scenario)


def test_rows_of_a_void_pairing_need_no_word(world):
    async def scenario(loop, house):
        await paired(loop, house)
        a, b = house.nodes.values()
        attached = a.take_in("m1")
        await a.kill()
        await states(loop, {(b, attached.key): State.HELD}, 30)
        a.start()
        await states(loop, {(b, attached.key): State.VOID}, 10)
        await silence(loop, house)
        talk = Talk(house)
        assert await b.keeper.agreed(talk)
        assert not talk.asked

    world(scenario)


ME, KEY = Me(node="a", spool="s"), PairKey(spool="s", shadow="b")


def test_nothing_is_known_of_a_key_that_was_never_there():
    absent = partial(word, None, ME, epoch=3)
    assert not absent(live=False, fresh=True, taking=False).owned
    assert absent(live=True, fresh=True, taking=False).owned
    assert absent(live=False, fresh=False, taking=False).owned
    assert absent(live=False, fresh=True, taking=True).owned


def test_rows_under_a_key_that_is_not_understood_stand_for_nothing():
    strange = View(key=KEY, state=State.STRANGE)
    assert stands(strange, Here(own=1), ME) is False
    assert stands(strange, Here(spare=1), ME) is True
