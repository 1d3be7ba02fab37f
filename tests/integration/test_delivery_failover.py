"""From path to path: how soon, for whom, where to, and what is not spread. Real sockets, scripted upstreams."""

import asyncio
import time

import pytest

from node.delivery.attempt import HURRIED_S
from node.delivery.clock import wall_ms
from node.delivery.endpoint import Timings
from node.policy.envelope import Direction, Priority, RecipientState
from tests.support.delivery_room import authority, mx_way, room, smarthost, submission
from tests.support.inlets import until
from tests.support.smtp_upstream import CUT, GATE, HANG, Script, Upstream

S = RecipientState
CLOSED_PORT = 1
SOON_S = 1.0


class Lag:
    """How long the loop was kept from its work: on a busy machine that is no fault of what is measured."""

    async def __aenter__(self):
        self.total_s, self._task = 0.0, asyncio.create_task(self._measure())
        return self

    async def __aexit__(self, *exc):
        self._task.cancel()

    async def _measure(self):
        while True:
            began = time.monotonic()
            await asyncio.sleep(0.01)
            self.total_s += max(0.0, time.monotonic() - began - 0.02)


async def switched_s(back, **more) -> float:
    """Seconds from the last failure of an urgent message on its first way to its attempt on the next."""
    async with Lag() as lag:
        queue_id = await back.submit(priority=Priority.URGENT, **more)
        view = await back.until(queue_id, S.DELIVERED, seconds=30)
    failed = [line.at_ms for line in view.lines if line.event in ("postponed", "deferred")]
    last = [line for line in view.lines if line.event == "claimed"][-1]
    assert last.detail["way"].startswith("smarthost")
    return (last.at_ms - failed[-1]) / 1000 - lag.total_s if failed else 0.0


async def test_urgent_mail_leaves_a_dead_path_at_once_and_other_mail_by_its_schedule(tmp_path):
    async with Upstream() as up, room(tmp_path, mx_way("connector", CLOSED_PORT), smarthost(up.port)) as back:
        assert await switched_s(back) < SOON_S
        other = await back.submit()
        view = await back.reason(other, "connect_failed")
        assert view.recipients[0].next_attempt_ms - time.time() * 1000 > 20_000
        assert await switched_s(back) == 0.0
        assert up.taken == 2


async def test_urgent_mail_does_not_try_every_account_of_a_dead_path(tmp_path):
    names = [f"relay{number}@contoso.com" for number in range(1, 5)]
    dead = [submission(CLOSED_PORT, authority()[1], name) for name in names]
    async with Upstream() as up, room(tmp_path, *dead, smarthost(up.port)) as back:
        assert await switched_s(back) < SOON_S
        counts = back.telemetry.numbers.counts.items()
        failed = sum(count for (name, _), count in counts if name == "relay_connections_failed")
        assert failed == 1, "the first account's failure speaks for the others"


async def test_urgent_mail_without_another_path_tries_another_account(tmp_path):
    server, client = authority()
    broken = Script({"banner": [CUT] * 50})
    async with Upstream(script=broken) as first, Upstream(tls=server, auth="XOAUTH2") as up:
        ways = [submission(first.port, client), submission(up.port, client, "relay2@contoso.com")]
        async with room(tmp_path, *ways) as back:
            for _ in range(4):
                queue_id = await back.submit(priority=Priority.URGENT)
                await back.until(queue_id, S.DELIVERED, seconds=10)


async def test_urgent_mail_does_not_wait_for_a_path_that_says_nothing(tmp_path):
    silent = Script({"banner": [HANG] * 10})
    async with (
        Upstream(script=silent) as dead,
        Upstream() as up,
        room(tmp_path, mx_way("connector", dead.port, timings=Timings()), smarthost(up.port)) as back,
    ):
        began = time.monotonic()
        assert await switched_s(back) < SOON_S
        assert HURRIED_S - 0.5 < time.monotonic() - began < 15
        assert await switched_s(back) == 0.0
        assert dead.connections == 1


