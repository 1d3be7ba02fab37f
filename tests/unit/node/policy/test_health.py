"""The book of what rests: scopes, half-open probes, connection breakers, correlation, content blocks, bounds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.policy import health
from node.policy.classify import Classifier
from node.policy.envelope import Direction
from node.policy.health import CLIENT_STOPPED, STRIKES_TO_BREAK, HealthBook, breaks_everywhere, correlated
from node.policy.reply import Reply, Stage, reply_from
from node.policy.route import Way
from node.policy.standing import State
from node.policy.verdict import Outcome, Scope, Verdict

NOW = 1_000_000
FROM = "app@contoso.com"
CLASSIFIER = Classifier()


def way(name="relay1", path="submission", tenant="contoso", **more):
    return Way(path=path, tenant=tenant, account=f"{tenant}/{name}@contoso.com", **more)


A, B, C = way("relay1"), way("relay2"), way("relay3")
HOST = Way(path="smarthost", tenant="contoso", account="contoso/smarthost", counts_external=False, inside_tenant=False)


def verdict(line, stage=Stage.DOT):
    code, _, text = line.partition(" ")
    return CLASSIFIER.classify("submission", stage, reply_from(int(code), text))


DELIVERED = CLASSIFIER.classify("submission", Stage.DOT, Reply(code=250))
LOGIN = verdict("535 5.7.3 Authentication unsuccessful", Stage.AUTH)
DENIED = verdict("554 5.2.252 SendAsDenied; a not allowed to send as b")
TENANT_LIMIT = verdict("550 5.7.233 tenant external recipient rate limit")
UNREGISTERED = verdict("550 5.7.750 unregistered domain")
SPAM = verdict("554 5.2.0 STOREDRV.Submission.Exception:OutboundSpamException")
LOST = CLASSIFIER.classify("submission", Stage.CONNECT, Reply(code=0, text="timeout"))
UNKNOWN = CLASSIFIER.classify("submission", Stage.DOT, Reply(code=0, text="closed"))
REFUSED = verdict("550 5.1.1 nobody", Stage.RCPT)


def test_an_account_rests_for_every_sender_and_no_other_account():
    book = HealthBook()
    book.note(A, FROM, LOGIN, NOW)
    found = book.available(A, "other@contoso.com", NOW)
    assert (found.ok, found.until_ms, found.reason) == (False, NOW + 900_000, "login_refused")
    assert found.scope == "account/contoso/relay1@contoso.com#submission"
    assert book.available(B, FROM, NOW).ok


def test_the_end_of_a_probe_is_soon_not_when_it_would_lapse():
    """Found by rounds of faults: mail slept for 15 min behind a path that was probed and well a second later."""
    book = HealthBook()
    book.note(A, FROM, LOGIN, NOW)
    book.note(B, FROM, DENIED, NOW)
    again = NOW + 900_000
    book.begin(A, FROM, again)
    book.begin(B, FROM, again)
    of_all, of_one = book.available(A, FROM, again), book.available(B, FROM, again)
    assert (of_all.ok, of_all.until_ms) == (False, again + health.PROBE_LOOK_MS)
    assert (of_one.ok, of_one.until_ms) == (False, again + health.PAIR_LOOK_MS)


def test_a_pair_rests_for_this_sender_only():
    book = HealthBook()
    book.note(A, "App@contoso.com", DENIED, NOW)
    assert not book.available(A, FROM, NOW).ok
    assert book.available(A, "other@contoso.com", NOW).ok
    assert book.available(B, FROM, NOW).ok


def test_the_tenant_limit_lets_internal_mail_and_uncounted_paths_go_on():
    book = HealthBook()
    book.note(A, FROM, TENANT_LIMIT, NOW)
    assert not book.available(B, FROM, NOW).ok
    assert book.available(B, FROM, NOW, direction=Direction.INTERNAL).ok
    assert book.available(HOST, FROM, NOW).ok


def test_a_sender_domain_rests_on_every_path():
    book = HealthBook()
    book.note(A, "x@new.example", UNREGISTERED, NOW)
    assert not book.available(HOST, "y@NEW.example", NOW).ok
    assert book.available(A, FROM, NOW).ok


def test_after_a_long_rest_one_probe_goes_first():
    book = HealthBook()
    book.note(A, FROM, LOGIN, NOW)
    later = NOW + 900_000
    assert book.available(A, FROM, later).probe
    book.begin(A, FROM, later)
    assert not book.available(A, FROM, later).ok
    book.note(A, FROM, DELIVERED, later + 1000)
    assert book.available(A, FROM, later + 1000) == health.AVAILABLE
    assert book.entries == {}


def test_a_failed_probe_rests_longer_an_unlucky_one_says_nothing():
    book = HealthBook()
    book.note(A, FROM, LOGIN, NOW)
    later = NOW + 900_000
    book.begin(A, FROM, later)
    book.note(A, FROM, LOST, later)
    assert book.entries["account/contoso/relay1@contoso.com#submission"].state is State.RESTING
    again = later + 30_000
    book.begin(A, FROM, again)
    book.note(A, FROM, LOGIN, again)
    assert book.available(A, FROM, again).until_ms == again + 3_600_000


def test_a_refused_recipient_does_not_prove_the_account_well():
    book = HealthBook()
    book.note(A, FROM, LOGIN, NOW)
    later = NOW + 900_000
    book.begin(A, FROM, later)
    book.note(A, FROM, REFUSED, later)
    assert not book.available(A, FROM, later).ok


def test_lost_connections_break_the_path_of_this_site_after_five():
    book = HealthBook("dc1")
    for _ in range(STRIKES_TO_BREAK - 1):
        assert book.note(A, FROM, LOST, NOW) == ()
    book.note(A, FROM, DELIVERED, NOW)
    for number in range(STRIKES_TO_BREAK):
        changes = book.note((A, B)[number % 2], FROM, LOST, NOW)
    assert [change.scope for change in changes] == ["site/contoso/submission@dc1"]
    assert changes[0].after.reason == "path_broken"
    assert changes[0].after.alert
    assert not book.available(C, FROM, NOW).ok
    assert book.available(HOST, FROM, NOW).ok
    assert HealthBook("dc2", book.entries).available(C, FROM, NOW).ok
    book.begin(C, FROM, NOW + 60_000)
    assert book.note(C, FROM, LOST, NOW + 60_000)[0].after.until_ms == NOW + 120_000
    book.begin(C, FROM, NOW + 120_000)
    book.note(C, FROM, REFUSED, NOW + 120_000)
    assert book.available(C, FROM, NOW + 120_000).ok


def test_who_is_refused_for_a_token_about_to_expire_is_not_told_that_his_line_is_broken():
    book = HealthBook("dc1")
    for _ in range(STRIKES_TO_BREAK):
        changes = book.note(A, FROM, verdict("501 5.5.127 Token will expire soon", Stage.AUTH), NOW)
    after = changes[0].after
    assert (changes[0].scope, after.reason) == ("site/contoso/submission@dc1", "token_expires_soon")
    assert (after.until_ms, after.alert) == (NOW + 60_000, True)


def test_unknown_outcomes_and_closed_pooled_connections_are_no_strikes():
    book = HealthBook()
    dropped = CLASSIFIER.classify("submission", Stage.MAIL, Reply(code=0, text="closed"))
    for _ in range(20):
        book.note(A, FROM, UNKNOWN, NOW)
        book.note(A, FROM, dropped, NOW)
    assert book.available(A, FROM, NOW).ok


def test_the_same_login_failure_on_two_accounts_is_the_apps():
    book = HealthBook()
    book.note(A, FROM, LOGIN, NOW)
    assert book.available(C, FROM, NOW).ok
    changes = book.note(B, FROM, LOGIN, NOW + 1000)
    rests = {"account/contoso/relay2@contoso.com#submission", "path/contoso/submission"}
    assert {change.scope for change in changes} == rests
    found = book.available(C, FROM, NOW + 1000)
    assert (found.scope, found.until_ms) == ("path/contoso/submission", NOW + 301_000)
    assert book.available(HOST, FROM, NOW + 1000).ok


def test_but_not_while_another_account_works():
    book = HealthBook()
    book.note(A, FROM, LOGIN, NOW)
    book.note(C, FROM, DELIVERED, NOW + 500)
    book.note(B, FROM, LOGIN, NOW + 1000)
    assert book.available(C, FROM, NOW + 1000).ok


@pytest.mark.parametrize(
    ("failed", "succeeded", "expected"),
    [
        ({}, {}, False),
        ({"a": 0}, {}, False),
        ({"a": 0, "b": 10}, {}, True),
        ({"a": 0, "b": 10}, {"c": 5}, False),
        ({"a": 5, "b": 10}, {"c": 4}, True),
        ({"a": 0, "b": 400_000}, {}, False),
    ],
)
def test_correlation(failed, succeeded, expected):
    assert correlated(failed, succeeded, 400_000 if 400_000 in failed.values() else 10) is expected


def test_a_path_is_down_for_all_when_every_site_that_tried_says_so():
    assert breaks_everywhere({"dc1": True, "dc2": True})
    assert not breaks_everywhere({"dc1": True, "dc2": False})
    assert not breaks_everywhere({})


def test_a_content_block_parks_the_account_and_stops_the_client_everywhere():
    book = HealthBook()
    book.note(A, FROM, SPAM, NOW, client="billing")
    found = book.available(B, FROM, NOW, client="billing")
    assert (found.ok, found.until_ms, found.reason) == (False, None, CLIENT_STOPPED)
    assert book.available(A, FROM, NOW, client="billing").reason == CLIENT_STOPPED
    assert book.available(B, FROM, NOW, client="other").ok
    assert not book.available(A, FROM, NOW, client="other").ok
    book.note(B, FROM, DELIVERED, NOW, client="billing")
    assert not book.available(B, FROM, NOW, client="billing").ok
    book.resume("client/billing", NOW)
    assert book.available(B, FROM, NOW, client="billing").ok


def test_operators_park_and_resume():
    book = HealthBook()
    change = book.park("account/contoso/relay1@contoso.com", NOW, reason="licence", by="alice")[0]
    assert (change.before.state, change.after.state, change.after.by) == (State.HEALTHY, State.PARKED, "alice")
    book.note(A, FROM, DELIVERED, NOW)
    assert not book.available(A, FROM, 10**15).ok
    assert book.resume("account/contoso/relay1@contoso.com", NOW)[0].after.state is State.HEALTHY
    assert book.resume("account/contoso/relay1@contoso.com", NOW) == ()


def test_the_book_is_kept_and_read_back():
    book = HealthBook("dc1")
    book.note(A, FROM, LOGIN, NOW)
    book.note(A, FROM, SPAM, NOW, client="billing")
    again = HealthBook.decode(book.encode(), "dc1")
    assert again.entries == book.entries
    with pytest.raises(ValueError, match="state"):
        HealthBook.decode(b'{"x": {"state": "dizzy"}}')


def test_the_book_is_bounded_and_forgets_what_ends_first(monkeypatch):
    monkeypatch.setattr(health, "MAX_ENTRIES", 3)
    book = HealthBook()
    book.park("account/kept", NOW, reason="r", by="op")
    for number in range(10):
        book.note(A, f"{number}@contoso.com", DENIED, NOW + number)
    assert len(book.entries) == 3
    assert "account/kept" in book.entries
    assert "pair/contoso/relay1@contoso.com|9@contoso.com" in book.entries
    full = HealthBook()
    for number in range(10):
        full.park(f"account/{number}", NOW, reason="r", by="op")
    assert len(full.entries) == 3


STEPS = st.tuples(
    st.sampled_from([A, B, HOST]),
    st.sampled_from([FROM, "x@new.example"]),
    st.sampled_from([DELIVERED, LOGIN, DENIED, TENANT_LIMIT, UNREGISTERED, LOST, UNKNOWN, REFUSED]),
    st.integers(0, 2_000_000),
)


@given(st.lists(STEPS, max_size=40))
def test_any_history_lets_everything_be_tried_again_in_the_end(steps):
    book, now = HealthBook(), NOW
    for used, sender, judged, passed in steps:
        now += passed
        if book.available(used, sender, now).ok:
            book.begin(used, sender, now)
            book.note(used, sender, judged, now)
    now += 5 * 86_400_000
    for used in (A, B, HOST):
        for sender in (FROM, "x@new.example"):
            assert book.available(used, sender, now).ok
            book.begin(used, sender, now)
            book.note(used, sender, DELIVERED, now)
            assert book.available(used, sender, now) == health.AVAILABLE


def test_paths_without_accounts_rest_as_paths():
    bare = Way(path="connector", tenant="contoso")
    book = HealthBook()
    blocked = Verdict(scope=Scope.ACCOUNT, outcome=Outcome.SWITCH, reason="x", schedule=(60.0,))
    assert book.note(bare, FROM, blocked, NOW)[0].scope == "path/contoso/connector"
