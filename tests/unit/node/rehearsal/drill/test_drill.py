"""The drill's own rules, on a world told what to answer: order, waiting, skipping, stopping, figures, report."""

import asyncio
import re
from dataclasses import replace
from html.parser import HTMLParser

import msgspec
import pytest

from node.rehearsal.checking.files import HistoryWriter
from node.rehearsal.checking.records import Begun, Ended, Fault, Limit
from node.rehearsal.drill import runner as drills
from node.rehearsal.drill.faults import FAULTS, Kind
from node.rehearsal.drill.figures import Look, gap_ms, holders, per_second, takeover_ms
from node.rehearsal.drill.outcome import Outcome, Skipped, Span, Step
from node.rehearsal.drill.report import html
from node.rehearsal.drill.runner import Runner, now_ms
from node.rehearsal.load.client import Result
from node.rehearsal.load.ledger import Entry, LedgerWriter

ACCOUNT = "relay1@contoso.com"


class Scripted:
    """A world whose mail arrives but for what a fault is told to do to it."""

    def __init__(self, home, harm=""):
        self.ledger, self.history, self.done = (home / name for name in ("ledger", "history", "done"))
        self.harm, self.calls, self.holder, self.number = harm, [], "relay-a", 0
        self.upstream = HistoryWriter(self.history, "simulator", now_ms())
        self.upstream.write(Limit(at_ms=now_ms(), scope=ACCOUNT, measure="starts", amount=30, window_s=60))
        self.client = LedgerWriter(self.ledger)

    def close(self):
        self.upstream.close()
        self.client.__exit__(None, None, None)

    def mail(self, *, copies=1):
        self.number += 1
        name = f"m{self.number}"
        entry = Entry(id=name, attempt=1, result=Result.ACCEPTED, at_ms=int(now_ms()), recipients=("a@example.com",))
        self.client.write(entry)
        self.client.flush()
        for _ in range(copies):
            self.number += 1
            self.upstream.write(Begun(at_ms=now_ms(), operation=self.number, scope=ACCOUNT, helo="relay-b.demo.test"))
            self.upstream.write(
                Ended(at_ms=now_ms(), operation=self.number, taken=True, answered=True, id=name,
                      recipients=("a@example.com",))
            )  # fmt: skip

    def lacks(self, kind):
        return "no such thing here" if kind is Kind.SKEW_CLOCK else ""

    def source(self, node):
        return f"{node}.demo.test"

    async def begin(self, kind, node):
        self.calls.append(("begin", kind, node))
        self.holder = "relay-b"
        self.mail(copies={"lost": 0, "twice": 2}.get(self.harm, 1))

    async def end(self, kind, node):
        self.calls.append(("end", kind, node))

    async def look(self):
        troubles = ("relay-c does not answer",) if self.harm == "broken" and self.calls else ()
        return Look(
            at_ms=now_ms(), asked_ms=now_ms(), holder=self.holder, leader="relay-c",
            ready=("relay-a", "relay-b", "relay-c"), troubles=troubles,
        )  # fmt: skip


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    for name, value in (("LOOK_S", 0.01), ("EMPTY_S", 0.3), ("CALM_S", 0.05)):
        monkeypatch.setattr(drills, name, value)
    for kind, fault in dict(FAULTS).items():
        monkeypatch.setitem(FAULTS, kind, replace(fault, lasts_s=0.05))


def run(world, *kinds, patience_s=5.0):
    said = []

    async def ended():
        said.append("ended")

    async def work():
        world.mail()
        runner = Runner(world, said.append, patience_s)
        await runner.run(kinds, ended)
        return runner

    try:
        return asyncio.run(work()), said
    finally:
        world.close()


def test_faults_are_announced_done_undone_and_judged_in_order(tmp_path):
    world = Scripted(tmp_path)
    runner, said = run(world, Kind.KILL_NODE, Kind.ETCD_LEADER)
    assert [call[:2] for call in world.calls] == [
        ("begin", Kind.KILL_NODE), ("end", Kind.KILL_NODE), ("begin", Kind.ETCD_LEADER), ("end", Kind.ETCD_LEADER),
    ]  # fmt: skip
    assert [step.node for step in runner.steps] == ["relay-a", "relay-c"]
    assert "Must hold" in said[0]
    assert "relay-a" in said[0]
    assert runner.steps[0].takeover_s is not None, "clients were led to relay-b"
    assert runner.verdict.holds
    assert not runner.stopped
    assert said.index("ended") == len(said) - 2
    deeds = [msgspec.json.decode(line) for line in world.done.read_bytes().splitlines()]
    assert [deed["op"] for deed in deeds] == ["history", "fault", "fault"]
    assert deeds[1]["source"] == "relay-a.demo.test"


