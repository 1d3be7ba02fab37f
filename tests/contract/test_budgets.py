"""What every Budgets does for one node, embedded or beside two that rest; on the memory store, in virtual time."""

import asyncio

import pytest

from coordinator.store.memory import MemoryStore
from node.cluster.budgets import EmbeddedBudgets
from node.cluster.contract import Budgets, Grant, Limits, Need, Refusal
from node.cluster.limits import BudgetLimits, ClientLimits
from tests.support.budget_cluster import EPOCH_MS, NAMES, Node
from tests.support.virtual_loop import run_virtual

BOX = Limits(messages=6, window_s=60, recipients_24h=100, sessions=3)
W = 60.061


def wanted(box=BOX, **more):
    more.setdefault("accounts", {"t/0": box, "t/1": box})
    return BudgetLimits(urgent_percent=0, urgent_day_percent=0, **more)


class Side:
    """One implementation on one clock; ``ask`` asks until granted, or for some time."""

    def __init__(self, loop, budgets: Budgets):
        self.loop, self.budgets = loop, budgets

    def now(self):
        return EPOCH_MS + self.loop.now_ms()

    async def ask(self, within_s=5.0, **about):
        until = self.loop.time() + within_s
        about.setdefault("account", "t/0")
        about.setdefault("recipients", 1)
        while isinstance(answer := self.budgets.try_grant(Need(**about), self.now()), Refusal):
            if self.loop.time() >= until:
                return answer
            await asyncio.sleep(0.25)
        return answer

    async def slot(self, within_s=5.0):
        until = self.loop.time() + within_s
        while True:
            lease = self.budgets.try_slot("t/0", self.now())
            if lease is not None or self.loop.time() >= until:
                return lease
            await asyncio.sleep(0.25)


@pytest.fixture(params=["embedded", "shared"])
def play(request, tmp_path):
    def run(story, limits=None):
        limits = limits or wanted()

        async def main(loop):
            if request.param == "embedded":
                await story(Side(loop, EmbeddedBudgets(limits, started_ms=EPOCH_MS + loop.now_ms())))
                return
            store = MemoryStore(loop.time)
            nodes = [Node(name, store, tmp_path, loop.now_ms, limits).start() for name in NAMES]
            for node in nodes:
                await node.live()
            side = Side(loop, nodes[0].budgets)
            await story(side)
            for node in nodes:
                await node.kill()

        run_virtual(main)

    return run


def test_a_limit_is_used_whole_and_no_further_until_a_window_after_the_reply(play):
    async def story(side):
        lease = await side.slot()
        grants = [await side.ask() for _ in range(6)]
        assert all(isinstance(grant, Grant) for grant in grants)
        assert len({grant.id for grant in grants}) == 6
        refusal = await side.ask(within_s=3)
        assert refusal.reason == "no_permit"
        assert refusal.retry_ms > side.now()
        for grant in grants:
            side.budgets.settled(grant, side.now())
        ended = side.loop.time()
        assert isinstance(await side.ask(within_s=60 - 0.5), Refusal)
        assert isinstance(await side.ask(within_s=5), Grant)
        assert side.loop.time() - ended >= W
        side.budgets.give_back(lease, side.now())

    play(story)


def test_what_is_cancelled_comes_back_at_once_and_twice_is_once(play):
    async def story(side):
        await side.slot()
        for _ in range(20):
            grant = await side.ask()
            side.budgets.cancelled(grant, side.now())
            side.budgets.cancelled(grant, side.now())
            side.budgets.settled(grant, side.now())
        grants = [await side.ask() for _ in range(6)]
        assert all(isinstance(grant, Grant) for grant in grants)
        assert isinstance(await side.ask(within_s=2), Refusal)

    play(story)