@pytest.mark.parametrize("step", ["ehlo", "mail", "rcpt", "data"])
async def test_urgent_mail_leaves_a_path_that_breaks_in_the_middle(tmp_path, step):
    async with (
        Upstream(script=Script({step: [CUT] * 10})) as broken,
        Upstream() as up,
        room(tmp_path, mx_way("connector", broken.port), smarthost(up.port)) as back,
    ):
        assert await switched_s(back) < SOON_S
        assert up.taken == 1


@pytest.mark.parametrize(
    "reply",
    [b"451 4.3.2 ATTR17 busy\r\n", b"450 4.7.0 Message not proxied\r\n", b"452 4.3.1 no resources\r\n"],
)
async def test_urgent_mail_leaves_a_path_that_is_busy(tmp_path, reply):
    async with (
        Upstream(script=Script({"mail": [reply] * 10})) as busy,
        Upstream() as up,
        room(tmp_path, mx_way("connector", busy.port), smarthost(up.port)) as back,
    ):
        assert await switched_s(back) < SOON_S


async def test_what_another_path_would_say_too_is_not_carried_there(tmp_path):
    async with (
        Upstream(script=Script({"rcpt": [b"451 4.2.1 not now\r\n"] * 10})) as first,
        Upstream() as up,
        room(tmp_path, mx_way("connector", first.port), smarthost(up.port)) as back,
    ):
        queue_id = await back.submit(priority=Priority.URGENT)
        view = await back.until(queue_id, S.DEFERRED)
        assert view.recipients[0].next_attempt_ms - time.time() * 1000 > 20_000
        assert up.taken == 0


async def test_a_way_in_doubt_is_used_when_it_is_the_only_one(tmp_path):
    async with (
        Upstream(script=Script({"banner": [CUT]})) as up,
        room(tmp_path, mx_way("connector", up.port)) as back,
    ):
        queue_id = await back.submit(priority=Priority.URGENT)
        await back.reason(queue_id, "connect_failed")
        await back.spool.release(_of(queue_id), "test", "again", int(time.time() * 1000))
        back.delivery.wake()
        await back.until(queue_id, S.DELIVERED)


def _of(queue_id):
    from node.spool.contract import Filter

    return Filter(ids=(queue_id,), limit=1)


async def test_a_recipient_for_insiders_only_goes_where_we_are_known(tmp_path):
    inside_only = Script({"rcpt": [b"550 5.7.133 authentication required\r\n"] * 10})
    async with Upstream(script=inside_only) as mx, Upstream() as up:
        ways = (mx_way("connector", mx.port), mx_way("direct-send", mx.port), smarthost(up.port))
        async with room(tmp_path, *ways) as back:
            queue_id = await back.submit("carol@contoso.com", direction=Direction.INTERNAL)
            await back.until(queue_id, S.DELIVERED)
            assert (up.taken, mx.commands.count("RCPT TO:<carol@contoso.com>")) == (1, 1)


async def test_a_recipient_that_blocks_all_bounces_alone(tmp_path):
    blocked = b"550 5.7.703 blocked by Tenant Allow Block List\r\n"
    async with (
        Upstream(script=Script({"dot": [blocked, None, blocked, None]})) as up,
        room(tmp_path, mx_way("connector", up.port, connections=1)) as back,
    ):
        queue_id = await back.submit("a@example.com", "b@example.com", "c@example.com")
        view = await back.until(queue_id, S.DELIVERED, S.BOUNCED)
        assert sorted(one.state.value for one in view.recipients) == ["bounced", "delivered", "delivered"]
        # The bounce goes the same way, so three are taken: two mails and the report.
        assert [len(mail.recipients) for mail in up.mails][:2] == [1, 1]


async def test_a_path_that_is_too_busy_gets_fewer_connections(tmp_path):
    busy = b"451 4.7.500 Server busy. Please try again later\r\n"
    async with (
        Upstream(script=Script({"mail": [busy]})) as up,
        room(tmp_path, mx_way("connector", up.port, connections=8)) as back,
    ):
        queue_id = await back.submit()
        await back.reason(queue_id, "source_throttled")
        way = back.delivery.state().ways[0]
        assert way.limit == 4


