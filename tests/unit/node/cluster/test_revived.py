"""The word that a node is dead ends when it begins a session again; real sessions, watches and signatures."""

import asyncio

from coordinator.store.memory import MemoryStore
from coordinator.wishes import Kind
from node.cluster.revived import TURN_S, Revived
from tests.support.health_cluster import KEYS, three, until
from tests.support.virtual_loop import run_virtual

NAMES = ("node-a", "node-b", "node-c")


class Counting(MemoryStore):
    def __init__(self, now_s):
        super().__init__(now_s)
        self.words = []

    async def txn(self, compares, writes, *, timeout_s):
        self.words += [each for each in writes if each.key == KEYS.control("dead/node-c")]
        return await super().txn(compares, writes, timeout_s=timeout_s)


def play(tmp_path, scene, revived=NAMES):
    """Run a scene with three joined nodes, of which those named look for who is back; time jumps."""

    async def main(loop):
        store = Counting(loop.time)
        nodes = await three(store, tmp_path, loop.now_ms)

        async def ticking():
            while True:
                await asyncio.sleep(2)
                store.tick()

        looks = [look(node) for node in nodes if node.name in revived]
        clock = asyncio.ensure_future(ticking())
        try:
            await scene(nodes, store, loop)
        finally:
            for task in (*looks, clock):
                task.cancel()
            for node in nodes:
                await node.vanish()

    run_virtual(main)


def look(node, settled=lambda _node: False):
    return asyncio.ensure_future(Revived(node.wishes, node.name, lambda: NAMES, node.wall_ms, settled).run())


def dead(node):
    return node.wishes.book.dead(node.wall_ms())


async def declared(nodes):
    """node-c is gone, and an operator says so."""
    a, b, c = nodes
    await c.vanish()
    await until(lambda: KEYS.member("members", "node-c") not in a.feed.items, 60)
    await a.wishes.make(Kind.DEAD, "node-c", actor="alice", reason="burnt down")
    await until(lambda: dead(b) == {"node-c"})


async def ended(node):
    await until(lambda: not node.wishes.book.get(Kind.DEAD, "node-c").on, 60)
    return node.wishes.book.get(Kind.DEAD, "node-c")


def test_the_node_itself_ends_it_and_it_does_not_come_back_when_the_node_goes_again(tmp_path):
    async def scene(nodes, store, loop):
        await declared(nodes)
        a, b, c = nodes
        await asyncio.sleep(60)
        assert dead(a) == {"node-c"}, "without a time it lasts as long as the node is away"
        c.start()
        c.tasks.append(look(c))
        await c.joined()
        await until(lambda: not dead(a) and not dead(b))
        end = await ended(a)
        assert (end.node, end.actor, end.on) == ("node-c", "node-c", False)
        await c.vanish()
        await until(lambda: KEYS.member("members", "node-c") not in a.feed.items, 60)
        await asyncio.sleep(20)
        assert dead(a) == dead(b) == frozenset()
        assert len(store.words) == 2

    play(tmp_path, scene)


def test_another_ends_it_should_the_node_not_and_only_one_of_them_writes(tmp_path):
    async def scene(nodes, store, loop):
        await declared(nodes)
        _, b, c = nodes
        c.start()
        await c.joined()
        began = loop.time()
        assert (await ended(b)).node == "node-a"
        assert loop.time() - began >= TURN_S - 1
        await asyncio.sleep(5 * TURN_S)
        assert len(store.words) == 2

    play(tmp_path, scene, revived=("node-a", "node-b"))


def test_a_newer_word_is_left_alone(tmp_path):
    async def scene(nodes, store, loop):
        await declared(nodes)
        a, b, c = nodes
        c.start()
        await c.joined()
        await until(lambda: a.wishes.book.revived(a.wall_ms()))
        (old,) = a.wishes.book.revived(a.wall_ms())
        await c.vanish()
        await a.wishes.make(Kind.DEAD, "node-c", actor="alice", reason="again")
        one = Revived(b.wishes, "node-b", lambda: NAMES, b.wall_ms)
        await one._end(old)
        assert dead(a) == {"node-c"}

    play(tmp_path, scene, revived=())


def test_the_word_ends_once_nothing_is_left_of_a_node_that_never_came_back(tmp_path):
    async def scene(nodes, store, loop):
        await declared(nodes)
        a, b, _ = nodes
        left = {"node-c"}
        a.tasks.append(look(a, lambda node: node not in left))
        await asyncio.sleep(60)
        assert dead(b) == {"node-c"}, "its disk may still be put back"
        left.clear()
        assert (await ended(b)).reason == "nothing of it is left to take over"
        assert not dead(a)
        assert not dead(b)

    play(tmp_path, scene, revived=())
