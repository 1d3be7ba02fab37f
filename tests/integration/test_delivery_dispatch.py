"""The dispatcher: order, failover, permits, drain, reload, memory; against real sockets."""

import asyncio
import re

import pytest

from node.cluster.contract import Limits
from node.delivery.endpoint import Timings
from node.delivery.wiring import Plans
from node.policy.envelope import Notify, Priority, RecipientState
from node.spool.contract import Accepted
from node.telemetry.context import parse
from tests.support.delivery_room import BODY, authority, message, room, smarthost, submission
from tests.support.smtp_upstream import HANG, Script, Upstream

S = RecipientState
ACCOUNT = "contoso/relay1@contoso.com"


async def test_urgent_goes_first_and_bulk_does_not_starve(tmp_path):
    async with Upstream() as up, room(tmp_path, smarthost(up.port, connections=1), start=False, memory=True) as back:
        for priority in (Priority.BULK, Priority.URGENT):
            for number in range(60):
                await back.submit(f"{priority.value}{number}@example.com", priority=priority, wake=False)
        await back.delivery.start()
        await back.until(back.ids[59], S.DELIVERED, seconds=20)
        order = [mail.recipients[0] for mail in up.mails]
        first = order[:60]
        assert sum(name.startswith("urgent") for name in first) >= 54
        assert sum(name.startswith("bulk") for name in first) >= 2


async def test_clients_share_a_connection_fairly(tmp_path):
    async with Upstream() as up, room(tmp_path, smarthost(up.port, connections=1), start=False, memory=True) as back:
        for client in ("greedy", "small"):
            for number in range(50 if client == "greedy" else 5):
                await back.submit(f"{client}{number}@example.com", client=client, wake=False)
        await back.delivery.start()
        await back.until(back.ids[-1], S.DELIVERED)
        names = [mail.recipients[0] for mail in up.mails]
        last = max(place for place, name in enumerate(names) if name.startswith("small"))
        assert last < 16


async def test_a_thousand_recipients_are_split_by_the_ways_limit(tmp_path):
    async with Upstream() as up, room(tmp_path, smarthost(up.port), memory=True) as back:
        to = [f"r{number}@example.com" for number in range(250)]
        await back.until(await back.submit(*to), S.DELIVERED)
        assert sorted(len(mail.recipients) for mail in up.mails) == [50, 100, 100]


async def test_a_large_body_is_streamed_with_dots_stuffed(tmp_path):
    body = b"Subject: big\r\n\r\n" + b".\r\n..two\r\nx" * 60_000 + b"\r\n.end\r\n"
    async with Upstream() as up, room(tmp_path, smarthost(up.port)) as back:
        await back.until(await back.submit("bob@example.com", body=body), S.DELIVERED)
        assert up.mails[0].data == body


async def test_send_as_denied_moves_to_the_account_that_may(tmp_path):
    server, client = authority()
    denied = b"554 5.2.252 SendAsDenied; relay1@contoso.com not allowed to send as app@contoso.com; STOREDRV\r\n"
    async with (
        Upstream(Script({"dot": [denied]}), tls=server, auth="XOAUTH2") as up,
        room(tmp_path, submission(up.port, client), submission(up.port, client, "relay2@contoso.com")) as back,
    ):
        view = await back.until(await back.submit("bob@example.com"), S.DELIVERED)
        assert {mail.user for mail in up.mails} == {"relay2@contoso.com"} or len(up.mails) == 1
        assert any(scope.startswith("pair/") for scope in back.health.entries)
        assert view.recipients[0].attempts == 1


@pytest.mark.parametrize("idle_s", [60.0, 0.001])
async def test_the_next_message_waits_for_the_permit_without_a_hot_loop(tmp_path, idle_s):
    """Without a permit no connection is asked for either: others may use it meanwhile."""
    server, client = authority()
    limits = {ACCOUNT: Limits(messages=3, window_s=60.0, recipients_24h=0, sessions=3)}
    async with (
        Upstream(tls=server, auth="XOAUTH2") as up,
        room(
            tmp_path,
            submission(up.port, client, timings=Timings(idle_s=idle_s)),
            limits=limits,
            memory=True,
            poll_s=5,
        ) as back,
    ):
        for number in range(6):
            await back.submit(f"r{number}@example.com")
        for _ in range(300):
            if len(up.mails) == 3:
                break
            await asyncio.sleep(0.01)
        asked = 0
        original = back.budgets.try_grant

        def counting(need, now_ms):
            nonlocal asked
            asked += 1
            return original(need, now_ms)

        back.budgets.try_grant = counting
        slots = []
        back.budgets.try_slot = lambda account, now_ms: slots.append(account)
        for number in range(30):
            await back.submit(f"late{number}@example.com", priority=Priority.URGENT, wake=number == 29)
        await asyncio.sleep(0.3)
        assert len(up.mails) == 3
        assert asked < 10
        assert not slots
        assert {lane.reason for lane in back.delivery.state().resting} == {"no_permit"}


async def test_a_permit_that_returns_is_used_at_once(tmp_path):
    server, client = authority()
    limits = {ACCOUNT: Limits(messages=2, window_s=0.3, recipients_24h=0, sessions=3)}
    async with (
        Upstream(tls=server, auth="XOAUTH2") as up,
        room(tmp_path, submission(up.port, client), limits=limits, memory=True, poll_s=5) as back,
    ):
        ids = [await back.submit(f"r{number}@example.com") for number in range(6)]
        for message_id in ids:
            await back.until(message_id, S.DELIVERED)
        assert len(up.mails) == 6


