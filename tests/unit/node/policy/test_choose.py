"""Wait or switch, one situation a test, and what holds in all of them."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from node.policy.choose import LOOK_AGAIN_MS, PATIENCE_MS, Choice, NoWay, Shortage, Take, Wait, choose
from node.policy.health import CLIENT_STOPPED, Availability
from node.policy.route import Candidate, Cause, Way

NOW = 1_000_000


def way(account, rank=0, path="submission"):
    return Way(path=path, tenant="t", account=account, rank=rank)


def ok(account, rank=0, path="submission"):
    return Candidate(way=way(account, rank, path), ok=True)


def no(account, cause, why="because"):
    return Candidate(way=way(account), ok=False, cause=cause, why_not=why)


A, B, HOST = ok("a"), ok("b"), ok("host", 1, "smarthost")
RESTS = Availability(ok=False, until_ms=NOW + 60_000, reason="login_refused")
PARKED = Availability(ok=False, until_ms=None, reason="credentials_incorrect")


def soon(ms):
    return Shortage(until_ms=NOW + ms)


def taken(decision):
    assert isinstance(decision, Take), decision
    return decision.way.account


def test_the_least_used_account_of_the_preferred_path():
    assert taken(choose([A, B, HOST], {}, {}, NOW, load={"a": 3, "b": 2})) == "b"
    assert taken(choose([A, B, HOST], {}, {}, NOW, load={"a": 1})) == "b"
    assert taken(choose([B, A, HOST], {}, {}, NOW)) == "a"


def test_a_resting_account_gives_way_to_the_other():
    assert taken(choose([A, B], {"submission:a": RESTS}, {}, NOW, load={"b": 99})) == "b"


def test_not_where_it_failed_last_while_another_is_ready():
    assert taken(choose([A, B], {}, {}, NOW, load={"b": 99}, last_way="submission:a")) == "b"
    assert taken(choose([A, HOST], {}, {}, NOW, last_way="submission:a")) == "host"
    assert taken(choose([A], {}, {}, NOW, last_way="submission:a")) == "a"
    assert taken(choose([A, B], {"submission:b": RESTS}, {}, NOW, last_way="submission:a")) == "a"


def test_a_short_wait_for_budget_keeps_mail_on_the_preferred_path():
    decision = choose([A, HOST], {}, {"a": soon(PATIENCE_MS)}, NOW)
    assert decision == Wait(until_ms=NOW + PATIENCE_MS, reason="no_permit")
    assert taken(choose([A, HOST], {}, {"a": soon(PATIENCE_MS + 1)}, NOW)) == "host"
    assert taken(choose([A, HOST], {}, {"a": soon(1)}, NOW, last_way="submission:a")) == "host"


def test_urgent_mail_waits_for_no_budget_while_a_way_inside_the_tenant_is_ready():
    """Found when a code that a dead path had turned away waited for Graph, with the connector ready all the time."""
    later = msgspec.structs.replace(HOST, way=msgspec.structs.replace(HOST.way, inside_tenant=True))
    outside = msgspec.structs.replace(HOST, way=msgspec.structs.replace(HOST.way, inside_tenant=False))
    short = {"a": soon(1)}
    assert taken(choose([A, later], {}, short, NOW, urgent=True)) == "host"
    assert isinstance(choose([A, outside], {}, short, NOW, urgent=True), Wait), "not out of the tenant for a moment"
    assert isinstance(choose([A, later], {}, short, NOW), Wait), "others stay on the path that is wanted"
    assert taken(choose([A, outside], {}, {"a": soon(PATIENCE_MS + 1)}, NOW, urgent=True)) == "host"
    assert taken(choose([A, later], {}, {}, NOW, urgent=True)) == "a", "the order is kept among what is ready"
    last = msgspec.structs.replace(later, way=msgspec.structs.replace(later.way, account="last", rank=2))
    assert taken(choose([A, outside, last], {}, short, NOW, urgent=True)) == "last", "the only one inside that is ready"


def test_a_rest_is_not_waited_for_while_a_later_path_works():
    brief = Availability(ok=False, until_ms=NOW + 10, reason="too_many_sessions")
    assert taken(choose([A, HOST], {"submission:a": brief}, {}, NOW)) == "host"


def test_nothing_ready_waits_for_the_first():
    decision = choose([A, B], {"submission:a": RESTS}, {"b": soon(20_000)}, NOW)
    assert decision == Wait(until_ms=NOW + 20_000, reason="no_permit")
    assert choose([A], {"submission:a": PARKED}, {}, NOW) == Wait(
        until_ms=NOW + LOOK_AGAIN_MS, reason="credentials_incorrect"
    )


def test_a_rest_that_is_over_but_still_closed_is_asked_about_later_not_in_a_loop():
    probing = Availability(ok=False, until_ms=NOW - 5, reason="x")
    decision = choose([A], {"submission:a": probing}, {}, NOW)
    assert decision.until_ms > NOW


def test_a_content_block_stops_instead_of_spreading():
    stopped = Availability(ok=False, until_ms=None, reason=CLIENT_STOPPED)
    decision = choose([A, B, HOST], {"submission:a": stopped}, {}, NOW)
    assert isinstance(decision, Wait)
    assert decision.reason == CLIENT_STOPPED


def test_no_way_names_the_cause_nearest_to_working():
    decision = choose([no("a", Cause.SENDER), no("b", Cause.SIZE, "too big")], {}, {}, NOW)
    assert (decision.reason, decision.bounce) == ("too_large", True)
    assert "submission:b: too big" in decision.why
    assert choose([no("a", Cause.SENDER)], {}, {}, NOW).bounce is False
    assert choose([], {}, {}, NOW) == NoWay(reason="path_not_set_up", why="the route names no path")


def test_the_explanation_names_every_way_and_the_decision():
    decision = choose(
        [A, B, HOST, no("d", Cause.SENDER, "may not send as x")],
        {"submission:b": RESTS},
        {},
        NOW,
        last_way="submission:a",
        explain=True,
    )
    assert decision.lines == (
        "ready submission:a, but failed there last time",
        "later submission:b: login_refused, in 60 s",
        "ready smarthost:host",
        "no    submission:d: may not send as x",
        "take smarthost:host",
    )
    assert choose([A], {}, {"a": soon(9000)}, NOW, explain=True).lines[-1] == "wait 9 s: no_permit"
    assert choose([no("a", Cause.SENDER)], {}, {}, NOW, explain=True).lines[-1].startswith("no way: ")


HEALTH = st.one_of(
    st.just(Availability()),
    st.builds(
        lambda until, reason: Availability(ok=False, until_ms=until, reason=reason),
        st.one_of(st.none(), st.integers(NOW - 10, NOW + 10**6)),
        st.sampled_from(["rests", CLIENT_STOPPED]),
    ),
)
NAMES = ["a", "b", "c", "d"]


@given(
    st.lists(st.tuples(st.sampled_from(NAMES), st.integers(0, 2), st.booleans()), max_size=6),
    st.dictionaries(st.sampled_from([f"submission:{name}" for name in NAMES]), HEALTH),
    st.dictionaries(st.sampled_from(NAMES), st.integers(-10, 10**6).map(soon)),
    st.dictionaries(st.sampled_from(NAMES), st.integers(0, 100)),
    st.sampled_from(["", "submission:a", "submission:b"]),
)
def test_in_every_situation(entries, health, budget, load, last_way):
    found = [ok(name, rank) if allowed else no(name, Cause.SENDER) for name, rank, allowed in entries]
    decision = choose(found, health, budget, NOW, load=load, last_way=last_way)
    if isinstance(decision, Take):
        item = health.get(decision.way.name, Availability())
        assert item.ok
        assert Candidate(way=decision.way, ok=True) in found
        assert budget.get(decision.way.account, soon(0)).until_ms <= NOW
        assert not any(
            state.reason == CLIENT_STOPPED
            for name, state in health.items()
            if name in {c.way.name for c in found if c.ok}
        )
    elif isinstance(decision, Wait):
        assert decision.until_ms > NOW
        assert decision.reason
    else:
        assert not any(item.ok for item in found)


@given(
    st.lists(st.tuples(st.sampled_from("abcd"), st.integers(0, 2), st.booleans()), max_size=8),
    st.dictionaries(st.sampled_from("abcd"), st.sampled_from([RESTS, PARKED])),
    st.lists(st.tuples(st.sampled_from("abcd"), st.integers(0, 2 * PATIENCE_MS)), max_size=6),
    st.dictionaries(st.sampled_from("abcd"), st.integers(0, 3)),
    st.sampled_from(["", *"abcd"]),
)
def test_a_choice_asked_again_decides_as_one_made_anew_would(ways, rests, shortages, load, last):
    found = [ok(account, rank) if allowed else no(account, Cause.KIND) for account, rank, allowed in ways]
    health = {f"submission:{account}": state for account, state in rests.items()}
    about = {"load": load, "last_way": last and f"submission:{last}"}
    choice, budget = Choice(found, health, {}, NOW, **about), {}
    for account, ms in shortages:
        if account not in budget:  # each account turns out to be short at most once
            choice.short(account, soon(ms))
            budget[account] = soon(ms)
        assert choice.decide() == choose(found, health, budget, NOW, **about)


CONNECTOR, DIRECT = ok("c", 0, "connector"), ok("d", 1, "direct-send")


def test_paths_that_would_say_the_same_are_left_out_while_there_is_another():
    signed_in = ok("a", 2)
    assert taken(choose([CONNECTOR, DIRECT, signed_in], {}, {}, NOW, avoid=("connector", "direct-send"))) == "a"
    later = choose([CONNECTOR, DIRECT, signed_in], {"submission:a": RESTS}, {}, NOW, avoid=("connector", "direct-send"))
    assert later == Wait(until_ms=RESTS.until_ms, reason="login_refused")
    assert taken(choose([CONNECTOR, DIRECT], {}, {}, NOW, avoid=("connector", "direct-send"))) == "c"


def test_a_way_in_doubt_is_taken_only_when_no_other_is_ready():
    assert taken(choose([CONNECTOR, HOST], {}, {}, NOW, doubtful=("connector:c",))) == "host"
    assert taken(choose([CONNECTOR, HOST], {}, {"host": soon(60_000)}, NOW, doubtful=("connector:c",))) == "c"
    short = {"c": soon(1_000)}
    assert isinstance(choose([CONNECTOR, HOST], {}, short, NOW), Wait)
    assert taken(choose([CONNECTOR, HOST], {}, short, NOW, doubtful=("connector:c",))) == "host"
