"""A house of keepers in virtual time, for unit tests."""

import asyncio

from tests.support.ownership_house import House, LossyStore, until
from tests.support.virtual_loop import run_virtual


def run_house(path, scenario, names=("a", "b"), **options):
    """Run ``scenario(loop, house)`` with every node started."""

    async def main(loop):
        store = LossyStore(loop)
        house = House(store, path, loop.now_ms, names, **options)
        house.store = store
        house.start()
        try:
            await scenario(loop, house)
        finally:
            await house.close()

    run_virtual(main)


async def paired(loop, house, *names):
    """Every node named, or all of them, is ready and has somewhere to copy to."""
    for name in names or house.nodes:
        node = house.nodes[name]
        await until(loop, lambda n=node: n.keeper.target is not None and n.keeper.ready, 10, f"{name} pairs")
        await until(loop, lambda n=node: in_line(n.keeper), 10, f"{name} is in line")


def in_line(keeper):
    return all(keeper._aligning.done(view.key) for view in keeper.views())


async def states(loop, wanted, within_s=20):
    """Wait for views: ``(node, key) -> state``."""

    def found():
        return {pair: pair[0].state(pair[1]) for pair in wanted}

    end = loop.time() + within_s
    while found() != wanted:
        assert loop.time() < end, {(node.name, key): state for (node, key), state in found().items()}
        await asyncio.sleep(0.01)
    return loop.time()
