"""Permits moved between nodes while the store is silent: what was said is known again after a restart (§5)."""

from coordinator.budget import shares
from tests.support.budget_cluster import Faulty, Node
from tests.unit.node.cluster.test_shared_budgets import PERMITS, all_silent, part, virtual


def test_a_gift_in_the_silence_is_remembered_over_a_restart(tmp_path):
    async def story(house):
        house.a.budgets.settled(await house.a.grant(), house.a.clock())
        await all_silent(house)
        await house.a.until(house.a.together.silence.active)
        await house.b.until(house.b.together.silence.active)
        before = part(house.a).holding.share
        total = await house.a.together.holds.give(PERMITS, "b", 2, at_least=0)
        assert total > 0
        assert part(house.a).holding.share == before - total
        await house.stop("a")
        node = Node("a", Faulty(house.counted), house.home, house.loop.now_ms, house.wanted, wire=house.wire)
        node.store.silent = True
        house.nodes["a"] = node.start()
        await node.until(node.together.silence.active)
        assert part(node).holding.share == before - total, "given away: it does not come back with the giver"
        assert node.together.holds.total(PERMITS, "a", "b") == total
        await all_silent(house, silent=False)
        await node.live()
        await node.until(lambda: part(node).adopted)
        shares.checked(house.record(PERMITS), 30)

    virtual(tmp_path, story)
