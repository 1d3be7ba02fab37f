"""The simulated front end over real sockets and TLS: what facts m365 §3.2, §4 and §6 say it does."""

import asyncio
import base64
import contextlib
import json
import ssl
import time
import urllib.request

import pytest

from node.rehearsal.simulator.directory import (
    CLIENT,
    SECRET,
    TENANT,
    Directory,
    SmartHost,
    default_directory,
    read_directory,
)
from node.rehearsal.simulator.hub import Hub
from node.rehearsal.simulator.server import Simulator
from tests.support.dialogue import MESSAGE, Dialogue, bearer, blob


def plain(user, password):
    return "AUTH PLAIN " + base64.b64encode(f"\0{user}\0{password}".encode()).decode()


def directory(**changes):
    spec = default_directory().model_dump()
    for path, value in changes.items():
        part = spec
        *parents, last = path.split("__")
        for name in parents:
            part = part[{"tenant": TENANT, "relay1": "relay1@contoso.com"}.get(name, name)]
        part[last] = value
    spec["timing"]["tarpit"] = changes.get("timing__tarpit", 0.0)
    return read_directory(spec, "test")


@contextlib.asynccontextmanager
async def conversation(chosen=None, *, log_in=True, steps=()):
    async with Simulator(chosen or directory(), steps=steps) as simulator:
        dialogue = Dialogue(simulator)
        try:
            await dialogue.open()
            if log_in:
                await dialogue.secure()
                assert await dialogue.log_in() == "235 2.7.0 Authentication successful"
            yield dialogue
        finally:
            await dialogue.close()


async def test_greeting_and_extensions_before_and_after_tls():
    async with Simulator(directory()) as simulator:
        dialogue = Dialogue(simulator)
        assert "Microsoft ESMTP MAIL Service ready at" in await dialogue.open()
        before = (await dialogue.say("EHLO x")).split("\n")[1:]
        assert [line[4:] for line in before] == [
            "SIZE 157286400", "PIPELINING", "DSN", "ENHANCEDSTATUSCODES", "STARTTLS", "8BITMIME", "BINARYMIME",
            "CHUNKING", "SMTPUTF8",
        ]  # fmt: skip
        after = await dialogue.secure()
        assert "AUTH LOGIN XOAUTH2" in after
        assert "STARTTLS" not in after
        assert "PLAIN" not in after
        assert await dialogue.say("QUIT") == "221 2.0.0 Service closing transmission channel"
        await dialogue.close()


async def test_nothing_before_tls_and_login():
    async with conversation(log_in=False) as dialogue:
        assert (await dialogue.say("EHLO x")).startswith("250")
        assert (await dialogue.say("AUTH XOAUTH2")).startswith("504 5.7.4")
        assert (await dialogue.say("MAIL FROM:<app@contoso.com>")).startswith("451 5.7.3 STARTTLS is required")
        await dialogue.secure()
        assert (await dialogue.say("AUTH PLAIN AGEAYg==")).startswith("504 5.7.4")
        assert (await dialogue.say("MAIL FROM:<app@contoso.com>")).startswith("530 5.7.57 Client not authenticated")


async def test_commands_slipped_in_before_the_handshake_are_dropped():
    async with conversation(log_in=False) as dialogue:
        await dialogue.say("EHLO x")
        dialogue.writer.write(b"STARTTLS\r\nNOOP\r\n")
        assert (await dialogue.reply()).startswith("220")
        context = ssl.create_default_context(cafile=str(dialogue.simulator.ca_file))
        await dialogue.writer.start_tls(context, server_hostname="localhost")
        assert "AUTH" in await dialogue.say("EHLO x")
        assert dialogue.simulator.hub.violations["plaintext_after_starttls"] == 1


async def test_two_step_login_and_a_message_with_its_receipt():
    async with conversation(log_in=False) as dialogue:
        await dialogue.secure()
        assert await dialogue.say("AUTH XOAUTH2") == "334 "
        assert (await dialogue.say(blob("relay1@contoso.com", bearer(dialogue.simulator)))).startswith("235 2.7.0")
        answer = await dialogue.send(message=MESSAGE + "..stuffed\r\n")
        assert answer.startswith("250 2.0.0 OK <m1@app> [Hostname=")
        receipt = dialogue.simulator.hub.receipts.latest[0]
        assert receipt.size_bytes == len(MESSAGE) + len(".stuffed\r\n")
        assert (receipt.account, receipt.sender) == ("relay1@contoso.com", "app@contoso.com")
        assert receipt.recipients == ["a@example.com"]
        assert receipt.answered


