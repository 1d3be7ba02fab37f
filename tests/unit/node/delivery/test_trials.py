"""Pairs of account and From: how many attempts may find out, and what ends the finding out."""

from hypothesis import given
from hypothesis import strategies as st

from node.delivery import trials
from node.delivery.trials import AT_ONCE, Trials
from node.policy.route import Way
from node.policy.verdict import Outcome, Scope, Verdict

WAY = Way(path="submission", tenant="contoso", account="contoso/relay1@contoso.com")
GRAPH = Way(path="graph", tenant="contoso", account="contoso/relay1@contoso.com")
CONNECTOR = Way(path="connector", tenant="contoso")
FROM = "app@contoso.com"


def verdict(outcome, scope=Scope.RECIPIENT):
    return Verdict(scope=scope, outcome=outcome, reason="any", source="test")


WORKED = verdict(Outcome.DELIVERED)
DENIED = verdict(Outcome.SWITCH, Scope.ACCOUNT_FROM)


def tried():
    made = Trials()
    for _ in range(AT_ONCE):
        made.began(WAY, FROM.upper())
    return made


def test_one_finds_out_and_the_next_waits_until_it_has_ended():
    assert not Trials().enough(WAY, FROM)
    made = tried()
    assert made.enough(WAY, FROM)
    assert made.enough(GRAPH, FROM), "an account may send as somebody on all its paths or on none"
    assert not made.enough(WAY, "else@contoso.com")
    made.ended(WAY, FROM)
    assert not made.enough(WAY, FROM)


def test_what_has_worked_is_no_trial_until_it_is_denied():
    made = tried()
    made.showed(WAY, FROM, verdict(Outcome.RETRY, Scope.ACCOUNT))
    assert made.enough(WAY, FROM)
    made.showed(WAY, FROM, WORKED)
    assert not made.enough(WAY, FROM)
    made.showed(WAY, FROM, verdict(Outcome.BOUNCE))
    assert not made.enough(WAY, FROM), "a recipient who is unknown says nothing of the sender"
    made.showed(WAY, FROM, DENIED)
    assert made.enough(WAY, FROM)


def test_a_path_without_accounts_finds_nothing_out():
    made = Trials()
    for _ in range(5):
        made.began(CONNECTOR, FROM)
    assert not made.enough(CONNECTOR, FROM)
    made.ended(CONNECTOR, FROM)


def test_what_worked_first_is_forgotten_first(monkeypatch):
    monkeypatch.setattr(trials, "MAX_WORKED", 3)
    made = Trials()
    for number in range(4):
        sender = f"app{number}@contoso.com"
        made.showed(WAY, sender, WORKED)
        for _ in range(AT_ONCE):
            made.began(WAY, sender)
    assert [made.enough(WAY, f"app{number}@contoso.com") for number in range(4)] == [True, False, False, False]


@given(st.lists(st.tuples(st.sampled_from([WAY, GRAPH, CONNECTOR]), st.sampled_from(["a@x.org", "b@x.org"]))))
def test_nothing_is_left_when_all_attempts_have_ended(attempts):
    made = Trials()
    for way, sender in attempts:
        made.began(way, sender)
    for way, sender in attempts:
        made.ended(way, sender)
    assert not any(made.enough(way, sender) for way, sender in attempts)
    assert not made._under_way
