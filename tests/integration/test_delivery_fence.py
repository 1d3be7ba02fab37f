"""A node past its session's deadline: no new attempt, no final dot any more, and those after it are waited for."""

import asyncio

from node.cluster.contract import Limits
from node.delivery.clock import steady_ms
from node.delivery.dial import Dialer
from node.delivery.opener import Opener
from node.delivery.pool import Pool
from node.policy.envelope import RecipientState
from node.settings.mail import Retry
from tests.support.delivery_room import FAST, room, smarthost
from tests.support.smtp_upstream import GATE, HANG, Script, Upstream

S = RecipientState
QUICK = Retry(delays=(0.05,), jitter=0.0)


async def until(check, bound_s=5.0):
    async with asyncio.timeout(bound_s):
        while not check():  # noqa: ASYNC110 - what is waited for happens at the other end of a socket
            await asyncio.sleep(0.005)


def said(upstream, verb):
    return any(one.startswith(verb) for one in upstream.commands)


def all_closed(back):
    return not any(way.connections_open for way in back.delivery.state().ways)


async def test_nothing_starts_behind_the_fence_and_all_goes_on_after_it(tmp_path):
    async with Upstream() as up, room(tmp_path, smarthost(up.port), retry=QUICK) as back:
        first = await back.submit("before@example.com")
        await back.until(first, S.DELIVERED)
        back.delivery.fence()
        await until(lambda: all_closed(back))  # idle ones are closed too: somebody else may take their slots now
        second = await back.submit("after@example.com")
        assert await back.states(second) == [S.QUEUED]
        assert back.delivery.state().attempts_total == 0
        back.delivery.unfence()
        await back.until(second, S.DELIVERED)


async def test_an_attempt_before_the_dot_is_cut_and_costs_nothing(tmp_path):
    script = Script({"data": [HANG]})
    async with Upstream(script, extensions=()) as up, room(tmp_path, smarthost(up.port), retry=QUICK) as back:
        message = await back.submit("bob@example.com")
        await until(lambda: said(up, "DATA"))
        back.delivery.fence()
        view = await back.until(message, S.DEFERRED, S.QUEUED)
        assert view.recipients[0].attempts == 0
        assert up.taken == 0
        await until(lambda: all_closed(back))
        back.delivery.unfence()
        await back.until(message, S.DELIVERED)
        assert up.received("bob@example.com") == 1


async def test_the_last_look_before_the_dot_stops_it(tmp_path):
    """The deadline may pass between two turns of the loop, so the fence is asked, not only told."""
    allowed = True

    def asked() -> bool:
        if not allowed:  # it is told a moment later
            asyncio.get_running_loop().call_soon(back.delivery.fence)
        return allowed

    async with (
        Upstream(extensions=()) as up,
        room(tmp_path, smarthost(up.port), retry=QUICK, may_send=asked) as back,
    ):
        allowed = False
        message = await back.submit("bob@example.com")
        await until(lambda: said(up, "DATA"))
        view = await back.until(message, S.DEFERRED, S.QUEUED)
        assert view.recipients[0].attempts == 0 or view.recipients[0].last_reason
        assert up.taken == 0
        allowed = True
        back.delivery.unfence()
        await back.until(message, S.DELIVERED)
        assert up.received("bob@example.com") == 1


async def test_past_the_dot_the_answer_may_still_come(tmp_path):
    script = Script({"dot": [GATE]})
    async with Upstream(script) as up, room(tmp_path, smarthost(up.port), retry=QUICK) as back:
        message = await back.submit("bob@example.com")
        await until(lambda: up.taken)
        back.delivery.fence()
        script.gate.set()
        await back.until(message, S.DELIVERED)
        await until(lambda: all_closed(back))  # it is not kept for another


