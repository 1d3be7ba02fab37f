"""The upstream fails at every stage, scripted by attempt; every recipient ends where it should and nothing is lost."""

import asyncio

import pytest

from node.cluster.contract import Limits
from node.delivery.endpoint import TlsMode
from node.policy.envelope import OnUnknown, RecipientState
from node.settings.mail import Retry
from tests.support.delivery_room import FAST, authority, room, smarthost, submission
from tests.support.smtp_upstream import CUT, HANG, Script, Upstream

S = RecipientState
QUICK = Retry(delays=(0.05,), jitter=0.0)
EARLY = {
    "banner": b"220 up" + CUT,
    "ehlo": CUT,
    "mail": CUT,
    "rcpt": CUT,
    "data": CUT,
}


@pytest.mark.parametrize("pipelining", [True, False])
@pytest.mark.parametrize("step", ["mail", "rcpt", "data", "body"])
async def test_a_cut_before_the_dot_is_tried_again_at_once_and_delivers_once(tmp_path, step, pipelining):
    script = Script({step: [CUT]})
    extensions = ("PIPELINING",) if pipelining else ()
    async with Upstream(script, extensions=extensions) as up, room(tmp_path, smarthost(up.port), retry=QUICK) as back:
        await back.until(await back.submit("bob@example.com"), S.DELIVERED)
        assert up.received("bob@example.com") == 1


@pytest.mark.parametrize(
    ("step", "said"),
    [
        ("banner", CUT),
        ("banner", b"220 half" + CUT),
        ("banner", b"SSH-2.0-OpenSSH\r\n"),
        ("banner", b"554 5.3.2 go away\r\n"),
        ("banner", HANG),
        ("ehlo", CUT),
        ("ehlo", b"250-half\r\n" + CUT),
        ("ehlo", b"2x0 rubbish\r\n"),
        ("ehlo", b"421 4.3.2 Service not available\r\n" + CUT),
        ("ehlo", b"250-" + b"x" * 20000 + b"\r\n"),
        ("ehlo", b"250-x\r\n" * 20000),
    ],
)
async def test_a_connection_that_does_not_come_about_postpones_without_an_attempt(tmp_path, step, said):
    timings = FAST.__class__(connect_s=0.5, banner_s=0.3, command_s=0.5)
    async with (
        Upstream(Script({step: [said] * 50})) as up,
        room(tmp_path, smarthost(up.port, timings=timings)) as back,
    ):
        message_id = await back.submit("bob@example.com")
        view = await back.until(message_id, S.DEFERRED)
        assert view.recipients[0].attempts == 0
        assert "claimed" not in [line.event for line in view.lines]
        assert not up.mails
        assert back.budgets.use(0) is not None


@pytest.mark.parametrize("said", [CUT, b"2" + CUT, b"250-half\r\n" + CUT, b"rubbish\r\n", b"250-a\r\nxyz\r\n", HANG])
@pytest.mark.parametrize("taken", [True, False])
@pytest.mark.parametrize("on_unknown", list(OnUnknown))
async def test_an_answer_lost_after_the_dot_is_unknown_and_follows_its_class(tmp_path, said, taken, on_unknown):
    timings = FAST.__class__(dot_s=0.3)
    script = Script({"dot": [said]}, take=taken)
    async with Upstream(script) as up, room(tmp_path, smarthost(up.port, timings=timings), retry=QUICK) as back:
        message_id = await back.submit("bob@example.com", on_unknown=on_unknown)
        final = {OnUnknown.RESEND: S.DELIVERED, OnUnknown.BOUNCE: S.BOUNCED, OnUnknown.VERIFY: S.HELD}[on_unknown]
        view = await back.until(message_id, final)
        events = [line.event for line in view.lines]
        assert "unknown" in events
        if on_unknown is OnUnknown.RESEND:
            assert "resent" in events
            assert up.received("bob@example.com") == 1 + taken
        else:
            assert up.received("bob@example.com") == taken


async def test_8_kb_reply_lines_are_read(tmp_path):
    script = Script({"dot": [b"250-" + b"y" * 8000 + b"\r\n250 2.0.0 OK " + b"x" * 8000 + b"\r\n"]})
    async with Upstream(script) as up, room(tmp_path, smarthost(up.port)) as back:
        await back.until(await back.submit("bob@example.com"), S.DELIVERED)


