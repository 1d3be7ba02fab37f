"""Early takeover rule by rule: who lives by whose answers, who answers, who gives its word, who takes over."""

from dataclasses import replace

import pytest
from msgspec import structs

from coordinator import early as e
from coordinator import early_bids as bids
from coordinator import early_facts as values
from coordinator.address_facts import Address, Facts, Key, Todo
from coordinator.early_facts import Act, Around, Bid, Early, Leash, leash_of
from coordinator.keys import Keys, Role
from coordinator.session import Event, Session
from coordinator.session import step as session_step
from coordinator.store.contract import Item, absent, created_at
from coordinator.timing import FAST

NOW = 100_000
JOINING = session_step(Session(timing=FAST), Event.BEGIN, 0)
LIVE = session_step(JOINING, Event.JOINED, NOW - 100, sent_ms=NOW - 150, lease=7, inc=3)
LIVE = structs.replace(LIVE, began_ms=NOW - 50_000)
KEYS = Keys(cluster="c")
NODES = ("a", "b", "c")
KEY = Key(holder="a", lease=7, revision=20)
LEASH = Leash(holder="a", on=True, nodes=NODES, lease=7, revision=22)
HELD = Address(key=KEY, revision=20, nodes=NODES, bound=True, bound_until_ms=NOW + 800, probed=True)
SEEN = Address(key=KEY, revision=20, nodes=NODES)
ANSWERED = Early(
    answered_ms=0, heard_ms=0, leash=LEASH, leash_revision=22, counted=NODES, acknowledged_ms=NOW - 50, steady_ms=0
)
LOOSE = replace(ANSWERED, leash=None)
SILENT = Early(answered_ms=NOW - 700, heard_ms=NOW - 700, leash=LEASH, leash_revision=22, learnt_ms=NOW - 9_000)
AROUND = Around(members={"a": 1, "b": 2, "c": 3}, gone_ms={}, seen=40, late_ms=values.LATE_V4_MS)
WORDS = replace(SILENT, bid=Bid(leash=LEASH, sent_ms=NOW - 20, asked={"b": 2}, words={"b": NOW - 650}))


def facts(me="a", **change):
    return Facts(**({"me": me, "session": LIVE, "now_ms": NOW, "started_ms": 0, "ready": True} | change))


def decided(early, address, change=None, around=None, me="a"):
    step = e.decide(early, address, facts(me, **(change or {})), replace(AROUND, **(around or {})))
    return step.todo.todo.value if step.act is Act.ADDRESS else step.act.value


@pytest.mark.parametrize(
    ("early", "address", "change", "around", "expected"),
    [
        (ANSWERED, HELD, {}, {}, "nothing"),
        (ANSWERED, replace(HELD, bound_until_ms=NOW + 750), {}, {}, "bind"),
        (replace(ANSWERED, acknowledged_ms=NOW - values.BEGIN_MS - 1), HELD, {}, {}, "nothing"),
        (replace(ANSWERED, acknowledged_ms=NOW - 401), HELD, {}, {}, "remove"),
        (ANSWERED, replace(HELD, bound_until_ms=NOW), {}, {}, "remove"),
        (replace(ANSWERED, acknowledged_ms=NOW - 451), replace(HELD, bound_until_ms=NOW + 700), {}, {}, "loosen"),
        (replace(ANSWERED, acknowledged_ms=NOW - 451), replace(HELD, bound_until_ms=NOW), {}, {}, "remove"),
        (ANSWERED, replace(HELD, bound=False), {}, {}, "bind"),
        (ANSWERED, replace(HELD, bound=False, probed=False), {}, {}, "probe"),
        (replace(ANSWERED, acknowledged_ms=NOW - 300), replace(HELD, bound=False), {}, {}, "nothing"),
        (ANSWERED, HELD, {"ready": False}, {}, "remove"),
        (ANSWERED, HELD, {"fresh": False}, {}, "nothing"),
        (ANSWERED, replace(HELD, bound_until_ms=NOW + 750), {"fresh": False}, {}, "nothing"),
        (ANSWERED, replace(HELD, bound_until_ms=NOW), {"fresh": False}, {}, "remove"),
        (ANSWERED, replace(HELD, bound=False), {"fresh": False}, {}, "delete"),
        (ANSWERED, HELD, {"paused": True}, {}, "loosen"),
        (ANSWERED, HELD, {}, {"enabled": False}, "loosen"),
        (replace(ANSWERED, leash=None, leashing=True), HELD, {}, {}, "loosen"),
        (replace(ANSWERED, leash=None, leashing=True), replace(HELD, taking=True), {}, {}, "nothing"),
        (LOOSE, HELD, {}, {}, "leash"),
        (LOOSE, replace(HELD, bound_until_ms=NOW + 3_000), {}, {}, "bind"),
        (LOOSE, replace(HELD, bound_until_ms=NOW + 3_000), {}, {"members": {"a": 1}}, "nothing"),
        (replace(LOOSE, steady_ms=NOW - 2_999), replace(HELD, bound_until_ms=NOW + 3_000), {}, {}, "nothing"),
        (replace(LOOSE, rest_until_ms=NOW + 1), replace(HELD, bound_until_ms=NOW + 3_000), {}, {}, "nothing"),
        (replace(LOOSE, acknowledged_ms=NOW - 300), replace(HELD, bound_until_ms=NOW + 3_000), {}, {}, "nothing"),
        (LOOSE, replace(HELD, bound_until_ms=NOW + 3_000), {"paused": True}, {}, "nothing"),
        (LOOSE, replace(HELD, bound_until_ms=NOW + 3_000), {}, {"enabled": False}, "nothing"),
    ],
)
def test_what_a_holder_does(early, address, change, around, expected):
    assert decided(early, address, change, around) == expected


