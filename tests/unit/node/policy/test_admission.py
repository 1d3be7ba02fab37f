"""Who may send what to whom, decided before any data moves."""

from ipaddress import ip_network

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from node.policy.admission import Denial, MailFrom, check_mail, check_recipient, size_denial
from node.policy.clients import ClientIndex, ClientRule, To
from node.policy.envelope import Direction, Priority
from node.policy.patterns import PatternSet
from node.policy.rewrite import Rewriter, SenderRewrite
from node.policy.rulebook import IntakeRules, TenantDomains

CALM = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
APPS = ClientRule(name="apps", networks=(ip_network("10.0.0.0/8"),), senders=PatternSet(("*@contoso.com",)))
RULES = IntakeRules(
    clients=ClientIndex([APPS]),
    rewriter=Rewriter(
        [SenderRewrite(senders=PatternSet(("*@*.corp.local",)), to="noreply@contoso.com")],
        {"root": "team@contoso.com", "away": "x@example.com"},
        "contoso.com",
    ),
    domains=TenantDomains(
        {"contoso.com": "contoso", "*.sub.example": "contoso", "fabrikam.com": "fabrikam"}, "contoso"
    ),
    hostname="relay-a.corp",
    size_bytes=10_000,
)


def but(**changes):
    return msgspec.structs.replace(APPS, **changes)


def mail(argument, client=APPS, **options):
    return check_mail(RULES, client, argument, **options)


def sent(argument="<app@contoso.com>", client=APPS):
    result = mail(argument, client)
    assert isinstance(result, MailFrom), result
    return result


def rcpt(argument, client=APPS, accepted=0, agreed=None, **options):
    return check_recipient(RULES, client, agreed or sent(), argument, accepted, **options)


def reply(result):
    assert isinstance(result, Denial), result
    return f"{result.code} {result.enhanced} {result.reason}"


def test_mail_agreed():
    result = sent(
        "<App@Contoso.com> SIZE=9999 BODY=8bitmime RET=hdrs ENVID=a+2Bb AUTH=<> SMTPUTF8".replace("<> ", "+3C+3E ")
    )
    assert result.address == result.original == "App@contoso.com"
    assert (result.declared_bytes, result.eight_bit, result.ret, result.envid) == (9999, True, "HDRS", "a+b")
    assert result.smtputf8
    assert result.tenant == "contoso"


def test_rewriting_comes_before_the_sender_policy():
    result = sent("<root@db1.corp.local>")
    assert (result.address, result.original) == ("noreply@contoso.com", "root@db1.corp.local")
    assert sent("<app>").address == "app@contoso.com"


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ("<ceo@evil.com>", "550 5.7.1 sender_not_allowed"),
        ("<a b@contoso.com>", "553 5.1.7 bad_address"),
        ("app@contoso.com", "501 5.5.4 parameter"),
        ("<app@contoso.com> SIZE=10001", "552 5.3.4 too_large"),
        ("<app@contoso.com> SIZE=x", "501 5.5.4 parameter"),
        ("<app@contoso.com> SIZE=" + "9" * 21, "501 5.5.4 parameter"),
        ("<app@contoso.com> SIZE=١", "501 5.5.4 parameter"),
        ("<app@contoso.com> BODY=BINARYMIME", "501 5.5.4 parameter"),
        ("<app@contoso.com> MT-PRIORITY=10", "501 5.5.4 parameter"),
        ("<app@contoso.com> MT-PRIORITY=-", "501 5.5.4 parameter"),
        ("<app@contoso.com> SMTPUTF8=1", "501 5.5.4 parameter"),
        ("<app@contoso.com> RET=ALL", "501 5.5.4 parameter"),
        ("<app@contoso.com> ENVID=a+0D+0A", "501 5.5.4 parameter"),
        ("<app@contoso.com> SOLICIT=x", "555 5.5.4 parameter"),
        ("<jörg@contoso.com>", "553 5.6.7 needs_smtputf8"),
        ("<a@contoso.com\r\nRCPT TO:<x@y.z>>", "501 5.5.4 parameter"),
    ],
)
def test_mail_refused(argument, expected):
    assert reply(mail(argument)) == expected


def test_nobody_without_a_rule_passes():
    result = mail("<app@contoso.com>", None, peer="192.0.2.9")
    assert reply(result) == "550 5.7.1 no_rule"
    assert "192.0.2.9" in result.text
    assert reply(mail("<app@contoso.com>", None, auth_possible=True)) == "530 5.7.0 auth_required"


def test_a_refusal_names_the_rule_only():
    text = str(mail("<ceo@evil.com>"))
    assert "'apps'" in text
    assert "evil" not in text
    assert "contoso" not in text


def test_null_sender():
    assert sent("<>").address == ""
    assert sent("<>").tenant == "contoso", "the fallback, until From is known"
    assert reply(mail("<>", but(null_sender=False))) == "550 5.7.1 sender_not_allowed"


def test_utf8_sender():
    assert sent("<jörg@contoso.com> SMTPUTF8").address == "jörg@contoso.com"