async def test_drain_finishes_and_starts_nothing(tmp_path):
    async with Upstream() as up, room(tmp_path, smarthost(up.port)) as back:
        await back.until(await back.submit("a@example.com"), S.DELIVERED)
        back.delivery.drain()
        second = await back.submit("b@example.com")
        await asyncio.sleep(0.1)
        assert await back.states(second) == [S.QUEUED]
        assert len(up.mails) == 1


async def test_a_parked_path_keeps_mail_until_resumed(tmp_path):
    async with Upstream() as up, room(tmp_path, smarthost(up.port), memory=True) as back:
        back.delivery.park("path/contoso/smarthost", reason="maintenance", by="alice")
        message_id = await back.submit("a@example.com")
        await asyncio.sleep(0.1)
        assert not up.mails
        back.delivery.resume("path/contoso/smarthost")
        for lane in ("normal/app/external/contoso/contoso.com",):
            await back.spool.release(_everything(), "alice", "test", 0)
            back.delivery.wake([lane])
        await back.until(message_id, S.DELIVERED)


def _everything():
    from node.spool.contract import Filter

    return Filter()


async def test_reload_moves_mail_to_the_new_host(tmp_path):
    async with Upstream() as old, Upstream() as new, room(tmp_path, smarthost(old.port), memory=True) as back:
        await back.until(await back.submit("a@example.com"), S.DELIVERED)
        plans = back.delivery._plans
        fresh = smarthost(new.port)
        back.delivery.reload(
            Plans(
                directory=plans.directory,
                plans=plans.plans,
                endpoints={fresh.way: fresh},
                reporting=plans.reporting,
                poll_s=plans.poll_s,
            )
        )
        await back.until(await back.submit("b@example.com"), S.DELIVERED)
        assert len(old.mails) == len(new.mails) == 1


async def test_mail_nobody_told_of_is_found_by_the_poll(tmp_path):
    async with Upstream() as up, room(tmp_path, smarthost(up.port), memory=True, poll_s=0.2) as back:
        await back.until(await back.submit("a@example.com", wake=False), S.DELIVERED)
        back.delivery.wake()
        await back.until(await back.submit("b@example.com", wake=False), S.DELIVERED)
        assert len(up.mails) == 2


async def test_spans_are_one_connected_graph_without_addresses(tmp_path):
    server, client = authority()
    accepted = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"
    async with (
        Upstream(tls=server, auth="XOAUTH2") as up,
        room(tmp_path, submission(up.port, client)) as back,
    ):
        await back.until(await back.submit("bob@example.com", traceparent=accepted), S.DELIVERED)
        for _ in range(100):
            if any(span.name == "relay.attempt" for span in back.spans.spans):
                break
            await asyncio.sleep(0.01)
        spans = {span.name: span for span in back.spans.spans}
        assert set(spans) == {
            "relay.queue",
            "relay.attempt",
            "relay.permit",
            "relay.connect",
            "relay.auth",
            "relay.transfer",
        }
        assert {span.context.trace_id for span in spans.values()} == {parse(accepted).trace_id}
        attempt = spans["relay.attempt"]
        assert attempt.parent_span_id == parse(accepted).span_id
        for name in ("relay.permit", "relay.connect", "relay.auth", "relay.transfer"):
            assert spans[name].parent_span_id == attempt.context.span_id
            assert spans[name].start_ns <= spans[name].end_ns
        assert "bob@example.com" not in str(back.spans.spans)
        assert not re.search(r"token\d", str(back.spans.spans))


async def test_late_attempts_begin_a_new_trace_with_links(tmp_path):
    accepted = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"
    async with Upstream() as up, room(tmp_path, smarthost(up.port), memory=True) as back:
        made = message("bob@example.com", traceparent=accepted)
        late = made.__class__(
            **{name: getattr(made, name) for name in made.__struct_fields__}
            | {"received_ms": made.received_ms - 400_000}
        )
        await back.spool.append(Accepted(message=late, body=BODY))
        back.delivery.wake()
        await back.until(late.id, S.DELIVERED)
        for _ in range(100):
            if any(span.name == "relay.attempt" for span in back.spans.spans):
                break
            await asyncio.sleep(0.01)
        attempt = next(span for span in back.spans.spans if span.name == "relay.attempt")
        assert attempt.context.trace_id != parse(accepted).trace_id
        assert parse(accepted) in attempt.links


async def test_success_is_reported_for_a_server_without_dsn(tmp_path):
    async with Upstream(extensions=("PIPELINING",)) as up, room(tmp_path, smarthost(up.port)) as back:
        await back.until(await back.submit("bob@example.com", notify=Notify.SUCCESS.value), S.DELIVERED)
        for _ in range(300):
            if len(up.mails) == 2:
                break
            await asyncio.sleep(0.01)
        assert up.mails[1].recipients == ["app@contoso.com"]
        assert b"Action: relayed" in up.mails[1].data


async def test_a_window_holds_little_of_a_long_queue(tmp_path):
    async with Upstream(Script({"banner": [HANG] * 10})) as up, room(tmp_path, smarthost(up.port), memory=True) as back:
        for number in range(500):
            await back.submit(f"r{number}@example.com")
        await asyncio.sleep(0.1)
        held = sum(len(lane.window) + len(lane.hand) for lane in back.delivery._lanes.known.values())
        assert held <= 3 * 64
        assert up.most_open <= 4
