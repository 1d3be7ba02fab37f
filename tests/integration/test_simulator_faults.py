"""Scripted faults over real sockets: every moment, every kind, and what remains in the books afterwards."""

import asyncio
import contextlib
import time

import pytest

from node.policy.reply import Stage
from node.rehearsal.simulator.directory import Directory, SmartHost
from node.rehearsal.simulator.script import Moment, read_steps
from node.rehearsal.simulator.server import Simulator

MESSAGE = "From: app@contoso.com\r\nMessage-ID: <m1@app>\r\nSubject: token sim-1\r\n\r\nHello\r\n"


class Line:
    """A plain connection to a simulated smart host."""

    def __init__(self, simulator):
        self.simulator = simulator

    async def open(self):
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.simulator.smtp_port)
        return await self.reply()

    async def reply(self):
        with contextlib.suppress(ConnectionError):
            while line := (await asyncio.wait_for(self.reader.readline(), 10)).decode("latin-1"):
                if line[3:4] != "-":
                    return line.rstrip("\r\n")
        return "closed"

    async def say(self, text):
        self.writer.write(text.encode() + b"\r\n")
        return await self.reply()

    async def talk(self, *, message=MESSAGE, recipient="a@x.org"):
        """Go through a whole message; give the first answer that is not the normal one, or the last."""
        for text, wanted in (
            ("EHLO x", "250"),
            ("MAIL FROM:<app@contoso.com>", "250"),
            (f"RCPT TO:<{recipient}>", "250"),
            ("DATA", "354"),
        ):
            answer = await self.say(text)
            if not answer.startswith(wanted):
                return text[:4], answer
        return "dot", await self.say(message + ".")

    async def close(self):
        self.writer.close()
        with contextlib.suppress(OSError):
            await self.writer.wait_closed()


@contextlib.asynccontextmanager
async def scripted(*steps):
    async with Simulator(Directory(smarthost=SmartHost()), steps=read_steps(list(steps), "test")) as simulator:
        lines = []

        async def connect():
            line = Line(simulator)
            lines.append(line)
            return line, await line.open()

        try:
            yield simulator, connect
        finally:
            for line in lines:
                await line.close()


@pytest.mark.parametrize(
    ("moment", "where"),
    [("ehlo", "EHLO"), ("mail", "MAIL"), ("rcpt", "RCPT"), ("data", "DATA"), ("dot", "dot")],
)
async def test_any_reply_at_any_moment(moment, where):
    reply = "451 4.7.500 Server busy. Please try again later from [1.2.3.4] AS8423"
    async with scripted({"at": moment, "times": 1, "reply": reply}) as (simulator, connect):
        line, _ = await connect()
        assert await line.talk() == (where, reply)
        assert simulator.hub.receipts.accepted == 0
        await line.say("RSET")
        assert (await line.talk())[1].startswith("250 2.0.0 OK")


async def test_a_banner_may_refuse_and_a_421_hangs_up():
    async with scripted({"at": "banner", "times": 1, "reply": "421 4.3.2 Service not available"}) as (_, connect):
        line, banner = await connect()
        assert banner == "421 4.3.2 Service not available"
        assert await line.reply() == "closed"
        _, banner = await connect()
        assert banner.startswith("220")


@pytest.mark.parametrize("moment", ["connect", "banner", "ehlo", "mail", "rcpt", "data"])
async def test_cuts_before_the_message_leave_nothing(moment):
    async with scripted({"at": moment, "times": 1, "cut": True}) as (simulator, connect):
        line, banner = await connect()
        answer = banner if moment in ("connect", "banner") else (await line.talk())[1]
        assert answer == "closed"
        assert simulator.hub.stats()["messages"]["accepted"] == 0
        assert simulator.hub.stats()["messages"]["cut"] == 1