@pytest.mark.parametrize(
    ("plan", "asked", "expected"),
    [
        (Priority.NORMAL, "", Priority.NORMAL),
        (Priority.NORMAL, "-1", Priority.BULK),
        (Priority.NORMAL, "0", Priority.NORMAL),
        (Priority.NORMAL, "9", Priority.NORMAL),
        (Priority.URGENT, "4", Priority.URGENT),
        (Priority.URGENT, "3", Priority.NORMAL),
        (Priority.BULK, "9", Priority.BULK),
    ],
)
def test_priority_is_capped_by_the_plan(plan, asked, expected):
    argument = "<app@contoso.com>" + (f" MT-PRIORITY={asked}" if asked else "")
    assert sent(argument, but(priority=plan)).priority is expected


def test_size_is_the_smaller_limit():
    assert size_denial(RULES, APPS, 10_000) is None
    assert reply(size_denial(RULES, but(size_bytes=500), 501)) == "552 5.3.4 too_large"


def test_recipient_agreed():
    result = rcpt("<Someone@Example.COM> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;x+2By@z.w")
    assert (result.address, result.original, result.direction) == ("Someone@example.com", "", Direction.EXTERNAL)
    assert (result.notify, result.orcpt) == (5, "rfc822;x+2By@z.w")
    assert rcpt("<ann@contoso.com>").direction is Direction.INTERNAL
    assert rcpt("<ann@a.sub.example>").direction is Direction.INTERNAL
    assert rcpt("<ann@sub.example>").direction is Direction.EXTERNAL
    assert rcpt("<ann@fabrikam.com>").direction is Direction.EXTERNAL, "another tenant is not ours"


def test_aliases_and_default_domain():
    result = rcpt("<root>")
    assert (result.address, result.original) == ("team@contoso.com", "root")
    assert rcpt("<ann>").address == "ann@contoso.com"
    bare = msgspec.structs.replace(RULES, rewriter=Rewriter())
    assert reply(check_recipient(bare, APPS, sent(), "<ann>", 0)) == "550 5.1.3 recipient_no_domain"


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ("<>", "553 5.1.3 bad_address"),
        ("<a@b c>", "553 5.1.3 bad_address"),
        ("<a@b.c> NOTIFY=NEVER,DELAY", "501 5.5.4 parameter"),
        ("<a@b.c> ORCPT=x", "501 5.5.4 parameter"),
        ("<a@b.c> SIZE=1", "555 5.5.4 parameter"),
        ("<jörg@b.c>", "553 5.6.7 needs_smtputf8"),
    ],
)
def test_recipient_refused(argument, expected):
    assert reply(rcpt(argument)) == expected


def test_deny_beats_allow_beats_to():
    client = but(
        to=To.INTERNAL, allow=PatternSet(("*@example.com",)), deny=PatternSet(("ceo@example.com", "ceo@contoso.com"))
    )
    assert rcpt("<ann@contoso.com>", client).address == "ann@contoso.com"
    assert rcpt("<ann@example.com>", client).address == "ann@example.com"
    assert reply(rcpt("<ann@example.org>", client)) == "550 5.7.1 recipient_external"
    assert reply(rcpt("<CEO@example.com>", client)) == "550 5.7.1 recipient_denied"
    assert reply(rcpt("<ceo@contoso.com>", client)) == "550 5.7.1 recipient_denied"
    assert "'apps'" in rcpt("<ann@example.org>", client).text


def test_policy_judges_where_an_alias_leads():
    assert reply(rcpt("<away>", but(to=To.INTERNAL))) == "550 5.7.1 recipient_external"


def test_redirect():
    client = but(redirect="test@contoso.com", to=To.INTERNAL, deny=PatternSet(("ceo@*",)))
    result = rcpt("<customer@example.com>", client)
    assert (result.address, result.original) == ("test@contoso.com", "customer@example.com")
    assert result.direction is Direction.INTERNAL
    assert reply(rcpt("<ceo@example.com>", client)) == "550 5.7.1 recipient_denied"


def test_too_many_recipients_is_temporary():
    client = but(max_recipients=2)
    assert rcpt("<a@b.c>", client, accepted=1).address == "a@b.c"
    assert reply(rcpt("<a@b.c>", client, accepted=2)) == "452 4.5.3 too_many_recipients"


def test_legacy_grammar():
    assert reply(mail(" <app@contoso.com>")) == "501 5.5.4 parameter"
    assert mail(" app@contoso.com", lenient=True).address == "app@contoso.com"
    assert rcpt(" <x@print_3.corp>", lenient=True).address == "x@print_3.corp"


@CALM
@given(st.text(max_size=60), st.booleans())
def test_no_argument_can_inject_or_crash(argument, lenient):
    for result in (mail(argument, lenient=lenient), rcpt(argument, lenient=lenient)):
        if isinstance(result, Denial):
            assert result.text.isprintable()
        else:
            shown = result.address + result.original
            assert not set(shown) & set("\r\n\x00<> ")
