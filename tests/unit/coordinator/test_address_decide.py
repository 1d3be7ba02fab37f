"""What a coordinator does about an address, decision by decision (coordination-review §2, §5)."""

from dataclasses import replace

import pytest
from msgspec import structs

from coordinator import address as a
from coordinator import promises as p
from coordinator.address import Address, Facts, Key, Next, Todo, decide
from coordinator.session import Event, Session
from coordinator.session import step as session_step
from coordinator.timing import FAST

NOW = 100_000
JOINING = session_step(Session(timing=FAST), Event.BEGIN, 0)
LIVE = session_step(JOINING, Event.JOINED, NOW - 100, sent_ms=NOW - 150, lease=7, inc=3)
LIVE = structs.replace(LIVE, began_ms=0)
EARLY = structs.replace(LIVE, timing=replace(FAST, settled_ms=1_600))
"""Where addresses may be taken early."""
MINE = Key(holder="a", lease=7, revision=20)
NODES = ("a", "b", "c")
FREE = Address(gone_ms=NOW - 10_000, revision=9, nodes=NODES)
HELD = a.on_probe(a.on_taken(FREE, MINE, NOW - 50), NOW, answered=False, timing=FAST)
BOUND = a.on_bound(HELD, 3, NOW)


def facts(**change):
    return Facts(**({"me": "a", "session": LIVE, "now_ms": NOW, "started_ms": 0, "ready": True} | change))


def silent(now_ms=NOW + 4_000):
    return facts(session=structs.replace(LIVE, heard_ms=NOW - 3_000), now_ms=now_ms)


@pytest.mark.parametrize(
    ("address", "change", "todo"),
    [
        (FREE, {}, Todo.TAKE),
        (FREE, {"ready": False}, Todo.NOTHING),
        (FREE, {"fresh": False}, Todo.NOTHING),
        (FREE, {"eligible": False}, Todo.NOTHING),
        (FREE, {"session": JOINING}, Todo.NOTHING),
        (FREE, {"started_ms": NOW - 4_999}, Todo.NOTHING),
        (FREE, {"paused": True}, Todo.NOTHING),
        (FREE, {"now_ms": NOW + 4_400}, Todo.NOTHING),
        (FREE, {"me": "stranger"}, Todo.NOTHING),
        (replace(FREE, taking=True), {}, Todo.NOTHING),
        (replace(FREE, gone_ms=NOW), {}, Todo.TAKE),
        (replace(FREE, gone_ms=NOW - 2_999), {"me": "stranger", "replaces": True}, Todo.NOTHING),
        (replace(FREE, gone_ms=NOW - 3_000), {"me": "stranger", "replaces": True}, Todo.TAKE),
        (replace(FREE, gone_ms=NOW - 1_599), {"session": EARLY}, Todo.NOTHING),
        (replace(FREE, gone_ms=NOW - 1_600), {"session": EARLY}, Todo.TAKE),
        (replace(FREE, gone_ms=NOW - 2_999, clean=True), {}, Todo.TAKE),
        (replace(FREE, gone_ms=NOW, clean=True), {"rank": 2}, Todo.NOTHING),
        (replace(FREE, clean=True), {"paused": True}, Todo.TAKE),
        (replace(FREE, promised_until_ms=NOW + 1), {}, Todo.NOTHING),
        (replace(HELD, probed=False), {}, Todo.PROBE),
        (HELD, {}, Todo.BIND),
        (HELD, {"ready": False}, Todo.DELETE),
        (HELD, {"fresh": False}, Todo.DELETE),
        (replace(HELD, conflict_until_ms=NOW + 1), {}, Todo.NOTHING),
        (replace(HELD, promised_until_ms=NOW + 1), {}, Todo.NOTHING),
        (HELD, {"now_ms": NOW + 2_851}, Todo.NOTHING),
        (replace(HELD, key=replace(MINE, lease=6)), {}, Todo.NOTHING),
        (replace(HELD, given_up=20), {}, Todo.DELETE),
        (replace(HELD, given_up=20), {"session": JOINING}, Todo.NOTHING),
        (BOUND, {}, Todo.NOTHING),
        (BOUND, {"ready": False}, Todo.REMOVE),
        (BOUND, {"fresh": False}, Todo.NOTHING),
        (replace(BOUND, bound_until_ms=NOW + 2_000), {}, Todo.BIND),
        (replace(BOUND, bound_until_ms=NOW + 2_000), {"fresh": False}, Todo.NOTHING),
        (replace(BOUND, bound_until_ms=NOW), {"fresh": False}, Todo.REMOVE),
        (BOUND, {"yields": True}, Todo.NOTHING),
        (replace(BOUND, held_since_ms=NOW - 60_000), {"yields": True}, Todo.REMOVE),
        (replace(BOUND, key=Key(holder="b", lease=9, revision=30)), {}, Todo.REMOVE),
        (replace(BOUND, key=None), {}, Todo.REMOVE),
        (replace(BOUND, key=None, kept_until_ms=NOW + 4_000), {}, Todo.TAKE),
        (replace(BOUND, key=None, kept_until_ms=NOW + 4_000), {"fresh": False}, Todo.NOTHING),
        (replace(BOUND, bound_until_ms=NOW + 6_000), {}, Todo.BIND),
        (BOUND, {"now_ms": NOW + 4_350}, Todo.REMOVE),
    ],
)
def test_what_to_do(address, change, todo):
    assert decide(address, facts(**change)).todo is todo