async def test_a_cut_while_content_arrives():
    async with scripted({"at": "body", "cut": True, "after_bytes": 100_000}) as (simulator, connect):
        line, _ = await connect()
        big = MESSAGE + "x" * 70 + "\r\n"
        with contextlib.suppress(ConnectionError):
            assert await line.talk(message=big * 4000) == ("dot", "closed")
        assert simulator.hub.receipts.accepted == 0


@pytest.mark.parametrize(
    ("extra", "accepted"),
    [({}, 1), ({"accepted": False}, 0)],
)
async def test_a_cut_after_the_dot_keeps_the_message_unless_told(extra, accepted):
    async with scripted({"at": "dot", "times": 1, "cut": True, **extra}) as (simulator, connect):
        line, _ = await connect()
        assert await line.talk() == ("dot", "closed")
        report = simulator.hub.stats()["messages"]
        assert (report["accepted"], report["unanswered"]) == (accepted, accepted)
        again, _ = await connect()
        assert (await again.talk())[1].startswith("250")
        assert simulator.hub.stats()["messages"]["duplicates"] == accepted
        if accepted:
            assert simulator.hub.receipts.duplicates[0]["after_lost_answer"]


async def test_a_refusal_that_took_the_message_all_the_same():
    step = {"at": "dot", "times": 1, "reply": "451 4.4.0 mislaid", "accepted": True}
    async with scripted(step) as (simulator, connect):
        line, _ = await connect()
        assert (await line.talk())[1] == "451 4.4.0 mislaid"
        assert simulator.hub.receipts.accepted == 1


async def test_garbage_and_delay():
    steps = ({"at": "mail", "times": 1, "garbage": True}, {"at": "dot", "delay": "200ms"})
    async with scripted(*steps) as (_, connect):
        line, _ = await connect()
        where, answer = await line.talk()
        assert where == "MAIL"
        assert "not a reply" in answer
        began_s = time.monotonic()
        assert (await line.talk())[1].startswith("250")
        assert time.monotonic() - began_s >= 0.19


async def test_a_custom_positive_reply_is_said_once_and_counts():
    async with scripted({"at": "dot", "reply": "250 2.6.0 <x> Queued mail for delivery"}) as (simulator, connect):
        line, _ = await connect()
        assert (await line.talk())[1] == "250 2.6.0 <x> Queued mail for delivery"
        assert await line.say("NOOP") == "250 2.0.0 OK"
        assert simulator.hub.receipts.accepted == 1


async def test_by_recipient_subject_and_attempt():
    steps = (
        {"at": "rcpt", "when": {"recipient": "bad@*"}, "reply": "550 5.1.10 RecipientNotFound"},
        {"at": "dot", "when": {"subject": "SIM-1", "attempt": [1, 2]}, "reply": "432 4.3.2 STOREDRV; busy"},
    )
    async with scripted(*steps) as (_, connect):
        line, _ = await connect()
        assert (await line.talk(recipient="bad@x.org"))[1].startswith("550 5.1.10")
        await line.say("RSET")
        assert [(await line.talk())[1][:3] for _ in range(3)] == ["432", "432", "250"]


async def test_a_client_that_leaves_before_the_answer_is_unanswered():
    async with scripted({"at": "dot", "delay": "10s"}) as (simulator, connect):
        line, _ = await connect()
        for text in ("EHLO x", "MAIL FROM:<a@b.c>", "RCPT TO:<d@e.f>", "DATA"):
            await line.say(text)
        line.writer.write(MESSAGE.encode() + b".\r\n")
        await line.writer.drain()
        await asyncio.sleep(0)
        await line.close()
        async with asyncio.timeout(5):
            while not simulator.hub.receipts.unanswered:  # noqa: ASYNC110 - the books announce nothing
                await asyncio.sleep(0.01)
        assert simulator.hub.receipts.accepted == 1
        assert not simulator.hub.receipts.latest[0].answered


def test_every_stage_of_a_conversation_can_be_scripted():
    """Stages a reply can come from in the decision table; the last two belong to other paths."""
    assert {stage.value for stage in Stage} - {"http", "ndr"} <= {moment.value for moment in Moment}
