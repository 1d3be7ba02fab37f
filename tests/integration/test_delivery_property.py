"""Whatever the upstream does, no recipient is lost, and only an unknown outcome can be delivered twice (I1, I5)."""

import asyncio
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from node.policy.envelope import OnUnknown, RecipientState
from node.settings.mail import Retry
from tests.support.delivery_room import FAST, room, smarthost
from tests.support.smtp_upstream import CUT, Script, Upstream

S = RecipientState
ENDS = (S.DELIVERED, S.BOUNCED, S.QUEUED, S.DEFERRED, S.UNKNOWN, S.HELD, S.DEAD)
REPLIES = st.sampled_from(
    [
        None,
        CUT,
        b"421 4.3.2 Service not available\r\n" + CUT,
        b"450 4.2.1 later\r\n",
        b"451 4.7.500 Server busy\r\n",
        b"452 4.5.3 Too many recipients\r\n",
        b"550 5.1.1 no such user\r\n",
        b"554 5.7.1 refused\r\n",
        b"25",
        b"25" + CUT,
        b"250-half\r\n" + CUT,
        b"gibberish\r\n",
        b"250 fine\r\n",
    ]
)
STEPS = ("banner", "ehlo", "mail", "rcpt", "data", "dot", "rset", "body")
# Few faults a run: with a fault at every step no conversation would ever come as far as the dot.
FAULTS = st.lists(st.tuples(st.sampled_from((*STEPS, "dot", "dot")), st.integers(0, 2), REPLIES), max_size=4)
MESSAGES = st.lists(st.tuples(st.integers(1, 3), st.sampled_from(list(OnUnknown))), min_size=1, max_size=4)
TIMINGS = FAST.__class__(connect_s=1, banner_s=0.1, command_s=0.1, data_s=0.1, dot_s=0.1)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(faults=FAULTS, messages=MESSAGES, take=st.booleans(), pipelining=st.booleans())
@example(faults=[("dot", 0, b"25" + CUT)], messages=[(2, OnUnknown.RESEND)], take=True, pipelining=True)
@example(faults=[("dot", 0, CUT)], messages=[(1, OnUnknown.BOUNCE)], take=False, pipelining=True)
def test_nobody_is_lost_and_only_the_unknown_is_sent_twice(faults, messages, take, pipelining):
    steps = {step: [None] * 3 for step in STEPS}
    for step, place, reply in faults:
        steps[step][place] = reply
    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(_run(Path(directory), steps, messages, take=take, pipelining=pipelining))


async def _run(path, steps, messages, *, take, pipelining):
    script = Script({step: list(replies) for step, replies in steps.items()}, take=take)
    script.steps["body"] = [reply if reply == CUT else None for reply in script.steps["body"]]
    extensions = ("PIPELINING", "8BITMIME") if pipelining else ("8BITMIME",)
    async with (
        Upstream(script, extensions=extensions) as up,
        room(path, smarthost(up.port, timings=TIMINGS), retry=Retry(delays=(0.02,), jitter=0.0), memory=True) as back,
    ):
        ids = []
        for number, (count, on_unknown) in enumerate(messages):
            to = [f"r{number}.{index}@example.com" for index in range(count)]
            ids.append((await back.submit(*to, on_unknown=on_unknown), on_unknown))
        await _settled(back, [message_id for message_id, _ in ids])
        await back.delivery.close(2.0)
        for message_id, on_unknown in ids:
            view = await back.spool.journey(message_id)
            lost = {index for line in view.lines if line.event == "unknown" for index in line.indexes}
            for one in view.recipients:
                assert one.state in ENDS
                received = up.received(one.address)
                if one.state is S.DELIVERED:
                    assert received >= 1, view.lines
                if received > 1:
                    assert one.index in lost, view.lines
                    assert on_unknown is OnUnknown.RESEND


async def _settled(back, ids):
    """Wait until all are final, or some time: what rests after a broken connection rests for 30 s."""
    for _ in range(30):
        states = [state for message_id in ids for state in await back.states(message_id)]
        if not {S.QUEUED, S.IN_FLIGHT, S.DEFERRED} & set(states):
            return
        await asyncio.sleep(0.01)
