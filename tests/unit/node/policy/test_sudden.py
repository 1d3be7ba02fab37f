"""When refusals of a domain's recipients mean its directory, and when the recipients."""

from hypothesis import given
from hypothesis import strategies as st

from node.policy.sudden import DOMAINS_MAX, EVERYBODY, LEAST, REASON, WITHIN_MS, Sudden
from node.policy.verdict import Outcome, Scope, Verdict

NOW = 1_800_000_000_000
REFUSED = Verdict(scope=Scope.RECIPIENT, outcome=Outcome.BOUNCE, reason=REASON)
TAKEN = Verdict(scope=Scope.RECIPIENT, outcome=Outcome.DELIVERED, reason="delivered")


def said(sudden: Sudden, number: int, verdict: Verdict = REFUSED, at_ms: int = NOW, way: str = "connector") -> Verdict:
    return sudden.judged(way, f"P{number}@Contoso.com", verdict, at_ms)


def test_the_tenth_different_one_is_held_and_says_why():
    sudden = Sudden()
    found = [said(sudden, number) for number in range(LEAST)]
    assert found[:-1] == [REFUSED] * (LEAST - 1)
    assert (found[-1].outcome, found[-1].reason, found[-1].alert) == (Outcome.HOLD, EVERYBODY, True)


def test_one_address_again_and_again_is_one_address():
    sudden = Sudden()
    assert [said(sudden, 1) for _ in range(3 * LEAST)] == [REFUSED] * 3 * LEAST


def test_one_that_is_taken_proves_the_directory_good():
    sudden = Sudden()
    for number in range(LEAST - 1):
        said(sudden, number)
    assert said(sudden, 99, TAKEN) is TAKEN
    assert said(sudden, LEAST) is REFUSED


def test_one_now_and_then_is_no_sudden_thing():
    sudden = Sudden()
    apart_ms = WITHIN_MS // (LEAST - 2)
    assert {said(sudden, number, at_ms=NOW + number * apart_ms).outcome for number in range(50)} == {Outcome.BOUNCE}


def test_paths_and_other_reasons_are_apart():
    sudden = Sudden()
    for number in range(LEAST - 1):
        said(sudden, number)
    assert said(sudden, 50, way="direct-send") is REFUSED
    other = Verdict(scope=Scope.RECIPIENT, outcome=Outcome.BOUNCE, reason="recipient_unknown")
    assert said(sudden, 51, other) is other


@given(st.lists(st.tuples(st.integers(0, 2 * DOMAINS_MAX), st.integers(0, 3), st.booleans()), max_size=200))
def test_what_is_remembered_is_bounded(steps):
    sudden = Sudden()
    for domain, person, taken in steps:
        sudden.judged("connector", f"p{person}@d{domain}.example", TAKEN if taken else REFUSED, NOW)
    assert len(sudden._refused) <= DOMAINS_MAX
    assert all(len(one) <= LEAST for one in sudden._refused.values())
