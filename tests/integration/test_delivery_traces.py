"""What of a trace that is not recorded is recorded all the same, and what attempts and reports are linked to."""

import asyncio

import pytest
from msgspec.structs import replace

from node.delivery import tracing
from node.policy.envelope import RecipientState
from node.settings.mail import Retry
from node.spool.contract import Accepted, Filter
from node.telemetry.context import parse
from tests.support.delivery_room import BODY, message, room, smarthost
from tests.support.smtp_upstream import Script, Upstream

S = RecipientState
TRACE = "00-" + "a" * 32 + "-" + "b" * 16
LEFT_OUT, KEPT = TRACE + "-00", TRACE + "-01"
BUSY = b"451 4.7.0 come again\r\n"
SOON = Retry(delays=(0.05,), jitter=0.0)


async def attempts_of(back, count: int) -> list:
    """The spans ``relay.attempt`` once there are so many."""
    for _ in range(2_000):
        found = [one for one in back.spans.spans if one.name == "relay.attempt"]
        if len(found) >= count:
            return found
        await asyncio.sleep(0.01)
    raise AssertionError(f"not {count} attempts: {back.spans.spans}")


def inside(back, attempt) -> set[str]:
    return {one.name for one in back.spans.spans if one.parent_span_id == attempt.context.span_id}


async def test_what_goes_well_in_a_trace_left_out_is_left_out(tmp_path):
    async with Upstream() as up, room(tmp_path, smarthost(up.port), memory=True) as back:
        await back.until(await back.submit("a@example.com", traceparent=LEFT_OUT), S.DELIVERED)
        await back.delivery.close(2.0)
        assert back.spans.spans == []


async def test_a_failure_is_recorded_with_everything_inside_it_and_so_is_what_follows(tmp_path):
    steps = {"dot": [BUSY]}
    async with Upstream(Script(steps)) as up, room(tmp_path, smarthost(up.port), memory=True) as back:
        queue_id = await back.submit("a@example.com", traceparent=LEFT_OUT)
        (failed,) = await attempts_of(back, 1)
        assert failed.context.sampled
        assert failed.attributes["error.type"] == failed.error == "unclassified_message_4xx"
        assert {"relay.permit", "relay.connect", "relay.transfer"} <= inside(back, failed)
        (event,) = failed.events
        assert event.attributes["relay.recipients"] == 1
        assert event.attributes["relay.retry_in_s"] > 30
        await back.spool.release(Filter(ids=(queue_id,)), "the test", "", failed.end_ns // 1_000_000)
        back.delivery.wake()
        await back.until(queue_id, S.DELIVERED)
        _, again = await attempts_of(back, 2)
        assert again.context.sampled, "the story of mail in trouble is whole"
        assert again.links[-1].span_id == failed.context.span_id


@pytest.mark.parametrize(("long_ns", "recorded"), [(0, True), (10**18, False)])
async def test_a_long_wait_for_a_permit_is_recorded(tmp_path, monkeypatch, long_ns, recorded):
    monkeypatch.setattr(tracing, "LONG_WAIT_NS", long_ns)
    async with Upstream() as up, room(tmp_path, smarthost(up.port), memory=True) as back:
        await back.until(await back.submit("a@example.com", traceparent=LEFT_OUT), S.DELIVERED)
        await back.delivery.close(2.0)
        assert ("relay.attempt" in {span.name for span in back.spans.spans}) is recorded


@pytest.mark.parametrize(("age_ms", "within"), [(0, True), (400_000, False)])
@pytest.mark.parametrize("trace", [KEPT, LEFT_OUT])
async def test_a_bounce_follows_its_message_and_the_report_follows_the_bounce(tmp_path, age_ms, within, trace):
    steps = {"rcpt": [b"550 5.1.1 nobody\r\n"]}
    async with Upstream(Script(steps)) as up, room(tmp_path, smarthost(up.port), memory=True) as back:
        made = message("a@example.com", traceparent=trace)
        await back.spool.append(Accepted(message=replace(made, received_ms=made.received_ms - age_ms), body=BODY))
        back.delivery.wake()
        await back.until(made.id, S.BOUNCED)
        tried = await attempts_of(back, 2)
        (bounce,) = [one for one in back.spans.spans if one.name == "relay.bounce"]
        accepted = parse(trace)
        assert (bounce.context.trace_id == accepted.trace_id) is within
        assert (bounce.parent_span_id == accepted.span_id) is within
        assert (accepted in bounce.links) is not within
        assert bounce.context.sampled
        (report,) = [one for one in tried if one.attributes["relay.queue_id"] == bounce.attributes["relay.report_id"]]
        assert (report.context.trace_id, report.parent_span_id) == (bounce.context.trace_id, bounce.context.span_id)
