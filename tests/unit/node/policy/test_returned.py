"""Mail for the return path at the door: from whom, by itself, and as it is."""

import msgspec
import pytest

from node.policy.admission import Denial, check_mail, check_recipient
from node.policy.clients import ClientIndex
from node.policy.envelope import Recipient
from node.policy.facts import Facts
from node.policy.finish import Finished, finish_headers
from node.policy.returned import RETURNS, is_returned
from node.settings.model import Settings
from node.settings.rules import intake_rules

BASE = "relay-bounces@contoso.com"
KEYED = "relay-bounces+abc@contoso.com"
PLAIN = {
    "tenants": {"contoso": {"id": "t", "domains": ["contoso.com"]}},
    "clients": {"apps": {"networks": ["10.1.0.0/16"], "senders": ["*@contoso.com"]}},
    "bounces": {"return_path": BASE, "accept_from": ["192.0.2.0/24"]},
}


@pytest.fixture
def rules():
    return intake_rules(Settings.model_validate(PLAIN), "relay.contoso.com")


def at(rules, address: str):
    return rules.clients.match(address)


def rcpt(rules, client, address: str, accepted: int = 0):
    mail = check_mail(rules, client, "<>")
    assert not isinstance(mail, Denial)
    return check_recipient(rules, client, mail, f"<{address}>", accepted)


def test_the_networks_named_may_hand_in_reports_and_nothing_else(rules):
    client = at(rules, "192.0.2.9")
    assert client.name == RETURNS
    for address in (BASE, KEYED, KEYED.upper()):
        assert isinstance(rcpt(rules, client, address), Recipient)
    for address in ("bob@contoso.com", "bob@example.com", "relay-bounces+abc@example.com"):
        denial = rcpt(rules, client, address)
        assert (denial.code, denial.reason) == (550, "return_path_only")


def test_strangers_may_hand_in_nothing(rules):
    assert at(rules, "198.51.100.1") is None


def test_a_client_may_hand_in_reports_too_but_the_bare_address_is_a_mailbox_to_it(rules):
    client = at(rules, "10.1.2.3")
    taken = rcpt(rules, client, KEYED)
    assert is_returned(rules.returns, client.name, (taken,))
    bare = rcpt(rules, client, BASE)
    assert isinstance(bare, Recipient)
    assert not is_returned(rules.returns, client.name, (bare,))


def test_no_report_is_remembered_for_the_next_one(rules):
    client = at(rules, "10.1.2.3")
    assert rcpt(rules, client, "relay-bounces+one@contoso.com").address == "relay-bounces+one@contoso.com"
    assert rcpt(rules, client, "relay-bounces+two@contoso.com").address == "relay-bounces+two@contoso.com"


def test_it_goes_by_itself(rules):
    assert rcpt(rules, at(rules, "10.1.2.3"), KEYED, 1).code == 452
    assert rcpt(rules, at(rules, "192.0.2.9"), KEYED, 1).code == 452


@pytest.mark.parametrize("header", [b"\r\n", b"no header at all\r\n\r\n", b"From: a\r\nFrom: b\r\n\xff\r\n\r\n"])
def test_its_header_is_taken_as_it_is(rules, header):
    client = at(rules, "192.0.2.9")
    facts = Facts(
        id="x", now_ms=1, rules=rules, client=client, mail=check_mail(rules, client, "<>"),
        recipients=(rcpt(rules, client, KEYED),),
    )  # fmt: skip
    done = finish_headers(header, facts)
    assert isinstance(done, Finished)
    assert (done.header, done.body_at, done.no_bounce) == (header, len(header), True)
    two = msgspec.structs.replace(facts, recipients=facts.recipients * 2)
    assert finish_headers(header, two).code == 554


def test_without_a_return_path_nothing_changes():
    plain = {name: part for name, part in PLAIN.items() if name != "bounces"}
    rules = intake_rules(Settings.model_validate(plain), "relay.contoso.com")
    assert at(rules, "192.0.2.9") is None
    assert rcpt(rules, at(rules, "10.1.2.3"), KEYED).notify == 8


def test_a_client_with_the_same_network_is_told_apart():
    both = {**PLAIN, "bounces": {"return_path": BASE, "accept_from": ["10.1.0.0/16"]}}
    from node.errors import ConfigurationError

    with pytest.raises(ConfigurationError, match="cannot be told apart"):
        intake_rules(Settings.model_validate(both), "relay.contoso.com")
    assert ClientIndex(()).match("10.1.0.1") is None
