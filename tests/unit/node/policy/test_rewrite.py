"""Senders rewritten, recipients resolved."""

import pytest

from node.policy.addresses import AddressError
from node.policy.patterns import PatternSet
from node.policy.rewrite import Rewriter, SenderRewrite


def change(pattern, to, *, keep=True):
    return SenderRewrite(senders=PatternSet((pattern,)), to=to, keep_reply_to=keep)


TABLE = Rewriter(
    [
        change("*@*.corp.local", "NoReply@Contoso.com"),
        change("scanner", "scan@contoso.com"),
        change("*@old.de", "*@new.de"),
    ],
    {"root": "team@contoso.com", "ops@host.corp.local": "root", "Ann@contoso.com": "bob@contoso.com"},
    "Contoso.com",
)


@pytest.mark.parametrize(
    ("sender", "result", "changed"),
    [
        ("root@db1.corp.local", "NoReply@contoso.com", True),
        ("scanner", "scan@contoso.com", True),
        ("app", "app@contoso.com", False),
        ("app@contoso.com", "app@contoso.com", False),
        ("Ann@old.de", "Ann@new.de", True),
        ('"a@b"@old.de', '"a@b"@new.de', True),
    ],
)
def test_sender(sender, result, changed):
    address, rule = TABLE.sender(sender)
    assert address == result
    assert (rule is not None) is changed


def test_first_rule_wins_and_results_are_not_rewritten_again():
    table = Rewriter([change("a@x.y", "b@x.y"), change("b@x.y", "c@x.y"), change("a@x.y", "d@x.y")])
    assert table.sender("a@x.y")[0] == "b@x.y"


def test_rules_see_bare_names_completed():
    table = Rewriter([change("app@contoso.com", "svc@contoso.com")], default_domain="contoso.com")
    assert table.sender("app")[0] == "svc@contoso.com"


@pytest.mark.parametrize(
    ("recipient", "result"),
    [
        ("root", "team@contoso.com"),
        ("ROOT", "team@contoso.com"),
        ("root@contoso.com", "team@contoso.com"),
        ("root@elsewhere.example", "root@elsewhere.example"),
        ("ops@host.corp.local", "team@contoso.com"),
        ("ann@contoso.com", "bob@contoso.com"),
        ("ann", "bob@contoso.com"),
        ("someone", "someone@contoso.com"),
    ],
)
def test_recipient(recipient, result):
    assert TABLE.recipient(recipient) == result


def test_without_default_domain_bare_names_stay_bare():
    assert Rewriter().recipient("root") == "root"
    assert Rewriter().sender("root") == ("root", None)


def test_faults_are_found_when_the_table_is_made():
    for aliases in ({"a": "b", "b": "a"}, {"a": "a"}, {"a": "nowhere"}, {"a b": "x@y.z"}):
        with pytest.raises(AddressError, match="alias"):
            Rewriter(aliases=aliases)
    with pytest.raises(AddressError, match="rewrite to"):
        Rewriter([change("*@x.y", "not an address")])
