"""Pairs of account and From: when another attempt waits for the one that finds out, and what ends the finding out."""

from hypothesis import given
from hypothesis import strategies as st

from node.delivery import trials
from node.delivery.trials import PATIENCE_MS, Trials
from node.policy.route import Way
from node.policy.verdict import Outcome, Scope, Verdict

WAY = Way(path="submission", tenant="contoso", account="contoso/relay1@contoso.com")
GRAPH = Way(path="graph", tenant="contoso", account="contoso/relay1@contoso.com")
CONNECTOR = Way(path="connector", tenant="contoso")
FROM = "app@contoso.com"
NOW = 1_000_000


def verdict(outcome, scope=Scope.RECIPIENT):
    return Verdict(scope=scope, outcome=outcome, reason="any", source="test")


WORKED = verdict(Outcome.DELIVERED)
DENIED = verdict(Outcome.SWITCH, Scope.ACCOUNT_FROM)


def tried():
    made = Trials()
    made.began(WAY, FROM.upper(), NOW)
    return made


def test_one_finds_out_and_the_next_waits_until_it_has_ended():
    assert not Trials().under_way(WAY, FROM, NOW)
    made = tried()
    assert made.under_way(WAY, FROM, NOW)
    assert made.under_way(GRAPH, FROM, NOW), "an account may send as somebody on all its paths or on none"
    assert not made.under_way(WAY, "else@contoso.com", NOW)
    made.ended(WAY, FROM)
    assert not made.under_way(WAY, FROM, NOW)


def test_one_that_hears_nothing_is_not_waited_for_for_ever():
    made = tried()
    assert made.under_way(WAY, FROM, NOW + PATIENCE_MS - 1)
    assert not made.under_way(WAY, FROM, NOW + PATIENCE_MS)
    made.began(GRAPH, FROM, NOW + PATIENCE_MS)
    assert made.under_way(WAY, FROM, NOW + PATIENCE_MS), "the next one is"
    made.ended(GRAPH, FROM)
    made.ended(WAY, FROM)
    assert not made.under_way(WAY, FROM, NOW + PATIENCE_MS)


def test_what_has_worked_is_no_trial_until_it_is_denied():
    made = tried()
    made.showed(WAY, FROM, verdict(Outcome.RETRY, Scope.ACCOUNT))
    assert made.under_way(WAY, FROM, NOW)
    made.showed(WAY, FROM, WORKED)
    assert not made.under_way(WAY, FROM, NOW)
    made.showed(WAY, FROM, verdict(Outcome.BOUNCE))
    assert not made.under_way(WAY, FROM, NOW), "a recipient who is unknown says nothing of the sender"
    made.showed(WAY, FROM, DENIED)
    assert made.under_way(WAY, FROM, NOW)


def test_a_path_without_accounts_finds_nothing_out():
    made = Trials()
    made.began(CONNECTOR, FROM, NOW)
    assert not made.under_way(CONNECTOR, FROM, NOW)
    made.ended(CONNECTOR, FROM)


def test_what_worked_first_is_forgotten_first(monkeypatch):
    monkeypatch.setattr(trials, "MAX_WORKED", 3)
    made = Trials()
    for number in range(4):
        sender = f"app{number}@contoso.com"
        made.showed(WAY, sender, WORKED)
        made.began(WAY, sender, NOW)
    found = [made.under_way(WAY, f"app{number}@contoso.com", NOW) for number in range(4)]
    assert found == [True, False, False, False]


@given(st.lists(st.tuples(st.sampled_from([WAY, GRAPH, CONNECTOR]), st.sampled_from(["a@x.org", "b@x.org"]))))
def test_nothing_is_left_when_all_attempts_have_ended(attempts):
    made = Trials()
    for way, sender in attempts:
        made.began(way, sender, NOW)
    for way, sender in attempts:
        assert way is CONNECTOR or made.under_way(way, sender, NOW)
        made.ended(way, sender)
    assert not made._under_way
