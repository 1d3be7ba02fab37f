"""Random lives on SQLite and in memory give the same views at every step, crashes included."""

import asyncio
import shutil
import tempfile
from pathlib import Path

import msgspec
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, multiple, rule

from node.errors import RelayError
from node.policy.envelope import OnUnknown, RecipientState
from node.policy.lifecycle import IllegalMove
from node.spool.contract import Filter
from node.spool.memory import MemorySpool
from node.spool.sqlite import SqliteSpool
from tests.support.spool_mail import T0, accepted, attempt, message, outcome, settlement

ADDRESSES = ("a@x.example", "b@x.example", "c@y.example")
FILTERS = st.builds(
    Filter,
    states=st.lists(st.sampled_from(RecipientState), max_size=2).map(tuple),
    client=st.sampled_from(["", "one", "two"]),
    sender=st.sampled_from(["", "*@contoso.com", "x@contoso.com"]),
    recipient=st.sampled_from(["", "*@x.example", "c@y.example"]),
    reason=st.sampled_from(["", "busy"]),
    limit=st.sampled_from([1, 3, 100]),
)
RESULTS = st.sampled_from([s for s in RecipientState if s not in {RecipientState.IN_FLIGHT, RecipientState.DELETED}])


class Twins(RuleBasedStateMachine):
    messages = Bundle("messages")
    attempts = Bundle("attempts")

    def __init__(self):
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.home = Path(tempfile.mkdtemp(prefix="twins-"))
        self.now_ms = T0
        self.number = 0
        self.twins = (
            SqliteSpool(self.home / "sqlite", now_ms=lambda: self.now_ms),
            MemorySpool(self.home / "memory", now_ms=lambda: self.now_ms),
        )
        self.both(lambda spool: spool.open(T0))

    def both(self, act):
        """The same act on both; equal answers, equal errors."""
        self.now_ms += 10
        answers = []
        for spool in self.twins:
            try:
                answers.append(self.loop.run_until_complete(act(spool)))
            except (RelayError, IllegalMove) as error:
                answers.append((type(error), str(error)))
        assert answers[0] == answers[1]
        return answers[0]

    def name(self, word):
        self.number += 1
        return f"{word}{self.number:06d}"

    @initialize(target=messages)
    def first(self):
        return self.append(ADDRESSES[:2], "one", OnUnknown.VERIFY, False)

    @rule(
        target=messages,
        to=st.lists(st.sampled_from(ADDRESSES), min_size=1, max_size=3).map(tuple),
        client=st.sampled_from(["one", "two"]),
        on_unknown=st.sampled_from(OnUnknown),
        held=st.booleans(),
    )
    def append(self, to, client, on_unknown, held):
        made = message(
            self.name("m"),
            to=to,
            client=client,
            on_unknown=on_unknown,
            held=held,
            received_ms=self.now_ms,
            expires_ms=self.now_ms + 300,
            sender=f"{'x' if client == 'one' else 'y'}@contoso.com",
        )
        self.both(lambda spool: spool.append(accepted(made)))
        return made

    @rule(target=attempts, made=messages, indexes=st.lists(st.integers(0, 2), min_size=1, max_size=3, unique=True))
    def claim(self, made, indexes):
        start = attempt(made, *indexes, at_ms=self.now_ms, attempt_id=self.name("t"), trace=self.name("tr"))
        return start if self.both(lambda spool: spool.claim(start)) else multiple()

    @rule(start=attempts)
    def intend(self, start):
        at_ms = self.now_ms
        self.both(lambda spool: spool.intend(start.attempt_id, at_ms))

    @rule(start=attempts, state=RESULTS, other=RESULTS, counts=st.booleans(), sent=st.booleans())
    def settle(self, start, state, other, counts, sent):
        results = [
            outcome(i, other if n else state, "busy", next_attempt_ms=self.now_ms + 50, counts_as_attempt=counts)
            for n, i in enumerate(start.indexes)
        ]
        done = settlement(start, *results, at_ms=self.now_ms, mail_sent=sent)
        self.both(lambda spool: spool.settle(done))

    @rule(made=messages, indexes=st.lists(st.integers(0, 3), max_size=3), wait=st.sampled_from([-5, 40]))
    def postpone(self, made, indexes, wait):
        until_ms = self.now_ms + wait
        self.both(lambda spool: spool.postpone(made.id, indexes, until_ms, "no_budget"))

    @rule(made=messages, state=RESULTS, event=st.sampled_from(["", "expired"]))
    def finish(self, made, state, event):
        at_ms = self.now_ms
        self.both(lambda spool: spool.finish(made.id, [outcome(0, state)], at_ms, event))

    @rule(which=FILTERS, verb=st.sampled_from(["hold", "release", "delete"]))
    def operate(self, which, verb):
        at_ms = self.now_ms
        self.both(lambda spool: getattr(spool, verb)(which, "ann", "why", at_ms))

    @rule()
    def crash_and_recover(self):
        at_ms = self.now_ms
        for spool in self.twins:
            self.loop.run_until_complete(spool.close())
        self.both(lambda spool: spool.open(at_ms))
        self.both(lambda spool: spool.recover(at_ms))

    @rule(back=st.integers(0, 200), limit=st.integers(1, 3))
    def prune(self, back, limit):
        before_ms = self.now_ms - back
        self.both(lambda spool: spool.prune(before_ms, limit))

    @rule(address=st.sampled_from([*ADDRESSES, "x@contoso.com"]))
    def erase(self, address):
        at_ms = self.now_ms
        self.both(lambda spool: spool.erase(address, "dpo", at_ms))

    @rule(which=FILTERS)
    def find(self, which):
        self.both(lambda spool: spool.find(which))

    @rule(made=messages)
    def look(self, made):
        self.both(lambda spool: spool.journey(made.id))
        self.both(lambda spool: spool.body(made.id))

    @invariant()
    def same_backlog(self):
        at_ms = self.now_ms
        for lane in self.both(lambda spool: spool.lanes()):
            self.both(lambda spool, name=lane.lane: spool.peek(name, at_ms, 3))
        self.both(lambda spool: spool.unknowns(at_ms, 5))
        self.both(lambda spool: spool.expired(at_ms, 5))
        self.both(lambda spool: _plain(spool.count()))

    def teardown(self):
        for spool in self.twins:
            self.loop.run_until_complete(spool.close())
        self.loop.close()
        shutil.rmtree(self.home)


async def _plain(counts):
    return msgspec.to_builtins(await counts)


Twins.TestCase.settings = settings(
    max_examples=15, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)
TestTwins = Twins.TestCase
