"""The history the simulator writes of real conversations: the checker finds in it what the clients did."""

import contextlib
import time

from node.rehearsal.checking.check import check
from node.rehearsal.checking.files import read_history
from node.rehearsal.checking.records import Begun, Ended, Gone, Login
from node.rehearsal.load.client import Result
from node.rehearsal.load.ledger import Entry
from node.rehearsal.simulator.directory import default_directory, read_directory
from node.rehearsal.simulator.script import read_steps
from node.rehearsal.simulator.server import Simulator
from tests.support.dialogue import Dialogue

MAIL = "From: app@contoso.com\r\nTo: a@example.com\r\nX-Rehearsal-Id: {}\r\n\r\nhello\r\n"


def quick(**limits):
    plain = default_directory().model_dump()
    plain["timing"]["tarpit"] = 0.0
    plain["limits"] |= limits
    return read_directory(plain, "test")


@contextlib.asynccontextmanager
async def clients(path, number=1, *, steps=(), **limits):
    simulator = Simulator(quick(**limits), history=path, steps=read_steps(list(steps), "test"))
    async with simulator, contextlib.AsyncExitStack() as stack:
        every = [await stack.enter_async_context(Dialogue(simulator)) for _ in range(number)]
        for one in every:
            await one.secure()
            assert (await one.log_in()).startswith("235")
        yield every


def promised(*names):
    now_ms = time.time_ns() // 1_000_000
    return [
        Entry(id=name, attempt=1, result=Result.ACCEPTED, at_ms=now_ms, recipients=("a@example.com",)) for name in names
    ]


def judged(path, *names):
    verdict = check(promised(*names), read_history(path))
    return verdict, {(one.invariant, one.what) for one in verdict.violations}


async def test_sessions_and_messages_stand_in_it_and_nothing_is_wrong(tmp_path):
    path = tmp_path / "history"
    async with clients(path) as (one,):
        for name in ("m1", "m2"):
            assert (await one.send(message=MAIL.format(name))).startswith("250")
        await one.say("MAIL FROM:<app@contoso.com>")
        await one.say("RSET")
        await one.say("QUIT")
    records = list(read_history(path))
    assert [type(record) for record in records if isinstance(record, Login | Gone)] == [Login, Gone]
    begun = [record for record in records if isinstance(record, Begun)]
    assert [record.helo for record in begun] == ["relay.example"] * 3
    ended = [record for record in records if isinstance(record, Ended)]
    assert [(record.id, record.taken, record.counted) for record in ended] == [
        ("m1", True, True), ("m2", True, True), ("", False, False),
    ]  # fmt: skip
    verdict, wrong = judged(path, "m1", "m2")
    assert not wrong
    assert verdict.worst["relay1@contoso.com"] == {"starts/60s": 2, "sessions": 1, "recipients/86400s": 2}


async def test_one_start_too_many_is_found(tmp_path):
    path = tmp_path / "history"
    async with clients(path, rate="3/60s", over_rate="accept") as (one,):
        for number in range(4):
            assert (await one.send(message=MAIL.format(f"m{number}"))).startswith("250")
        counted = one.simulator.hub.stats()["accounts"]["relay1@contoso.com"]["worst_window"]
    verdict, wrong = judged(path, "m0", "m1", "m2", "m3")
    assert wrong == {("I2", "starts")}
    assert verdict.worst["relay1@contoso.com"]["starts/60s"] == counted == 4


async def test_a_fourth_session_is_found(tmp_path):
    path = tmp_path / "history"
    async with clients(path, 4) as every:
        assert (await every[0].send(message=MAIL.format("m"))).startswith("250")
    assert judged(path, "m")[1] == {("I2", "sessions")}


async def test_a_repetition_is_silent_unless_the_answer_was_lost(tmp_path):
    path = tmp_path / "history"
    cut = {"at": "dot", "when": {"id": "again"}, "times": 1, "cut": True}
    async with clients(path, 2, steps=[cut]) as (one, other):
        assert await one.send(message=MAIL.format("again")) == "closed"
        for name in ("again", "known", "known"):
            assert (await other.send(message=MAIL.format(name))).startswith("250")
    verdict, wrong = judged(path, "again", "known")
    assert wrong == {("I5", "silent duplicate")}
    assert [(one.id, one.why) for one in verdict.duplicates] == [
        ("again", "the upstream's answer was lost"), ("known", ""),
    ]  # fmt: skip


async def test_nothing_is_written_unless_asked_for(tmp_path):
    async with Simulator(quick()) as simulator, Dialogue(simulator) as one:
        await one.secure()
        await one.log_in()
        assert (await one.send()).startswith("250")
    assert list(tmp_path.iterdir()) == []
