"""Mail goes out over real sockets, pipelined and not, with TLS, with every kind of login."""

from node.delivery.endpoint import AuthKind, TlsMode
from node.policy.envelope import RecipientState
from tests.support.delivery_room import BODY, authority, room, smarthost, submission
from tests.support.smtp_upstream import Upstream

DELIVERED = RecipientState.DELIVERED


async def test_a_message_is_delivered_byte_for_byte(tmp_path):
    async with Upstream() as up, room(tmp_path, smarthost(up.port)) as back:
        view = await back.until(await back.submit("bob@example.com", "eve@example.com"), DELIVERED)
        assert [line.event for line in view.lines] == ["accepted", "claimed", "delivered"]
        assert view.lines[-1].detail["upstream_id"] == "id-1@upstream.test"
        assert len(up.mails) == 1
        assert up.mails[0].data == BODY
        assert up.mails[0].recipients == ["bob@example.com", "eve@example.com"]
        assert up.mails[0].parameters == f"SIZE={len(BODY)}"


async def test_without_pipelining(tmp_path):
    async with Upstream(extensions=()) as up, room(tmp_path, smarthost(up.port)) as back:
        await back.until(await back.submit("bob@example.com"), DELIVERED)
        assert up.mails[0].data == BODY


async def test_submission_with_starttls_and_a_long_token(tmp_path):
    server, client = authority()
    async with (
        Upstream(
            tls=server, auth="LOGIN XOAUTH2", token=lambda said: said.startswith("relay1@contoso.com token1")
        ) as up,
        room(tmp_path, submission(up.port, client)) as back,
    ):
        back.tokens.size = 3000
        await back.until(await back.submit("bob@example.com"), DELIVERED)
        assert up.mails[0].user == "relay1@contoso.com"
        assert up.mails[0].data == BODY


async def test_smart_host_with_implicit_tls_and_password(tmp_path):
    server, client = authority()
    for mechanism in ("PLAIN", "LOGIN"):
        async with Upstream(tls=server, implicit=True, auth=mechanism, token=lambda said: said == "relay s3cret") as up:
            host = smarthost(
                up.port,
                host="localhost",
                tls=TlsMode.IMPLICIT,
                context=client,
                auth=AuthKind.PASSWORD,
                user="relay",
                password=lambda: "s3cret",
            )
            async with room(tmp_path / mechanism, host) as back:
                await back.until(await back.submit("bob@example.com"), DELIVERED)
                assert up.mails[0].user == "relay"