@pytest.mark.parametrize(
    "wrong",
    [
        {"aud": "https://graph.microsoft.com"},
        {"life_s": -1},
        {"tid": "other"},
        {"appid": "other"},
        {"roles": ()},
    ],
    ids=["audience", "expired", "tenant", "app", "permission"],
)
async def test_a_token_must_hold_in_every_respect(wrong):
    async with conversation(log_in=False) as dialogue:
        await dialogue.secure()
        answer = await dialogue.log_in(token=bearer(dialogue.simulator, **wrong))
        assert answer.startswith("535 5.7.3 Authentication unsuccessful [SIM0PR01MB0001")
        assert (await dialogue.say("MAIL FROM:<app@contoso.com>")).startswith("530")


async def test_a_token_of_another_signer_and_rubbish_are_refused():
    async with conversation(log_in=False) as dialogue, Simulator(directory()) as stranger:
        await dialogue.secure()
        for token in (bearer(stranger), "x.y.z", "", bearer(dialogue.simulator)[:-4] + "AAAA"):
            assert (await dialogue.log_in(token=token)).startswith("535 5.7.3")
        assert (await dialogue.log_in("nobody@contoso.com")).startswith("535 5.7.3")
        await dialogue.say("AUTH XOAUTH2")
        assert (await dialogue.say("*")).startswith("535 5.7.3")
        await dialogue.say("AUTH XOAUTH2")
        assert (await dialogue.say("%%%")).startswith("535 5.7.3")


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"tenants__tenant__smtp_auth": False}, "SmtpClientAuthentication is disabled for the Tenant"),
        (
            {"tenants__tenant__mailboxes__relay1__smtp_auth": False},
            "SmtpClientAuthentication is disabled for the Mailbox",
        ),
        ({"tenants__tenant__apps": {CLIENT: {"mailboxes": ["relay2@contoso.com"]}}}, "5.7.3"),
    ],
)
async def test_switches_decide_whether_login_works(changes, text):
    async with conversation(directory(**changes), log_in=False) as dialogue:
        await dialogue.secure()
        assert text in await dialogue.log_in()


async def test_the_mailbox_switch_wins_over_the_tenant():
    changes = {"tenants__tenant__smtp_auth": False, "tenants__tenant__mailboxes__relay1__smtp_auth": True}
    async with conversation(directory(**changes)) as dialogue:
        assert (await dialogue.send()).startswith("250")


@pytest.mark.parametrize(
    ("basic", "password", "answer"),
    [
        (False, "right", "535 5.7.139 Authentication unsuccessful, basic authentication is disabled."),
        (True, "wrong", "535 5.7.139 Authentication unsuccessful, the user credentials were incorrect."),
        (True, "right", "235 2.7.0"),
    ],
)
async def test_basic_login_where_the_tenant_allows_it(basic, password, answer):
    changes = {"tenants__tenant__basic": basic, "tenants__tenant__mailboxes__relay1__password": "right"}
    async with conversation(directory(**changes), log_in=False) as dialogue:
        await dialogue.secure()
        assert await dialogue.say("AUTH LOGIN") == "334 VXNlcm5hbWU6"
        assert await dialogue.say(base64.b64encode(b"relay1@contoso.com").decode()) == "334 UGFzc3dvcmQ6"
        assert (await dialogue.say(base64.b64encode(password.encode()).decode())).startswith(answer)


async def test_failed_logins_are_answered_late():
    async with conversation(directory(timing__tarpit=0.2), log_in=False) as dialogue:
        await dialogue.secure()
        began_s = time.monotonic()
        assert (await dialogue.log_in(token="x")).startswith("535")
        assert time.monotonic() - began_s >= 0.19