async def test_a_tarpit_gets_fewer_connections(tmp_path, monkeypatch):
    monkeypatch.setattr("node.delivery.learning.TARPIT_S", 0.2)
    gate = Script({"mail": [None, GATE]})
    async with Upstream(script=gate, extensions=()) as up, room(tmp_path, mx_way("connector", up.port)) as back:
        await back.until(await back.submit(), S.DELIVERED)
        assert back.delivery.state().ways[0].limit == 4
        queue_id = await back.submit()
        await asyncio.sleep(0.4)
        gate.gate.set()
        await back.until(queue_id, S.DELIVERED)
        assert back.delivery.state().ways[0].limit == 2


@pytest.mark.parametrize(
    "reply",
    [
        b"550 5.1.8 Access denied, bad outbound sender\r\n",
        b"554 5.2.0 STOREDRV.Submission.Exception:OutboundSpamException; WASCL UserAction verdict is Suspend\r\n",
        b"550 5.7.501 Access denied, spam abuse detected\r\n",
        b"550 5.7.502 Access denied, banned sender\r\n",
        b"550 5.7.503 Access denied, banned sender\r\n",
    ],
)
async def test_a_block_of_the_content_stops_and_does_not_spread(tmp_path, reply):
    async with (
        Upstream(script=Script({"dot": [reply] * 10})) as blocking,
        Upstream() as up,
        room(tmp_path, mx_way("connector", blocking.port), smarthost(up.port)) as back,
    ):
        first = await back.submit()
        await back.until(first, S.HELD)
        second = await back.submit(priority=Priority.URGENT)
        await back.reason(second, "content_blocked")
        assert up.taken == 0
        assert back.health.entries["client/app"].reason == "content_blocked"
        assert not back.health.entries["account/contoso/connector"].until_ms


DENIED = b"554 5.2.252 SendAsDenied; relay1@contoso.com not allowed to send as app@contoso.com\r\n"


def mails_from(up, sender):
    return sum(command.upper().startswith(f"MAIL FROM:<{sender.upper()}>") for command in up.commands)


async def test_a_from_that_an_account_has_not_sent_for_is_tried_by_one_attempt_at_a_time(tmp_path):
    """Found when more mail was under way at once: an account was asked three times for a From all refuse."""
    server, client = authority()
    script = Script({"mail": [GATE] * 3, "dot": [DENIED] * 10})
    async with (
        Upstream(script=script, tls=server, auth="XOAUTH2") as up,
        room(tmp_path, submission(up.port, client, connections=3)) as back,
    ):
        for _ in range(6):
            await back.submit()
        await until(lambda: mails_from(up, "app@contoso.com") >= 1)
        other = await back.submit(client="other", mail_from="b@contoso.com", header_from="b@contoso.com")
        await until(lambda: mails_from(up, "b@contoso.com") >= 1)
        script.gate.set()
        for queue_id in (back.ids[0], other):
            await back.reason(queue_id, "send_as_denied", "sender_not_permitted")
        for queue_id in back.ids[1:6]:
            await back.until(queue_id, S.DEFERRED, S.QUEUED)
        assert mails_from(up, "app@contoso.com") == 1


async def test_a_from_that_has_worked_uses_every_session(tmp_path):
    server, client = authority()
    script = Script()
    async with (
        Upstream(script=script, tls=server, auth="XOAUTH2") as up,
        room(tmp_path, submission(up.port, client, connections=3)) as back,
    ):
        await back.until(await back.submit(), S.DELIVERED)
        script.steps["mail"] = [GATE] * 3
        for _ in range(6):
            await back.submit()
        await until(lambda: mails_from(up, "app@contoso.com") >= 4)
        script.gate.set()
        for queue_id in back.ids:
            await back.until(queue_id, S.DELIVERED)


async def test_mail_told_why_it_waits_goes_as_soon_as_it_need_not(tmp_path):
    """Found by rounds of faults: it slept for the quarter of an hour after which somebody would have looked anyway."""
    async with Upstream() as up, room(tmp_path, smarthost(up.port)) as back:
        back.health.park("path/contoso/smarthost", wall_ms(), reason="maintenance", by="alice")
        queue_ids = [await back.submit() for _ in range(3)]
        await back.reason(queue_ids[0], "maintenance")
        back.health.resume("path/contoso/smarthost", wall_ms())
        back.delivery.stir()
        for queue_id in queue_ids:
            await back.until(queue_id, S.DELIVERED)
