"""The keyed return path: made, read, folded by servers, and not to be forged."""

import uuid

import pytest
import uuid_utils
from hypothesis import given
from hypothesis import strategies as st

from node.policy.return_path import (
    BASE_CHARS_MAX,
    NO_ADDRESSES,
    PATHS,
    TOKEN_CHARS,
    ReturnAddresses,
    ReturnPath,
    Tokens,
    addresses_of,
)

ID = "0190a5b2-7c11-7abc-8def-0123456789ab"
KEY, OTHER = b"k" * 32, b"o" * 32
ADDRESSES = ReturnAddresses(by_tenant={"contoso": "relay-bounces@contoso.com"})


def path(*keys: bytes) -> ReturnPath:
    return ReturnPath(ADDRESSES, Tokens(keys or (KEY,)))


def test_a_sender_that_comes_back_names_its_message():
    sender = path().sender(ID, "app@contoso.com", "contoso", "connector")
    assert sender.startswith("relay-bounces+")
    assert sender.endswith("@contoso.com")
    assert len(sender.partition("@")[0]) <= 64
    assert path().read(sender) == ID
    assert path().read(sender.upper()) == ID, "servers fold case"


def test_only_where_the_envelope_sender_is_ours_to_choose():
    for kind in PATHS:
        assert path().sender(ID, "app@contoso.com", "contoso", kind) != "app@contoso.com"
    assert "direct-send" in PATHS, "it takes any sender of an accepted domain"
    for kind in ("submission", "graph", "hve"):
        assert path().sender(ID, "app@contoso.com", "contoso", kind) == "app@contoso.com"
    assert path().sender(ID, "", "contoso", "connector") == "", "the null sender stays null"
    assert path().sender(ID, "a@fabrikam.com", "fabrikam", "connector") == "a@fabrikam.com"


def test_an_older_key_still_reads_and_the_newest_makes():
    old = path(KEY).sender(ID, "app@contoso.com", "contoso", "acs")
    both = path(OTHER, KEY)
    assert both.read(old) == ID
    new = both.sender(ID, "app@contoso.com", "contoso", "acs")
    assert new != old
    assert path(KEY).read(new) == ""


@pytest.mark.parametrize(
    "address",
    [
        "relay-bounces@contoso.com", "relay-bounces+@contoso.com", "relay-bounces+x@contoso.com",
        "relay-bounces+" + "a" * TOKEN_CHARS + "@contoso.com", "relay-bounces+" + "é" * TOKEN_CHARS + "@contoso.com",
        "other+" + Tokens([KEY]).make(ID) + "@contoso.com", "relay-bounces+" + Tokens([KEY]).make(ID) + "@fabrikam.com",
        "", "@", "+@",
    ],
)  # fmt: skip
def test_forged_ones_are_none(address):
    assert path().read(address) == ""


@given(st.integers(0, TOKEN_CHARS - 1), st.sampled_from("abcdefghijklmnopqrstuvwxyz234567"))
def test_no_token_changed_in_one_place_is_read(at, char):
    token = Tokens([KEY]).make(ID)
    changed = token[:at] + char + token[at + 1 :]
    assert Tokens([KEY]).read(changed) == (ID if changed == token else "")


@given(st.uuids(version=4))
def test_every_id_goes_round(value: uuid.UUID):
    assert Tokens([KEY]).read(Tokens([KEY]).make(str(value))) == str(value)
    assert Tokens([OTHER]).read(Tokens([KEY]).make(str(value))) == ""


def test_ids_of_the_spool_go_round():
    message_id = str(uuid_utils.uuid7())
    assert Tokens([KEY]).read(Tokens([KEY]).make(message_id)) == message_id


def test_each_tenant_gets_the_address_at_a_domain_it_owns():
    found = addresses_of("Relay-Bounces@contoso.com", {"a": ["contoso.de", "contoso.com"], "b": ["fabrikam.com"]})
    assert found.by_tenant == {"a": "relay-bounces@contoso.com", "b": "relay-bounces@fabrikam.com"}
    assert addresses_of(None, {"a": ["contoso.com"]}) == NO_ADDRESSES
    assert addresses_of("r@x.example", {"a": ["*.contoso.com"]}) == NO_ADDRESSES


def test_the_longest_base_still_fits():
    base = "b" * BASE_CHARS_MAX + "@contoso.com"
    made = ReturnPath(ReturnAddresses(by_tenant={"t": base}), Tokens([KEY])).sender(ID, "a@b.example", "t", "acs")
    assert len(made.partition("@")[0]) == 64


def test_no_key_no_return_path():
    with pytest.raises(ValueError, match="key"):
        Tokens([])