async def test_each_recipient_has_its_own_fate(tmp_path):
    script = Script({"rcpt": [None, b"550 5.1.1 no such user\r\n", b"450 4.2.1 later\r\n"]})
    async with Upstream(script) as up, room(tmp_path, smarthost(up.port)) as back:
        message_id = await back.submit("a@example.com", "b@example.com", "c@example.com")
        await back.until(message_id, S.DELIVERED, S.BOUNCED, S.DEFERRED)
        assert await back.states(message_id) == [S.DELIVERED, S.BOUNCED, S.DEFERRED]
        assert up.mails[0].recipients == ["a@example.com"]


async def test_a_bounce_is_reported_to_the_sender_and_is_no_bounce_itself(tmp_path):
    script = Script({"rcpt": [b"550 5.1.1 no such user\r\n"]})
    async with Upstream(script) as up, room(tmp_path, smarthost(up.port)) as back:
        await back.until(await back.submit("bob@example.com"), S.BOUNCED)
        for _ in range(500):
            if up.mails:
                break
            await asyncio.sleep(0.01)
        report = up.mails[0]
        assert report.mail_from == ""
        assert report.recipients == ["app@contoso.com"]
        assert b"no such user" in report.data
        assert b"Auto-Submitted: auto-replied" in report.data


async def test_a_bounce_of_a_bounce_is_dead(tmp_path):
    script = Script({"rcpt": [b"550 5.1.1 no such user\r\n"]})
    async with Upstream(script) as up, room(tmp_path, smarthost(up.port)) as back:
        message_id = await back.submit("app@contoso.com", client="bounce", no_bounce=True)
        await back.until(message_id, S.DEAD)
        assert not up.mails


async def test_too_many_recipients_midway_go_at_once_in_a_second_transaction(tmp_path):
    server, client = authority()
    script = Script({"rcpt": [None, b"452 4.5.3 Too many recipients\r\n"]})
    async with (
        Upstream(script, tls=server, auth="XOAUTH2") as up,
        room(tmp_path, submission(up.port, client)) as back,
    ):
        await back.until(await back.submit("a@example.com", "b@example.com"), S.DELIVERED)
        assert [mail.recipients for mail in up.mails] == [["a@example.com"], ["b@example.com"]]


async def test_a_dead_pooled_connection_costs_no_strike(tmp_path):
    script = Script({"mail": [None, b"421 4.4.1 Connection timed out\r\n" + CUT]})
    async with Upstream(script) as up, room(tmp_path, smarthost(up.port)) as back:
        await back.until(await back.submit("a@example.com"), S.DELIVERED)
        view = await back.until(await back.submit("b@example.com"), S.DELIVERED)
        assert view.recipients[0].attempts == 0
        assert up.connections == 2


async def test_nobody_accepted_gives_the_permit_back(tmp_path):
    server, client = authority()
    script = Script({"rcpt": [b"550 5.1.1 no\r\n"]})
    limits = {"contoso/relay1@contoso.com": Limits(messages=1, window_s=60.0, recipients_24h=0, sessions=3)}
    async with (
        Upstream(script, tls=server, auth="XOAUTH2") as up,
        room(tmp_path, submission(up.port, client), limits=limits) as back,
    ):
        await back.until(await back.submit("a@example.com", notify=0), S.BOUNCED)
        assert "RSET" in up.commands
        await back.until(await back.submit("b@example.com", notify=0), S.DELIVERED)
        third = await back.submit("c@example.com")
        await back.reason(third, "no_permit")
        assert up.most_open <= 2


async def test_a_refused_token_is_fetched_anew_once(tmp_path):
    server, client = authority()
    async with (
        Upstream(tls=server, auth="XOAUTH2", token=lambda said: "token2" in said) as up,
        room(tmp_path, submission(up.port, client)) as back,
    ):
        await back.until(await back.submit("bob@example.com"), S.DELIVERED)
        assert back.tokens.number == 2
        assert up.connections == 2


async def test_login_refused_rests_the_account_and_the_other_takes_over(tmp_path):
    server, client = authority()
    async with (
        Upstream(tls=server, auth="XOAUTH2", token=lambda said: said.startswith("relay2")) as up,
        room(tmp_path, submission(up.port, client), submission(up.port, client, "relay2@contoso.com")) as back,
    ):
        view = await back.until(await back.submit("bob@example.com"), S.DELIVERED)
        assert up.mails[0].user == "relay2@contoso.com"
        assert view.recipients[0].attempts == 0