def test_a_kernel_on_the_leash_gets_one_second_and_off_it_what_the_lease_leaves():
    short = e.decide(ANSWERED, replace(HELD, bound_until_ms=NOW + 700), facts(), AROUND)
    assert short.todo.lifetime_s == 1
    far = e.decide(replace(LOOSE, steady_ms=NOW), replace(HELD, bound_until_ms=NOW + 700), facts(), AROUND)
    assert far.todo.lifetime_s == 3


def test_a_call_that_came_late_is_taken_back():
    late = replace(HELD, bound_until_ms=NOW + 1_000)
    assert decided(replace(ANSWERED, acknowledged_ms=NOW - values.FRESH_MS), late) == "nothing"
    assert decided(replace(ANSWERED, acknowledged_ms=NOW - values.FRESH_MS - 1), late) == "remove"


def test_everybodys_promises_keep_the_address_without_an_answer():
    kept = replace(HELD, kept_until_ms=NOW + 4_000, bound_until_ms=NOW + 700)
    assert decided(replace(ANSWERED, acknowledged_ms=NOW - 900), kept) == "bind"
    assert decided(replace(ANSWERED, acknowledged_ms=NOW - 900), kept, {"fresh": False}) == "nothing"


def test_answers_count_from_their_sending_and_only_from_those_named():
    assert e.on_ack(ANSWERED, HELD, "b", NOW - 20).acknowledged_ms == NOW - 20
    assert e.on_ack(ANSWERED, HELD, "b", NOW - 80).acknowledged_ms == NOW - 50
    assert e.on_ack(replace(ANSWERED, counted=("a", "c")), HELD, "b", NOW - 20) == replace(ANSWERED, counted=("a", "c"))
    assert e.on_ack(LOOSE, HELD, "stranger", NOW - 20) == LOOSE
    gap = e.on_ack(replace(ANSWERED, acknowledged_ms=NOW - 900), HELD, "b", NOW - 20)
    assert gap.steady_ms == NOW - 20


def test_a_leash_is_settled_only_by_an_answer():
    sent = e.on_leash_sent(LOOSE, ("a", "b"))
    assert sent.leashing
    assert sent.counted == ("a", "b")
    assert e.short(sent, HELD)
    assert not e.on_leash_refused(sent).leashing
    off = replace(LEASH, on=False, revision=30)
    assert not e.short(e.on_leash_written(sent, off, NOW), HELD)


# Members --------------------------------------------------------------------------------------------------------------


def hears(early, address, *, change=None, around=None, key=20, number=22, holder="a"):
    seen = replace(AROUND, **(around or {}))
    return bids.on_heartbeat(
        early, address, facts("b", **(change or {})), seen, holder=holder, key=key, number=number
    )  # fmt: skip


def test_a_heartbeat_is_answered_by_whoever_knows_the_holder_and_gave_no_word():
    after, answered = hears(SILENT, SEEN)
    assert answered
    assert after.heard_ms == after.answered_ms == NOW


@pytest.mark.parametrize(
    ("early", "address", "about"),
    [
        (SILENT, SEEN, {"change": {"session": JOINING}}),
        (SILENT, SEEN, {"key": 19}),
        (SILENT, SEEN, {"around": {"seen": 2}}),
        (replace(SILENT, given=22), SEEN, {}),
        (replace(SILENT, given=22), SEEN, {"number": 20}),
    ],
)
def test_a_heartbeat_heard_but_not_answered(early, address, about):
    after, answered = hears(early, address, **about)
    assert not answered
    assert (after.heard_ms, after.answered_ms) == (NOW, early.answered_ms)