@pytest.mark.parametrize(("harm", "said"), [("lost", "I1 lost"), ("twice", "I5 silent duplicate")])
def test_the_first_violation_stops_it(tmp_path, harm, said):
    world = Scripted(tmp_path, harm)
    runner, _ = run(world, Kind.KILL_COORDINATOR, Kind.ETCD_ALL)
    assert runner.stopped.startswith(said)
    assert len(runner.steps) == 1, "nothing is done after it"
    assert runner.steps[0].problems
    assert not runner.verdict.holds


def test_a_cluster_that_is_not_whole_again_stops_it(tmp_path):
    runner, _ = run(Scripted(tmp_path, "broken"), Kind.KILL_NODE, Kind.ETCD_ALL, patience_s=0.2)
    assert "relay-c does not answer" in runner.stopped
    assert len(runner.steps) == 1
    assert runner.steps[0].protected_s is None


def test_what_cannot_be_done_is_said_and_the_rest_is_done(tmp_path):
    runner, said = run(Scripted(tmp_path), Kind.SKEW_CLOCK, Kind.REVOKE)
    assert runner.skipped == [Skipped(kind=Kind.SKEW_CLOCK, why="no such thing here")]
    assert any("skipped skew-clock" in line for line in said)
    assert [step.kind for step in runner.steps] == [Kind.REVOKE]


def test_gaps_and_takeovers_by_hand():
    assert gap_ms([0, 100, 200, 900, 1000], 150, 1000) == 700
    assert gap_ms([0, 100], 50, 1000) == 900, "a gap that is not over counts"
    assert gap_ms([], 0, 1000) == 1000
    looks = [Look(at_ms=at, holder=name) for at, name in ((0, "a"), (100, "a"), (200, ""), (300, "b"), (400, "b"))]
    assert takeover_ms(looks, "a", 50, 500) == 250
    assert takeover_ms(looks, "a", 50, 250) is None
    assert holders(looks, 500) == [("a", 0, 200), ("", 200, 300), ("b", 300, 500)]
    assert per_second([0, 10, 1500, 9999], 0, 2000) == [2, 1, 0]


def test_every_fault_says_what_it_does_and_what_must_hold():
    assert set(FAULTS) == set(Kind)
    for kind, fault in FAULTS.items():
        assert fault.does, kind
        assert fault.holds, kind
        assert set(re.findall(r"{(\w+)}", fault.does + fault.holds)) <= {"node"}


class _Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.outside = [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.outside += [value for name, value in attrs if name in ("src", "href")]


def test_the_report_needs_nothing_else_and_quotes_safely():
    step = Step(kind="kill-node", node="relay-a", does="kill", holds="holds", began_ms=10_000, ended_ms=20_000,
                whole_ms=25_000, takeover_s=0.7, protected_s=15.0, problems=["<script>alert(1)</script>"])  # fmt: skip
    outcome = Outcome(
        cluster="a <b>", machine="m", began_ms=0, ended_ms=60_000, steps=[step], skipped=[Skipped(kind="x", why="y")],
        stopped="because", verdict=None, accepted_per_s=[1, 2, 3], delivered_per_s=[0, 0, 1],
        holders=[Span(holder="relay-a", from_ms=0, to_ms=10_000), Span(holder="", from_ms=10_000, to_ms=60_000)],
    )  # fmt: skip
    text, tags = html(outcome), _Tags()
    tags.feed(text)
    assert "script" not in tags.tags
    assert tags.outside == []
    assert tags.tags.count("svg") == 1
    assert "&lt;script&gt;" in text
    assert "stopped: because" in text
    assert not outcome.holds


def test_a_fault_record_says_whom_it_silences():
    assert FAULTS[Kind.KILL_NODE].silences
    assert not FAULTS[Kind.ETCD_ONE].silences
    assert Fault(at_ms=0, until_ms=1, kind="x").silences is False


def test_without_mail_nothing_is_done(tmp_path, monkeypatch):
    world = Scripted(tmp_path)
    monkeypatch.setattr(world, "mail", lambda **_: None)
    runner, _ = run(world, Kind.KILL_NODE, patience_s=0.2)
    assert runner.stopped == "no mail arrived within 0 s"
    assert world.calls == []
    assert runner.verdict is None
