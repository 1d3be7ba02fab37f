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
from node.spool.contract import Accepted, Filter
from node.spool.memory import MemorySpool
from node.spool.sqlite import SqliteSpool
from tests.support.spool_mail import BODY, T0, attempt, message, outcome, settlement

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
NUMBERS = st.integers(0, 4)
RESULTS = st.sampled_from([s for s in RecipientState if s not in {RecipientState.IN_FLIGHT, RecipientState.DELETED}])


class Twins(RuleBasedStateMachine):
    messages = Bundle("messages")
    attempts = Bundle("attempts")
    standings = Bundle("standings")

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
        self.news = ([], [])
        for spool, news in zip(self.twins, self.news, strict=True):
            spool.on_changed = news.extend
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
        assert [sorted(news, key=_name) for news in self.news[:1]] == [
            sorted(news, key=_name) for news in self.news[1:]
        ]
        for news in self.news:
            news.clear()
        return answers[0]

    def name(self, word):
        self.number += 1
        return f"{word}{self.number:06d}"

    @initialize(target=messages)
    def first(self):
        return self.append(ADDRESSES[:2], "one", OnUnknown.VERIFY, False, None)

    @rule(
        target=messages,
        to=st.lists(st.sampled_from(ADDRESSES), min_size=1, max_size=3).map(tuple),
        client=st.sampled_from(["one", "two"]),
        on_unknown=st.sampled_from(OnUnknown),
        held=st.booleans(),
        pairing=st.none() | NUMBERS,
    )
    def append(self, to, client, on_unknown, held, pairing):
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
        self.both(lambda spool: spool.append(Accepted(message=made, body=BODY, pairing=pairing)))
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

    @rule(spool=st.sampled_from(["a", "b"]), epoch=st.integers(1, 2))
    def attach(self, spool, epoch):
        number = self.both(lambda each: each.attach(spool, "node", epoch))
        self.both(lambda each: each.name_store(number, f"store {epoch}"))

    @rule(number=NUMBERS, made=st.lists(messages, max_size=4))
    def confirm(self, number, made):
        ids = [each.id for each in made]
        self.both(lambda spool: spool.confirm(number, ids))

    @rule(number=NUMBERS)
    def unconfirm(self, number):
        self.both(lambda spool: spool.unconfirm(number))

    @rule(number=NUMBERS, made=st.lists(messages, max_size=3))
    def reattach(self, number, made):
        ids = [each.id for each in made]

        async def sorted_ids(spool):
            return sorted(await spool.reattach(ids, number))

        self.both(sorted_ids)

    @rule(made=messages)
    def withdraw(self, made):
        at_ms = self.now_ms
        self.both(lambda spool: spool.withdraw(made.id, "why", at_ms))

    @rule(number=NUMBERS, limit=st.integers(0, 3))
    def tell(self, number, limit):
        untold = self.both(lambda spool: spool.untold(number, limit))
        self.both(lambda spool: spool.told(untold))

    @rule(target=standings, number=NUMBERS, limit=st.integers(1, 3), unconfirmed=st.booleans())
    def give_up(self, number, limit, unconfirmed):
        found = self.both(lambda spool: spool.standing(number, "", limit, unconfirmed=unconfirmed))
        still = [each for each in found if not each.moving]
        self.both(lambda spool: spool.yield_up([each.message.id for each in still]))
        return multiple(*still)

    @rule(standing=standings, pairing=NUMBERS, sent=st.frozensets(st.integers(0, 2), max_size=2))
    def adopt(self, standing, pairing, sent):
        at_ms = self.now_ms
        moved = msgspec.structs.replace(standing, pairing=pairing)
        self.both(lambda spool: spool.adopt(moved, BODY, sent=sent, origin="other", now_ms=at_ms))

    @rule(made=st.lists(messages, max_size=4))
    def yield_up(self, made):
        ids = [each.id for each in made]
        self.both(lambda spool: _kind_of_error(spool.yield_up(ids)))

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

    @invariant()
    def same_pairings(self):
        numbers = [pair.number for pair in self.both(lambda spool: spool.pairs())]
        if numbers:  # a spool that was never in a cluster stays so
            self.both(lambda spool: _pairings(spool, [0, *numbers]))

    @rule(made=st.lists(messages, max_size=5))
    def looked(self, made):
        self.both(lambda spool: spool.look([each.id for each in made]))

    def teardown(self):
        for spool in self.twins:
            self.loop.run_until_complete(spool.close())
        self.loop.close()
        shutil.rmtree(self.home)


async def _plain(counts):
    """Without the states nobody is in any more: what was there once is no difference."""
    found = msgspec.to_builtins(await counts)
    return found | {"by_state": {state: n for state, n in found["by_state"].items() if n}}


async def _pairings(spool, numbers):
    found = [(await spool.here(n), await spool.standing(n, "", 50), await spool.untold(n, 50)) for n in numbers]
    return found, await spool.unprotected()


async def _kind_of_error(done):
    """Which of several in flight is named is not promised."""
    try:
        return await done
    except RelayError as error:
        return type(error)


def _name(change):
    return change.message_id


Twins.TestCase.settings = settings(
    max_examples=15, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)
TestTwins = Twins.TestCase
