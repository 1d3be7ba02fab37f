"""What was decided once is given again, but never for another client, other rules or another grammar."""

import msgspec
import pytest

from node.policy.admission import Denial, MailFrom, check_mail, check_recipient
from node.policy.clients import ClientIndex, ClientRule, To
from node.policy.envelope import Direction, Recipient
from node.policy.facts import Facts
from node.policy.finish import Finished, finish_headers
from node.policy.memory import ENTRIES, TEXT_LENGTH, Memory
from node.policy.patterns import PatternSet
from node.policy.rulebook import IntakeRules, TenantDomains


def client(name="app", senders="*@contoso.com", **more):
    return ClientRule(name=name, user=name, senders=PatternSet((senders,)), **more)


APP = client()


@pytest.fixture
def rules():
    return IntakeRules(
        clients=ClientIndex([APP]),
        domains=TenantDomains({"contoso.com": "one", "fabrikam.com": "two"}),
        hostname="relay.example",
    )


def test_mail_is_judged_once_and_parameters_each_time(rules):
    first = check_mail(rules, APP, "<a@contoso.com>")
    assert isinstance(first, MailFrom)
    assert check_mail(rules, APP, "<a@contoso.com>") is first
    again = check_mail(rules, APP, "<a@contoso.com> SIZE=7 RET=HDRS MT-PRIORITY=-1")
    assert again == msgspec.structs.replace(first, declared_bytes=7, ret="HDRS", priority=again.priority)
    assert again.priority.value == "bulk"
    for argument, code in (("SIZE=999999999999", 552), ("SIZE=x", 501), ("SIZE=1 SIZE=1", 501), ("FOO=1", 555)):
        refused = check_mail(rules, APP, f"<a@contoso.com> {argument}")
        assert isinstance(refused, Denial)
        assert refused.code == code
    assert check_mail(rules, APP, "<a@contoso.com>  ") == first
    assert isinstance(check_mail(rules, APP, "<a@contoso.com>SIZE=1"), Denial)


def test_a_path_first_seen_with_parameters_is_not_remembered_with_them(rules):
    with_size = check_mail(rules, APP, "<a@contoso.com> SIZE=7 SMTPUTF8")
    plain = check_mail(rules, APP, "<a@contoso.com>")
    assert (with_size.declared_bytes, with_size.smtputf8) == (7, True)
    assert (plain.declared_bytes, plain.smtputf8) == (0, False)


def test_smtputf8_of_one_mail_does_not_serve_the_next(rules):
    path = "<b\N{LATIN SMALL LETTER U WITH DIAERESIS}@contoso.com>"
    assert isinstance(check_mail(rules, APP, f"{path} SMTPUTF8"), MailFrom)
    assert isinstance(check_mail(rules, APP, path), Denial)


def test_another_rule_of_the_same_name_is_asked_anew(rules):
    assert isinstance(check_mail(rules, APP, "<a@contoso.com>"), MailFrom)
    narrow = client(senders="b@contoso.com")
    assert isinstance(check_mail(rules, narrow, "<a@contoso.com>"), Denial)


def test_changed_rules_begin_with_nothing_in_memory(rules):
    before = check_mail(rules, APP, "<a@contoso.com>")
    changed = msgspec.structs.replace(rules, domains=TenantDomains({"contoso.com": "other"}))
    assert (before.tenant, check_mail(changed, APP, "<a@contoso.com>").tenant) == ("one", "other")


def test_recipients_are_remembered_by_tenant_and_listener(rules):
    one = check_mail(rules, APP, "<a@contoso.com>")
    two = msgspec.structs.replace(one, tenant="two")
    first = check_recipient(rules, APP, one, "<x@contoso.com>", 0)
    assert isinstance(first, Recipient)
    assert check_recipient(rules, APP, one, "<x@contoso.com>", 1) is first
    assert first.direction is Direction.INTERNAL
    assert check_recipient(rules, APP, two, "<x@contoso.com>", 0).direction is Direction.EXTERNAL
    with_notify = check_recipient(rules, APP, one, "<x@contoso.com> NOTIFY=NEVER", 0)
    assert (with_notify.notify, first.notify) == (0, 8)
    assert check_recipient(rules, APP, one, "<x@contoso.com>", APP.max_recipients).code == 452
    inside = client(to=To.INTERNAL)
    assert isinstance(check_recipient(rules, inside, two, "<x@contoso.com>", 0), Denial)


def test_what_a_legacy_listener_takes_is_not_taken_elsewhere(rules):
    path = "<a.@contoso.com>"
    assert isinstance(check_mail(rules, APP, path, lenient=True), MailFrom)
    assert isinstance(check_mail(rules, APP, path), Denial)


def finish(rules, header_from, who=APP, *, lenient=False):
    mail = MailFrom(address="a@contoso.com", original="a@contoso.com", tenant="one")
    to = (Recipient(address="x@contoso.com", direction=Direction.INTERNAL),)
    facts = Facts(id="0" * 36, now_ms=0, rules=rules, client=who, mail=mail, recipients=to, lenient=lenient)
    return finish_headers(b"From: " + header_from + b"\r\nSubject: s\r\n\r\n", facts)


def test_a_lone_from_is_judged_once_for_each_client(rules):
    first, again = finish(rules, b"A <a@contoso.com>"), finish(rules, b"A <a@contoso.com>")
    assert isinstance(first, Finished)
    assert (first.header, first.header_from) == (again.header, again.header_from)
    assert isinstance(finish(rules, b"A <a@contoso.com>", client(senders="b@contoso.com")), Denial)
    legacy = finish(rules, b"a.@contoso.com", lenient=True)
    assert isinstance(legacy, Finished)
    assert isinstance(finish(rules, b"a.@contoso.com"), Denial)


def test_a_from_that_is_written_anew_stays_so(rules):
    for _ in range(2):
        assert b'From: "[Build] Server" <a@contoso.com>' in finish(rules, b"[Build] Server <a@contoso.com>").header


def test_the_memory_is_bounded():
    memory = Memory()
    memory.keep(APP, "x" * (TEXT_LENGTH + 1), 1)
    assert memory.recall(APP, "x" * (TEXT_LENGTH + 1)) is None
    for number in range(ENTRIES + 1):
        memory.keep(APP, str(number), number)
    assert memory.recall(APP, "0") is None
    assert memory.recall(APP, str(ENTRIES)) == ENTRIES