@pytest.mark.parametrize(
    ("message", "answer"),
    [
        ("From: boss@elsewhere.org\r\n\r\nx\r\n", "554 5.2.252 SendAsDenied; relay1@contoso.com not allowed"),
        ("Subject: no from\r\n\r\nx\r\n", "550 5.7.512"),
        ("From: a@contoso.com\r\nFrom: b@contoso.com\r\n\r\nx\r\n", "550 5.1.20 Multiple From"),
        ("From: a@contoso.com, b@contoso.com\r\n\r\nx\r\n", "550 5.1.20 Multiple From"),
        ("From: a@contoso.com\r\n\r\nx\ny\r\n", "550 5.6.11 Invalid characters"),
        ("From: a@contoso.com, b@contoso.com\r\nSender: a@contoso.com\r\n\r\nx\r\n", "250 2.0.0"),
    ],
)
async def test_messages_the_store_refuses(message, answer):
    async with conversation() as dialogue:
        assert (await dialogue.send(message=message)).startswith(answer)


async def test_senders_sizes_and_addresses():
    chosen = directory(
        tenants__tenant__mailboxes__relay1__max_send=1000, tenants__tenant__mailboxes__relay1__recipient_limit=2
    )
    async with conversation(chosen) as dialogue:
        assert (await dialogue.send(sender="x@elsewhere.org")).startswith("550 5.7.60")
        assert (await dialogue.say("MAIL FROM:<app@contoso.com> SIZE=157286401")).startswith("552 5.3.4")
        assert (await dialogue.send(message=MESSAGE + "x" * 900 + "\r\n" + "x" * 900 + "\r\n")).startswith("552 5.3.4")
        assert (await dialogue.say("MAIL FROM:<app@contoso.com>")).startswith("250 2.1.0")
        assert (await dialogue.say("MAIL FROM:<app@contoso.com>")).startswith("503")
        assert (await dialogue.say("RCPT TO:<nonsense>")).startswith("501 5.1.3")
        assert (await dialogue.say("RCPT TO:<a@x.org>")).startswith("250 2.1.5")
        assert (await dialogue.say("RCPT TO:<b@x.org>")).startswith("250 2.1.5")
        assert (await dialogue.say("RCPT TO:<c@x.org>")).startswith("452 4.5.3")
        assert (await dialogue.say("RSET")).startswith("250")
        assert (await dialogue.say("DATA")).startswith("503")


@pytest.mark.parametrize(
    ("state", "answer"),
    [
        ("full", "554 5.2.2 mailbox full; STOREDRV"),
        ("restricted", "550 5.1.8 Access denied, bad outbound sender"),
        ("ungranted", "430 4.2.0 STOREDRV; mailbox logon failure"),
    ],
)
async def test_the_state_of_a_mailbox_shows_at_the_end_of_data(state, answer):
    async with conversation(directory(tenants__tenant__mailboxes__relay1__state=state)) as dialogue:
        assert (await dialogue.send()).startswith(answer)


async def test_beyond_the_rate_the_message_is_refused_and_counted():
    async with conversation(directory(limits__rate="2/60s")) as dialogue:
        answers = [await dialogue.send() for _ in range(3)]
        assert [one[:3] for one in answers] == ["250", "250", "432"]
        assert "exceeded the message limit per account" in answers[2]
        report = dialogue.simulator.hub.stats()
        assert report["accounts"]["relay1@contoso.com"]["worst_window"] == 3
        assert report["violations"]["rate"] == 1


async def test_beyond_the_rate_it_may_delay_instead():
    chosen = directory(limits__rate="1/300ms", limits__over_rate="delay")
    async with conversation(chosen) as dialogue:
        await dialogue.send()
        began_s = time.monotonic()
        assert (await dialogue.send()).startswith("250")
        assert time.monotonic() - began_s > 0.2
        assert dialogue.simulator.hub.stats()["violations"]["rate"] == 1


async def test_a_fourth_session_is_a_violation_and_its_mail_waits():
    async with conversation() as first:
        others = [Dialogue(first.simulator) for _ in range(3)]
        for one in others:
            await one.open()
            await one.secure()
            assert (await one.log_in()).startswith("235")
        assert (await others[1].send()).startswith("250")
        assert (await others[2].send()).startswith("432 4.3.2 Concurrent connections limit exceeded")
        assert first.simulator.hub.stats()["violations"]["sessions"] == 1
        await first.say("QUIT")
        assert (await others[2].send()).startswith("250")
        for one in others:
            await one.close()