def test_a_word_binds_for_this_leash_only():
    assert hears(replace(SILENT, given=22), SEEN, number=23)[1]


def test_who_is_not_the_holder_is_not_heard():
    assert hears(SILENT, SEEN, holder="c") == (SILENT, False)
    assert hears(SILENT, replace(SEEN, key=None)) == (SILENT, False)


def asked(early, *, me="b", change=None, around=None, revision=22, address=SEEN):
    seen = replace(AROUND, **(around or {}))
    return bids.on_asked(
        early, address, facts(me, **(change or {})), seen, candidate="c", revision=revision
    )  # fmt: skip


def test_who_hears_nothing_gives_its_word_and_says_since_when():
    after, ago_ms = asked(SILENT)
    assert ago_ms == 700
    assert after.given == 22


@pytest.mark.parametrize(
    ("early", "about"),
    [
        (replace(SILENT, heard_ms=NOW - values.DEAF_MS + 1), {}),
        (replace(SILENT, leash=None), {}),
        (replace(SILENT, leash=replace(LEASH, on=False)), {}),
        (replace(SILENT, leash=replace(LEASH, revision=19)), {"revision": 19}),
        (replace(SILENT, leash=replace(LEASH, lease=6)), {}),
        (SILENT, {"revision": 21}),
        (SILENT, {"me": "a"}),
        (SILENT, {"change": {"session": JOINING}}),
        (SILENT, {"change": {"paused": True}}),
        (SILENT, {"around": {"seen": 2}}),
        (SILENT, {"around": {"enabled": False}}),
        (SILENT, {"address": replace(SEEN, key=replace(KEY, holder="d"))}),
    ],
)
def test_no_word(early, about):
    assert asked(early, **about) == (early, None)


def test_a_new_holder_gets_time_to_be_heard():
    assert bids.on_holder(WORDS, "d", "c", NOW).heard_ms == NOW
    assert bids.on_holder(WORDS, "d", "c", NOW).bid is None
    assert bids.on_holder(WORDS, "c", "c", NOW) == WORDS


def test_older_news_of_the_leash_is_ignored():
    assert bids.on_leash_key(ANSWERED, None, 21, NOW) == ANSWERED
    assert bids.on_leash_key(ANSWERED, None, 23, NOW).leash is None


# Candidates -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("early", "address", "change", "around", "expected"),
    [
        (SILENT, SEEN, {}, {}, "ask"),
        (WORDS, SEEN, {}, {}, "seize"),
        (replace(WORDS, bid=replace(WORDS.bid, words={})), SEEN, {}, {}, "nothing"),
        (replace(WORDS, bid=replace(WORDS.bid, words={}, sent_ms=NOW - 100)), SEEN, {}, {}, "ask"),
        (WORDS, SEEN, {}, {"members": {"a": 1, "b": 9, "c": 3}}, "nothing"),
        (WORDS, SEEN, {}, {"members": {"a": 1, "c": 3}}, "nothing"),
        (replace(WORDS, heard_ms=NOW - 599), SEEN, {}, {}, "nothing"),
        (WORDS, SEEN, {"rank": 2}, {}, "nothing"),
        (replace(WORDS, leash=replace(LEASH, revision=25)), SEEN, {}, {}, "ask"),
        (replace(WORDS, leash=replace(LEASH, on=False)), SEEN, {}, {}, "nothing"),
        (replace(WORDS, leash=replace(LEASH, nodes=("a", "b"))), SEEN, {}, {}, "nothing"),
        (WORDS, SEEN, {"paused": True}, {}, "nothing"),
        (WORDS, SEEN, {"ready": False}, {}, "nothing"),
        (WORDS, SEEN, {"eligible": False}, {}, "nothing"),
        (WORDS, SEEN, {"session": JOINING}, {}, "nothing"),
        (WORDS, SEEN, {"started_ms": NOW - 4_999}, {}, "nothing"),
        (WORDS, SEEN, {"session": structs.replace(LIVE, began_ms=NOW - 4_999)}, {}, "nothing"),
        (WORDS, SEEN, {}, {"seen": 2}, "nothing"),
        (WORDS, SEEN, {}, {"enabled": False}, "nothing"),
        (WORDS, replace(SEEN, taking=True), {}, {}, "nothing"),
        (WORDS, replace(SEEN, promised_until_ms=NOW + 1), {}, {}, "nothing"),
        (WORDS, replace(SEEN, nodes=("a", "b")), {}, {}, "nothing"),
    ],
)
def test_what_a_candidate_does(early, address, change, around, expected):
    assert decided(early, address, change, around, me="c") == expected


