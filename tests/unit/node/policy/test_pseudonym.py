"""The same address gives the same keyed hash, another key another one, and nothing of the name is left in any text."""

import pytest

from node.policy.pseudonym import Pseudonyms

NAMES = Pseudonyms(b"a key of the cluster")


def test_one_address_one_hash_whatever_its_case():
    made = NAMES.address("Ann@X.example")
    assert made == NAMES.address("ann@x.example")
    assert made.endswith("@x.example")
    assert made != NAMES.address("bob@x.example")
    assert made.partition("@")[0] != NAMES.address("ann@y.example").partition("@")[0], "a name is no key across domains"


def test_another_key_another_hash():
    assert NAMES.address("ann@x.example") != Pseudonyms(b"another").address("ann@x.example")


def test_a_hash_and_nothing_stay():
    made = NAMES.address("ann@x.example")
    assert NAMES.address(made) == made
    assert NAMES.address("") == ""


@pytest.mark.parametrize(
    "text",
    [
        "550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient ann.planted@x.example not found.",
        "<ann.planted@x.example>",
        "to=ann.planted@x.example, again",
        "<o'ann.planted{1}@x.example>",
        '"ann.planted here"@x.example',
        "ann.planted@[192.0.2.1]",
        "ann.planted@localhost",
        "a" * 150 + "ann.planted@x.example",
        "rfc822;ann.planted@x.example",
    ],
)
def test_no_text_keeps_the_name(text):
    assert "planted" not in NAMES.text(text)


def test_in_text_it_is_the_same_hash():
    assert NAMES.text("Recipient <ann@x.example>.") == f"Recipient <{NAMES.address('ann@x.example')}>."
    assert NAMES.text("said of ann@x.example.") == f"said of {NAMES.address('ann@x.example')}."
    assert NAMES.text("nobody named") == "nobody named"