async def test_parting_leaves_what_was_past_the_dot_unknown(tmp_path):
    script = Script({"dot": [HANG]})
    slow = FAST.__class__(connect_s=2, banner_s=2, command_s=2, data_s=2, dot_s=30)
    async with Upstream(script) as up, room(tmp_path, smarthost(up.port, timings=slow), retry=QUICK) as back:
        message = await back.submit("bob@example.com")
        await until(lambda: up.taken)
        back.delivery.fence()
        await asyncio.sleep(0)
        assert await back.states(message) == [S.IN_FLIGHT]
        back.delivery.part()
        await until(lambda: all_closed(back))
        view = await back.until(message, S.DEFERRED, S.QUEUED, S.UNKNOWN)
        assert "unknown" in [line.event for line in view.lines]


class Stall(Script):
    """As the answer to the dot leaves, something happens at the other end before it looks at its sockets again."""

    def __init__(self, happens) -> None:
        super().__init__()
        self.happens = happens

    def next(self, step):
        if step == "dot":
            asyncio.get_running_loop().call_soon(self.happens)
        return super().next(step)


async def test_an_answer_that_is_there_is_read_before_parting(tmp_path):
    """A loop that was held up finds its deadline passed before it finds what came meanwhile."""

    def awake() -> None:
        back.delivery.fence()
        back.delivery.part()

    async with Upstream(Stall(awake)) as up, room(tmp_path, smarthost(up.port), retry=QUICK) as back:
        message = await back.submit("bob@example.com")
        view = await back.until(message, S.DELIVERED, S.DEFERRED, S.UNKNOWN)
        assert [line.event for line in view.lines][-1] == "delivered"
        await until(lambda: all_closed(back))


async def test_no_connection_outlives_a_session_that_another_follows_at_once(tmp_path, monkeypatch):
    """Between two looks one session ended and another began: what is in hand then closes, for its slot is gone."""
    async with Upstream() as up, room(tmp_path, smarthost(up.port), retry=QUICK) as back:
        await back.until(await back.submit("one@example.com"), S.DELIVERED)
        claims, go_on, claim = asyncio.Event(), asyncio.Event(), back.spool.claim

        async def slowly(start):
            claims.set()
            await go_on.wait()
            return await claim(start)

        monkeypatch.setattr(back.spool, "claim", slowly)
        second = await back.submit("two@example.com")
        await claims.wait()
        assert up.connections == 1
        assert not all_closed(back)
        back.delivery.fence()
        back.delivery.part()
        back.delivery.unfence()
        await until(lambda: (up.connections, up.open_now) == (2, 1))
        go_on.set()
        await back.until(second, S.DELIVERED)


async def test_a_slot_for_a_connection_that_need_not_be_opened_goes_back(tmp_path):
    """Between the choice of a way and its attempt another ends and leaves its connection, which is taken instead."""
    account = "contoso/smarthost"
    three = Limits(messages=0, window_s=60.0, recipients_24h=0, sessions=3)
    async with Upstream() as up:
        endpoint = smarthost(up.port, slotted=True, connections=2)
        async with room(tmp_path, endpoint, limits={account: three}) as back:
            pool = Pool(endpoint, Opener(Dialer(), None), back.budgets, back.telemetry)
            first = pool.reserve()
            await pool.connect(first)
            second = pool.reserve()
            assert back.budgets.try_slot(account, steady_ms()) is None, "both are taken"
            pool.release(first)
            await pool.connect(second)
            assert up.connections == 1
            assert back.budgets.try_slot(account, steady_ms()) is not None
            pool.release(second)
            pool.close_idle()


async def test_an_idle_connection_is_given_up_while_somebody_waits_for_its_slot(tmp_path):
    async with Upstream() as up, room(tmp_path, smarthost(up.port), retry=QUICK) as back:
        await back.until(await back.submit("one@example.com"), S.DELIVERED)
        assert not all_closed(back)
        back.delivery.slot_wanted("contoso/smarthost", wanted=True)
        await until(lambda: all_closed(back))
        await back.until(await back.submit("two@example.com"), S.DELIVERED)
        await until(lambda: all_closed(back))
        back.delivery.slot_wanted("contoso/smarthost", wanted=False)
        await back.until(await back.submit("three@example.com"), S.DELIVERED)
        assert not all_closed(back)
