"""What leaves for support names no person and holds no secret."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.policy.redact import GONE, Redactor

REDACTOR = Redactor(b"k" * 32)
JWT = "eyJhbGciOiJSUzI1NiJ9.eyJhdWQiOiJodHRwczovL291dGxvb2sifQ.c2lnbmF0dXJl"
PEM = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkq\n-----END PRIVATE KEY-----"


@pytest.mark.parametrize(
    ("text", "gone"),
    [
        ("from <jane.doe@contoso.com> to", "jane.doe"),
        ("'jane+x@contoso.com';", "jane+x"),
        ("account/contoso/jane@contoso.com#graph", "jane"),
        ("Authorization: Bearer abcdefghijkl0123", "abcdefghijkl0123"),
        ("AUTH XOAUTH2 dXNlcj1qYW5lAWF1dGg9", "dXNlcj1qYW5lAWF1dGg9"),
        (f"token {JWT} end", JWT[20:40]),
        (f"key: |\n  {PEM}\nmore", "MIIEvQIBADANBgkq"),
        ("key: -----BEGIN PRIVATE KEY-----\nMIIEvQ", "MIIEvQ"),
        ("https://user:pa55word@proxy.corp:3128", "pa55word"),
        ('hash: "$argon2id$v=19$m=65536,t=3,p=4$c2FsdHNhbHQ$aGFzaGhhc2g"', "aGFzaGhhc2g"),
        (f"hash: sha256:{'ab' * 32}", "abab"),
    ],
)
def test_persons_and_secrets_are_gone_from_texts(text, gone):
    assert gone not in REDACTOR.text(text)


@pytest.mark.parametrize(
    "text",
    [
        "550 5.1.1 RESOLVER.ADR.RecipNotFound",
        "relay-a at 10.1.0.11:7711",
        "path/contoso/submission",
        "2026-11-30T00:00:00Z",
    ],
)
def test_what_helps_stays(text):
    assert REDACTOR.text(text) == text


def test_the_same_person_is_the_same_token_in_one_bundle_and_another_in_the_next():
    one, two = REDACTOR.text("a Jane@contoso.com b"), REDACTOR.text("a jane@contoso.com b")
    assert one == two
    assert one.endswith("@contoso.com b")
    assert Redactor(b"x" * 32).text("a jane@contoso.com b") != one
    assert REDACTOR.text("a john@contoso.com b") != one


def test_values_are_redacted_in_depth_and_by_the_name_they_stand_under():
    value = {"client_secret": "s3cret", "password": {"file": "/etc/x"}, "list": [{"to": "jane@contoso.com"}], "n": 3}
    found = REDACTOR.value(value)
    assert found["client_secret"] == GONE
    assert found["password"] == {"file": "/etc/x"}
    assert "jane" not in json.dumps(found)
    assert found["n"] == 3


@given(st.text(max_size=200), st.text(alphabet="abcdefgh", min_size=10, max_size=20))
def test_an_address_is_found_in_any_text(around, local):
    found = REDACTOR.text(f"{around} {local}@contoso.com {around}")
    assert local not in found or local in around


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_any_value_of_json_stays_one(value):
    json.dumps(REDACTOR.value(value))
