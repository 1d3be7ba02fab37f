"""Records under ``ownership/`` and ``spool/``: written and read, and what is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.keys import Keys
from coordinator.ownership.records import (
    FORM,
    Pairing,
    PairKey,
    SpoolRecord,
    UnreadableRecord,
    key_of,
    read_pairing,
    read_spool,
    write,
)

KEYS = Keys(cluster="corp", prefix="/m365-relay")
NAMES = st.text(min_size=1, max_size=40)


@given(NAMES, st.integers(1, 2**53), st.booleans(), NAMES)
def test_a_pairing_is_read_as_it_was_written(owner, epoch, void, copy):
    pairing = Pairing(owner=owner, epoch=epoch, void=void, copy=copy)
    assert read_pairing(write(pairing)) == pairing


@given(st.integers(0, 2**53), NAMES, st.integers(0, 2**53))
def test_a_spools_record_is_read_as_it_was_written(sequence, node, inc):
    record = SpoolRecord(sequence=sequence, node=node, inc=inc)
    assert read_spool(write(record)) == record


@given(st.binary(max_size=200))
def test_garbage_is_refused_and_nothing_else_is_raised(data):
    for read in (read_pairing, read_spool):
        with pytest.raises(UnreadableRecord):
            read(data)


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (b'{"form":2,"owner":"a","epoch":1,"copy":"s"}', "form 2 is a newer version's"),
        (b'{"form":0,"owner":"a","epoch":1,"copy":"s"}', "form 0"),
        (b'{"owner":"a","epoch":1,"copy":"s"}', "form"),
        (b'{"form":1,"owner":"","epoch":1,"copy":"s"}', "names no owner"),
        (b'{"form":1,"owner":"a","epoch":0,"copy":"s"}', "no epoch"),
        (b'{"form":1,"owner":"a","epoch":1,"copy":""}', "no copy"),
        (b'{"form":1,"owner":"a","epoch":"1","copy":"s"}', "not a Pairing"),
        (b'{"form":1,"owner":"a","epoch":1}', "not a Pairing"),
        (b'{"form":1,"owner":"a","epoch":1,"void":1,"copy":"s"}', "not a Pairing"),
        (b"[" * 5_000, "not a Pairing"),
        (b"null", "not a Pairing"),
        (b"\xff", "not a Pairing"),
    ],
)
def test_what_is_not_understood_is_said(value, says):
    with pytest.raises(UnreadableRecord, match=says) as raised:
        read_pairing(value)
    assert raised.value.temporary is False


def test_more_than_this_version_knows_is_no_newer_form():
    value = b'{"form":1,"owner":"a","epoch":3,"copy":"s","hint":"later"}'
    assert read_pairing(value) == Pairing(owner="a", epoch=3, copy="s")
    assert FORM == 1


@pytest.mark.parametrize(
    "value", [b'{"form":1,"sequence":-1,"node":"a","inc":1}', b'{"form":1,"sequence":1,"node":"","inc":1}']
)
def test_a_spools_record_that_cannot_be_is_refused(value):
    with pytest.raises(UnreadableRecord):
        read_spool(value)


def test_a_pairings_key_names_it():
    key = KEYS.ownership("8f2c", "relay-b")
    assert key == "/m365-relay/corp/ownership/8f2c/relay-b"
    assert key_of(KEYS, key) == PairKey(spool="8f2c", shadow="relay-b")


@pytest.mark.parametrize(
    "key",
    [
        "/m365-relay/corp/ownership/8f2c",
        "/m365-relay/corp/ownership/8f2c/",
        "/m365-relay/corp/ownership//relay-b",
        "/m365-relay/corp/spool/8f2c/relay-b",
        "/m365-relay/other/ownership/8f2c/relay-b",
        "8f2c/relay-b",
        "",
    ],
)
def test_a_foreign_key_names_none(key):
    assert key_of(KEYS, key) is None


def test_the_spools_key():
    assert KEYS.spool("8f2c") == "/m365-relay/corp/spool/8f2c"