async def test_the_error_challenge_is_answered_with_an_empty_line(tmp_path):
    server, client = authority()
    script = Script({"auth-blob": [b"334 eyJzdGF0dXMiOiI0MDEifQ==\r\n"]})
    async with (
        Upstream(script, tls=server, auth="XOAUTH2") as up,
        room(tmp_path, submission(up.port, client)) as back,
    ):
        await back.until(await back.submit("bob@example.com"), S.DELIVERED)
        assert back.tokens.number == 2


async def test_a_certificate_of_another_name_or_authority_is_refused(tmp_path):
    server, _ = authority()
    _, stranger = authority()
    async with Upstream(tls=server, auth="XOAUTH2") as up, room(tmp_path, submission(up.port, stranger)) as back:
        await back.reason(await back.submit("bob@example.com"), "certificate_refused")
        assert not up.mails
        assert "AUTH" not in up.commands


async def test_without_starttls_nothing_is_sent(tmp_path):
    _, client = authority()
    async with Upstream(auth="XOAUTH2") as up, room(tmp_path, submission(up.port, client)) as back:
        await back.reason(await back.submit("bob@example.com"), "starttls_missing")
        assert not any(command.startswith(("MAIL", "AUTH")) for command in up.commands)


async def test_replies_said_before_tls_are_forgotten(tmp_path):
    """CVE-2021-38371 and kin: what a man in the middle adds to the 220 must not answer the EHLO inside TLS."""
    server, client = authority()
    injected = b"220 2.0.0 go\r\n250-evil\r\n250 AUTH PLAIN LOGIN\r\n"
    async with (
        Upstream(Script({"starttls": [injected]}), tls=server, auth="XOAUTH2") as up,
        room(tmp_path, submission(up.port, client)) as back,
    ):
        await back.until(await back.submit("bob@example.com"), S.DELIVERED)
        assert up.mails[0].user == "relay1@contoso.com"


async def test_implicit_tls_towards_a_clear_server_fails_and_keeps_the_mail(tmp_path):
    _, client = authority()
    async with Upstream() as up:
        host = smarthost(up.port, tls=TlsMode.IMPLICIT, context=client, host="localhost")
        async with room(tmp_path, host) as back:
            view = await back.until(await back.submit("bob@example.com"), S.DEFERRED)
            assert view.recipients[0].last_reason == "tls_failed"


async def test_eight_bit_and_utf8_mail_to_a_server_without_them_bounces(tmp_path):
    async with Upstream(extensions=("PIPELINING",)) as up, room(tmp_path, smarthost(up.port)) as back:
        view = await back.until(await back.submit("bob@example.com", eight_bit=True, mail_from=""), S.BOUNCED)
        assert view.recipients[0].last_reason == "extension_missing"
        await back.until(await back.submit("bøb@example.com", smtputf8=True, mail_from=""), S.BOUNCED)
        assert not back.health.entries
        assert not up.mails


async def test_the_dead_of_expiry_are_reported(tmp_path):
    async with Upstream() as up, room(tmp_path, smarthost(up.port), start=False) as back:
        message_id = await back.submit("bob@example.com", expires_ms=1, wake=False)
        await back.delivery.start()
        view = await back.until(message_id, S.BOUNCED)
        assert view.recipients[0].last_reason == "expired"
        for _ in range(500):
            if up.mails:
                break
            await asyncio.sleep(0.01)
        assert up.mails[0].recipients == ["app@contoso.com"]


async def test_closing_cuts_before_the_dot_and_keeps_the_mail(tmp_path):
    async with Upstream(Script({"data": [HANG]})) as up, room(tmp_path, smarthost(up.port)) as back:
        message_id = await back.submit("bob@example.com")
        for _ in range(500):
            if "DATA" in up.commands:
                break
            await asyncio.sleep(0.01)
        await back.delivery.close(0.05)
        assert await back.states(message_id) == [S.DEFERRED]
        assert not up.mails


async def test_closing_after_the_dot_leaves_it_unknown(tmp_path):
    async with Upstream(Script({"dot": [HANG]})) as up, room(tmp_path, smarthost(up.port)) as back:
        message_id = await back.submit("bob@example.com", on_unknown=OnUnknown.VERIFY)
        for _ in range(500):
            if up.mails:
                break
            await asyncio.sleep(0.01)
        await back.delivery.close(0.05)
        assert await back.states(message_id) == [S.UNKNOWN]