async def test_recipients_in_a_day_and_external_ones_of_the_tenant():
    chosen = directory(limits__recipients="4/24h", tenants__tenant__external_limit="2/24h")
    async with conversation(chosen) as dialogue:
        assert (await dialogue.send(recipients=("a@x.org", "b@x.org"))).startswith("250")
        assert (await dialogue.send(recipients=("c@x.org",))).startswith("550 5.7.233")
        assert (await dialogue.send(recipients=("in@contoso.com", "in2@contoso.com"))).startswith("250")
        assert "SubmissionQuotaExceededException" in await dialogue.send(recipients=("in@contoso.com",))
        report = dialogue.simulator.hub.stats()
        assert report["accounts"]["relay1@contoso.com"]["recipients_worst_window"] == 4


async def test_continuous_errors_throttle_innocent_mail_too():
    async with conversation(directory(limits__error_throttle=2)) as dialogue:
        for _ in range(2):
            assert (await dialogue.send(message="From: x@y.org\r\n\r\n")).startswith("554 5.2.252")
        assert (await dialogue.send()).startswith("550 5.2.252 Sender throttled due to continuous send as denied")


@pytest.mark.parametrize(
    ("timing", "answer"),
    [
        ({"timing__idle": 0.05}, "451 4.7.0 Timeout waiting for client input"),
        ({"timing__session": 0.3}, "421 4.4.1 Connection timed out. Total session duration"),
        ({"timing__idle": 5.0, "timing__time_scale": 100.0}, "451 4.7.0 Timeout waiting for client input"),
    ],
)
async def test_idle_and_long_sessions_are_cut(timing, answer):
    async with conversation(directory(**timing), log_in=False) as dialogue:
        assert (await dialogue.reply()).startswith(answer)
        assert await dialogue.reply() == "closed"


async def test_chunks_end_a_message_too():
    async with conversation() as dialogue:
        await dialogue.say("MAIL FROM:<app@contoso.com> BODY=8BITMIME")
        await dialogue.say("RCPT TO:<a@x.org>")
        head, body = MESSAGE[:30], MESSAGE[30:]
        dialogue.writer.write(f"BDAT {len(head)}\r\n{head}".encode())
        assert (await dialogue.reply()).startswith("250 2.6.0 CHUNK received OK, 30 octets")
        dialogue.writer.write(f"BDAT {len(body)} LAST\r\n{body}".encode())
        assert (await dialogue.reply()).startswith("250 2.0.0 OK <m1@app>")
        assert dialogue.simulator.hub.receipts.latest[0].size_bytes == len(MESSAGE)


async def test_nonsense_is_answered_and_at_last_cut():
    async with conversation(log_in=False) as dialogue:
        assert (await dialogue.say("x" * 20_000)).startswith("500 5.3.3 Line too long")
        assert (await dialogue.say("\xff\x00")).startswith("500 5.3.3")
        assert (await dialogue.say("EHLO")).startswith("501")
        assert (await dialogue.say("NOOP")).startswith("250")
        answers = [await dialogue.say("FROBNICATE") for _ in range(18)]
        assert all(one.startswith("500") for one in answers)
        assert (await dialogue.reply()).startswith("421 4.7.0 Too many errors")


async def test_pipelined_commands_are_all_answered():
    async with conversation() as dialogue:
        dialogue.writer.write(
            b"MAIL FROM:<app@contoso.com>\r\nRCPT TO:<a@x.org>\r\nDATA\r\n" + MESSAGE.encode() + b".\r\nNOOP\r\n"
        )
        assert [(await dialogue.reply())[:3] for _ in range(5)] == ["250", "250", "354", "250", "250"]


async def test_duplicates_are_counted_by_id_and_recipient():
    async with conversation() as dialogue:
        message = "X-Rehearsal-Id: r-7\r\n" + MESSAGE
        await dialogue.send(message=message)
        await dialogue.send(message=message, recipients=("other@x.org",))
        assert dialogue.simulator.hub.stats()["messages"]["duplicates"] == 0
        await dialogue.send(message=message)
        report = dialogue.simulator.hub.stats()
        assert report["messages"]["duplicates"] == 1
        assert report["duplicates"][0]["id"] == "r-7"
        assert not report["duplicates"][0]["after_lost_answer"]