def test_the_lifetime_ends_a_second_before_the_lease():
    for gap in range(0, 3_850, 37):
        now = facts(now_ms=NOW + gap)
        life = a.lifetime_s(a.authority_ms(HELD, now), now)
        assert now.now_ms + life * 1_000 <= LIVE.renewed_ms + FAST.ttl_ms - 1_000
        assert life == (LIVE.renewed_ms + 4_000 - now.now_ms) // 1_000


def test_it_is_refreshed_at_each_half_second_gained_only():
    renewed = structs.replace(LIVE, renewed_ms=NOW + 450)
    assert decide(BOUND, facts(session=renewed, now_ms=NOW + 499)).todo is Todo.NOTHING
    assert decide(BOUND, facts(session=renewed, now_ms=NOW + 500)) == Next(todo=Todo.BIND, lifetime_s=3)
    again = decide(BOUND, facts(session=structs.replace(LIVE, renewed_ms=NOW + 1_850), now_ms=NOW + 1_900))
    assert (again.todo, again.lifetime_s) == (Todo.BIND, 3)


def test_news_older_than_known_is_ignored():
    assert a.on_key(HELD, None, 19, NOW) == HELD
    assert a.on_key(HELD, None, 21, NOW).key is None


def test_an_answering_stranger_costs_one_t():
    warned = a.on_probe(HELD, NOW, answered=True, timing=FAST)
    assert decide(warned, facts()).todo is Todo.NOTHING
    later = NOW + 5_000
    assert decide(warned, facts(session=structs.replace(LIVE, renewed_ms=later), now_ms=later)).todo is Todo.BIND


def test_only_everybodys_promise_keeps_the_address():
    asked = p.on_round(BOUND, silent())
    one = p.on_promise(asked, silent(), NOW + 4_000, "b")
    assert one.kept_until_ms == 0
    both = p.on_promise(one, silent(NOW + 4_100), NOW + 4_000, "c")
    assert both.kept_until_ms == NOW + 4_000 + 4_500, "from the sending of the round"
    assert p.on_promise(one, silent(), NOW + 3_999, "c").kept_until_ms == 0, "an answer to another round"
    assert p.on_promise(a.on_removed(one), silent(), NOW + 4_000, "c").kept_until_ms == 0, "nothing is bound any more"


def test_alone_on_the_list_nobody_need_be_asked():
    assert p.on_round(replace(BOUND, nodes=("a",)), silent()).kept_until_ms == NOW + 8_500


@pytest.mark.parametrize(
    ("address", "of", "given"),
    [
        (FREE, silent(), True),
        (FREE, facts(), False),
        (replace(FREE, taking=True), silent(), False),
        (BOUND, silent(), False),
        (replace(FREE, promised_to="z", promised_until_ms=NOW + 9_000), silent(), False),
        (replace(FREE, promised_to="z", promised_until_ms=NOW), silent(), True),
    ],
)
def test_who_may_promise(address, of, given):
    after, promised = p.on_asked(address, of, "b")
    assert promised is given
    assert after.promised_until_ms == (of.now_ms + 5_000 if given else address.promised_until_ms)


def test_rounds_are_bounded():
    address = BOUND
    for step in range(100):
        address = p.on_round(address, silent(NOW + 4_000 + step))
    assert len(address.rounds) == p.ROUNDS_MAX