def test_asking_gives_ones_own_word_first():
    sent = bids.on_ask_sent(SILENT, facts("c"), AROUND)
    assert sent.given == 22
    assert dict(sent.bid.asked) == {"b": 2}
    word = bids.on_word(sent, "b", inc=2, revision=22, ago_ms=650, now_ms=NOW)
    assert dict(word.bid.words) == {"b": NOW - 650}
    for wrong in ({"inc": 9}, {"revision": 21}, {"node": "d"}):
        about = {"node": "b", "inc": 2, "revision": 22, "ago_ms": 650, "now_ms": NOW} | wrong
        assert bids.on_word(sent, about.pop("node"), **about) == sent


def test_the_takeover_compares_key_leash_and_every_session():
    three = replace(WORDS, bid=replace(WORDS.bid, leash=replace(LEASH, nodes=(*NODES, "d"))))
    guards, writes = values.to_seize(KEYS, "x", three, KEY, me="c", lease=9)
    assert [(each.key.rpartition("/")[0].rpartition("/")[2], each.equals) for each in guards[:2]] == [
        ("vip", 20),
        ("vip-leash", 22),
    ]
    assert guards[2:] == (created_at(KEYS.member(Role.COORDINATOR, "b"), 2), absent(KEYS.member(Role.COORDINATOR, "d")))
    assert {put.lease for put in writes} == {9}
    leash = leash_of(Item(key="k", value=writes[1].value, create_revision=1, mod_revision=50, lease=9))
    assert leash == Leash(holder="c", on=False, nodes=(), lease=9, revision=50)
    with pytest.raises(ValueError, match="nobody was asked"):
        values.to_seize(KEYS, "x", SILENT, KEY, me="c", lease=9)


def test_a_leash_is_put_on_only_after_the_one_known_and_loosened_whatever_it_is():
    on, _ = values.to_leash(KEYS, "x", ANSWERED, KEY, nodes=NODES, on=True)
    assert [each.equals for each in on] == [20, 22]
    first, _ = values.to_leash(KEYS, "x", LOOSE, KEY, nodes=NODES, on=True)
    assert first[1] == absent(values.leash_key(KEYS, "x"))
    off, writes = values.to_leash(KEYS, "x", ANSWERED, KEY, nodes=NODES, on=False)
    assert [each.equals for each in off] == [20]
    assert writes[0].lease == KEY.lease


@pytest.mark.parametrize("value", [b"", b"{}", b'"a"', b'{"holder":"a","on":1,"nodes":[]}', b"\xff"])
def test_a_leash_that_cannot_be_read_is_none(value):
    assert leash_of(Item(key="k", value=value, create_revision=1, mod_revision=2)) is None
    assert leash_of(None) is None


def taken(**change):
    sent = bids.on_seize_sent(WORDS, AROUND)
    key = Key(holder="c", lease=7, revision=30)
    return bids.on_seized(replace(sent, **change), SEEN, key, NOW + 20)


def test_nothing_is_bound_before_the_last_answer_is_long_enough_ago():
    early, address = taken()
    assert early.not_before_ms == NOW - 650 + values.settled_ms(values.LATE_V4_MS)
    assert decided(early, address, {"now_ms": early.not_before_ms - 1}, me="c") == "nothing"
    assert decided(early, address, {"now_ms": early.not_before_ms}, me="c") == "bind"
    assert decided(early, address, {"now_ms": early.not_before_ms}, {"seen": 29}, me="c") == "nothing"
    assert decided(early, address, {"now_ms": NOW + 100, "ready": False}, me="c") == "nothing"
    assert decided(bids.on_bound(early), address, {"now_ms": NOW + 100, "ready": False}, me="c") == "delete"


def test_the_end_of_a_session_not_asked_counts_too():
    early, address = taken(bid=replace(WORDS.bid, leash=replace(LEASH, nodes=(*NODES, "d"))))
    gone = {"gone_ms": {"d": NOW}}
    assert decided(early, address, {"now_ms": early.not_before_ms}, gone, me="c") == "nothing"
    assert decided(early, address, {"now_ms": NOW + values.settled_ms(values.LATE_V4_MS)}, gone, me="c") == "bind"


def test_no_leash_for_a_minute_after_an_early_takeover():
    early, address = taken()
    assert early.rest_until_ms == NOW + 20 + values.REST_MS
    assert address.probed
    assert Todo.PROBE.value not in decided(early, address, {"now_ms": early.not_before_ms}, me="c")


def test_a_fresh_process_counts_as_having_answered_just_now():
    assert values.begin(NOW).answered_ms == NOW
