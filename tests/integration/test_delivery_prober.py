"""The look at a connector: what it says, what it never does, and what its answer means for the path."""

import pytest

from node.delivery.clock import wall_ms
from node.policy.envelope import RecipientState
from node.policy.standing import Standing, State
from tests.support.delivery_room import mx_way, room, smarthost
from tests.support.smtp_upstream import CUT, Script, Upstream

S = RecipientState
NOT_MATCHED = b"550 5.7.64 TenantAttribution; Relay Access Denied ATTR36.\r\n"
SITE = "site/contoso/connector@dc1"
PROBE = "probe@example.net"


def looking(tmp_path, up):
    return room(tmp_path, mx_way("connector", up.port), smarthost(1))


async def test_it_asks_for_somebody_outside_and_sends_nothing(tmp_path):
    async with Upstream() as up, looking(tmp_path, up) as back:
        verdict, _ = await back.delivery.probe("contoso", PROBE)
        assert verdict.reason == "connector_matches"
        assert [line.partition(" ")[0] for line in up.commands][:4] == ["EHLO", "MAIL", "RCPT", "RSET"]
        assert up.commands[1:3] == ["MAIL FROM:<relay-bounces@contoso.com>", f"RCPT TO:<{PROBE}>"]
        assert (up.taken, back.health.entries) == (0, {})


async def test_a_connector_that_does_not_match_rests_before_mail_finds_out(tmp_path):
    async with Upstream(script=Script({"rcpt": [NOT_MATCHED]})) as up, looking(tmp_path, up) as back:
        verdict, reply = await back.delivery.probe("contoso", PROBE)
        assert (verdict.reason, verdict.alert, reply.enhanced) == ("connector_not_matched", True, "5.7.64")
        assert back.health.entries[SITE].reason == "connector_not_matched"
        assert await back.delivery.probe("contoso", PROBE) is None  # it rests: nobody asks meanwhile
        assert up.connections == 1


async def test_the_probe_is_the_first_to_try_after_the_rest_and_ends_it(tmp_path):
    async with Upstream() as up, looking(tmp_path, up) as back:
        began_ms = wall_ms() - 900_000
        rested = Standing(
            state=State.RESTING, reason="connector_not_matched", since_ms=began_ms, until_ms=wall_ms() - 1, strikes=1
        )
        back.health.adopt(SITE, rested)
        await back.delivery.probe("contoso", PROBE)
        assert SITE not in back.health.entries
        await back.until(await back.submit(), S.DELIVERED)


@pytest.mark.parametrize(
    ("reply", "reason", "rests"),
    [
        (b"550 5.1.1 no such user\r\n", "probe_inconclusive", False),
        (b"451 4.2.1 try later\r\n", "probe_inconclusive", False),
        (b"451 4.7.500 Server busy\r\n", "source_throttled", True),
        (CUT, "connection_lost", False),
    ],
)
async def test_other_answers(tmp_path, reply, reason, rests):
    async with Upstream(script=Script({"rcpt": [reply]})) as up, looking(tmp_path, up) as back:
        verdict, _ = await back.delivery.probe("contoso", PROBE)
        assert verdict.reason == reason
        assert bool(back.health.entries) is rests


async def test_nobody_asks_who_may_not_send_or_has_no_connector(tmp_path):
    async with Upstream() as up, looking(tmp_path, up) as back:
        assert await back.delivery.probe("fabrikam", PROBE) is None
        back.delivery.fence()
        assert await back.delivery.probe("contoso", PROBE) is None
        back.delivery.unfence()
        assert await back.delivery.probe("contoso", "a b@example.net") is None
        assert up.connections == 0


async def test_a_connector_that_cannot_be_reached_counts_as_a_failed_connection(tmp_path):
    async with room(tmp_path, mx_way("connector", 1)) as back:
        for _ in range(5):
            verdict, _ = await back.delivery.probe("contoso", PROBE)
            assert verdict.reason == "connect_failed"
        assert back.health.entries[SITE].reason == "path_broken"