def test_a_vanished_conversation_counts_longer(play):
    async def story(side):
        await side.slot()
        grants = [await side.ask() for _ in range(6)]
        for grant in grants:
            side.budgets.settled(grant, side.now(), vanished=True)
        assert isinstance(await side.ask(within_s=119), Refusal)
        assert isinstance(await side.ask(within_s=5), Grant)

    play(story)


def test_the_day_is_used_to_its_end_and_what_was_not_used_comes_back(play):
    async def story(side):
        free = await side.ask(recipients=60, account="t/1")
        assert isinstance(free, Grant)
        refusal = await side.ask(recipients=41, account="t/1", within_s=3)
        assert refusal.reason == "day_budget"
        assert refusal.retry_ms > side.now()
        side.budgets.settled(free, side.now(), recipients_used=20)
        rest = await side.ask(recipients=80, account="t/1")
        assert isinstance(rest, Grant)
        assert (await side.ask(account="t/1", within_s=3)).reason == "day_budget"

    play(story, wanted(Limits(messages=0, window_s=60, recipients_24h=100, sessions=0)))


def test_external_recipients_of_a_tenant_are_one_limit(play):
    async def story(side):
        assert isinstance(await side.ask(recipients=9, tenant="t", external=9), Grant)
        refusal = await side.ask(recipients=2, account="t/1", tenant="t", external=2, within_s=3)
        assert refusal.reason == "tenant_budget"
        assert isinstance(await side.ask(recipients=2, account="t/1", tenant="t", external=1), Grant)

    free = Limits(messages=0, window_s=60, recipients_24h=0, sessions=0)
    play(story, wanted(free, tenants={"t": 10}))


def test_two_of_three_connections_and_one_that_vanished(play):
    async def story(side):
        first, second = await side.slot(), await side.slot()
        assert {first.index, second.index} == {0, 1}
        assert await side.slot(within_s=3) is None
        side.budgets.give_back(first, side.now())
        side.budgets.give_back(first, side.now())
        third = await side.slot()
        assert third.index == first.index
        side.budgets.give_back(second, side.now(), linger=True)
        side.budgets.give_back(third, side.now(), linger=True)
        assert await side.slot() is not None
        assert await side.slot(within_s=30) is None
        assert await side.slot(within_s=400) is not None

    play(story)


def test_unknown_accounts_and_no_limits(play):
    async def story(side):
        assert side.budgets.try_grant(Need(account="x", recipients=1), side.now()).reason == "unknown_account"
        assert side.budgets.try_slot("x", side.now()) is None
        grants = [side.budgets.try_grant(Need(account="t/0", recipients=9), side.now()) for _ in range(50)]
        assert all(isinstance(grant, Grant) for grant in grants)
        assert all(side.budgets.try_slot("t/0", side.now()) for _ in range(50))

    play(story, wanted(Limits(messages=0, window_s=0, recipients_24h=0, sessions=0)))


def test_a_client_is_held_to_its_rate_and_recipients(play):
    async def story(side):
        assert side.budgets.admit_client("other", 1_000, side.now()) is None
        let_in, refusals = 0, set()
        for _ in range(20):
            answer = side.budgets.admit_client("app", 1, side.now())
            if answer is None:
                side.budgets.client_done("app", 1, 1, side.now())
                let_in += 1
            else:
                refusals.add(answer.reason)
            await asyncio.sleep(0.5)
        assert 10 <= let_in <= 12
        assert refusals == {"rate"}
        assert side.budgets.admit_client("few", 2, side.now()) is None
        side.budgets.client_done("few", 2, 0, side.now())
        used = 0
        for _ in range(40):
            answer = side.budgets.admit_client("few", 2, side.now())
            if answer is None:
                side.budgets.client_done("few", 2, 2, side.now())
                used += 2
            await asyncio.sleep(1)
        assert 58 <= used <= 60
        assert answer.reason == "recipients"

    clients = {"app": ClientLimits(messages=10), "few": ClientLimits(recipients=60)}
    play(story, wanted(clients=clients))