def test_latency_is_seeded_and_cut_at_its_longest():
    chosen = directory(timing__latency=0.6, timing__latency_longest=20.0, seed=7)
    first, second = Hub(chosen), Hub(chosen)
    drawn = [first.latency_s() for _ in range(2000)]
    assert drawn == [second.latency_s() for _ in range(2000)]
    assert 0.5 < sorted(drawn)[1000] < 0.7
    assert max(drawn) <= 20.0


async def test_every_message_can_be_kept(tmp_path):
    async with Simulator(directory(), keep=tmp_path / "kept") as simulator:
        dialogue = Dialogue(simulator)
        await dialogue.open()
        await dialogue.secure()
        await dialogue.log_in()
        await dialogue.send()
        await dialogue.close()
        receipt = simulator.hub.receipts.latest[0]
        assert (tmp_path / "kept" / receipt.file).read_bytes() == MESSAGE.encode()


async def test_as_a_smart_host_with_login_and_tls():
    smarthost = SmartHost(tls="required", users={"relay": "secret"})
    async with conversation(Directory(smarthost=smarthost), log_in=False) as dialogue:
        dialogue.simulator.hub.directory = dialogue.simulator.hub.directory.model_copy(
            update={"timing": directory().timing}
        )
        await dialogue.say("EHLO x")
        assert (await dialogue.say("MAIL FROM:<a@b.c>")).startswith("451 5.7.3")
        assert "AUTH PLAIN LOGIN" in await dialogue.secure()
        assert (await dialogue.say("MAIL FROM:<a@b.c>")).startswith("530")
        assert (await dialogue.say(plain("relay", "wrong"))).startswith("535")
        assert (await dialogue.say(plain("relay", "secret"))).startswith("235")
        assert (await dialogue.send(sender="a@b.c", message="From: x@y.z\r\n\r\n")).startswith("250")


async def test_as_a_plain_sink():
    async with conversation(Directory(smarthost=SmartHost()), log_in=False) as dialogue:
        assert "STARTTLS" not in await dialogue.say("EHLO x")
        assert (await dialogue.send(sender="")).startswith("250")
        assert dialogue.simulator.hub.stats()["messages"]["accepted"] == 1


async def test_control_port_serves_statistics_receipts_and_reset():
    async with conversation() as dialogue:
        await dialogue.send()
        url = dialogue.simulator.control_url
        assert (await fetch(f"{url}/stats"))["messages"]["accepted"] == 1
        assert (await fetch(f"{url}/receipts?id=<m1@app>"))[0]["recipients"] == ["a@example.com"]
        assert (await fetch(f"{url}/receipts?after=1")) == []
        assert (await fetch(f"{url}/deliveries"))["id"] == "<m1@app>"
        await fetch(f"{url}/reset", method="POST")
        await dialogue.send()
        report = await fetch(f"{url}/stats")
        assert report["messages"]["accepted"] == 1
        assert report["accounts"]["relay1@contoso.com"]["sessions_open"] == 1


async def fetch(url, method="GET", body=None):
    def get():
        request = urllib.request.Request(
            url, method=method, data=json.dumps(body).encode() if body is not None else None
        )
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return json.loads(answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.loads(error.read())

    return await asyncio.to_thread(get)


async def test_directory_can_be_replaced_while_it_runs():
    async with conversation() as dialogue:
        url = dialogue.simulator.control_url
        changed = directory(tenants__tenant__mailboxes__relay1__state="restricted").model_dump(mode="json")
        await fetch(f"{url}/directory", "PUT", changed)
        assert (await dialogue.send()).startswith("550 5.1.8")
        status, body = await fetch(f"{url}/directory", "PUT", {"tenants": {"t": {"domains": []}}, "typo": 1})
        assert status == 400
        assert "tenants.t.domains" in body["error"]
        assert "typo" in body["error"]


def test_secret_is_only_the_simulators_own():
    assert default_directory().tenants[TENANT].apps[CLIENT].secrets == (SECRET,)
