"""Which rule a session falls under, against a slow and obvious twin."""

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from node.policy.clients import ClientConflictError, ClientIndex, ClientRule
from node.policy.patterns import PatternSet

CALM = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
SENDERS = PatternSet(("*@contoso.com",))


def rule(name, *networks, user="", certificate=""):
    nets = tuple(ip_network(network) for network in networks)
    return ClientRule(name=name, networks=nets, user=user, certificate=certificate, senders=SENDERS)


def name_of(found):
    return found.name if found else None


INDEX = ClientIndex(
    [
        rule("world4", "0.0.0.0/0"),
        rule("ten", "10.0.0.0/8"),
        rule("floor", "10.40.0.0/14", "10.50.0.0/16"),
        rule("host", "10.40.1.2/32"),
        rule("six", "2001:db8::/32"),
        rule("billing", user="Billing"),
        rule("billing-here", "10.9.0.0/16", user="billing"),
        rule("cert", certificate="app.corp"),
        rule("cert-billing", certificate="app.corp", user="billing"),
        rule("cert-floor", "10.40.0.0/14", certificate="app.corp"),
    ]
)


@pytest.mark.parametrize(
    ("ip", "user", "names", "auth_required", "expected"),
    [
        ("192.0.2.1", "", (), False, "world4"),
        ("10.1.1.1", "", (), False, "ten"),
        ("10.41.0.1", "", (), False, "floor"),
        ("10.50.3.1", "", (), False, "floor"),
        ("10.40.1.2", "", (), False, "host"),
        ("::ffff:10.40.1.2", "", (), False, "host"),
        ("2001:db8::7", "", (), False, "six"),
        ("fe80::1%eth0", "", (), False, None),
        ("10.1.1.1", "billing", (), False, "billing"),
        ("10.9.1.1", "BILLING", (), False, "billing-here"),
        ("10.1.1.1", "nobody", (), False, "ten"),
        ("10.1.1.1", "", ("app.corp",), False, "cert"),
        ("10.1.1.1", "", ("x", "APP.corp"), False, "cert"),
        ("10.40.1.2", "", ("app.corp",), False, "cert-floor"),
        ("10.40.1.2", "billing", ("app.corp",), False, "cert-billing"),
        ("10.1.1.1", "", (), True, None),
        ("10.1.1.1", "", ("app.corp",), True, "cert"),
        ("10.1.1.1", "billing", (), True, "billing"),
        ("10.1.1.1", "", ("stranger",), True, None),
    ],
)
def test_match(ip, user, names, auth_required, expected):
    assert name_of(INDEX.match(ip, user, names, auth_required=auth_required)) == expected
    lines = INDEX.explain(ip, user, names, auth_required=auth_required)
    assert len(lines) == len(INDEX.rules) + 1
    assert (repr(expected) if expected else "no client") in lines[-1]


def test_explain_says_why():
    text = "\n".join(INDEX.explain("10.41.0.1", auth_required=True))
    assert "host: 10.41.0.1 is in none of its networks" in text
    assert "floor: the listener demands AUTH" in text
    assert "billing: needs user 'Billing'" in text
    assert "floor: matches by network 10.40.0.0/14" in "\n".join(INDEX.explain("10.41.0.1"))


@pytest.mark.parametrize(
    "rules",
    [
        [rule("one", "10.0.0.0/8"), rule("two", "10.0.0.0/8")],
        [rule("one", user="x"), rule("two", user="X")],
        [rule("one", certificate="c"), rule("two", certificate="C")],
        [rule("one", "10.0.0.0/8", "10.1.0.0/16", user="x"), rule("two", "10.1.0.0/16", user="x")],
    ],
)
def test_equal_rules_are_refused_by_both_names(rules):
    with pytest.raises(ClientConflictError, match="'one' and 'two'"):
        ClientIndex(rules)


def test_a_rule_for_nobody_is_refused():
    with pytest.raises(ClientConflictError, match="'lost'"):
        ClientIndex([rule("lost")])


def test_one_rule_may_repeat_a_network():
    assert name_of(ClientIndex([rule("one", "10.0.0.0/8", "10.0.0.0/8")]).match("10.0.0.1")) == "one"


networks4 = st.tuples(st.integers(0, 255), st.sampled_from([0, 8, 12, 15, 16, 24, 31, 32])).map(
    lambda pair: ip_network((f"10.{pair[0] % 4}.{pair[0]}.{pair[0]}", pair[1]), strict=False)
)
networks6 = st.tuples(st.integers(0, 15), st.sampled_from([0, 32, 64, 126, 128])).map(
    lambda pair: ip_network((f"2001:db8::{pair[0]:x}", pair[1]), strict=False)
)
rules_drawn = st.builds(
    lambda nets, user, certificate: (tuple(nets), user, certificate),
    st.lists(st.one_of(networks4, networks6), max_size=3),
    st.sampled_from(["", "ann", "bob"]),
    st.sampled_from(["", "c1", "c2"]),
).filter(any)
addresses = st.one_of(
    st.integers(0, 255).map(lambda n: f"10.{n % 4}.{n}.{n}"), st.integers(0, 15).map(lambda n: f"2001:db8::{n:x}")
)


def slow_twin(rules, ip, user, names, auth_required):
    """Score every rule; the obvious reading of the order in words."""
    best, best_score = None, None
    for item in rules:
        inside = [net.prefixlen for net in item.networks if ip_address(ip) in net]
        if (item.certificate and item.certificate not in names) or (item.user and item.user != user):
            continue
        if item.networks and not inside:
            continue
        if auth_required and not user and not item.certificate:
            continue
        order = -names.index(item.certificate) if item.certificate else 0
        score = (bool(item.certificate), order, bool(item.user), max(inside, default=-1))
        if best_score is None or score > best_score:
            best, best_score = item, score
    return best


@CALM
@given(
    st.lists(rules_drawn, max_size=8),
    addresses,
    st.sampled_from(["", "ann", "bob", "eve"]),
    st.lists(st.sampled_from(["c1", "c2", "c3"]), max_size=2, unique=True),
    st.booleans(),
)
def test_match_equals_the_slow_twin(drawn, ip, user, names, auth_required):
    rules = [
        ClientRule(name=f"r{n}", networks=nets, user=user_, certificate=cert, senders=SENDERS)
        for n, (nets, user_, cert) in enumerate(drawn)
    ]
    try:
        index = ClientIndex(rules)
    except ClientConflictError:
        return
    assert index.match(ip, user, names, auth_required=auth_required) is slow_twin(rules, ip, user, names, auth_required)


def test_three_hundred_clients_are_not_scanned():
    rules = [rule(f"c{n}", f"10.{n // 250}.{n % 250}.0/24") for n in range(3000)]
    index = ClientIndex(rules)
    table = next(iter(index._tables.values()))
    assert len(table._tables[4]) == 1, "one look-up per prefix length in use"
    assert name_of(index.match("10.3.7.9")) == "c757"
